// A token bucket: a burst at once, then a steady rate, and no more saved up than a burst.
#include "dataplane/l4/rate_limit.h"

#include <gtest/gtest.h>

namespace steelyard::l4 {
namespace {

constexpr std::uint64_t second = 1'000'000'000;

std::size_t allowed(RateLimit& limit, std::uint64_t now, std::size_t attempts = 1'000) {
  std::size_t count = 0;
  for (std::size_t attempt = 0; attempt < attempts; ++attempt) {
    count += limit.allow(now) ? 1U : 0U;
  }
  return count;
}

TEST(RateLimit, ABurstIsAllowedAtOnce) {
  RateLimit limit(100, 10);
  EXPECT_EQ(allowed(limit, 5 * second), 10U);
  EXPECT_EQ(allowed(limit, 5 * second), 0U);
}

TEST(RateLimit, AfterwardsTheRateHolds) {
  RateLimit limit(100, 10);
  allowed(limit, second);
  EXPECT_EQ(allowed(limit, second + second / 100 - 1), 0U);
  EXPECT_EQ(allowed(limit, second + second / 100), 1U);
  std::size_t count = 0;
  for (std::uint64_t millisecond = 11; millisecond <= 1'010; ++millisecond) {
    count += allowed(limit, second + millisecond * second / 1'000, 5);
  }
  EXPECT_EQ(count, 100U);
}

TEST(RateLimit, ALongSilenceSavesUpNoMoreThanABurst) {
  RateLimit limit(100, 10);
  allowed(limit, second);
  EXPECT_EQ(allowed(limit, 1'000'000 * second), 10U);
}

TEST(RateLimit, WhatIsNotUsedIsKeptUpToTheBurst) {
  RateLimit limit(100, 10);
  allowed(limit, second);
  EXPECT_EQ(allowed(limit, second + second / 20), 5U);
}

}  // namespace
}  // namespace steelyard::l4
