// When segments go out, and how many: what RFCs 9293, 5681, 6298, 6928 and 8985 say beside the named cases, as scripts.
#include "tests/unit/tcp/script.h"

namespace steelyard::tcp::test {
namespace {

class SendingCases : public SendingScript {};
INSTANTIATE_TEST_SUITE_P(Worlds, SendingCases, all_worlds(), name_of);

TEST_P(SendingCases, a_repeated_syn_begins_data_with_three_seconds) {
  for (const bool active : {false, true}) {
    endpoints_ = endpoints(active ? 4'000 : 4'001);
    written_ = 0;
    if (active) {
      app_connect();
      out(S, seq(0));
      advance(1s);
      out(S, seq(0));
      in(SA, seq(0), ack(1), mss(1'000));
      out(A, seq(1), ack(1));
    } else {
      in(S, seq(0), mss(1'000));
      out(SA, seq(0));
      advance(1s);
      out(SA, seq(0));
      in(A, seq(1), ack(1));
    }
    EXPECT_EQ(report().timeout, 3s) << "RFC 6298 section 5, rule 5.7";
    app_send(20'000);
    EXPECT_EQ(sent_count(), 10U) << "RFC 6928 section 2: one repetition proves no loss";
    drain();
    app_abort();
    drain();
  }
}

TEST_P(SendingCases, a_syn_repeated_twice_leaves_one_segment) {
  for (const bool active : {false, true}) {
    endpoints_ = endpoints(active ? 4'000 : 4'001);
    written_ = 0;
    if (active) {
      app_connect();
    } else {
      in(S, seq(0), mss(1'000));
    }
    advance(3s);
    EXPECT_EQ(sent_count(), 3U);
    drain();
    in(active ? SA : A, seq(active ? 0 : 1), ack(1), mss(1'000));
    drain();
    app_send(20'000);
    EXPECT_EQ(sent_count(), 1U);
    drain();
    app_abort();
    drain();
  }
}

TEST_P(SendingCases, a_syn_ack_sent_twice_gives_no_sample) {
  in(S, seq(0), mss(1'000));
  out(SA, seq(0));
  advance(900ms);
  in(S, seq(0), mss(1'000));
  out(SA, seq(0));
  advance(5ms);
  in(A, seq(1), ack(1));
  EXPECT_EQ(report().round_trip, Duration{0});
}

TEST_P(SendingCases, after_a_timeout_slow_start_grows_by_one_segment_an_acknowledgment) {
  handshake({.sack = false});
  measure_round_trip();
  app_send(8'000);
  drain();
  advance(report().timeout + 1ms);
  out_segments(1'001, 1);
  in(A, seq(1), ack(5'001));  // four segments at once
  EXPECT_EQ(report().window, 2'000U) << "RFC 3465 section 2.3";
  drain();
}

TEST_P(SendingCases, three_timeouts_in_a_row_are_told_and_end_nothing) {
  handshake({.sack = false});
  measure_round_trip();
  events_.clear();
  app_send(1'000);
  advance(report().timeout * 3 + 10ms);
  EXPECT_THAT(events_, testing::IsEmpty());
  advance(report().timeout + 10ms);
  EXPECT_THAT(events_, testing::ElementsAre(Event::in_trouble));
  EXPECT_EQ(state(), State::established);
  drain();
}

TEST_P(SendingCases, the_override_of_a_silly_window_takes_a_second_at_most) {
  round_trip_ = 900ms;
  handshake({.window = 10'000});
  ASSERT_GT(report().timeout, 2s);
  app_send(10'500);
  drain();
  in(A, seq(1), ack(10'001), win(100));
  silent();
  advance(1'001ms);
  out(A, seq(10'001), len(100));
}

TEST_P(SendingCases, behind_the_end_of_a_shrunken_window_nothing_is_repeated) {
  handshake({.sack = false});
  measure_round_trip();
  app_send(8'000);
  out_segments(1'001, 8);
  in(A, seq(1), ack(1'001), win(3'000));  // it said 60,000 before
  advance(report().timeout + 1ms);
  out_segments(1'001, 1);
  in(A, seq(1), ack(2'001), win(3'000));
  out_segments(2'001, 2);
  in(A, seq(1), ack(4'001), win(1'000));
  out_segments(4'001, 1);
  silent();
  in(A, seq(1), ack(5'001), win(60'000));
  out_segments(5'001, 3);
}

TEST_P(SendingCases, a_window_that_shrinks_to_nothing_is_probed_and_ends_nothing) {
  settings_.user_timeout = 10s;
  handshake({.sack = false});
  measure_round_trip();
  app_send(3'000);
  drain();
  in(A, seq(1), ack(1'001), win(0));
  for (int round = 0; round < 60; ++round) {
    advance(1s);
    ASSERT_EQ(state(), State::established);
    if (sent_count() != 0) {
      drain();
      in(A, seq(1), ack(1'001), win(0));
    }
  }
  in(A, seq(1), ack(2'001), win(10'000));  // it has taken a probe, which is data
  out_segments(2'001, 1);
  drain();
}

TEST_P(SendingCases, nobody_waits_for_ever_for_the_window_of_a_closed_connection) {
  settings_.user_timeout = 20s;
  handshake({.window = 1'000});
  app_send(3'000);
  out_segments(1, 1);
  app_close();
  in(A, seq(1), ack(1'001), win(0));
  for (int round = 0; round < 15; ++round) {
    advance(1s);
    ASSERT_EQ(state(), State::fin_wait_1);
    drain();
    in(A, seq(1), ack(1'001), win(0));
  }
  for (int round = 0; round < 15 && stack_->connections() != 0; ++round) {
    advance(1s);
    drain();
    if (stack_->connections() != 0) {
      in(A, seq(1), ack(1'001), win(0));
    }
  }
  EXPECT_EQ(cause_, Cause::timed_out);
  drain();
}

TEST_P(SendingCases, a_narrower_path_takes_as_many_segments_as_before) {
  handshake({.size = 1'400});
  app_send(3'000);
  drain();
  const std::uint32_t window = report().window;
  stack_->on_path_mtu(endpoints_, Sequence{our_initial_} + 1, 1'300U, now_);
  EXPECT_EQ(report().window, window * std::uint64_t{report().segment} / 1'400);
  drain();
}

TEST_P(SendingCases, a_probe_goes_out_in_the_stead_of_an_earlier_timeout) {
  handshake();
  measure_round_trip();
  app_send(1'000);
  out_segments(1'001, 1);
  const Duration timeout = report().timeout;
  ASSERT_LT(timeout, 2 * report().round_trip + 200ms);
  advance(timeout);
  out_segments(1'001, 1);
  EXPECT_EQ(report().window, 10'000U) << "a probe says nothing of the path yet (RFC 8985 section 7.2)";
  advance(timeout - 5ms);
  silent();
  advance(10ms);
  out_segments(1'001, 1);
  EXPECT_EQ(report().window, 1'000U) << "the timeout itself";
}

TEST_P(SendingCases, the_last_segment_of_what_is_queued_is_pushed_and_none_has_a_segment_size) {
  handshake();
  app_send(2'500);
  for (const bool pushed : {false, false, true}) {
    ASSERT_NE(sent_count(), 0U);
    EXPECT_EQ(sent_.front().header.has(flag::psh), pushed);
    EXPECT_EQ(sent_.front().header.options.segment_size, 0U);
    EXPECT_FALSE(sent_.front().header.has(flag::urg));
    sent_.pop_front();
  }
}

TEST_P(SendingCases, a_second_probe_needs_a_sample_of_the_round_trip) {
  handshake();
  measure_round_trip();
  app_send(1'000);
  out_segments(1'001, 1);
  advance(report().timeout);
  out_segments(1'001, 1);
  in(A, seq(1), ack(2'001), sack({{1'001, 2'001}}));  // both arrived; no sample (Karn)
  app_send(1'000);
  out_segments(2'001, 1);
  advance(report().timeout + 1ms);
  out_segments(2'001, 1);
  EXPECT_EQ(report().window, 1'000U) << "no probe, but the timeout (RFC 8985 section 7.3)";
}

TEST_P(SendingCases, a_probe_that_repaired_a_loss_reduces_the_window_unless_both_arrived) {
  for (const bool both : {true, false}) {
    endpoints_ = endpoints(both ? 4'000 : 4'001);
    written_ = 0;
    handshake();
    measure_round_trip();
    app_send(3'000);
    out_segments(1'001, 3);
    advance(100ms);
    in(A, seq(1), ack(3'001));
    advance(report().timeout);
    out_segments(3'001, 1);
    in(A, seq(1), ack(4'001));
    if (both) {
      in(A, seq(1), ack(4'001));  // a receiver without D-SACK (RFC 8985 section 7.4.2, case 2)
    }
    app_send(1'000);
    out_segments(4'001, 1);
    in(A, seq(1), ack(5'001));
    EXPECT_EQ(report().window < 10'000U, !both);
    app_abort();
    drain();
  }
}

TEST_P(SendingCases, a_probe_of_new_data_needs_room_for_the_whole_segment) {
  handshake({.window = 3'300});
  measure_round_trip();
  in(A, seq(1), ack(1'001), win(3'300));
  app_send(4'000);
  out_segments(1'001, 3);
  advance(2 * report().round_trip + 2ms);
  out_segments(3'001, 1);  // not 300 octets of new data
  silent();
}

TEST_P(SendingCases, keepalive_can_be_switched_off_when_our_half_is_closed) {
  settings_.keepalive_idle = 10s;
  settings_.keepalive_interval = 5s;
  handshake();
  app_shutdown();
  out(FA, seq(1), ack(1));
  in(A, seq(1), ack(2));
  EXPECT_EQ(state(), State::fin_wait_2);
  advance(10s);
  out(A, seq(1), ack(1));  // a probe: a number that the peer has
  in(A, seq(1), ack(2));
  settings_.keepalive_idle = 0s;
  stack_->change_settings(id_, settings_, now_);
  advance(120s);
  silent();
}

}  // namespace
}  // namespace steelyard::tcp::test
