// What tracking concludes from single segments: numbers, states, and which resets a receiver could take. Whole
// connections are in half_open_test.cc and ending_test.cc.
#include "dataplane/l4/tcp_tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/packet_builder.h"

namespace steelyard::l4 {
namespace {

using namespace packet::tcp_flag;
using packet::Ipv4;
using packet::Sequence;

// The client has sent up to 2,000 (1,500 acknowledged), the server up to 9,000 (8,000 acknowledged); full NAT adds
// 100,000 to the client's numbers.
constexpr std::uint32_t delta = 100'000;
Flow<Ipv4> connection(FlowState state = FlowState::established) {
  Flow<Ipv4> flow{};
  flow.set_state(state);
  flow.sequence_delta = delta;
  flow.client_sequence_end = {2'000};
  flow.server_acknowledgment = Sequence{1'500} + delta;
  flow.server_sequence_end = {9'000};
  flow.client_acknowledgment = {8'000};
  return flow;
}

TEST(TcpTracker, ASegmentIsReadAsItStands) {
  test::Frame frame = test::tcp(test::tuple<Ipv4>(packet::protocol_tcp, "192.0.2.1", 1, "192.0.2.2", 2),
                                {.sequence = {0xfffffffe}, .acknowledgment = {77}, .flags = psh | ack, .payload = 5});
  const Segment segment = Segment::of(frame.parse());
  EXPECT_EQ(segment.sequence, Sequence{0xfffffffe});
  EXPECT_EQ(segment.acknowledgment, Sequence{77});
  EXPECT_EQ(segment.payload, 5);
  EXPECT_TRUE(segment.has(psh));
  EXPECT_FALSE(segment.has(syn));
}

TEST(TcpTracker, SynAndFinTakeANumberEach) {
  EXPECT_EQ((Segment{{10}, {}, 5, ack}).end(), Sequence{15});
  EXPECT_EQ((Segment{{10}, {}, 0, syn}).end(), Sequence{11});
  EXPECT_EQ((Segment{{10}, {}, 5, fin | ack}).end(), Sequence{16});
  EXPECT_EQ((Segment{{0xffffffff}, {}, 5, fin | ack}).end(), Sequence{5});
}

TEST(TcpTracker, AResetIsCredibleBetweenWhatIsAcknowledgedAndWhatWasSent) {
  const Flow<Ipv4> flow = connection();
  for (const auto& [from, first, last] : {std::tuple{Side::client, 1'500U, 2'000U}, {Side::server, 8'000U, 9'000U}}) {
    for (const std::uint32_t sequence : {first, first + 1, last}) {
      EXPECT_TRUE(reset_is_credible(flow, from, {{sequence}, {}, 0, rst})) << sequence;
    }
    for (const std::uint32_t sequence : {first - 1, last + 1, first + 0x80000000U, first + delta}) {
      EXPECT_FALSE(reset_is_credible(flow, from, {{sequence}, {}, 0, rst})) << sequence;
    }
  }
}

TEST(TcpTracker, AResetOfASynIsCredibleOnlyWhenItAcknowledgesIt) {
  Flow<Ipv4> flow = connection(FlowState::syn_sent);
  remember_first(flow, {{1'999}, {}, 0, syn});
  EXPECT_TRUE(reset_is_credible(flow, Side::server, {{}, Sequence{2'000} + delta, 0, rst | ack}));
  EXPECT_FALSE(reset_is_credible(flow, Side::server, {{}, Sequence{2'000} + delta, 0, rst}));
  EXPECT_FALSE(reset_is_credible(flow, Side::server, {{}, {2'000}, 0, rst | ack}));
  EXPECT_FALSE(reset_is_credible(flow, Side::server, {{}, Sequence{1'999} + delta, 0, rst | ack}));
  EXPECT_FALSE(reset_is_credible(flow, Side::client, {{2'000}, {}, 0, rst}));
}

TEST(TcpTracker, AnAcknowledgmentOnlyGrowsAndNotBeyondWhatWasSent) {
  EXPECT_EQ(acknowledged_after({100}, {{}, {150}, 0, ack}, {200}), Sequence{150});
  EXPECT_EQ(acknowledged_after({100}, {{}, {200}, 0, ack}, {200}), Sequence{200});
  EXPECT_EQ(acknowledged_after({100}, {{}, {201}, 0, ack}, {200}), Sequence{100});
  EXPECT_EQ(acknowledged_after({100}, {{}, {99}, 0, ack}, {200}), Sequence{100});
  EXPECT_EQ(acknowledged_after({100}, {{}, {150}, 0, rst}, {200}), Sequence{100});
  EXPECT_EQ(acknowledged_after({0xfffffff0}, {{}, {5}, 0, ack}, {10}), Sequence{5});
}

TEST(TcpTracker, EachSideIsRememberedInItsOwnNumbers) {
  Flow<Ipv4> flow = connection();
  remember(flow, Side::client, {{2'000}, {8'500}, 300, ack});
  EXPECT_EQ(flow.client_sequence_end, Sequence{2'300});
  EXPECT_EQ(flow.client_acknowledgment, Sequence{8'500});
  remember(flow, Side::server, {{9'000}, Sequence{2'100} + delta, 50, fin | ack});
  EXPECT_EQ(flow.server_sequence_end, Sequence{9'051});
  EXPECT_EQ(flow.server_acknowledgment, Sequence{2'100} + delta);
}

TEST(TcpTracker, OldSegmentsResetsAndFarNumbersAreNotRemembered) {
  Flow<Ipv4> flow = connection();
  remember(flow, Side::client, {{1'000}, {7'000}, 10, ack});
  remember(flow, Side::client, {{5'000}, {8'900}, 0, rst | ack});
  remember(flow, Side::client, {Sequence{2'000} + plausible_distance, {9'001}, 1, ack});
  remember(flow, Side::server, {{0x70000000}, {2'000}, 10, ack});
  EXPECT_EQ(flow.client_sequence_end, Sequence{2'000});
  EXPECT_EQ(flow.client_acknowledgment, Sequence{8'000});
  EXPECT_EQ(flow.server_sequence_end, Sequence{9'000});
  EXPECT_EQ(flow.server_acknowledgment, Sequence{1'500} + delta);
}

TEST(TcpTracker, PlausibleIsWhatLiesNearTheEndOfItsSide) {
  const Flow<Ipv4> flow = connection();
  for (const auto& [from, end] : {std::pair{Side::client, Sequence{2'000}}, {Side::server, Sequence{9'000}}}) {
    EXPECT_TRUE(is_plausible(flow, from, {end + plausible_distance, {}, 0, ack}));
    EXPECT_TRUE(is_plausible(flow, from, {end - plausible_distance, {}, 0, ack}));
    EXPECT_FALSE(is_plausible(flow, from, {end + plausible_distance + 1, {}, 0, ack}));
    EXPECT_FALSE(is_plausible(flow, from, {end - plausible_distance - 1, {}, 0, ack}));
    EXPECT_FALSE(is_plausible(flow, from, {end + 0x80000000, {}, 0, ack}));
  }
}

// The handshake's numbers: each SYN tells its sender's, and what its peer has acknowledged before the first octet.
TEST(TcpTracker, SynsSetTheNumbers) {
  Flow<Ipv4> flow = connection(FlowState::syn_sent);
  remember_first(flow, {{0xffffffff}, {}, 0, syn});
  EXPECT_EQ(flow.client_sequence_end, Sequence{0});
  EXPECT_EQ(flow.server_acknowledgment, Sequence{0xffffffff} + delta);
  remember(flow, Side::server, {{0xffffffff}, {delta}, 0, syn | ack});
  EXPECT_EQ(flow.server_sequence_end, Sequence{0});
  EXPECT_EQ(flow.server_acknowledgment, Sequence{delta});
  EXPECT_EQ(flow.client_acknowledgment, Sequence{0xffffffff});
}

TEST(TcpTracker, StatesFollowTheSegmentsThatMatter) {
  struct Step {
    FlowState before;
    Side from;
    Segment segment;
    FlowState after;
  };
  const std::uint32_t first_fin_client = first_fin_of(Side::client);
  const Sequence client_end = Sequence{2'000} + delta;
  for (const Step& step : {
           Step{FlowState::syn_received, Side::client, {{2'000}, {9'000}, 0, ack}, FlowState::established},
           Step{FlowState::syn_received, Side::server, {{9'000}, client_end, 9, ack}, FlowState::syn_received},
           Step{FlowState::syn_received, Side::client, {{2'000}, {9'001}, 0, ack}, FlowState::syn_received},
           Step{FlowState::established, Side::server, {{9'000}, client_end, 0, ack}, FlowState::established},
           Step{FlowState::established, Side::server, {{9'000}, client_end, 0, fin | ack}, FlowState::half_closed},
           Step{FlowState::half_closed, Side::client, {{1'999}, {9'000}, 0, fin | ack}, FlowState::half_closed},
           Step{FlowState::half_closed, Side::server, {{9'000}, client_end, 0, fin | ack}, FlowState::closing},
           Step{FlowState::closing, Side::server, {{9'000}, client_end, 0, ack}, FlowState::closing},
           Step{FlowState::closing, Side::client, {{2'000}, {9'000}, 0, ack}, FlowState::closing},
           Step{FlowState::established, Side::client, {{2'000}, {}, 0, rst}, FlowState::lingering},
           Step{FlowState::closing, Side::server, {{9'000}, {}, 0, rst}, FlowState::lingering},
           Step{FlowState::lingering, Side::client, {{2'000}, {9'000}, 0, fin | ack}, FlowState::lingering},
       }) {
    Flow<Ipv4> flow = connection(step.before);
    flow.set_first_fin(flow.half_open() ? 0U : first_fin_client);
    EXPECT_EQ(next_state(flow, step.from, step.segment), step.after) << static_cast<int>(step.before);
  }
}

TEST(TcpTracker, AClosingConnectionIsOverWhenBothEndsAreAcknowledged) {
  Flow<Ipv4> flow = connection(FlowState::closing);
  flow.client_acknowledgment = flow.server_sequence_end;
  EXPECT_EQ(next_state(flow, Side::server, {{9'000}, Sequence{1'999} + delta, 0, ack}), FlowState::closing);
  EXPECT_EQ(next_state(flow, Side::server, {{9'000}, {2'000}, 0, ack}), FlowState::closing);
  EXPECT_EQ(next_state(flow, Side::server, {{9'000}, Sequence{2'001} + delta, 0, ack}), FlowState::closing);
  EXPECT_EQ(next_state(flow, Side::server, {{9'000}, Sequence{2'000} + delta, 0, ack}), FlowState::lingering);
}

}  // namespace
}  // namespace steelyard::l4
