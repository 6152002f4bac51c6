// Responses to losses that were none, as scripts: what the window is before, in and after them.
#include "tests/unit/tcp/script.h"

namespace steelyard::tcp::test {
namespace {

class UndoCases : public Script {
 protected:
  UndoCases() { round_trip_ = 100ms; }
  void begin(const Offer& offer) {
    handshake(offer);
    largest_segment_ = 1'000;
    size_ = offer.timestamps ? 988 : 1'000;
    app_send(size_);
    sent_at_ = last_timestamp_;
    drain();
    advance(100ms);
    in(A, seq(1), ack(1 + size_), clocked());
    silent();
  }
  [[nodiscard]] std::uint32_t number(std::uint32_t segment) const { return 1 + segment * size_; }
  // Ten segments (1 to 10), and more that the window does not let out.
  void send_ten() {
    for (int segment = 0; segment < 14; ++segment) {
      app_send(size_);
    }
    sent_at_ = last_timestamp_;
    for (std::uint32_t segment = 1; segment <= 10; ++segment) {
      out(A, seq(number(segment)), len(size_));
    }
    silent();
  }
  // Lets the retransmission timeout come: with SACK a tail loss probe may go out before.
  void time_out() {
    while (report().window != size_) {
      drain();
      advance(10ms);
    }
    out(A, seq(number(1)), len(size_));
    silent();
  }
  void expect_as_before(std::uint32_t window) {
    EXPECT_GE(report().window, window);
    EXPECT_GE(report().threshold, window);
  }

