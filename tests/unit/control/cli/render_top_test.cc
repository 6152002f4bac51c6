#include "control/cli/render_top.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <sstream>

#include "control/cli/rates.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* before_text = R"({"started":"x","uptime_s":59,
  "workers":[{"worker":0,"accounting":{"inputs":{"received":0,"handed_in":0},"drops":{"unmatched":5}},
              "flows":{"half_open":1},"turns":{"busy_ns":0},
              "cycles":{"receive":0,"parse":0,"forward":0,"slow_path":0,"transmit":0,"timers":0}},
             {"worker":1,"accounting":{"inputs":{"received":0,"handed_in":0},"drops":{}},
              "flows":{"half_open":2},"turns":{"busy_ns":0},"cycles":{}}],
  "listeners":[
    {"load_balancer":"web","protocol":"tcp","port":80,"active":3,"connections":100,"packets_in":0,"bytes_in":0,
     "packets_out":0,"bytes_out":0,"servers":[
      {"address":"10.0.0.1","port":8080,"active":1,"connections":40,"packets_in":0,"bytes_in":0,"packets_out":0,
       "bytes_out":0},
      {"address":"10.0.0.2","port":8080,"active":2,"connections":60,"packets_in":0,"bytes_in":0,"packets_out":0,
       "bytes_out":0}]},
    {"load_balancer":"dns","protocol":"udp","port":53,"active":9,"connections":0,"packets_in":0,"bytes_in":0,
     "packets_out":0,"bytes_out":0,"servers":[]}]})";
constexpr const char* now_text = R"({"started":"x","uptime_s":60,
  "workers":[{"worker":0,"accounting":{"inputs":{"received":900,"handed_in":100},"drops":{"unmatched":8,"no_flow":40}},
              "flows":{"half_open":1},"turns":{"busy_ns":250000000},
              "cycles":{"receive":10000,"parse":20000,"forward":120000,"slow_path":0,"transmit":50000,"timers":400}},
             {"worker":1,"accounting":{"inputs":{"received":0,"handed_in":0},"drops":{"unmatched":1}},
              "flows":{"half_open":2},"turns":{"busy_ns":0},"cycles":{}}],
  "listeners":[
    {"load_balancer":"web","protocol":"tcp","port":80,"active":3,"connections":105,"packets_in":500,"bytes_in":50000,
     "packets_out":700,"bytes_out":1000000,"servers":[
      {"address":"10.0.0.1","port":8080,"active":1,"connections":44,"packets_in":400,"bytes_in":40000,"packets_out":10,
       "bytes_out":1000},
      {"address":"10.0.0.2","port":8080,"active":2,"connections":61,"packets_in":100,"bytes_in":10000,"packets_out":690,
       "bytes_out":999000}]},
    {"load_balancer":"dns","protocol":"udp","port":53,"active":9,"connections":20,"packets_in":20,"bytes_in":1000,
     "packets_out":20,"bytes_out":4000,"servers":[]}]})";

Reading reading() {
  const json::object before = json::parse(before_text).as_object();
  Reading read{json::parse(now_text).as_object(), std::nullopt, false};
  read.rates = rates_between(before, read.stats);
  return read;
}

// A picture without its first line, which has the time of day.
std::string picture(const TopSettings& settings) {
  const std::string whole = render_top(reading(), settings);
  return whole.substr(whole.find('\n') + 1);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
  }
  return lines;
}

// A listener's numbers have those of its rules' targets in them.
TEST(RenderTop, CountsTargetsOfRulesOnce) {
  Reading read{json::parse(R"({"listeners":[
    {"load_balancer":"web","protocol":"http","port":80,"active":7,"servers":[]},
    {"load_balancer":"web","protocol":"http","port":80,"rule":"api","active":5,"servers":[]}]})")
                   .as_object(),
               std::nullopt, false};
  const std::string text = render_top(read, {});
  EXPECT_THAT(text, HasSubstr(" 7.0 active"));
  EXPECT_THAT(text, HasSubstr("web:http:80 rule api"));
}

TEST(RenderTop, ShowsRatesDropsLoadListenersAndServers) {
  EXPECT_EQ(picture({}),
            R"(to servers 520 packets/s 408kbit/s   to clients 720 packets/s 8.0Mbit/s
connections: 25 new/s   12 active   3.0 half open
drops/s: 40 no_flow  4.0 unmatched 

WORKER   BUSY  PACKETS/S  CYCLES/PACKET    RECV   PARSE     FWD    SLOW    XMIT  TIMERS
0         25%       1.0k            200      10      20     120       0      50     0.4
1          0%          0              -       -       -       -       -       -       -

  BIT/S IN   BIT/S OUT  PKT/S IN  PKT/S OUT   NEW/S  ACTIVE  LISTENER
      400k        8.0M       500        700     5.0     3.0  web:tcp:80
      8.0k         32k        20         20      20     9.0  dns:udp:53

  BIT/S IN   BIT/S OUT  PKT/S IN  PKT/S OUT   NEW/S  ACTIVE  SERVER, LISTENER
       80k        8.0M       100        690     1.0     2.0  10.0.0.2:8080  web:tcp:80
      320k        8.0k       400         10     4.0     1.0  10.0.0.1:8080  web:tcp:80
)");
}

