// Opening and closing, as scripts.
#include "tests/unit/tcp/script.h"

namespace steelyard::tcp::test {
namespace {

class OpenCloseCases : public Script {};
INSTANTIATE_TEST_SUITE_P(Worlds, OpenCloseCases, all_worlds(), name_of);

TEST_P(OpenCloseCases, passive_open) {
  in(S, seq(0), mss(1'000), wscale(7), sackok(), ts(70'000));
  out(SA, seq(0), ack(1), mss(GetParam().v6 ? 1'440 : 1'460), wscale(3), sackok(), ecr(70'000), win(0xffff));
  EXPECT_EQ(stack_->half_open(), 1U);
  EXPECT_EQ(accepted_, 0);
  in(A, seq(1), ack(1), ts(70'001));
  EXPECT_EQ(accepted_, 1);
  EXPECT_EQ(stack_->half_open(), 0U);
  EXPECT_EQ(state(), State::established);
  EXPECT_THAT(events_, testing::ElementsAre(Event::established));
  silent();
  app_send(10);
  out(A, seq(1), ack(1), len(10));
}

TEST_P(OpenCloseCases, active_open) {
  app_connect();
  out(S, seq(0), mss(GetParam().v6 ? 1'440 : 1'460), wscale(3), sackok(), ecr(0));
  EXPECT_EQ(state(), State::syn_sent);
  in(SA, seq(0), ack(1), mss(1'000), wscale(2), sackok(), ts(9));
  out(A, seq(1), ack(1), ecr(9));
  EXPECT_EQ(state(), State::established);
  EXPECT_THAT(events_, testing::ElementsAre(Event::established));
}

TEST_P(OpenCloseCases, simultaneous_open) {
  app_connect();
  out(S, seq(0));
  in(S, seq(0), mss(1'000), sackok());
  out(SA, seq(0), ack(1), sackok());
  EXPECT_EQ(state(), State::syn_received);
  in(SA, seq(0), ack(1), mss(1'000), sackok());
  EXPECT_EQ(state(), State::established);
  out(A, seq(1), ack(1));
  app_send(5);
  out(A, seq(1), len(5));
  in(A, seq(1), ack(6), len(3));
  EXPECT_EQ(received_, stream(1, 3));
}

TEST_P(OpenCloseCases, simultaneous_open_completed_by_an_ack) {
  app_connect();
  out(S, seq(0));
  in(S, seq(0), mss(1'000));
  out(SA, seq(0), ack(1));
  in(A, seq(1), ack(1));
  EXPECT_EQ(state(), State::established);
  silent();
}

TEST_P(OpenCloseCases, syn_to_closed_rst) {
  endpoints_.local_port = 81;
  our_initial_ = 0;
  in(S, seq(0));
  out(RA, seq(0), ack(1));
  in(R, seq(0));
  silent();
}

TEST_P(OpenCloseCases, ack_to_listen_rst) {
  our_initial_ = 7'000;
  in(A, seq(1), ack(500));
  out(R, seq(500));
  in(R, seq(1));
  in(FA & ~A, seq(1));
  silent();
}

TEST_P(OpenCloseCases, synsent_bad_ack_rst) {
  app_connect();
  out(S, seq(0));
  in(SA, seq(0), ack(0));
  out(R, seq(0));
  in(A, seq(0), ack(2));
  out(R, seq(2));
  EXPECT_EQ(state(), State::syn_sent);
  in(SA, seq(0), ack(1));
  EXPECT_EQ(state(), State::established);
}

TEST_P(OpenCloseCases, synsent_rst_without_ack_ignored) {
  app_connect();
  out(S, seq(0));
  in(R, seq(0));
  in(RA, seq(0), ack(0));
  in(RA, seq(0), ack(2));
  silent();
  EXPECT_EQ(state(), State::syn_sent);
  in(RA, seq(0), ack(1));
  EXPECT_EQ(cause_, Cause::refused);
}

TEST_P(OpenCloseCases, syn_retransmitted_and_given_up) {
  settings_.syn_timeout = 10s;
  app_connect();
  out(S, seq(0));
  for (const auto wait : {1s, 2s, 4s}) {
    advance(wait - 10ms);
    silent();
    advance(10ms);
    out(S, seq(0));
  }
  advance(3s);
  EXPECT_EQ(cause_, Cause::timed_out);
  silent();
}

TEST_P(OpenCloseCases, synack_retransmit_backoff) {
  in(S, seq(0), mss(1'000), sackok());
  out(SA, seq(0), ack(1), sackok());
  for (const auto wait : {1s, 2s, 4s, 8s, 16s}) {
    advance(wait - 10ms);
    silent();
    advance(10ms);
    out(SA, seq(0), ack(1), sackok());
  }
  advance(33s);
  silent();
  EXPECT_EQ(stack_->half_open(), 0U);
  in(A, seq(1), ack(1));
  out(R, seq(1));
}

TEST_P(OpenCloseCases, synrcvd_rst_returns_listen) {
  in(S, seq(0), mss(1'000));
  out(SA, seq(0), ack(1));
  in(R, seq(2));
  out(A, seq(1), ack(1));  // not exact: asked about
  EXPECT_EQ(stack_->half_open(), 1U);
  in(R, seq(1));
  EXPECT_EQ(stack_->half_open(), 0U);
  silent();
  handshake();
}

TEST_P(OpenCloseCases, synrcvd_syn_repeated_answered_again) {
  in(S, seq(0), mss(1'000));
  out(SA, seq(0), ack(1));
  in(S, seq(0), mss(1'000));
  out(SA, seq(0), ack(1));
  EXPECT_EQ(stack_->half_open(), 1U);
}

TEST_P(OpenCloseCases, synrcvd_bad_ack_rst) {
  in(S, seq(0), mss(1'000));
  out(SA, seq(0), ack(1));
  in(A, seq(1), ack(2));
  out(R, seq(2));
  EXPECT_EQ(accepted_, 0);
}

TEST_P(OpenCloseCases, data_on_third_ack) {
  in(S, seq(0), mss(1'000));
  out(SA, seq(0), ack(1));
  in(A, seq(1), ack(1), len(100));
  EXPECT_EQ(accepted_, 1);
  EXPECT_EQ(received_, stream(1, 100));
  advance(40ms);
  out(A, seq(1), ack(101));
}

TEST_P(OpenCloseCases, third_ack_lost_data_completes) {
  in(S, seq(0), mss(1'000));
  out(SA, seq(0), ack(1));
  in(A, seq(101), ack(1), len(50));  // the first data segment is lost, too
  EXPECT_EQ(accepted_, 1);
  out(A, ack(1));
  in(A, seq(1), ack(1), len(100));
  out(A, ack(151));
  EXPECT_EQ(received_, stream(1, 150));
}

TEST_P(OpenCloseCases, half_close_serves_after_fin) {
  handshake();
  in(FA, seq(1), ack(1), len(10));
  out(A, ack(12));
  EXPECT_EQ(received_, stream(1, 10));
  EXPECT_EQ(state(), State::close_wait);
  EXPECT_THAT(events_, testing::Contains(Event::peer_finished));
  app_send(2'500);
  out(A, seq(1), len(1'000));
  out(A, seq(1'001), len(1'000));
  out(A, seq(2'001), len(500));
  in(A, seq(12), ack(2'501));
  app_close();
  out(FA, seq(2'501), ack(12));
  EXPECT_EQ(state(), State::last_ack);
  in(A, seq(12), ack(2'502));
  EXPECT_EQ(cause_, Cause::finished);
  EXPECT_EQ(stack_->connections(), 0U);
  EXPECT_EQ(stack_->time_wait(), 0U) << "who closes second has no TIME_WAIT";
}

TEST_P(OpenCloseCases, a_reset_in_last_ack_is_no_error_when_all_data_are_acknowledged) {
  for (const bool acknowledged : {true, false}) {
    endpoints_ = endpoints(acknowledged ? 4'000 : 4'001);
    written_ = 0;
    handshake();
    in(FA, seq(1), ack(1));
    app_send(10);
    app_close();
    drain();
    if (acknowledged) {
      in(A, seq(2), ack(11));
    }
    EXPECT_EQ(state(), State::last_ack);
    in(R, seq(2));
    EXPECT_EQ(cause_, acknowledged ? Cause::finished : Cause::reset_by_peer);
    drain();
  }
}

TEST_P(OpenCloseCases, what_is_said_last_carries_the_fin) {
  handshake();
  app_send(1'500, true);
  out(A, seq(1), len(1'000));
  out(FA, seq(1'001), len(500));
  in(A, seq(1), ack(1'502));
  EXPECT_EQ(state(), State::fin_wait_2);
}

TEST_P(OpenCloseCases, our_half_close_still_receives) {
  handshake();
  app_shutdown();
  out(FA, seq(1), ack(1));
  in(A, seq(1), ack(2));
  EXPECT_EQ(state(), State::fin_wait_2);
  advance(120s);  // no timeout: somebody reads
  in(A, seq(1), ack(2), len(700));
  EXPECT_EQ(received_, stream(1, 700));
  in(FA, seq(701), ack(2));
  out(A, seq(2), ack(702));
  EXPECT_EQ(stack_->time_wait(), 1U);
}

TEST_P(OpenCloseCases, simultaneous_close) {
  handshake();
  app_close();
  out(FA, seq(1), ack(1));
  in(FA, seq(1), ack(1));
  out(A, seq(2), ack(2));
  EXPECT_EQ(state(), State::closing);
  in(A, seq(2), ack(2));
  EXPECT_EQ(cause_, Cause::finished);
  EXPECT_EQ(stack_->time_wait(), 1U);
}

TEST_P(OpenCloseCases, fin_lost_retransmit) {
  handshake();
  app_send(10);
  out(A, seq(1), len(10));
  in(A, seq(1), ack(11));
  app_close();
  out(FA, seq(11), ack(1));
  advance(1s);
  out(FA, seq(11), ack(1));
  drain();
  in(A, seq(1), ack(12));
  EXPECT_EQ(state(), State::fin_wait_2);
}

TEST_P(OpenCloseCases, fin_out_of_order_held) {
  handshake();
  in(FA, seq(11), ack(1), len(5));
  out(A, ack(1), sack({{11, 16}}));
  EXPECT_EQ(state(), State::established);
  in(A, seq(1), ack(1), len(10));
  out(A, ack(17));
  EXPECT_EQ(received_, stream(1, 15));
  EXPECT_EQ(state(), State::close_wait);
}

TEST_P(OpenCloseCases, data_behind_a_fin_never_counts) {
  handshake();
  in(FA, seq(1), ack(1), len(5));
  out(A, ack(7));
  in(A, seq(7), ack(1), len(5));
  out(A, ack(7));
  EXPECT_EQ(received_, stream(1, 5));
}

TEST_P(OpenCloseCases, close_with_unread_data_rst) {
  handshake();
  app_read(false);
  in(A, seq(1), ack(1), len(100));
  app_close();
  out(RA, seq(1), ack(101));
  EXPECT_EQ(cause_, Cause::unread_data);
  EXPECT_EQ(stack_->connections(), 0U);
}

TEST_P(OpenCloseCases, data_after_close_rst) {
  handshake();
  app_close();
  out(FA, seq(1), ack(1));
  in(A, seq(1), ack(2));
  in(A, seq(1), ack(2), len(10));
  out(RA, seq(2));
  EXPECT_EQ(cause_, Cause::unread_data);
}

TEST_P(OpenCloseCases, finwait2_timeout) {
  handshake();
  app_close();
  out(FA, seq(1), ack(1));
  in(A, seq(1), ack(2));
  EXPECT_EQ(state(), State::fin_wait_2);
  advance(59s);
  EXPECT_EQ(state(), State::fin_wait_2);
  advance(2s);
  EXPECT_EQ(stack_->connections(), 0U);
  silent();
}

class TimeWaitCases : public Script {
 protected:
  // Through FIN_WAIT_2 to TIME_WAIT: the peer's FIN was number 1, so that 2 is its next; our next is 2.
  void reach_time_wait(bool timestamps) {
    handshake({.timestamps = timestamps});
    app_close();
    out(FA, seq(1), ack(1));
    in(A, seq(1), ack(2), clocked());
    in(FA, seq(1), ack(2), clocked());
    out(A, seq(2), ack(2));
    ASSERT_EQ(stack_->time_wait(), 1U);
    ASSERT_EQ(stack_->connections(), 0U);
    silent();
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, TimeWaitCases, all_worlds(), name_of);

TEST_P(TimeWaitCases, timewait_reack_fin) {
  reach_time_wait(false);
  advance(40s);
  in(FA, seq(1), ack(2));
  out(A, seq(2), ack(2));
  advance(40s);
  EXPECT_EQ(stack_->time_wait(), 1U) << "the wait has begun anew";
  advance(21s);
  EXPECT_EQ(stack_->time_wait(), 0U);
  in(A, seq(2), ack(2));
  out(R, seq(2));
}

TEST_P(TimeWaitCases, timewait_rst_ignored) {
  reach_time_wait(false);
  in(R, seq(2));
  in(RA, seq(2), ack(2));
  silent();
  EXPECT_EQ(stack_->time_wait(), 1U);
}

TEST_P(TimeWaitCases, timewait_newer_ts_syn_reopens) {
  reach_time_wait(true);
  const std::uint32_t old_next = our_initial_ + 2;
  advance(10ms);
  in(S, seq(0), mss(1'000), ts(peer_clock()));  // its sequence number is old, its timestamp is new
  EXPECT_TRUE(packet::after(Sequence{sent_.front().header.sequence}, Sequence{old_next}));
  out(SA, ack(1));
  EXPECT_EQ(stack_->time_wait(), 0U);
  EXPECT_EQ(stack_->half_open(), 1U);
}

TEST_P(TimeWaitCases, timewait_old_syn_changes_nothing) {
  reach_time_wait(true);
  in(S, seq(0), mss(1'000), ts(60'000));
  silent();  // RFC 6191 section 2
  EXPECT_EQ(stack_->time_wait(), 1U);
}

TEST_P(TimeWaitCases, timewait_higher_sequence_syn_reopens_without_ts) {
  reach_time_wait(false);
  in(S, seq(500), mss(1'000));
  out(SA, ack(501));
  EXPECT_EQ(stack_->half_open(), 1U);
}

TEST_P(TimeWaitCases, a_full_table_gives_up_its_oldest) {
  rebuild({.time_wait = 2});
  for (std::uint16_t remote = 4'000; remote < 4'003; ++remote) {
    endpoints_ = endpoints(remote);
    handshake();
    app_close();
    out(FA, seq(1));
    in(FA, seq(1), ack(2));
    drain();
  }
  EXPECT_EQ(stack_->time_wait(), 2U);
  EXPECT_EQ(stack_->counters().time_wait_recycled, 1U);
  endpoints_ = endpoints(4'000);
  in(FA, seq(1), ack(2));
  out(R, seq(2));
}

}  // namespace
}  // namespace steelyard::tcp::test
