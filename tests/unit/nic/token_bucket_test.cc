// The rate cap, on a virtual clock.
#include "dataplane/nic/token_bucket.h"

#include <gtest/gtest.h>

#include <limits>

namespace steelyard::nic {
namespace {

using namespace std::chrono_literals;
using TimePoint = TokenBucket::TimePoint;

constexpr TimePoint start{100s};

TEST(TokenBucket, StartsWithAFullBurst) {
  TokenBucket bucket(1000, 10, start);
  EXPECT_EQ(bucket.take(64, start), 10u);
  EXPECT_EQ(bucket.take(1, start), 0u);
}

TEST(TokenBucket, EarnsItsRate) {
  TokenBucket bucket(1000, 10, start);
  EXPECT_EQ(bucket.take(10, start), 10u);
  EXPECT_EQ(bucket.take(64, start + 999us), 0u);
  EXPECT_EQ(bucket.take(64, start + 1ms), 1u);
  EXPECT_EQ(bucket.take(64, start + 4ms), 3u);
}

TEST(TokenBucket, LosesNoFractionHoweverOftenItIsAsked) {
  TokenBucket bucket(50'000, 100, start);
  EXPECT_EQ(bucket.take(100, start), 100u);
  std::uint32_t taken = 0;
  for (auto time = 7us; time <= 70ms; time += 7us) {
    taken += bucket.take(64, start + time);
  }
  EXPECT_EQ(taken, 3500u);
}

TEST(TokenBucket, SavesNoMoreThanItsBurst) {
  TokenBucket bucket(1000, 10, start);
  EXPECT_EQ(bucket.take(64, start + 1h), 10u);
}

TEST(TokenBucket, TakesUnusedTokensBack) {
  TokenBucket bucket(1000, 10, start);
  EXPECT_EQ(bucket.take(10, start), 10u);
  bucket.give_back(4);
  EXPECT_EQ(bucket.take(10, start), 4u);
}

TEST(TokenBucket, DoesNotMindAClockThatStandsOrGoesBack) {
  TokenBucket bucket(1000, 10, start);
  EXPECT_EQ(bucket.take(10, start), 10u);
  EXPECT_EQ(bucket.take(10, start - 1s), 0u);
  EXPECT_EQ(bucket.take(10, start + 1ms), 1u);
}

TEST(TokenBucket, DoesNotOverflowAtTheHighestRate) {
  constexpr std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
  TokenBucket bucket(most, most, start);
  EXPECT_EQ(bucket.take(most, start), most);
  EXPECT_EQ(bucket.take(most, start + 2s), most);
}

}  // namespace
}  // namespace steelyard::nic
