// Rewriting alone: whatever is changed, at whatever offset, the incremental checksums are those of a full computation.
#include "dataplane/l4/rewrite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/l4/balancer_world.h"

namespace steelyard::l4 {
namespace {

using test::Bytes;
using testing::ElementsAre;

template <class Family>
class Rewrite : public testing::Test {
 protected:
  static typename Family::Address random_address(std::mt19937& random) {
    typename Family::Address made;
    auto* bytes = reinterpret_cast<std::uint8_t*>(&made.raw);
    for (std::size_t at = 0; at < sizeof made.raw; ++at) {
      bytes[at] = static_cast<std::uint8_t>(random());
    }
    bytes[0] = static_cast<std::uint8_t>(Family::is_v6 ? 0x20 : 1 + random() % 100);
    return made;
  }
  static Flow<Family> random_flow(std::mt19937& random, FlowState state) {
    Flow<Family> flow{};
    flow.client = random_address(random);
    flow.vip = random_address(random);
    flow.local = random_address(random);
    flow.server = random_address(random);
    for (std::uint16_t* port : {&flow.client_port, &flow.vip_port, &flow.local_port, &flow.server_port}) {
      *port = static_cast<std::uint16_t>(1 + random() % 65'535);
    }
    flow.set_state(state);
    flow.sequence_delta = static_cast<std::uint32_t>(random());
    return flow;
  }
  static Frame segment(const Flow<Family>& flow, Side from, std::mt19937& random, const Bytes& options = {}) {
    return test::tcp(flow.tuple_from(from), {.sequence = {static_cast<std::uint32_t>(random())},
                                             .acknowledgment = {static_cast<std::uint32_t>(random())},
                                             .options = options,
                                             .payload = random() % 64,
                                             .ip = {.ttl = static_cast<std::uint8_t>(2 + random() % 254)}});
  }
};
TYPED_TEST_SUITE(Rewrite, Families);

// The segment's options, as tcp_option walks them.
std::vector<std::pair<int, std::size_t>> options_of(const Bytes& options) {
  Bytes segment(20);
  test::append(segment, options);
  segment[12] = static_cast<std::uint8_t>((5 + options.size() / 4) << 4U);
  std::vector<std::pair<int, std::size_t>> found;
  for_each_option(segment.data(),
                  [&](std::uint8_t kind, std::span<std::uint8_t> option) { found.emplace_back(kind, option.size()); });
  return found;
}

TYPED_TEST(Rewrite, TcpHasRightChecksumsWhateverTheAddressesAndNumbers) {
  std::mt19937 random(1);
  for (int round = 0; round < 20'000; ++round) {
    const auto flow = this->random_flow(random, FlowState::established);
    const Side from = random() % 2 == 0 ? Side::client : Side::server;
    Frame frame = this->segment(flow, from, random);
    const Sequence sequence = frame.sequence();
    const Sequence acknowledgment = frame.acknowledgment();
    const std::uint8_t ttl = frame.ttl();
    rewrite(frame.parse(), flow, from);
    ASSERT_TRUE(frame.checksums_right()) << round;
    ASSERT_EQ(frame.ttl(), ttl - 1);
    const auto view = frame.parse();
    ASSERT_EQ(view.template tuple<TypeParam>(), flow.tuple_from(opposite(from)).reversed());
    ASSERT_EQ(frame.sequence(), from == Side::client ? sequence + flow.sequence_delta : sequence);
    ASSERT_EQ(frame.acknowledgment(), from == Side::client ? acknowledgment : acknowledgment - flow.sequence_delta);
  }
}

TYPED_TEST(Rewrite, UdpHasRightChecksumsWhateverTheAddresses) {
  std::mt19937 random(2);
  for (int round = 0; round < 20'000; ++round) {
    const auto flow = this->random_flow(random, FlowState::udp);
    const Side from = random() % 2 == 0 ? Side::client : Side::server;
    Frame frame = test::udp(flow.tuple_from(from), {.payload = random() % 16});
    rewrite(frame.parse(), flow, from);
    ASSERT_TRUE(frame.checksums_right()) << round;
    ASSERT_NE(test::get16(frame.l4(), 6), 0);
    ASSERT_EQ(frame.parse().template tuple<TypeParam>(), flow.tuple_from(opposite(from)).reversed());
  }
}

TYPED_TEST(Rewrite, SackBlocksAreShiftedBackAtEvenAndOddOffsets) {
  std::mt19937 random(3);
  for (int round = 0; round < 2'000; ++round) {
    const auto flow = this->random_flow(random, FlowState::established);
    const std::size_t behind = random() % 4;
    const std::size_t edges = 2 * (1 + random() % 3);
    Bytes options(behind, tcp_option::no_operation);
    test::append(options, Bytes{tcp_option::sack, static_cast<std::uint8_t>(2 + 4 * edges)});
    for (std::size_t octet = 0; octet < 4 * edges; ++octet) {
      options.push_back(static_cast<std::uint8_t>(random()));
    }
    options.resize((options.size() + 3) / 4 * 4);
    Frame frame = this->segment(flow, Side::server, random, options);
    rewrite(frame.parse(), flow, Side::server);
    ASSERT_TRUE(frame.checksums_right()) << round;
    for (std::size_t edge = 0; edge < edges; ++edge) {
      const std::size_t at = behind + 2 + 4 * edge;
      ASSERT_EQ(test::get32(frame.l4(), 20 + at), test::get32(options, at) - flow.sequence_delta);
    }
  }
}

TYPED_TEST(Rewrite, StrippedTimestampsLeaveARightChecksumAtEveryOffset) {
  std::mt19937 random(4);
  for (int round = 0; round < 2'000; ++round) {
    const auto flow = this->random_flow(random, FlowState::syn_sent);
    const std::size_t behind = random() % 6;
    Bytes options(behind, tcp_option::no_operation);
    test::append(options, Bytes{tcp_option::timestamps, 10});
    for (int octet = 0; octet < 8; ++octet) {
      options.push_back(static_cast<std::uint8_t>(random()));
    }
    test::append(options, Bytes{3, 3, 7});
    options.resize((options.size() + 3) / 4 * 4);
    Frame frame = test::tcp(flow.client_side(), {.sequence = {7}, .flags = syn, .options = options});
    packet::ChecksumDelta stripped;
    strip_timestamps(frame.l4().data(), stripped);
    rewrite(frame.parse(), flow, Side::client, stripped);
    ASSERT_TRUE(frame.checksums_right()) << round;
    std::fill_n(options.begin() + static_cast<std::ptrdiff_t>(behind), 10, tcp_option::no_operation);
    ASSERT_TRUE(std::ranges::equal(frame.l4().subspan(20), options));
  }
}

TYPED_TEST(Rewrite, ALoweredSegmentSizeLeavesARightChecksumAtEveryOffset) {
  std::mt19937 random(7);
  for (int round = 0; round < 2'000; ++round) {
    const auto flow = this->random_flow(random, FlowState::syn_sent);
    const auto offered = static_cast<std::uint16_t>(random());
    const auto most = static_cast<std::uint16_t>(random());
    const std::size_t behind = random() % 6;
    Bytes options(behind, tcp_option::no_operation);
    test::append(options, Bytes{tcp_option::maximum_segment_size, 4, static_cast<std::uint8_t>(offered >> 8U),
                                static_cast<std::uint8_t>(offered), 3, 3, 7});
    options.resize((options.size() + 3) / 4 * 4);
    Frame frame = test::tcp(flow.client_side(), {.sequence = {7}, .flags = syn, .options = options});
    packet::ChecksumDelta lowered;
    lower_segment_size(frame.l4().data(), most, lowered);
    rewrite(frame.parse(), flow, Side::client, lowered);
    ASSERT_TRUE(frame.checksums_right()) << round;
    ASSERT_EQ(packet::load_be16(&frame.l4()[20 + behind + 2]), std::min(offered, most));
  }
}

// A server's reset without ACK has no acknowledgment to move (RFC 9293 section 3.1: the field is not significant).
TYPED_TEST(Rewrite, AnAcknowledgmentThatIsNoneStays) {
  std::mt19937 random(5);
  const auto flow = this->random_flow(random, FlowState::established);
  Frame frame = test::tcp(flow.server_side(), {.sequence = {7}, .flags = rst});
  rewrite(frame.parse(), flow, Side::server);
  EXPECT_EQ(frame.acknowledgment(), Sequence{0});
  EXPECT_TRUE(frame.checksums_right());
}

TYPED_TEST(Rewrite, ThereAndBackLeavesNothingButTheHopLimit) {
  std::mt19937 random(6);
  const auto flow = this->random_flow(random, FlowState::udp);
  Frame frame = test::udp(flow.client_side(), {.payload = 9});
  const Bytes payload(frame.bytes.end() - 9, frame.bytes.end());
  rewrite(frame.parse(), flow, Side::client);
  auto mirrored = test::udp(frame.parse().template tuple<TypeParam>().reversed(), {.payload = 9});
  rewrite(mirrored.parse(), flow, Side::server);
  EXPECT_EQ(mirrored.parse().template tuple<TypeParam>(), flow.client_side().reversed());
  EXPECT_TRUE(std::ranges::equal(std::span(mirrored.bytes).last(9), payload));
  EXPECT_EQ(mirrored.ttl(), 63);
}

TEST(TcpOptions, WellFormedOnesAreVisitedInOrder) {
  EXPECT_THAT(options_of({2, 4, 5, 180, 1, 3, 3, 7, 4, 2, 1, 1}),
              ElementsAre(std::pair{2, 4U}, std::pair{3, 3U}, std::pair{4, 2U}));
}

TEST(TcpOptions, TheWalkEndsAtTheEndAndAtTheFirstMalformedOne) {
  EXPECT_THAT(options_of({2, 4, 5, 180, 0, 3, 3, 7}), ElementsAre(std::pair{2, 4U}));
  EXPECT_THAT(options_of({4, 2, 3, 0, 2, 4, 5, 180}), ElementsAre(std::pair{4, 2U}));
  EXPECT_THAT(options_of({4, 2, 3, 1, 2, 4, 5, 180}), ElementsAre(std::pair{4, 2U}));
  EXPECT_THAT(options_of({4, 2, 5, 34, 0, 0, 0, 0}), ElementsAre(std::pair{4, 2U}));
  EXPECT_THAT(options_of({1, 1, 1, 5}), testing::IsEmpty());
  EXPECT_THAT(options_of({}), testing::IsEmpty());
}

}  // namespace
}  // namespace steelyard::l4
