// A flow's time comes when it is due, not before and not later than the next turn; queues keep their order.
#include "dataplane/l4/flow_timers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <vector>

#include "dataplane/packet/family.h"

namespace steelyard::l4 {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Flows that end at a tick of their own, looked after as the balancer does.
class Wheel {
 public:
  explicit Wheel(std::size_t count, std::uint64_t start = 0) : flows_(count), due(count) { advance(start); }
  void schedule(std::uint32_t flow, std::uint32_t ticks) {
    due[flow] = now.value + ticks;
    timers.schedule({flow}, now, ticks);
  }
  // The flows that end at this turn.
  std::vector<std::uint32_t> advance(std::uint64_t to, std::size_t budget = 1'000'000) {
    now.value = to;
    std::vector<std::uint32_t> ended;
    visits = timers.advance(now, budget, [&](FlowIndex flow) -> std::uint32_t {
      if (due[flow.value] > now.value) {
        return static_cast<std::uint32_t>(due[flow.value] - now.value);
      }
      timers.unlink(flow);
      ended.push_back(flow.value);
      return 0;
    });
    return ended;
  }

 private:
  std::vector<Flow<packet::Ipv4>> flows_;

 public:
  FlowTimers<Flow<packet::Ipv4>> timers{flows_.data()};
  std::vector<std::uint64_t> due;
  Tick now;
  std::size_t visits = 0;
};

constexpr std::uint32_t longest = 900 * Tick::per_second;

TEST(FlowTimers, TicksOfSixteenBitsMeasureTimeOverTheirWrap) {
  EXPECT_EQ(elapsed(Tick{0x10005}, Tick{0xfffe}.low()), 7U);
  EXPECT_EQ(elapsed(Tick{0x25678}, Tick{0x25678}.low()), 0U);
  EXPECT_EQ(elapsed(Tick{0x30000 + longest}, Tick{0x30000}.low()), longest);
}

TEST(FlowTimers, AFlowEndsAtItsTickWhateverTheWaitAndTheStart) {
  for (const std::uint64_t start : {0U, 1U, 255U, 256U, 16'383U, 100'000U}) {
    for (const std::uint32_t wait : {1U, 2U, 255U, 256U, 257U, 511U, 512U, 4'000U, 14'399U, longest}) {
      Wheel wheel(1, start);
      wheel.schedule(0, wait);
      for (std::uint64_t tick = start + 1; tick < start + wait; ++tick) {
        ASSERT_THAT(wheel.advance(tick), IsEmpty()) << start << " " << wait;
      }
      ASSERT_THAT(wheel.advance(start + wait), ElementsAre(0)) << start << " " << wait;
    }
  }
}

TEST(FlowTimers, AWaitBeyondTheWheelsReachComesBackUntilItIsOver) {
  Wheel wheel(1, 77);
  wheel.schedule(0, 100'000);
  std::size_t visits = 0;
  for (std::uint64_t tick = 78; tick < 100'077; ++tick) {
    ASSERT_THAT(wheel.advance(tick), IsEmpty());
    visits += wheel.visits;
  }
  EXPECT_THAT(wheel.advance(100'077), ElementsAre(0));
  EXPECT_GT(visits, 0U);
  EXPECT_LT(visits, 20U);
}

TEST(FlowTimers, ManyFlowsEndInTimeWithTurnsThatComeLate) {
  std::mt19937 random(1);
  constexpr std::uint32_t count = 500;
  Wheel wheel(count, 5'000);
  std::vector<bool> waiting(count);
  std::size_t ended = 0;
  for (int turn = 0; turn < 3'000; ++turn) {
    for (int more = 0; more < 3; ++more) {
      const auto flow = static_cast<std::uint32_t>(random() % count);
      if (!waiting[flow]) {
        waiting[flow] = true;
        wheel.schedule(flow, 1 + static_cast<std::uint32_t>(random() % longest));
      }
    }
    for (const std::uint32_t flow : wheel.advance(wheel.now.value + 1 + random() % 40)) {
      ASSERT_TRUE(waiting[flow]);
      waiting[flow] = false;
      ++ended;
    }
    for (std::uint32_t flow = 0; flow < count; ++flow) {
      ASSERT_TRUE(!waiting[flow] || wheel.due[flow] > wheel.now.value) << turn;
    }
  }
  EXPECT_GT(ended, 1'000U);
}

TEST(FlowTimers, ATurnVisitsNoMoreThanItsBudgetAndTheRestComesNext) {
  Wheel wheel(100);
  for (std::uint32_t flow = 0; flow < 100; ++flow) {
    wheel.schedule(flow, 10 + flow % 3);
  }
  std::size_t ended = 0;
  for (int turn = 0; turn < 10; ++turn) {
    ended += wheel.advance(20, 10).size();
    EXPECT_EQ(wheel.visits, 10U);
  }
  EXPECT_EQ(ended, 100U);
  EXPECT_THAT(wheel.advance(2'000), IsEmpty());
}

TEST(FlowTimers, AnUnlinkedFlowIsVisitedNoMore) {
  std::mt19937 random(2);
  constexpr std::uint32_t count = 200;
  for (int round = 0; round < 50; ++round) {
    Wheel wheel(count);
    std::vector<bool> unlinked(count);
    for (std::uint32_t flow = 0; flow < count; ++flow) {
      wheel.schedule(flow, 1 + static_cast<std::uint32_t>(random() % 600));
    }
    for (std::uint32_t flow = 0; flow < count; ++flow) {
      if (random() % 2 == 0) {
        wheel.timers.unlink({flow});
        unlinked[flow] = true;
      }
    }
    std::size_t ended = 0;
    for (const std::uint32_t flow : wheel.advance(600)) {
      EXPECT_FALSE(unlinked[flow]);
      ++ended;
    }
    EXPECT_EQ(ended, static_cast<std::size_t>(std::ranges::count(unlinked, false)));
  }
}

TEST(FlowTimers, QueuesGiveTheOldestFirstWhoeverLeavesInBetween) {
  std::mt19937 random(3);
  constexpr std::uint32_t count = 20;
  Wheel wheel(2 * count);
  std::deque<std::uint32_t> half_open;
  std::deque<std::uint32_t> lingering;
  for (int round = 0; round < 20'000; ++round) {
    const auto flow = static_cast<std::uint32_t>(random() % (2 * count));
    std::deque<std::uint32_t>& queue = flow < count ? half_open : lingering;
    if (const auto place = std::ranges::find(queue, flow); place != queue.end()) {
      wheel.timers.unlink({flow});
      queue.erase(place);
    } else {
      flow < count ? wheel.timers.append_half_open({flow}) : wheel.timers.append_lingering({flow});
      queue.push_back(flow);
    }
    constexpr std::uint32_t none = FlowTimers<Flow<packet::Ipv4>>::none;
    ASSERT_EQ(wheel.timers.oldest_half_open(), half_open.empty() ? none : half_open.front());
    ASSERT_EQ(wheel.timers.oldest_lingering(), lingering.empty() ? none : lingering.front());
  }
}

}  // namespace
}  // namespace steelyard::l4
