#include "control/runtime/request_book.h"

#include <gtest/gtest.h>

namespace steelyard::control {
namespace {

TEST(RequestTimes, QuantilesLieWithinTheirBucketByProportion) {
  RequestTimes times;
  EXPECT_EQ(times.quantile(0.5), 0);
  times.counts[0] = 10;  // below 128
  EXPECT_DOUBLE_EQ(times.quantile(0.5), 64);
  times.counts[2] = 10;  // 256 to 512
  EXPECT_EQ(times.total(), 20U);
  EXPECT_DOUBLE_EQ(times.quantile(0.5), 128);
  EXPECT_DOUBLE_EQ(times.quantile(0.75), 384);
  EXPECT_DOUBLE_EQ(times.quantile(1), 512);
}

TEST(RequestTimes, AboveTheLastLimitOnlyThatIsKnown) {
  RequestTimes times;
  times.counts.back() = 1;
  EXPECT_DOUBLE_EQ(times.quantile(0.5), 67'108'864);
}

}  // namespace
}  // namespace steelyard::control
