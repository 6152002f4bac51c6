// When a worker lets packets gather: only while it is busy, only as long as that pays, and never for longer than is
// said.
#include "dataplane/worker/coalescing.h"

#include <algorithm>
#include <cstdint>

#include <gtest/gtest.h>

namespace steelyard::worker {
namespace {

// Time in ns. A turn with packets costs something for itself, and for each of them.
class Coalesced : public testing::Test {
 protected:
  // One turn that has so many packets; returns how long the next one waits from its beginning.
  std::uint64_t take(std::size_t packets, bool full = false) {
    const std::uint64_t begun = now_;
    const std::uint64_t cost = packets == 0 ? 200 : turn_ns + packets * packet_ns;
    busy_ += packets == 0 ? 0 : cost;
    const std::uint64_t next = coalescing_.next_turn(begun, packets, full, busy_);
    now_ = std::max(next, begun + cost);
    return next - begun;
  }

  // Turns for so long while a packet comes each `interval`; returns the longest wait and the share of time that was
  // work.
  struct Run {
    std::uint64_t longest = 0;
    double busy = 0;
  };
  Run steady(std::uint64_t interval, std::uint64_t duration) {
    const std::uint64_t begun = now_;
    const std::uint64_t busy = busy_;
    Run run;
    while (now_ < begun + duration) {
      const std::size_t came = now_ / interval - last_ / interval;
      last_ = now_;
      run.longest = std::max(run.longest, take(came));
    }
    run.busy = static_cast<double>(busy_ - busy) / static_cast<double>(now_ - begun);
    return run;
  }

  static constexpr std::uint64_t longest_ns = 1'000'000;
  static constexpr std::uint64_t turn_ns = 10'000;
  static constexpr std::uint64_t packet_ns = 3'000;
  std::uint64_t now_ = 1'000'000'000;
  std::uint64_t last_ = now_;  // when packets were taken
  std::uint64_t busy_ = 0;
  Coalescing coalescing_{longest_ns};
};

TEST_F(Coalesced, WhoHasTimeTakesPacketsAtOnce) {
  const Run run = steady(100'000, 1'000'000'000);  // 13 us of each 100
  EXPECT_EQ(run.longest, 0u);
}

TEST_F(Coalesced, WhoIsBusySharesATurnBetweenPackets) {
  steady(20'000, 300'000'000);
  const Run run = steady(20'000, 1'000'000'000);  // 13 us of each 20 without pauses
  EXPECT_GT(run.longest, 0u);
  EXPECT_LT(run.longest, longest_ns);
  EXPECT_LT(run.busy, 0.31);
}

TEST_F(Coalesced, NeverWaitsForLongerThanItSays) {
  steady(5'000, 300'000'000);
  EXPECT_EQ(steady(5'000, 100'000'000).longest, longest_ns);
}

TEST_F(Coalesced, DoesNotWaitWhenMoreIsThere) {
  steady(5'000, 300'000'000);
  EXPECT_EQ(take(32, true), 0u);
  EXPECT_GT(take(8), 0u);
}

TEST_F(Coalesced, TakesPacketsAtOnceAgainWhenTheyHaveBecomeFew) {
  steady(5'000, 300'000'000);
  steady(1'000'000, 300'000'000);
  EXPECT_EQ(steady(1'000'000, 100'000'000).longest, 0u);
}

// One that answers each packet with one gains nothing by waiting: after a pause it is left alone for a while.
TEST_F(Coalesced, LeavesQuestionsAndAnswersAlone) {
  std::uint64_t waited = 0;
  const std::uint64_t begun = now_;
  while (now_ < begun + 1'000'000'000) {
    waited += take(1);
    now_ += 10'000;  // the other side's time
  }
  EXPECT_GT(waited, 0u);
  EXPECT_LT(waited, 60'000'000u);
}

TEST_F(Coalesced, IsOffWithoutALimit) {
  coalescing_ = Coalescing(0);
  EXPECT_FALSE(coalescing_.is_on());
  EXPECT_EQ(steady(5'000, 100'000'000).longest, 0u);
}

}  // namespace
}  // namespace steelyard::worker