  std::uint32_t size_ = 0;
  std::uint32_t sent_at_ = 0;  // the timestamp of the originals
};
INSTANTIATE_TEST_SUITE_P(Worlds, UndoCases, all_worlds(), name_of);

TEST_P(UndoCases, eifel_an_echo_of_the_original_takes_a_timeout_back) {
  begin({.sack = false, .timestamps = true});
  send_ten();
  time_out();
  EXPECT_EQ(report().window, size_);
  in(A, seq(1), ack(number(2)), ts(peer_clock()), ecr(sent_at_));
  expect_as_before(10 * size_);
  out(A, seq(number(11)), len(size_));  // new data, nothing again
  silent();
  EXPECT_EQ(report().retransmitted, 1U);
  in(A, seq(1), ack(number(11)), ts(peer_clock()), ecr(sent_at_));
  EXPECT_EQ(report().retransmitted, 1U);
  drain();
}

TEST_P(UndoCases, eifel_an_echo_of_the_repetition_takes_nothing_back) {
  begin({.sack = false, .timestamps = true});
  send_ten();
  time_out();
  const std::uint32_t again = last_timestamp_;
  advance(100ms);
  in(A, seq(1), ack(number(2)), ts(peer_clock()), ecr(again));
  EXPECT_LE(report().window, 2 * size_);
  EXPECT_LE(report().threshold, 7 * size_);
  drain();
  in(A, seq(1), ack(number(2)), clocked());
  out(A, seq(number(2)), len(size_));                              // the loss was real
  in(A, seq(1), ack(number(3)), ts(peer_clock()), ecr(sent_at_));  // only the first echo counts
  EXPECT_LE(report().threshold, 7 * size_);
  drain();
}

TEST_P(UndoCases, eifel_an_acknowledgment_of_everything_may_follow_lost_ones) {
  begin({.sack = false, .timestamps = true});
  send_ten();
  time_out();
  in(A, seq(1), ack(number(11)), ts(peer_clock()), ecr(sent_at_));
  EXPECT_LE(report().threshold, 7 * size_) << "RFC 3522 section 3.2, step 5";
  drain();
}

TEST_P(UndoCases, the_timer_has_learned_of_the_delay) {
  begin({.sack = false, .timestamps = true});
  send_ten();
  const Duration before = report().timeout;
  time_out();
  advance(100ms);
  in(A, seq(1), ack(number(10)), ts(peer_clock()), ecr(sent_at_));
  drain();
  EXPECT_GT(report().timeout, before) << "RFC 4015 section 3.1, step 11";
}

TEST_P(UndoCases, f_rto_new_data_show_that_the_originals_were_only_late) {
  for (const bool sack : {true, false}) {
    endpoints_ = endpoints(sack ? 4'000 : 4'001);
    written_ = 0;
    begin({.sack = sack});
    send_ten();
    time_out();
    in(A, seq(1), ack(number(2)));
    const std::uint32_t next = sack ? 12 : 11;  // with SACK, a tail loss probe has taken one
    out(A, seq(number(next)), len(size_));      // RFC 5682 section 2.1, step 2b: two new segments, and nothing again
    out(A, seq(number(next + 1)), len(size_));
    silent();
    in(A, seq(1), ack(number(3)));  // an original: it had never been repeated
    EXPECT_GE(report().threshold, 10 * size_);
    EXPECT_GE(report().window, 10 * size_);
    drain();
    in(A, seq(1), ack(number(13)));
    EXPECT_EQ(report().retransmitted, 1U);
    drain();
    app_abort();
    drain();
  }
}

TEST_P(UndoCases, f_rto_a_duplicate_shows_that_the_loss_was_real) {
  for (const bool sack : {true, false}) {
    endpoints_ = endpoints(sack ? 4'000 : 4'001);
    written_ = 0;
    begin({.sack = sack});
    send_ten();
    time_out();
    in(A, seq(1), ack(number(2)));
    const std::uint32_t next = sack ? 12 : 11;  // with SACK, a tail loss probe has taken one
    out(A, seq(number(next)), len(size_));
    out(A, seq(number(next + 1)), len(size_));
    if (sack) {
      in(A, seq(1), ack(number(2)), [&](Spec& spec) { spec.sacks = {{{number(next), number(next + 1)}}}; });
    } else {
      in(A, seq(1), ack(number(2)));
    }
    EXPECT_LE(report().threshold, 8 * size_);
    ASSERT_NE(sent_count(), 0U);
    EXPECT_EQ(packet::distance(Sequence{our_initial_}, sent_.front().header.sequence), number(2)) << "conventional";
    drain();
    app_abort();
    drain();
  }
}

TEST_P(UndoCases, f_rto_without_new_data_repairs_conventionally) {
  begin({.sack = false});
  for (int segment = 0; segment < 5; ++segment) {
    app_send(size_);
  }
  drain();
  time_out();
  in(A, seq(1), ack(number(2)));
  out(A, seq(number(2)), len(size_));
  out(A, seq(number(3)), len(size_));
  silent();
}

TEST_P(UndoCases, f_rto_a_timeout_in_recovery_is_not_taken_back) {
  begin({.sack = true});
  send_ten();
  advance(100ms);
  in(A, seq(1), ack(number(1)), [&](Spec& spec) { spec.sacks = {{{number(2), number(6)}}}; });
  drain();
  time_out();
  in(A, seq(1), ack(number(6)));
  EXPECT_LE(report().threshold, 7 * size_);
  drain();
}

TEST_P(UndoCases, d_sacks_for_all_repetitions_take_fast_recovery_back) {
  begin({.sack = true});
  send_ten();
  const std::uint32_t window = report().window;
  const std::uint32_t threshold = report().threshold;
  advance(100ms);
  in(A, seq(1), ack(number(1)), [&](Spec& spec) { spec.sacks = {{{number(2), number(5)}}}; });
  out(A, seq(number(1)), len(size_));
  EXPECT_EQ(report().threshold, window * 7 / 10);
  in(A, seq(1), ack(number(11)));  // the late original
  drain();
  in(A, seq(1), ack(number(11)), [&](Spec& spec) { spec.sacks = {{{number(1), number(2)}}}; });
  EXPECT_EQ(report().window, window);
  EXPECT_EQ(report().threshold, threshold);
  drain();
}

TEST_P(UndoCases, one_d_sack_for_two_repetitions_takes_nothing_back) {
  begin({.sack = true});
  send_ten();
  const std::uint32_t window = report().window;
  advance(100ms);
  in(A, seq(1), ack(number(1)), [&](Spec& spec) { spec.sacks = {{{number(3), number(8)}}}; });
  in(A, seq(1), ack(number(1)), [&](Spec& spec) { spec.sacks = {{{number(3), number(11)}}}; });
  EXPECT_EQ(report().retransmitted, 2U);
  drain();
  in(A, seq(1), ack(number(11)), [&](Spec& spec) { spec.sacks = {{{number(1), number(2)}}}; });
  EXPECT_LE(report().threshold, window * 7 / 10);
  drain();
}

TEST_P(UndoCases, eifel_takes_fast_recovery_back) {
  begin({.sack = true, .timestamps = true});
  send_ten();
  const std::uint32_t window = report().window;
  advance(100ms);
  in(A, seq(1), ack(number(1)), ts(peer_clock()), [&](Spec& spec) {
    spec.echo = sent_at_;
    spec.sacks = {{{number(2), number(5)}}};
  });
  out(A, seq(number(1)), len(size_));
  EXPECT_LT(report().threshold, window);
  advance(5ms);
  in(A, seq(1), ack(number(5)), ts(peer_clock()), ecr(sent_at_));
  EXPECT_GE(report().window, window);
  EXPECT_GT(report().threshold, window);
  drain();
}

}  // namespace
}  // namespace steelyard::tcp::test
