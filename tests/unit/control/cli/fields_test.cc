#include "control/cli/fields.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;

TEST(Fields, ShowsADashForWhatIsAbsentOrNoText) {
  const json::object object{{"null", nullptr}, {"list", json::array{1}}, {"word", "up"}, {"count", 7}, {"yes", true}};
  EXPECT_EQ(text(object, "absent"), "-");
  EXPECT_EQ(text(object, "null"), "-");
  EXPECT_EQ(text(object, "list"), "-");
  EXPECT_EQ(text(object, "word"), "up");
  EXPECT_EQ(text(object, "count"), "7");
  EXPECT_EQ(text(object, "yes"), "true");
}

TEST(Fields, ReadsNumbersOfEveryKindAndTakesNothingFromTheRest) {
  const json::object object =
      json::parse(R"({"u":18446744073709551615,"i":7,"neg":-7,"d":2.9,"huge":1e300,"s":"5"})").as_object();
  EXPECT_EQ(number(object, "u"), 18446744073709551615ULL);
  EXPECT_EQ(number(object, "i"), 7U);
  EXPECT_EQ(number(object, "d"), 2U);
  for (const char* key : {"neg", "huge", "s", "absent"}) {
    EXPECT_EQ(number(object, key), 0U) << key;
  }
}

TEST(Fields, GivesEmptyCollectionsForWhatIsNone) {
  const json::object object{{"list", 1}, {"member", 1}};
  EXPECT_TRUE(list(object, "list").empty());
  EXPECT_TRUE(list(object, "absent").empty());
  EXPECT_TRUE(member(object, "member").empty());
  EXPECT_TRUE(member(object, "absent").empty());
}

TEST(Fields, WritesEndpointsWithBracketsForIpv6) {
  EXPECT_EQ(endpoint("10.0.0.1", 80), "10.0.0.1:80");
  EXPECT_EQ(endpoint("2001:db8::1", 80), "[2001:db8::1]:80");
  EXPECT_EQ(endpoint("2001:db8::1", 0), "2001:db8::1");
}

TEST(Fields, WritesDurationsInTwoUnits) {
  EXPECT_EQ(duration(0), "0s");
  EXPECT_EQ(duration(59), "59s");
  EXPECT_EQ(duration(60), "1m00s");
  EXPECT_EQ(duration(3'599), "59m59s");
  EXPECT_EQ(duration(3'600), "1h00m");
  EXPECT_EQ(duration(86'399), "23h59m");
  EXPECT_EQ(duration(86'400 * 12 + 3'600), "12d01h");
}

TEST(Fields, WritesRatesWithATenthOnlyWhereItSaysSomething) {
  const boost::json::object rates{{"none", 0.0},  {"little", 0.01}, {"few", 3.96},
                                  {"some", 9.96}, {"many", 17.4},   {"most", 12345678.9}};
  EXPECT_EQ(per_second(rates, "none"), "0");
  EXPECT_EQ(per_second(rates, "little"), "0.1");
  EXPECT_EQ(per_second(rates, "few"), "4.0");
  EXPECT_EQ(per_second(rates, "some"), "10");
  EXPECT_EQ(per_second(rates, "many"), "17");
  EXPECT_EQ(per_second(rates, "most"), "12345679");
  EXPECT_EQ(per_second(rates, "absent"), "-");
}

}  // namespace
}  // namespace steelyard::control::cli
