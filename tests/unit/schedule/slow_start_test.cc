// Slow start: the curve itself, and how a scheduler follows it.
#include "dataplane/schedule/slow_start.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/schedule/bench_of_servers.h"

namespace steelyard::schedule {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t second = 1'000'000'000;
constexpr std::uint64_t recovered = 5'000 * second;

std::uint32_t weight_after(std::uint64_t elapsed_ns, std::uint32_t weight = 100) {
  return slow_start_step(weight, seconds{30}, recovered, recovered + elapsed_ns).weight;
}

TEST(SlowStart, GrowsLinearlyFromATenthToTheFullWeight) {
  EXPECT_EQ(weight_after(0), 10U);
  EXPECT_EQ(weight_after(10 * second), 40U);
  EXPECT_EQ(weight_after(20 * second), 70U);
  EXPECT_EQ(weight_after(30 * second - 1), 99U);
  EXPECT_EQ(weight_after(30 * second), 100U);
  EXPECT_EQ(weight_after(1'000'000 * second), 100U);
}

TEST(SlowStart, GivesAtLeastOne) {
  EXPECT_EQ(weight_after(0, 5), 1U);
  EXPECT_EQ(weight_after(0, 1), 1U);
  EXPECT_EQ(slow_start_step(1, seconds{30}, recovered, recovered).next_at_ns, no_step);
}

TEST(SlowStart, GivesTheFullWeightWhenOffOrNotRecovering) {
  EXPECT_EQ(slow_start_step(80, seconds{0}, recovered, recovered).weight, 80U);
  EXPECT_EQ(slow_start_step(80, seconds{30}, 0, 3 * second).weight, 80U);
}

TEST(SlowStart, TreatsARecoveryAheadOfAStaleClockAsJustNow) {
  EXPECT_EQ(slow_start_step(100, seconds{30}, recovered, recovered - 1).weight, 10U);
}

TEST(SlowStart, NamesTheExactMomentOfTheNextStep) {
  for (const std::uint32_t weight : {2U, 7U, 10U, 33U, 99U, 100U}) {
    std::uint64_t now = recovered;
    for (auto step = slow_start_step(weight, seconds{30}, recovered, now); step.next_at_ns != no_step;
         step = slow_start_step(weight, seconds{30}, recovered, now)) {
      ASSERT_EQ(slow_start_step(weight, seconds{30}, recovered, step.next_at_ns - 1).weight, step.weight);
      ASSERT_EQ(slow_start_step(weight, seconds{30}, recovered, step.next_at_ns).weight, step.weight + 1);
      now = step.next_at_ns;
    }
    EXPECT_LE(now, recovered + 30 * second);
    EXPECT_EQ(slow_start_step(weight, seconds{30}, recovered, now).weight, weight);
  }
}

TEST(SlowStart, BoundsAnAbsurdDuration) {
  EXPECT_EQ(slow_start_step(100, seconds::max(), recovered, recovered + 86'400 * second).weight, 100U);
}

TEST(SlowStart, SchedulersFollowTheCurve) {
  for (const auto kind : {service::Scheduler::wrr, service::Scheduler::wlc}) {
    BenchOfServers servers(kind, {100, 100});
    servers.listener().slow_start = seconds{30};
    servers.set_up(1, true, servers.now_ns);
    std::uint32_t previous = 0;
    for (int tenth = 0; tenth <= 300; ++tenth) {
      ASSERT_TRUE(servers.pick());
      const auto weight = servers.scheduler().effective_weight(servers.listener(), 1);
      const double expected = 10.0 + 0.3 * tenth;
      ASSERT_NEAR(weight, expected, 1.01) << tenth;
      ASSERT_GE(weight, previous);
      previous = weight;
      servers.now_ns += second / 10;
    }
    EXPECT_EQ(previous, 100U);
  }
}

TEST(SlowStart, SharesFollowTheCurve) {
  BenchOfServers servers(service::Scheduler::wrr, {100, 100});
  servers.listener().slow_start = seconds{30};
  servers.set_up(1, true, servers.now_ns);
  double expected = 0;
  std::uint32_t picked = 0;
  for (int done = 0; done < 30'000; ++done) {
    const double weight = 10.0 + 90.0 * done / 30'000;
    expected += weight / (100 + weight);
    picked += servers.pick() == 1U ? 1 : 0;
    servers.now_ns += second / 1'000;
  }
  EXPECT_NEAR(picked, expected, 300);
}

TEST(SlowStart, RebuildsAtMostTenTimesASecondAndNotAfterTheEnd) {
  BenchOfServers servers(service::Scheduler::wrr, std::vector<std::uint8_t>(10, 100));
  servers.listener().slow_start = seconds{1};
  servers.set_up(1, true, servers.now_ns);
  for (int millisecond = 0; millisecond < 5'000; ++millisecond) {
    ASSERT_TRUE(servers.pick());
    servers.now_ns += second / 1'000;
  }
  EXPECT_LE(servers.rebuilds, 11U);
  EXPECT_EQ(servers.scheduler().effective_weight(servers.listener(), 1), 100U);
}

}  // namespace
}  // namespace steelyard::schedule