TEST(RenderTop, ShowsRequestsWhereThereAreSome) {
  const auto stats = [](int seconds, int done, int failed) {
    const std::string requests = R"("requests":{"by_class":{"2xx":)" + std::to_string(done) + R"(,"5xx":)" +
                                 std::to_string(failed) + R"(},"by_cause":{}})";
    return json::parse(R"({"started":"x","uptime_s":)" + std::to_string(seconds) + R"(,
      "workers":[{"worker":0,"http":{"exchanges":4,"queued":1}}],
      "listeners":[
        {"load_balancer":"web","protocol":"http","port":80,)" +
                       requests + R"(,"servers":[{"address":"10.0.0.1","port":80,)" + requests + R"(}]},
        {"load_balancer":"web","protocol":"http","port":80,"rule":"api","servers":[
          {"address":"10.0.0.2","port":80,)" +
                       requests + R"(},{"address":"10.0.0.3","port":80,)" + requests + R"(}]}]})")
        .as_object();
  };
  Reading read{stats(12, 2'000, 30), std::nullopt, false};
  read.rates = rates_between(stats(10, 1'000, 10), read.stats);
  const std::string text = render_top(read, {.sort = SortKey::requests});
  EXPECT_THAT(text, AllOf(HasSubstr("requests: 510 done/s   10 5xx/s   4.0 under way   1.0 queued\n"),
                          HasSubstr("  REQ/S   5XX/S  LISTENER\n"), HasSubstr("   510      10  web:http:80\n"),
                          HasSubstr("  1.0k      20  web:http:80 rule api\n"),
                          HasSubstr("   510      10  10.0.0.1:80  web:http:80\n")));
  EXPECT_LT(text.find("rule api\n"), text.find("web:http:80\n")) << "the rule's targets have most";
  EXPECT_THAT(picture({}), Not(HasSubstr("REQ/S")));
}

TEST(RenderTop, SortsByTheChosenKey) {
  const auto order = [](SortKey key) {
    const std::string text = picture({.sort = key});
    const bool web_first = text.find("web:tcp:80\n") < text.find("dns:udp:53\n");
    const bool one_first = text.find("10.0.0.1:8080") < text.find("10.0.0.2:8080");
    return std::string(web_first ? "web" : "dns") + (one_first ? " 1" : " 2");
  };
  EXPECT_EQ(order(SortKey::bits), "web 2");
  EXPECT_EQ(order(SortKey::packets), "web 2");
  EXPECT_EQ(order(SortKey::connections), "dns 1");
  EXPECT_EQ(order(SortKey::active), "dns 2");
  EXPECT_EQ(order(SortKey::name), "dns 1");
}

TEST(RenderTop, FitsEveryScreen) {
  for (std::size_t rows = 1; rows < 30; ++rows) {
    for (const std::size_t columns : {1, 40, 80, 200}) {
      const auto lines = lines_of(render_top(reading(), {.keys = true, .size = ScreenSize{columns, rows}}));
      EXPECT_LE(lines.size(), rows);
      for (const std::string& line : lines) {
        EXPECT_LE(line.size(), columns);
      }
    }
  }
}

TEST(RenderTop, KeepsTheKeysAndTheFirstServersOnASmallScreen) {
  const std::string text = render_top(reading(), {.keys = true, .size = ScreenSize{100, 18}});
  EXPECT_THAT(text, AllOf(HasSubstr("web:tcp:80"), HasSubstr("10.0.0.2:8080"), Not(HasSubstr("10.0.0.1:8080")),
                          HasSubstr("(1 more)"), HasSubstr("q quit")));
}

TEST(RenderTop, NamesTheKeysOnlyWhereThereIsAKeyboard) {
  EXPECT_THAT(picture({.keys = true}),
              HasSubstr("sorted by bits; keys: b bits, p packets, r requests, c connections, a active"));
  EXPECT_THAT(picture({}), Not(HasSubstr("keys:")));
}

TEST(RenderTop, SurvivesAnAnswerOfAnotherShape) {
  EXPECT_NO_THROW(static_cast<void>(render_top({}, {})));
  Reading odd{json::parse(R"({"workers":[1,{"cycles":7}],"listeners":[null,{"servers":{}}]})").as_object(),
              json::parse(R"({"workers":{},"listeners":[1]})").as_object(), true};
  EXPECT_NO_THROW(static_cast<void>(render_top(odd, {.size = ScreenSize{}})));
}

TEST(Scaled, HasThreeDigitsAtMost) {
  EXPECT_EQ(scaled(0), "0");
  EXPECT_EQ(scaled(0.31), "0.3");
  EXPECT_EQ(scaled(999.4), "999");
  EXPECT_EQ(scaled(999.6), "1.0k");
  EXPECT_EQ(scaled(12'345), "12k");
  EXPECT_EQ(scaled(999'499), "999k");
  EXPECT_EQ(scaled(999'500), "1.0M");
  EXPECT_EQ(scaled(2.5e12), "2.5T");
  EXPECT_EQ(scaled(1e21), "1000E");
}

TEST(SortKeys, HaveNamesAndLetters) {
  EXPECT_EQ(sort_key(std::string_view("connections")), SortKey::connections);
  EXPECT_EQ(sort_key('a'), SortKey::active);
  EXPECT_EQ(sort_key(std::string_view("bit")), std::nullopt);
  EXPECT_EQ(sort_key('x'), std::nullopt);
  EXPECT_EQ(sort_key_names(), "bits, packets, requests, connections, active, name");
}

}  // namespace
}  // namespace steelyard::control::cli
