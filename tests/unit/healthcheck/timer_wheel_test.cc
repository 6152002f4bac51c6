// The timing wheel: never early, in order, and cheap to cancel.
#include "healthcheck/timer_wheel.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>
#include <vector>

namespace steelyard::healthcheck {
namespace {

using namespace std::chrono_literals;
using TimePoint = TimerWheel::TimePoint;

constexpr TimePoint start{1h};
constexpr std::size_t plenty = 1'000'000;

TEST(TimerWheel, FiresAtTheTickAfterTheDeadlineAndNeverEarly) {
  TimerWheel wheel(start);
  int fired = 0;
  Timer timer([&] { ++fired; });
  EXPECT_EQ(wheel.arm(timer, start + 25ms), start + 30ms);
  EXPECT_EQ(wheel.next_wake(), start + 30ms);
  wheel.advance(start + 29ms, plenty);
  EXPECT_EQ(fired, 0);
  wheel.advance(start + 30ms, plenty);
  EXPECT_EQ(fired, 1);
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(wheel.next_wake(), std::nullopt);
}

TEST(TimerWheel, ADeadlineInThePastFiresAtTheNextAdvance) {
  TimerWheel wheel(start);
  wheel.advance(start + 1s, plenty);
  int fired = 0;
  Timer timer([&] { ++fired; });
  wheel.arm(timer, start);
  wheel.advance(start + 1s + 10ms, plenty);
  EXPECT_EQ(fired, 1);
}

TEST(TimerWheel, TimersOfLaterTurnsStayInTheirSlot) {
  TimerWheel wheel(start);
  const auto turn = TimerWheel::tick_length * TimerWheel::slot_count;
  std::vector<int> order;
  Timer late([&] { order.push_back(2); });
  Timer soon([&] { order.push_back(1); });
  wheel.arm(late, start + 1s + turn);
  wheel.arm(soon, start + 1s);
  wheel.advance(start + 2s, plenty);
  EXPECT_EQ(order, std::vector<int>{1});
  wheel.advance(start + 2s + turn, plenty);
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(TimerWheel, CancelledAndDestroyedTimersDoNotFire) {
  TimerWheel wheel(start);
  int fired = 0;
  Timer cancelled([&] { ++fired; });
  wheel.arm(cancelled, start + 10ms);
  cancelled.cancel();
  auto destroyed = std::make_unique<Timer>([&] { ++fired; });
  wheel.arm(*destroyed, start + 10ms);
  destroyed.reset();
  EXPECT_EQ(wheel.next_wake(), std::nullopt);
  wheel.advance(start + 1s, plenty);
  EXPECT_EQ(fired, 0);
}

TEST(TimerWheel, ACallbackMayCancelAnotherTimerThatIsDueNow) {
  TimerWheel wheel(start);
  int fired = 0;
  Timer victim([&] { ++fired; });
  Timer killer([&] { victim.cancel(); });
  wheel.arm(killer, start + 10ms);
  wheel.arm(victim, start + 10ms);
  wheel.advance(start + 10ms, plenty);
  EXPECT_EQ(fired, 0);
}

TEST(TimerWheel, ATimerThatRearmsItselfForThePastCannotHoldTheTurn) {
  TimerWheel wheel(start);
  int fired = 0;
  Timer timer([&] {
    ++fired;
    wheel.arm(timer, start);
  });
  wheel.arm(timer, start);
  wheel.advance(start + 50ms, plenty);
  EXPECT_LE(fired, 6);
}

TEST(TimerWheel, TheBudgetBoundsATurnAndNothingIsLost) {
  TimerWheel wheel(start);
  int fired = 0;
  std::deque<Timer> timers;
  for (int i = 0; i < 100; ++i)
    wheel.arm(timers.emplace_back([&] { ++fired; }), start + 20ms);
  EXPECT_TRUE(wheel.advance(start + 20ms, 64));
  EXPECT_EQ(fired, 64);
  ASSERT_TRUE(wheel.next_wake());
  EXPECT_LE(*wheel.next_wake(), start + 20ms);
  EXPECT_FALSE(wheel.advance(start + 20ms, 64));
  EXPECT_EQ(fired, 100);
}

TEST(TimerWheel, ManyRandomTimersFireOnceInOrderWithinATick) {
  TimerWheel wheel(start);
  std::mt19937_64 random(7);
  std::deque<Timer> timers;
  std::vector<TimePoint> deadlines;
  TimePoint now = start;
  std::size_t fired = 0;
  for (std::size_t i = 0; i < 5'000; ++i) {
    deadlines.push_back(start + std::chrono::microseconds(random() % 320'000'000));
    wheel.arm(timers.emplace_back([&, i] {
      ++fired;
      EXPECT_GE(now, deadlines[i]);
      EXPECT_LT(now - deadlines[i], TimerWheel::tick_length);
    }),
              deadlines[i]);
  }
  while (const auto next = wheel.next_wake()) {
    ASSERT_GE(*next, now);
    now = *next;
    wheel.advance(now, plenty);
  }
  EXPECT_EQ(fired, timers.size());
}

}  // namespace
}  // namespace steelyard::healthcheck
