#include "control/runtime/connection_report.h"

#include <gtest/gtest.h>

#include <limits>

namespace steelyard::control {
namespace {

worker::ConnectionEnd end_of(const char* address, std::uint16_t port) {
  return {*service::Address::parse(address), port};
}

worker::ConnectionRecord of_server() {
  worker::ConnectionRecord record;
  record.side = http::Side::server;
  record.activity = http::Activity::answering;
  record.state = tcp::State::established;
  record.local = end_of("10.0.0.254", 40'001);
  record.remote = end_of("10.0.0.1", 8'080);
  record.listener = end_of("192.0.2.10", 80);
  record.other = end_of("2001:db8::7", 1'234);
  record.requests = 3;
  record.window = 14'480;
  record.threshold = 7'240;
  record.round_trip = std::chrono::microseconds{850};
  record.idle = std::chrono::milliseconds{2'999};
  return record;
}

TEST(ConnectionReport, NamesBothSidesOfARequestUnderWay) {
  const auto json = connection_json(of_server(), 1);
  EXPECT_EQ(json.at("side"), "server");
  EXPECT_EQ(json.at("doing"), "answering");
  EXPECT_EQ(json.at("client"), "[2001:db8::7]:1234");
  EXPECT_EQ(json.at("server"), "10.0.0.1:8080");
  EXPECT_EQ(json.at("listener"), "192.0.2.10:80");
  EXPECT_EQ(json.at("ssthresh"), 7'240);
  EXPECT_EQ(json.at("srtt_us"), 850);
  EXPECT_EQ(json.at("idle_s"), 2);
  EXPECT_EQ(json.at("worker"), 1);
}

TEST(ConnectionReport, HasNullsForWhatThereIsNot) {
  worker::ConnectionRecord record = of_server();
  record.side = http::Side::client;
  record.other.reset();
  record.threshold = std::numeric_limits<std::uint32_t>::max();
  const auto json = connection_json(record, 0);
  EXPECT_EQ(json.at("client"), "10.0.0.1:8080");
  EXPECT_TRUE(json.at("server").is_null());
  EXPECT_TRUE(json.at("ssthresh").is_null());
}

TEST(ConnectionFilter, GoesByEitherSideOfARequestUnderWay) {
  const worker::ConnectionRecord record = of_server();
  worker::ConnectionFilter filter;
  EXPECT_TRUE(filter.matches(record));
  filter.client = service::Address::parse("2001:db8::7");
  filter.server = service::Address::parse("10.0.0.1");
  filter.server_port = 8'080;
  filter.listener = {*service::Address::parse("192.0.2.10"), 80, service::Protocol::tcp};
  EXPECT_TRUE(filter.matches(record));
  worker::ConnectionRecord idle = record;
  idle.other.reset();
  EXPECT_FALSE(filter.matches(idle));
  filter.client.reset();
  EXPECT_TRUE(filter.matches(idle));
  filter.server_port = 8'081;
  EXPECT_FALSE(filter.matches(idle));
}

}  // namespace
}  // namespace steelyard::control
