// Sending, losing and repairing, as scripts. The peer's window is large unless a script says otherwise; segments have
// 1,000 octets.
#include "tests/unit/tcp/script.h"

namespace steelyard::tcp::test {
namespace {

class RecoveryCases : public SendingScript {};
INSTANTIATE_TEST_SUITE_P(Worlds, RecoveryCases, all_worlds(), name_of);

TEST_P(RecoveryCases, initial_window_ten_segments) {
  handshake();
  app_send(20'000);
  out_segments(1, 10);
  silent();
}

TEST_P(RecoveryCases, rto_first_sample_and_min) {
  handshake({.sack = false});
  app_send(1'000);
  out_segments(1, 1);
  advance(100ms);
  in(A, seq(1), ack(1'001));
  // Two samples of 100 ms: 100 ms and four times a variation of 37.5 ms.
  EXPECT_NEAR(static_cast<double>(report().timeout.count()), 250'000, 5'000);
  const Duration timeout = report().timeout;
  app_send(1'000);
  out_segments(1'001, 1);
  advance(timeout - 2ms);
  silent();
  advance(3ms);
  out_segments(1'001, 1);
}

TEST_P(RecoveryCases, rto_has_a_least) {
  round_trip_ = 1ms;
  open_actively({.sack = false});
  app_send(10);
  drain();
  advance(199ms);
  silent();
  advance(2ms);
  out(A, seq(1), len(10));
}

TEST_P(RecoveryCases, karn) {
  handshake({.sack = false});
  measure_round_trip();
  const Duration before = report().round_trip;
  app_send(1'000);
  out_segments(1'001, 1);
  advance(report().timeout + 1ms);
  out_segments(1'001, 1);
  advance(5ms);
  in(A, seq(1), ack(2'001));  // of which transmission?
  EXPECT_EQ(report().round_trip, before);
}

TEST_P(RecoveryCases, karn_timestamps_know_which) {
  handshake({.sack = false, .timestamps = true});
  largest_segment_ = 1'000;
  app_send(988);
  out(A, seq(1), len(988));
  const std::uint32_t first = last_timestamp_;
  advance(1'100ms);
  drain();
  in(A, seq(1), ack(989), ts(peer_clock()), ecr(first));
  EXPECT_GT(report().round_trip, 100ms) << "the first transmission was answered, late";
}

TEST_P(RecoveryCases, karn_an_answer_to_a_duplicate_gives_no_sample) {
  handshake({.timestamps = true});
  largest_segment_ = 1'000;
  const Duration before = report().round_trip;
  app_send(988);
  const std::uint32_t first = last_timestamp_;
  advance(5s);  // acknowledgments are lost, so we repeat
  EXPECT_GE(report().retransmitted, 1U);
  in(A, seq(1), ack(989), sack({{1, 989}}), ts(peer_clock()), ecr(first));
  EXPECT_EQ(report().unacknowledged, 0U);
  EXPECT_EQ(report().round_trip, before);
  drain();
}

TEST_P(RecoveryCases, backoff_resets_on_new_ack) {
  handshake({.sack = false});
  measure_round_trip();
  const Duration timeout = report().timeout;
  app_send(1'000);
  out_segments(1'001, 1);
  for (int round = 0; round < 3; ++round) {
    advance(timeout * (1 << round) + 1ms);
    out_segments(1'001, 1);
  }
  EXPECT_EQ(report().timeout, timeout * 8);
  in(A, seq(1), ack(2'001));
  EXPECT_EQ(report().timeout, timeout);
}

TEST_P(RecoveryCases, three_dupacks) {
  handshake({.sack = false});
  measure_round_trip();
  app_send(8'000);
  out_segments(1'001, 8);
  in(A, seq(1), ack(1'001));
  in(A, seq(1), ack(1'001));
  silent();
  in(A, seq(1), ack(1'001));
  out_segments(1'001, 1);
  silent();
  EXPECT_LE(report().threshold, 7'700U);
  in(A, seq(1), ack(9'001));
  EXPECT_EQ(report().unacknowledged, 0U);
  EXPECT_EQ(report().retransmitted, 1U);
}

TEST_P(RecoveryCases, three_dupacks_with_sack) {
  handshake();
  measure_round_trip();
  app_send(8'000);
  out_segments(1'001, 8);
  advance(100ms);
  in(A, seq(1), ack(1'001), sack({{2'001, 3'001}}));
  in(A, seq(1), ack(1'001), sack({{2'001, 4'001}}));
  silent();
  in(A, seq(1), ack(1'001), sack({{2'001, 5'001}}));
  out_segments(1'001, 1);
  silent();
}

TEST_P(RecoveryCases, limited_transmit) {
  handshake({.sack = false});
  measure_round_trip();
  app_send(40'000);
  const auto sent = static_cast<std::uint32_t>(sent_count());
  drain();
  in(A, seq(1), ack(1'001));
  out_segments(1'001 + 1'000 * sent, 1);  // RFC 3042: new data for each of the first two
  in(A, seq(1), ack(1'001));
  out_segments(2'001 + 1'000 * sent, 1);
  in(A, seq(1), ack(1'001));
  out_segments(1'001, 1);
  drain();
}

TEST_P(RecoveryCases, newreno_partial_ack_repairs_the_next_hole) {
  handshake({.sack = false});
  measure_round_trip();
  app_send(8'000);
  out_segments(1'001, 8);
  for (int duplicate = 0; duplicate < 3; ++duplicate) {
    in(A, seq(1), ack(1'001));
  }
  out_segments(1'001, 1);
  in(A, seq(1), ack(3'001));
  out_segments(3'001, 1);
  in(A, seq(1), ack(9'001));
  EXPECT_EQ(report().unacknowledged, 0U);
  silent();
}

TEST_P(RecoveryCases, sack_pipe_next_seg) {
  handshake();
  measure_round_trip();
  app_send(10'000);
  out_segments(1'001, 10);
  advance(100ms);
  // 1, 3 and 5 are lost (of 0..9): the scoreboard says so, and what is lost goes out in order as the pipe permits.
  in(A, seq(1), ack(2'001));
  in(A, seq(1), ack(2'001), sack({{3'001, 4'001}}));
  in(A, seq(1), ack(2'001), sack({{5'001, 6'001}, {3'001, 4'001}}));
  silent();
  in(A, seq(1), ack(2'001), sack({{7'001, 11'001}, {5'001, 6'001}, {3'001, 4'001}}));
  out_segments(2'001, 1);
  out_segments(4'001, 1);
  out_segments(6'001, 1);
  silent();
  EXPECT_EQ(report().in_flight, 3'000U);
  in(A, seq(1), ack(11'001));
  EXPECT_EQ(report().retransmitted, 3U);
}

TEST_P(RecoveryCases, invented_sack_blocks_change_nothing) {
  handshake();
  app_send(5'000);
  drain();
  in(A, seq(1), ack(1), sack({{10'001, 20'001}, {3'001, 2'001}, {1'001, 9'001}}));
  in(A, seq(1), ack(1), sack({{0x80000000U, 0x80000100U}}));
  EXPECT_EQ(report().in_flight, 5'000U);
}

TEST_P(RecoveryCases, sack_reneging_recovers) {
  handshake();
  measure_round_trip();
  app_send(4'000);
  out_segments(1'001, 4);
  in(A, seq(1), ack(1'001), sack({{2'001, 5'001}}));
  drain();
  in(A, seq(1), ack(2'001));  // it had 2,001 and wants it again
  drain();
  advance(2s);
  ASSERT_NE(sent_count(), 0U);
  std::uint32_t next = 2'001;
  for (int round = 0; round < 10 && next < 5'001; ++round) {
    while (sent_count() != 0) {
      if (packet::distance(Sequence{our_initial_}, sent_.front().header.sequence) == next) {
        next += static_cast<std::uint32_t>(sent_.front().payload.size());
      }
      sent_.pop_front();
    }
    in(A, seq(1), ack(next));
    advance(100ms);
  }
  EXPECT_EQ(next, 5'001U);
  EXPECT_EQ(report().unacknowledged, 0U);
}

TEST_P(RecoveryCases, rack_reorder_no_spurious) {
  handshake();
  measure_round_trip();
  app_send(6'000);
  out_segments(1'001, 6);
  advance(100ms);
  in(A, seq(1), ack(1'001), sack({{2'001, 3'001}}));
  advance(10ms);
  in(A, seq(1), ack(3'001));  // it was only late
  EXPECT_TRUE(report().reordering_seen);
  in(A, seq(1), ack(3'001), sack({{4'001, 7'001}}));
  silent();  // three segments behind a gap, and no repetition at once
  advance(10ms);
  in(A, seq(1), ack(7'001));
  EXPECT_EQ(report().retransmitted, 0U);
}

TEST_P(RecoveryCases, rack_reordering_timer_repairs) {
  handshake();
  measure_round_trip();
  app_send(2'000);
  out_segments(1'001, 2);
  advance(100ms);
  in(A, seq(1), ack(1'001), sack({{2'001, 3'001}}));
  silent();
  advance(24ms);
  silent();
  advance(3ms);  // a quarter of the least round trip
  out_segments(1'001, 1);
}

TEST_P(RecoveryCases, rack_lost_retransmission) {
  handshake();
  measure_round_trip();
  app_send(20'000);
  const auto sent = static_cast<std::uint32_t>(sent_count());
  drain();
  advance(100ms);
  in(A, seq(1), ack(1'001), sack({{2'001, 5'001}}));
  out_segments(1'001, 1);
  drain();
  // Everything else arrives, and new data that were sent after the repetition: so that was lost.
  for (std::uint32_t number = 6'001; number <= 1'000 * sent + 1; number += 1'000) {
    in(A, seq(1), ack(1'001), sack({{2'001, number}}));
  }
  ASSERT_NE(sent_count(), 0U);
  const std::uint32_t newest = packet::distance(Sequence{our_initial_}, sent_.back().header.sequence) +
                               static_cast<std::uint32_t>(sent_.back().payload.size());
  drain();
  advance(100ms);
  in(A, seq(1), ack(1'001), sack({{2'001, newest}}));
  advance(30ms);
  out_segments(1'001, 1);
  drain();
}

TEST_P(RecoveryCases, tlp_tail_loss) {
  handshake();
  measure_round_trip();
  app_send(3'000);
  out_segments(1'001, 3);
  advance(100ms);
  in(A, seq(1), ack(2'001));
  silent();
  const Duration probe = 2 * report().round_trip;
  advance(probe - 2ms);
  silent();
  advance(4ms);
  out_segments(3'001, 1);  // the last segment, before any retransmission timeout
  advance(100ms);
  in(A, seq(1), ack(2'001), sack({{3'001, 4'001}}));
  advance(30ms);
  out_segments(2'001, 1);
  in(A, seq(1), ack(4'001));
  EXPECT_EQ(report().unacknowledged, 0U);
}

TEST_P(RecoveryCases, tlp_prefers_new_data) {
  handshake();
  measure_round_trip();
  app_send(12'000);
  out_segments(1'001, 10);
  silent();  // the congestion window is full
  const Duration probe = 2 * report().round_trip;
  advance(probe - 2ms);
  silent();
  advance(4ms);
  // RFC 8985 section 7.3: new data, one segment, beyond the congestion window; nothing is repeated.
  out_segments(11'001, 1);
  silent();
  EXPECT_EQ(report().in_flight, 11'000U);
  EXPECT_EQ(report().window, 10'000U);
  EXPECT_EQ(report().retransmitted, 0U);
  // One probe at a time: what comes next is the retransmission timeout, counted from the probe.
  advance(report().timeout - 5ms);
  silent();
  // The probe's acknowledgment ends it: the path has lost nothing, so the window does not fall.
  in(A, seq(1), ack(12'001));
  out_segments(12'001, 1);
  EXPECT_GE(report().window, 10'000U);
  EXPECT_GT(report().threshold, 60'000U);
  EXPECT_EQ(report().retransmitted, 0U);
}

TEST_P(RecoveryCases, tlp_of_new_data_finds_what_is_lost) {
  handshake();
  measure_round_trip();
  app_send(11'000);
  out_segments(1'001, 10);  // the last two are lost
  advance(100ms);
  in(A, seq(1), ack(9'001));
  out_segments(11'001, 1);
  advance(2 * report().round_trip + 2ms);
  out_segments(11'001, 1);  // nothing new is left: the last one again
  advance(100ms);
  in(A, seq(1), ack(9'001), sack({{11'001, 12'001}}));
  advance(30ms);
  out_segments(9'001, 2);  // by RACK, without a timeout
  in(A, seq(1), ack(12'001));
  EXPECT_EQ(report().unacknowledged, 0U);
  EXPECT_EQ(report().retransmitted, 3U);
}

TEST_P(RecoveryCases, a_timeout_leaves_one_segment_and_slow_start) {
  handshake({.sack = false});
  measure_round_trip();
  app_send(8'000);
  out_segments(1'001, 8);
  advance(report().timeout + 1ms);
  out_segments(1'001, 1);
  silent();
  EXPECT_EQ(report().window, 1'000U);
  in(A, seq(1), ack(2'001));
  out_segments(2'001, 2);
  silent();
}

TEST_P(RecoveryCases, user_timeout_ends_it) {
  settings_.user_timeout = 5s;
  handshake();
  app_send(10);
  advance(4'990ms);
  EXPECT_EQ(state(), State::established);
  advance(20ms);
  EXPECT_EQ(cause_, Cause::timed_out);
  drain();
}

TEST_P(RecoveryCases, keepalive_ends_a_dead_peer) {
  settings_.keepalive_idle = 10s;
  settings_.keepalive_interval = 1s;
  settings_.keepalive_probes = 3;
  handshake();
  advance(9s);
  silent();
  advance(1'001ms);
  out(A, seq(0), ack(1));
  in(A, seq(1), ack(1));  // alive
  advance(9s);
  silent();
  advance(3s);
  drain();
  EXPECT_EQ(state(), State::established);
  advance(3s);
  EXPECT_EQ(cause_, Cause::keepalive_failed);
  drain();
}

TEST_P(RecoveryCases, nagle_waits_when_it_is_on) {
  settings_.nagle = true;
  handshake();
  app_send(10);
  out(A, seq(1), len(10));
  app_send(10);
  silent();
  in(A, seq(1), ack(11));
  out(A, seq(11), len(10));
}

TEST_P(RecoveryCases, zero_window_probe_never_kills) {
  settings_.user_timeout = 20s;
  handshake({.window = 2'000});
  app_send(3'000);
  out_segments(1, 2);
  in(A, seq(1), ack(2'001), win(0));
  int probes = 0;
  for (int round = 0; round < 600; ++round) {  // ten minutes
    advance(1s);
    ASSERT_EQ(state(), State::established);
    for (; sent_count() != 0; sent_.pop_front()) {
      ++probes;
      EXPECT_EQ(packet::distance(Sequence{our_initial_}, sent_.front().header.sequence), 2'000U);
      EXPECT_EQ(sent_.front().payload, "");
      in(A, seq(1), ack(2'001), win(0));
    }
  }
  EXPECT_GE(probes, 10);
  EXPECT_LE(probes, 130) << "every five seconds: a quarter of the user timeout";
  in(A, seq(1), ack(2'001), win(2'000));
  out_segments(2'001, 1);
}

TEST_P(RecoveryCases, a_silent_peer_with_a_closed_window_is_given_up) {
  settings_.user_timeout = 20s;
  handshake({.window = 1'000});
  app_send(3'000);
  out_segments(1, 1);
  in(A, seq(1), ack(1'001), win(0));
  advance(60s);
  EXPECT_EQ(cause_, Cause::timed_out);
  drain();
}

TEST_P(RecoveryCases, window_update_lost_recovers) {
  handshake({.window = 1'000});
  app_send(3'000);
  out_segments(1, 1);
  in(A, seq(1), ack(1'001), win(0));
  silent();
  // The peer has opened its window; the update was lost. The first probe's answer says it again.
  advance(1'100ms);
  out(A, seq(1'000));
  drain();
  in(A, seq(1), ack(1'001), win(5'000));
  out_segments(1'001, 2);
}

TEST_P(RecoveryCases, a_small_window_is_overridden_in_time) {
  handshake({.window = 10'000});
  app_send(10'500);
  drain();
  in(A, seq(1), ack(10'001), win(100));  // a tenth of a segment: silly
  silent();
  advance(1'100ms);
  out(A, seq(10'001), len(100));
  drain();
}

TEST_P(RecoveryCases, pmtud_resegments_with_sack) {
  handshake({.size = 1'400});
  measure_round_trip();
  app_send(7'000);
  for (std::uint32_t segment = 0; segment < 5; ++segment) {
    out(A, seq(1'001 + 1'400 * segment), len(1'400));
  }
  in(A, seq(1), ack(1'001), sack({{2'401, 3'801}}));
  drain();
  const auto mtu = static_cast<std::uint32_t>(1'280 + endpoints_.headers() - 40);
  stack_->on_path_mtu(endpoints_, Sequence{our_initial_} + 1'001, mtu, now_);
  after_event();
  EXPECT_EQ(report().segment, 1'240U);
  std::size_t octets = 0;
  for (; sent_count() != 0; sent_.pop_front()) {
    const std::uint32_t number = packet::distance(Sequence{our_initial_}, sent_.front().header.sequence);
    EXPECT_LE(sent_.front().payload.size(), 1'240U);
    EXPECT_TRUE(number < 2'401 || number >= 3'801) << "what the peer holds is not repeated";
    EXPECT_EQ(sent_.front().payload, stream(number, sent_.front().payload.size()));
    octets += sent_.front().payload.size();
  }
  EXPECT_EQ(octets, 5'600U);
  in(A, seq(1), ack(8'001));
  EXPECT_EQ(report().unacknowledged, 0U);
}

TEST_P(RecoveryCases, an_absurd_mtu_is_not_believed) {
  handshake({.size = 1'400});
  app_send(3'000);
  drain();
  stack_->on_path_mtu(endpoints_, Sequence{our_initial_} + 1, 0, now_);
  EXPECT_EQ(report().segment, GetParam().v6 ? 1'400U : 536U);
  drain();
}

TEST_P(RecoveryCases, repetition_copies_nothing) {
  handshake();
  app_send(9'000);
  drain();
  EXPECT_EQ(buffers_.live(), 1);
  for (int round = 0; round < 5; ++round) {
    advance(10s);
    drain();
    EXPECT_EQ(buffers_.live(), 1);
  }
}

}  // namespace
}  // namespace steelyard::tcp::test
