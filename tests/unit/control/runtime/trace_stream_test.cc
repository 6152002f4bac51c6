#include "control/runtime/trace_stream.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "tests/unit/control/runtime/tap_fixture.h"

namespace steelyard::control {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

class TraceStreamTest : public testing::TapFixture {
 protected:
  static worker::PacketEvent event(std::uint64_t time_ns) {
    worker::PacketEvent event;
    event.time_ns = time_ns;
    return event;
  }
  static std::string line(TraceStream& stream) {
    const auto next = stream.next();
    return next ? json::serialize(*next) : "<none>";
  }
};

TEST_F(TraceStreamTest, TellsTheEventsOfAllWorkersInTheOrderOfTheirTimes) {
  const auto tap = add();
  TraceStream stream(board_, tap, {never(), 100}, wall());
  push(*tap, 0, event(2'000));
  push(*tap, 1, event(1'000));
  push(*tap, 0, event(3'000));
  EXPECT_THAT(line(stream), HasSubstr("10:00:00.000001Z"));
  EXPECT_THAT(line(stream), HasSubstr("10:00:00.000002Z"));
  EXPECT_THAT(line(stream), HasSubstr("10:00:00.000003Z"));
  EXPECT_EQ(line(stream), "<none>");
  EXPECT_FALSE(stream.ended());
}

TEST_F(TraceStreamTest, EndsAfterItsCountAndTakesTheTapFromTheWorkers) {
  const auto tap = add();
  TraceStream stream(board_, tap, {never(), 1}, wall());
  ASSERT_NE(published_, nullptr);
  push(*tap, 0, event(1));
  push(*tap, 0, event(2));
  EXPECT_THAT(line(stream), HasSubstr("time"));
  EXPECT_EQ(line(stream), R"({"end":{"events":1,"lost":0}})");
  EXPECT_TRUE(stream.ended());
  EXPECT_EQ(published_, nullptr);
  EXPECT_EQ(line(stream), "<none>");
}

TEST_F(TraceStreamTest, EndsWithItsTime) {
  TraceStream stream(board_, add(), {std::chrono::steady_clock::now() - std::chrono::seconds(1), 100}, wall());
  EXPECT_EQ(line(stream), R"({"end":{"events":0,"lost":0}})");
  EXPECT_TRUE(stream.ended());
}

TEST_F(TraceStreamTest, StillTellsWhatHasComeWhenItIsStopped) {
  const auto tap = add();
  TraceStream stream(board_, tap, {never(), 100}, wall());
  push(*tap, 0, event(1));
  stream.stop();
  EXPECT_EQ(published_, nullptr);
  EXPECT_THAT(line(stream), HasSubstr("time"));
  EXPECT_EQ(line(stream), R"({"end":{"events":1,"lost":0}})");
}

TEST_F(TraceStreamTest, SaysHowManyAreLostAsSoonAsItKnows) {
  const auto tap = add(0, 128);  // room for one
  TraceStream stream(board_, tap, {never(), 100}, wall());
  push(*tap, 0, event(1));
  push(*tap, 0, event(2));
  push(*tap, 0, event(3));
  EXPECT_EQ(line(stream), R"({"lost":2})");
  EXPECT_THAT(line(stream), HasSubstr("time"));
  EXPECT_EQ(line(stream), "<none>");
}

TEST_F(TraceStreamTest, TellsEventsWhileMoreAndMoreAreLost) {
  const auto tap = add(0, 128);
  TraceStream stream(board_, tap, {never(), 3}, wall());
  const auto flood = [&] {
    push(*tap, 0, event(1));
    push(*tap, 0, event(2));
  };
  flood();
  EXPECT_EQ(line(stream), R"({"lost":1})");
  for (int time = 0; time < 3; ++time) {
    flood();
    EXPECT_THAT(line(stream), HasSubstr("time"));
  }
  EXPECT_THAT(line(stream), HasSubstr(R"({"end":{"events":3,"lost":)"));
}

TEST_F(TraceStreamTest, TakesItsTapAlongWhenItsClientGoes) {
  {
    TraceStream stream(board_, add(), {never(), 100}, wall());
    EXPECT_NE(published_, nullptr);
  }
  EXPECT_EQ(published_, nullptr);
}

TEST_F(TraceStreamTest, ThereAreAFewAtOnceAndTheNextIsToldSo) {
  std::vector<std::unique_ptr<TraceStream>> streams;
  for (std::size_t count = 0; count < worker::Taps::most; ++count) {
    streams.push_back(std::make_unique<TraceStream>(board_, add(), TraceLimits{never(), 1}, wall()));
  }
  EXPECT_EQ(published_->taps.size(), worker::Taps::most);
  const auto refused = board_.add({}, 0, 1'024);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error(), HasSubstr("4 traces and captures already"));
  streams.pop_back();
  EXPECT_TRUE(board_.add({}, 0, 1'024));
}

TEST(TraceLine, SaysWhatThePacketWasAndWhatBecameOfIt) {
  worker::PacketEvent event;
  event.source = {*service::Address::parse("198.51.100.7"), 4321};
  event.destination = {*service::Address::parse("192.0.2.10"), 80};
  event.server = {*service::Address::parse("10.0.0.1"), 8080};
  event.has_ports = true;
  event.from_client = true;
  event.kind = packet::PacketKind::l4;
  event.protocol = packet::protocol_tcp;
  event.tcp_flags = packet::tcp_flag::syn;
  event.sequence = 7;
  event.length = 60;
  event.worker = 1;
  event.facts = worker::fact::opened | worker::fact::forwarded;
  const auto time = std::chrono::system_clock::from_time_t(1'714'557'600);
  EXPECT_EQ(json::serialize(to_json(event, time)),
            R"({"time":"2024-05-01T10:00:00.000000Z","worker":1,"from":"client","protocol":"tcp",)"
            R"("source":"198.51.100.7:4321","destination":"192.0.2.10:80","length":60,"payload":0,"flags":"S",)"
            R"("sequence":7,"acknowledgment":0,"verdict":["opened","forwarded"],"server":"10.0.0.1:8080"})");
}

TEST(TraceLine, NamesTheReasonOfADropAndThePlaceOfAFragment) {
  worker::PacketEvent event;
  event.source = {*service::Address::parse("2001:db8::7"), 0};
  event.destination = {*service::Address::parse("2001:db8:1::10"), 0};
  event.kind = packet::PacketKind::fragment;
  event.protocol = packet::protocol_udp;
  event.fragment_offset = 1'480;
  event.facts = worker::fact::dropped;
  event.reason = packet::DropReason::ttl_expired;
  event.handed_in = true;
  const json::object line = to_json(event, {});
  EXPECT_EQ(line.at("source"), "2001:db8::7");
  EXPECT_EQ(line.at("fragment_offset"), 1'480);
  EXPECT_EQ(line.at("reason"), "ttl_expired");
  EXPECT_EQ(line.at("handed_in"), true);
  EXPECT_FALSE(line.contains("server"));
  EXPECT_FALSE(line.contains("flags"));
}

}  // namespace
}  // namespace steelyard::control
