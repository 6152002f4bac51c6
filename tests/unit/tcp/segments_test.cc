// What RFC 9293 section 3.10.7 and those who have sharpened it (RFC 5961, RFC 7323, RFC 6191) say about single
// segments, state by state, as scripts. The named cases have the common ones.
#include "tests/unit/tcp/script.h"

namespace steelyard::tcp::test {
namespace {

class SegmentCases : public Script {
 protected:
  // Through the handshake to a state, named by what is next: the peer's next number and ours are both 2 after a FIN.
  void reach(State wanted) {
    handshake();
    if (wanted == State::close_wait || wanted == State::last_ack) {
      in(FA, seq(1), ack(1));
    }
    if (wanted != State::established && wanted != State::close_wait) {
      app_shutdown();
    }
    if (wanted == State::fin_wait_2) {
      in(A, seq(1), ack(2));
    }
    if (wanted == State::closing) {
      in(FA, seq(1), ack(1));
    }
    drain();
    ASSERT_EQ(state(), wanted);
  }
  [[nodiscard]] std::uint32_t peer_next() const {
    return packet::distance(Sequence{peer_initial_}, report().receive_next);
  }
  [[nodiscard]] std::uint32_t our_next() const { return packet::distance(Sequence{our_initial_}, report().send_next); }
  static constexpr std::array synchronized{State::established, State::fin_wait_1, State::fin_wait_2,
                                           State::close_wait,  State::closing,    State::last_ack};
};
INSTANTIATE_TEST_SUITE_P(Worlds, SegmentCases, all_worlds(), name_of);

TEST_P(SegmentCases, in_every_synchronized_state_a_syn_is_asked_about) {
  std::uint16_t remote = 4'000;
  for (const State wanted : synchronized) {
    endpoints_ = endpoints(remote++);
    reach(wanted);
    for (const std::uint32_t number : {0U, peer_next(), peer_next() + 100, 0x40000000U}) {
      in(S, seq(number), mss(1'000));
      out(A, seq(our_next()), ack(peer_next()));
      EXPECT_EQ(state(), wanted);
    }
    silent();
  }
}

TEST_P(SegmentCases, in_every_synchronized_state_a_reset_is_believed_only_with_the_exact_number) {
  std::uint16_t remote = 4'000;
  for (const State wanted : synchronized) {
    endpoints_ = endpoints(remote++);
    reach(wanted);
    const std::uint32_t next = peer_next();
    const std::uint32_t edge = next + packet::distance(report().receive_next, report().receive_edge);
    in(R, seq(next - 1));
    in(R, seq(edge));  // the window ends before it
    silent();
    if (edge > next + 1) {
      in(R, seq(edge - 1));
      out(A, seq(our_next()), ack(next));
    }
    EXPECT_EQ(state(), wanted);
    in(R, seq(next), len(20));  // data in a reset mean nothing (RFC 9293 section 3.5.3)
    EXPECT_EQ(state(), State::closed);
    EXPECT_EQ(received_, "");
    silent();
  }
}

TEST_P(SegmentCases, in_every_synchronized_state_what_is_out_of_the_window_is_answered_with_an_ack) {
  std::uint16_t remote = 4'000;
  for (const State wanted : synchronized) {
    endpoints_ = endpoints(remote++);
    reach(wanted);
    in(A, seq(0x20000000U), ack(our_next()), len(10));
    out(A, seq(our_next()), ack(peer_next()));
    in(A, seq(peer_next() - 1), ack(our_next()), len(1));
    out(A, seq(our_next()), ack(peer_next()));
    EXPECT_EQ(state(), wanted);
    EXPECT_EQ(received_, "");
    silent();
  }
}

TEST_P(SegmentCases, in_every_synchronized_state_an_ack_of_what_was_never_sent_is_answered_and_dropped) {
  std::uint16_t remote = 4'000;
  for (const State wanted : synchronized) {
    endpoints_ = endpoints(remote++);
    reach(wanted);
    in(A, seq(peer_next()), ack(our_next() + 1), len(10));
    out(A, seq(our_next()), ack(peer_next()));
    EXPECT_EQ(state(), wanted);
    EXPECT_EQ(received_, "");
    silent();
  }
}

TEST_P(SegmentCases, a_closed_window_hears_resets_and_urgent_segments) {
  settings_.receive_buffer = 1'000;
  rebuild({});
  handshake();
  app_read(false);
  app_send(10);
  in(A, seq(1), ack(1), len(1'000));
  drain();
  in(A | flag::urg, seq(1'001), ack(11), len(1));
  EXPECT_EQ(report().unacknowledged, 0U);
  out(A, ack(1'001), win(0));
  in(R, seq(1'002));
  silent();
  in(R, seq(1'001));
  EXPECT_EQ(cause_, Cause::reset_by_peer);
}

TEST_P(SegmentCases, a_segment_without_ack_is_dropped) {
  handshake();
  in(0, seq(1), len(10));
  in(flag::fin, seq(1));
  silent();
  EXPECT_EQ(received_, "");
  EXPECT_EQ(state(), State::established);
}

TEST_P(SegmentCases, after_the_peers_fin_its_data_are_ignored) {
  reach(State::close_wait);
  in(A, seq(2), ack(1), len(10));
  out(A, seq(1), ack(2));
  EXPECT_EQ(received_, "");
}

TEST_P(SegmentCases, a_fin_that_acknowledges_ours_ends_in_time_wait) {
  reach(State::fin_wait_1);
  in(FA, seq(1), ack(2), len(10));
  out(A, seq(2), ack(12));
  EXPECT_EQ(received_, stream(1, 10));
  EXPECT_EQ(stack_->time_wait(), 1U);
}

TEST_P(SegmentCases, a_syn_without_timestamps_is_asked_about_although_they_were_agreed_on) {
  handshake({.timestamps = true});
  in(S, seq(0x40000000U), mss(1'000));  // a peer that has begun anew, and offers none
  out(A, seq(1), ack(1));
  in(R, seq(1));
  EXPECT_EQ(cause_, Cause::reset_by_peer);
}

TEST_P(SegmentCases, an_old_window_does_not_replace_a_new_one) {
  handshake({.window = 10'000});
  in(A, seq(1), ack(1), len(10), win(9'000));
  in(A, seq(11), ack(1), len(10), win(8'000));
  EXPECT_EQ(report().send_window, 8'000U);
  in(A, seq(1), ack(1), len(15), win(20'000));  // an older number (SND.WL1)
  EXPECT_EQ(report().send_window, 8'000U);
  app_send(2'000);
  in(A, seq(21), ack(2'001), win(7'000));
  EXPECT_EQ(report().send_window, 7'000U);
  in(A, seq(21), ack(1'001), win(20'000));  // an older acknowledgment (SND.WL2)
  EXPECT_EQ(report().send_window, 7'000U);
  in(A, seq(21), ack(2'001), win(6'000));
  EXPECT_EQ(report().send_window, 6'000U);
  drain();
}

TEST_P(SegmentCases, timestamps_that_were_not_agreed_on_are_ignored) {
  handshake();
  in(A, seq(1), ack(1), len(10), ts(5));
  in(A, seq(11), ack(1), len(10), ts(1));
  EXPECT_EQ(received_, stream(1, 20));
  advance(40ms);
  out(A, ack(21), nots());
}

TEST_P(SegmentCases, resets_give_the_timestamp_back) {
  endpoints_.local_port = 81;
  our_initial_ = 0;
  in(S, seq(0), ts(77));
  EXPECT_EQ(sent_.front().header.options.timestamp, 0U);
  out(RA, seq(0), ack(1), ecr(77));
  in(S, seq(0));
  out(RA, seq(0), ack(1), nots());
  endpoints_.local_port = port;
  app_connect();
  out(S, seq(0));
  in(SA, seq(0), ack(2), ts(78));
  out(R, seq(2), ecr(78));
}

TEST_P(SegmentCases, half_open_unacceptable_segments_are_answered_from_where_we_are) {
  in(S, seq(0), mss(1'000), wscale(2), ts(70'000));
  out(SA, seq(0), ack(1));
  in(A, seq(0x10001), ack(1), ts(70'001), len(5));  // behind the window
  out(A, seq(1), ack(1), ecr(70'000), win(8'192));
  in(A, seq(1), ack(1), ts(69'999));  // PAWS
  out(A, seq(1), ack(1), ecr(70'000), win(8'192));
  in(S, seq(900), ts(70'002));  // another number: asked about
  out(A, seq(1), ack(1));
  in(A, seq(1), ack(1));  // no timestamp
  silent();
  in(R, seq(0x10000));  // out of the window
  silent();
  EXPECT_EQ(stack_->half_open(), 1U);
  in(A, seq(1), ack(1), ts(70'003));
  EXPECT_EQ(accepted_, 1);
  silent();
}

TEST_P(SegmentCases, half_open_a_peer_that_begins_anew_gets_through) {
  in(S, seq(0), mss(1'000));
  out(SA, seq(0), ack(1));
  in(S, seq(5'000), mss(1'000));
  out(A, seq(1), ack(1));
  in(R, seq(1));  // what a peer in SYN-SENT says to that
  EXPECT_EQ(stack_->half_open(), 0U);
  in(S, seq(5'000), mss(1'000));
  out(SA, ack(5'001));
  in(A, seq(5'001), ack(1));
  EXPECT_EQ(accepted_, 1);
}

TEST_P(SegmentCases, simultaneous_open_a_repeated_syn_is_answered_with_the_syn_ack) {
  app_connect();
  out(S, seq(0));
  in(S, seq(0), mss(1'000), sackok());
  out(SA, seq(0), ack(1));
  in(S, seq(0), mss(1'000), sackok());
  out(SA, seq(0), ack(1), sackok());
  in(A, seq(0x20000000U), ack(1), len(5));
  out(A, seq(1), ack(1));
  in(A, seq(1), ack(2));
  out(R, seq(2));
  EXPECT_EQ(state(), State::syn_received);
  in(R, seq(1));
  EXPECT_EQ(cause_, Cause::refused);
}

TEST_P(SegmentCases, data_with_the_syn_ack_are_taken) {
  app_connect();
  out(S, seq(0));
  in(SA, seq(0), ack(1), mss(1'000), data("bcd"));
  out(A, seq(1), ack(4));
  EXPECT_EQ(received_, "bcd");
}

TEST_P(SegmentCases, abort_tells_the_peer_unless_all_is_said) {
  std::uint16_t remote = 4'000;
  for (const State wanted : synchronized) {
    endpoints_ = endpoints(remote++);
    reach(wanted);
    const std::uint32_t next = our_next();
    app_abort();
    if (wanted != State::closing && wanted != State::last_ack) {
      out(RA, seq(next));
    }
    silent();
    EXPECT_EQ(cause_, Cause::aborted);
  }
}

TEST_P(SegmentCases, abort_in_last_ack_resets_when_data_were_never_sent) {
  handshake({.window = 1'000});
  in(FA, seq(1), ack(1));
  app_send(3'000);
  app_close();
  drain();
  ASSERT_EQ(state(), State::last_ack);
  app_abort();
  out(RA, seq(1'001));
}

TEST_P(SegmentCases, a_hard_icmp_error_about_a_syn_ends_the_attempt) {
  app_connect();
  out(S, seq(0));
  const Sequence initial{our_initial_};
  stack_->on_unreachable(endpoints_, initial + 1, true, now_);  // quotes nothing of ours
  stack_->on_unreachable(endpoints_, initial, false, now_);     // soft: told, and no more
  EXPECT_THAT(events_, testing::ElementsAre(Event::in_trouble));
  EXPECT_EQ(state(), State::syn_sent);
  stack_->on_unreachable(endpoints_, initial, true, now_);
  EXPECT_EQ(cause_, Cause::unreachable);
  silent();
}

TEST_P(SegmentCases, no_icmp_error_ends_a_connection) {
  handshake();
  app_send(10);
  drain();
  events_.clear();
  stack_->on_unreachable(endpoints_, Sequence{our_initial_} + 11, true, now_);  // not outstanding
  EXPECT_THAT(events_, testing::IsEmpty());
  stack_->on_unreachable(endpoints_, Sequence{our_initial_} + 1, true, now_);
  EXPECT_THAT(events_, testing::ElementsAre(Event::in_trouble));
  EXPECT_EQ(state(), State::established);
}

class ReopenCases : public Script {
 protected:
  // In TIME_WAIT: the peer's FIN was number 1.
  void reach_time_wait(bool timestamps) {
    handshake({.timestamps = timestamps});
    app_close();
    in(FA, seq(1), ack(2), clocked());
    drain();
    ASSERT_EQ(stack_->time_wait(), 1U);
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, ReopenCases, all_worlds(), name_of);

// RFC 6191 section 2, the whole of its list.
TEST_P(ReopenCases, with_timestamps_a_newer_one_or_an_equal_one_and_a_later_number_reopens) {
  reach_time_wait(true);
  const std::uint32_t last = peer_clock();
  in(S, seq(500), mss(1'000), ts(last - 1));
  in(S, seq(1), mss(1'000), ts(last));
  silent();
  in(S, seq(1), mss(1'000));
  out(A, seq(2), ack(2));
  EXPECT_EQ(stack_->time_wait(), 1U);
  in(S, seq(2), mss(1'000), ts(last));
  out(SA, ack(3));
  EXPECT_EQ(stack_->time_wait(), 0U);
}

TEST_P(ReopenCases, with_timestamps_a_syn_without_them_needs_a_later_number) {
  reach_time_wait(true);
  in(S, seq(2), mss(1'000));
  out(SA, ack(3), nots());
}

TEST_P(ReopenCases, without_timestamps_a_syn_with_them_reopens) {
  reach_time_wait(false);
  in(S, seq(0), mss(1'000), ts(1));
  out(SA, ack(1), ecr(1));
}

}  // namespace
}  // namespace steelyard::tcp::test
