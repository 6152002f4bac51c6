#include "dataplane/http/date.h"

#include <gtest/gtest.h>

namespace steelyard::http {
namespace {

TEST(Date, IsWrittenAsTheRfcDoes) {
  Date date;
  EXPECT_EQ(date.at(784'111'777), "Sun, 06 Nov 1994 08:49:37 GMT");  // its example
  EXPECT_EQ(date.at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date.at(951'827'696), "Tue, 29 Feb 2000 12:34:56 GMT");
  EXPECT_EQ(date.at(4'102'444'799), "Thu, 31 Dec 2099 23:59:59 GMT");
  EXPECT_EQ(date.at(253'402'300'799), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(Date, FollowsTheClockBothWays) {
  Date date;
  EXPECT_EQ(date.at(1), "Thu, 01 Jan 1970 00:00:01 GMT");
  EXPECT_EQ(date.at(2), "Thu, 01 Jan 1970 00:00:02 GMT");
  EXPECT_EQ(date.at(1), "Thu, 01 Jan 1970 00:00:01 GMT");
}

}  // namespace
}  // namespace steelyard::http
