// What is counted of requests that are over.
#include "dataplane/http/request_counters.h"

#include <gtest/gtest.h>

namespace steelyard::http {
namespace {

TEST(RequestCounters, ATimeCountsInTheBucketBelowWhoseLimitItIs) {
  for (const auto& [microseconds, bucket] : {std::pair{0U, 0U},
                                             {127U, 0U},
                                             {128U, 1U},
                                             {255U, 1U},
                                             {256U, 2U},
                                             {67'108'863U, 19U},
                                             {67'108'864U, 20U},
                                             {AccessRecord::never - 1, 20U}}) {
    Durations durations;
    durations.add(microseconds);
    for (std::size_t place = 0; place < Durations::buckets; ++place) {
      EXPECT_EQ(durations.count(place), place == bucket ? 1U : 0U) << microseconds << " in " << place;
    }
    EXPECT_EQ(durations.sum_us(), microseconds);
    EXPECT_TRUE(bucket == Durations::limits || microseconds < Durations::limit(bucket)) << microseconds;
  }
}

TEST(RequestCounters, ARequestCountsByItsStatusItsCauseAndThePartsThatItReached) {
  ListenerRequests requests;
  AccessRecord record;
  record.status = 503;
  record.cause = Cause::no_server;
  record.head_us = 5;
  record.total_us = 1'000;
  requests.add(record);
  EXPECT_EQ(requests.by_class[5].get(), 1U);
  EXPECT_EQ(requests.by_cause[static_cast<std::size_t>(Cause::no_server)].get(), 1U);
  EXPECT_EQ(requests.times[0].count(0), 1U) << "head";
  EXPECT_EQ(requests.times[1].sum_us(), 0U) << "queue";
  EXPECT_EQ(requests.times[2].sum_us(), 0U) << "connect";
  EXPECT_EQ(requests.times[4].sum_us(), 1'000U) << "total";
}

TEST(RequestCounters, StatusesOfNoClassDoNotLeadAstray) {
  EXPECT_EQ(status_classes[class_of(0)], "none");
  EXPECT_EQ(status_classes[class_of(101)], "1xx");
  EXPECT_EQ(status_classes[class_of(599)], "5xx");
  EXPECT_EQ(status_classes[class_of(999)], "5xx");
}

TEST(RequestCounters, AServerCountsWhatItAnswered) {
  ServerRequests requests;
  AccessRecord record;
  record.status = 204;
  record.first_octet_us = 300;
  requests.add(record);
  record.status = 502;
  record.first_octet_us = AccessRecord::never;
  requests.add(record);
  EXPECT_EQ(requests.by_class[2].get(), 1U);
  EXPECT_EQ(requests.by_class[5].get(), 1U);
  EXPECT_EQ(requests.first_octet.sum_us(), 300U);
}

}  // namespace
}  // namespace steelyard::http
