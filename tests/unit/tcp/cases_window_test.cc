// How the congestion window grows and when it does not, as scripts. Segments have 1,000 octets.
#include <cmath>

#include "tests/unit/tcp/script.h"

namespace steelyard::tcp::test {
namespace {

class WindowCases : public Script {
 protected:
  WindowCases() { round_trip_ = 100ms; }
};
INSTANTIATE_TEST_SUITE_P(Worlds, WindowCases, all_worlds(), name_of);

// A connection that is never short of data, on a path of 100 ms that takes whatever it sends and loses one segment once
// the window has reached 100 segments.
TEST_P(WindowCases, cubic_epoch_and_convex) {
  settings_.send_buffer = 2'000'000;
  handshake({.scale = 8});
  std::uint32_t acknowledged = 1;
  const auto round = [&] {
    while (stack_->find(id_)->writable(settings_) > 200'000) {
      app_send(100'000);
    }
    std::deque<std::uint32_t> ends;
    for (; sent_count() != 0; sent_.pop_front()) {
      ends.push_back(packet::distance(Sequence{our_initial_}, sent_.front().header.sequence) +
                     static_cast<std::uint32_t>(sent_.front().payload.size()));
    }
    advance(100ms);
    for (const std::uint32_t end : ends) {
      acknowledged = end;
      in(A, seq(1), ack(acknowledged));
    }
  };
  while (report().window < 100'000) {
    round();
  }
  const double before = static_cast<double>(report().window) / 1'000;
  // The first segment of the next round is lost.
  const std::uint32_t lost = acknowledged;
  const auto last = static_cast<std::uint32_t>(packet::distance(Sequence{our_initial_}, report().send_next));
  drain();
  advance(100ms);
  in(A, seq(1), ack(lost), sack({{lost + 1'000, last}}));
  ASSERT_EQ(packet::distance(Sequence{our_initial_}, sent_.front().header.sequence), lost);
  drain();
  advance(95ms);
  in(A, seq(1), ack(packet::distance(Sequence{our_initial_}, report().send_next)));
  EXPECT_NEAR(report().window, before * 700, 1'000) << "beta is 0.7 (RFC 9438 section 4.6)";
  EXPECT_EQ(report().window, report().threshold);
  // K: the time after which the window is again what it was (section 4.2).
  const double plateau_at = std::cbrt(before * 0.3 / 0.4);
  const auto curve = [&](double seconds) { return 0.4 * std::pow(seconds - plateau_at, 3) + before; };
  const auto window = [&] { return static_cast<double>(report().window) / 1'000; };
  round();
  const Time epoch = now_;
  const auto run_to = [&](double seconds) {
    while (std::chrono::duration<double>(now_ - epoch).count() < seconds) {
      round();
    }
    return window();
  };
  const double quarter = run_to(plateau_at / 4);
  EXPECT_NEAR(quarter, curve(plateau_at / 4), before * 0.05);
  const double half = run_to(plateau_at / 2);
  EXPECT_NEAR(half, curve(plateau_at / 2), before * 0.05);
  const double plateau = run_to(plateau_at);
  EXPECT_NEAR(plateau, before, before * 0.03);
  EXPECT_GT(quarter - before * 0.7, half - quarter) << "concave: slower and slower up to the plateau (section 4.4)";
  EXPECT_GT(half - quarter, (plateau - half) / 2);
  const double after_plateau = run_to(2 * plateau_at);
  const double later = run_to(2.5 * plateau_at);
  EXPECT_NEAR(later, curve(2.5 * plateau_at), before * 0.1);
  EXPECT_GT((later - after_plateau) * 2, after_plateau - plateau) << "convex: faster and faster (section 4.5)";
  drain();
}

TEST_P(WindowCases, a_window_that_is_not_used_does_not_grow) {
  handshake();
  std::uint32_t next = 1;
  for (int round = 0; round < 50; ++round) {
    app_send(1'000);
    drain();
    next += 1'000;
    advance(10ms);
    in(A, seq(1), ack(next));
  }
  EXPECT_EQ(report().window, 10'000U);
}

TEST_P(WindowCases, idle_restart) {
  handshake();
  std::uint32_t next = 1;
  for (int round = 0; round < 3; ++round) {
    app_send(20'000);
    while (sent_count() != 0) {
      next += static_cast<std::uint32_t>(sent_.front().payload.size());
      sent_.pop_front();
      in(A, seq(1), ack(next));
    }
  }
  EXPECT_GT(report().window, 20'000U);
  advance(10s);
  app_send(30'000);
  EXPECT_EQ(sent_count(), 10U);
  EXPECT_EQ(report().window, 10'000U);
  drain();
}

}  // namespace
}  // namespace steelyard::tcp::test
