#include "control/cli/rates.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <string>

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;

// `stats` of one process after `seconds`, with `members`.
json::object reading(const std::string& seconds, const std::string& members) {
  return json::parse(R"({"started":"2024-05-01T10:00:00Z","uptime_s":)" + seconds + "," + members + "}").as_object();
}

TEST(Rates, AreGrowthInASecondOfTheProcessesOwnTime) {
  const auto rates =
      rates_between(reading("10", R"("a":{"received":100})"), reading("12.5", R"("a":{"received":350})"));
  ASSERT_TRUE(rates);
  EXPECT_DOUBLE_EQ(rates->at("interval_s").as_double(), 2.5);
  EXPECT_DOUBLE_EQ(rates->at("a").at("received").as_double(), 100);
}

TEST(Rates, LeaveGaugesOutAndKeepNames) {
  const auto rates =
      rates_between(reading("1", R"("workers":[{"worker":0,"link_up":true,"half_open":5,"queued":1,"created":1}])"),
                    reading("2", R"("workers":[{"worker":0,"link_up":true,"half_open":9,"queued":3,"created":4}])"));
  ASSERT_TRUE(rates);
  const json::object& worker = rates->at("workers").at(0).as_object();
  EXPECT_EQ(worker, (json::object{{"worker", 0}, {"created", 3.0}}));
}

TEST(Rates, FindElementsOfListsByTheirNamesAndNotByTheirPlaces) {
  const auto rates =
      rates_between(reading("1", R"("listeners":[{"load_balancer":"a","protocol":"tcp","port":80,"connections":10},
                                   {"load_balancer":"a","protocol":"udp","port":80,"connections":20}])"),
                    reading("2", R"("listeners":[{"load_balancer":"a","protocol":"udp","port":80,"connections":27},
                                   {"load_balancer":"b","protocol":"tcp","port":80,"connections":500}])"));
  ASSERT_TRUE(rates);
  EXPECT_DOUBLE_EQ(rates->at("listeners").at(0).at("connections").as_double(), 7);
  EXPECT_FALSE(rates->at("listeners").at(1).as_object().contains("connections")) << "it was not there before";
}

TEST(Rates, KeepATargetOfRulesApartFromItsListener) {
  const auto rates =
      rates_between(reading("1", R"("listeners":[{"load_balancer":"a","port":80,"rule":"r","connections":20},
                                   {"load_balancer":"a","port":80,"connections":10}])"),
                    reading("2", R"("listeners":[{"load_balancer":"a","port":80,"connections":11},
                                   {"load_balancer":"a","port":80,"rule":"r","connections":25}])"));
  ASSERT_TRUE(rates);
  EXPECT_DOUBLE_EQ(rates->at("listeners").at(0).at("connections").as_double(), 1);
  EXPECT_DOUBLE_EQ(rates->at("listeners").at(1).at("connections").as_double(), 5);
}

TEST(Rates, KeepTheBucketsOfAHistogramApart) {
  const auto rates =
      rates_between(reading("1", R"("histogram":[{"below_ns":2,"turns":100},{"below_ns":8,"turns":5}])"),
                    reading("2", R"("histogram":[{"below_ns":2,"turns":103},{"below_ns":8,"turns":12}])"));
  ASSERT_TRUE(rates);
  EXPECT_EQ(rates->at("histogram").at(1).as_object(), (json::object{{"below_ns", 8}, {"turns", 7.0}}));
}

TEST(Rates, OfAListenersLimitsAreThoseOfWhatTheyHaveCost) {
  const auto rates = rates_between(
      reading("1", R"("listeners":[{"port":80,"bandwidth":5,"bandwidth_exceeded_packets":1,"turned_away":1,
                                    "refused":{"access_denied":3}}])"),
      reading("2", R"("listeners":[{"port":80,"bandwidth":9,"bandwidth_exceeded_packets":4,"turned_away":3,
                                    "refused":{"access_denied":5}}])"));
  ASSERT_TRUE(rates);
  EXPECT_EQ(rates->at("listeners").at(0).as_object(), (json::object{{"port", 80},
                                                                    {"bandwidth_exceeded_packets", 3.0},
                                                                    {"turned_away", 2.0},
                                                                    {"refused", {{"access_denied", 2.0}}}}));
}

TEST(Rates, TakeACounterThatWasNotNamedBeforeForZero) {
  const auto rates =
      rates_between(reading("1", R"("drops":{"unmatched":1})"), reading("2", R"("drops":{"unmatched":1,"no_flow":4})"));
  ASSERT_TRUE(rates);
  EXPECT_DOUBLE_EQ(rates->at("drops").at("no_flow").as_double(), 4);
  EXPECT_DOUBLE_EQ(rates->at("drops").at("unmatched").as_double(), 0);
}

TEST(Rates, SayNothingOfACounterThatFell) {
  const auto rates = rates_between(reading("1", R"("a":{"bytes_in":9,"bytes_out":9})"),
                                   reading("2", R"("a":{"bytes_in":8,"bytes_out":10})"));
  ASSERT_TRUE(rates);
  EXPECT_EQ(rates->at("a").as_object(), (json::object{{"bytes_out", 1.0}}));
}

TEST(Rates, AreNotMadeOfTwoProcesses) {
  json::object before = reading("10", R"("a":{"received":1})");
  json::object now = reading("12", R"("a":{"received":2})");
  EXPECT_TRUE(same_process(before, now));
  EXPECT_FALSE(same_process(now, before)) << "it runs for a shorter time: it began anew within its second";
  now["started"] = "2024-05-01T10:00:11Z";
  EXPECT_FALSE(same_process(before, now));
  EXPECT_FALSE(rates_between(before, now));
}

TEST(Rates, NeedTimeBetweenTheReadings) {
  const json::object same = reading("10", R"("a":{"received":1})");
  EXPECT_TRUE(same_process(same, same));
  EXPECT_FALSE(rates_between(same, same));
}

TEST(Rates, SurviveAnAnswerOfAnotherShape) {
  EXPECT_FALSE(rates_between({}, {}));
  EXPECT_NO_THROW(
      static_cast<void>(rates_between(reading("1", R"("workers":7,"b":[1],"c":{}, "d":[])"),
                                      reading("2", R"("workers":[{"worker":[]},null],"b":{"x":1},"c":[3],"d":true)"))));
}

}  // namespace
}  // namespace steelyard::control::cli
