// Records as JSON.
#include "control/access_log/format.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <random>
#include <string>

#include "tests/unit/control/access_log/sample.h"

namespace steelyard::control::access_log {
namespace {

using access_log::testing::line_of;
using access_log::testing::sample_record;

TEST(JsonLine, SaysAllThatIsKnownOfARequest) {
  EXPECT_EQ(line_of(LineFormat()),
            R"({"time":"2026-11-26T12:00:00.123456Z","listener":"web/443","client":"198.51.100.9","client_port":40000,)"
            R"("method":"GET","host":"www.example.org","target":"/a/b?c=d&e","version":"HTTP/1.1","status":200,)"
            R"("cause":null,"server_group":"shop","server":"192.0.2.80:8080","session":"valid","retries":1,)"
            R"("head_us":1500,"queue_us":0,"connect_us":2000999,"first_octet_us":30000,"total_us":2100000,)"
            R"("octets_in":345,"octets_out":6789,"gzip_in":0,"gzip_out":0,"cut":false})"
            "\n");
}

TEST(JsonLine, WhatWasNeverReachedIsNull) {
  http::AccessRecord record;
  record.listener = {99};
  record.status = 408;
  record.cause = http::Cause::header_timeout;
  record.http_1_0 = true;
  record.target_text.assign(std::string(1'000, 'x'));
  const auto value = boost::json::parse(line_of(LineFormat(), record));
  const auto& object = value.as_object();
  for (const char* name :
       {"listener", "server_group", "server", "head_us", "queue_us", "connect_us", "first_octet_us"}) {
    EXPECT_TRUE(object.at(name).is_null()) << name;
  }
  EXPECT_EQ(object.at("cause"), "HT");
  EXPECT_EQ(object.at("session"), "off");
  EXPECT_EQ(object.at("client"), "::");
  EXPECT_EQ(object.at("method"), "");
  EXPECT_EQ(object.at("version"), "HTTP/1.0");
  EXPECT_EQ(object.at("cut"), true);
}

TEST(JsonLine, EveryVerdictHasItsWord) {
  using Verdict = http::CookieVerdict;
  const std::vector<std::pair<Verdict, std::string>> words{{Verdict::off, "off"},         {Verdict::absent, "absent"},
                                                           {Verdict::valid, "valid"},     {Verdict::invalid, "invalid"},
                                                           {Verdict::expired, "expired"}, {Verdict::down, "down"}};
  for (const auto& [verdict, word] : words) {
    http::AccessRecord record = sample_record();
    record.cookie = verdict;
    EXPECT_NE(line_of(LineFormat(), record).find("\"session\":\"" + word + "\""), std::string::npos);
  }
}

TEST(JsonLine, AClientCannotAddALineOrAMember) {
  http::AccessRecord record = sample_record();
  record.target_text.assign("/\",\"status\":500,\"x\":\"\r\n{\"time\":\"");
  record.host.assign("a\nb\"");
  record.method.assign("G\x00T\xff");
  const std::string line = line_of(LineFormat(), record);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto value = boost::json::parse(line);
  EXPECT_EQ(value.at("status"), 200);
  EXPECT_EQ(value.at("target"), "/\",\"status\":500,\"x\":\"\r\n{\"time\":\"");
  EXPECT_EQ(value.as_object().size(), 24U);
}

TEST(JsonLine, AnyOctetsMakeALineThatParses) {
  std::mt19937 random(5);
  for (int round = 0; round < 2'000; ++round) {
    http::AccessRecord record = sample_record();
    std::string text;
    for (auto count = random() % 300; count > 0; --count) {
      text += static_cast<char>(random());
    }
    record.method.assign(text);
    record.host.assign(text);
    record.target_text.assign(text);
    const std::string line = line_of(LineFormat(), record);
    ASSERT_EQ(line.find('\n'), line.size() - 1);
    ASSERT_NO_THROW(static_cast<void>(boost::json::parse(line))) << line;
  }
}

}  // namespace
}  // namespace steelyard::control::access_log
