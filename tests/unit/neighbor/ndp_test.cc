// Neighbour solicitations and advertisements: the checks of RFC 4861 section 7.1, and what is built.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "tests/unit/neighbor/frames.h"

namespace steelyard::neighbor {
namespace {

using test::Bytes;
using test::Frame;
using test::key;
using test::link_option;
using test::mac;
using test::Ndp;
using Kind = NeighborMessage::Kind;

std::optional<NeighborMessage> read(Frame frame) {
  const packet::PacketView view = frame.parse();
  EXPECT_TRUE(is_neighbor_discovery(view));
  return is_neighbor_discovery(view) ? parse_ndp(view, frame.l3().size()) : std::nullopt;
}
bool is_read(const Ndp& fields) {
  return read(test::ndp(fields)).has_value();
}

Frame built(std::span<const std::uint8_t> room, std::size_t length) {
  return {{room.begin(), room.begin() + static_cast<std::ptrdiff_t>(length)}};
}
Frame request(const MacAddress* unicast_to = nullptr, const std::string& source = "2001:db8:1::2") {
  std::array<std::uint8_t, largest_message> room{};
  return built(room, build_request(room, mac(2), key(source), key("2001:db8:1::12:3456"), unicast_to));
}
Frame answer(const NeighborMessage* asked) {
  std::array<std::uint8_t, largest_message> room{};
  return built(room, build_answer(room, mac(2), key("2001:db8:1::10"), asked));
}

IpKey source_of(Frame frame) {
  return frame.parse().source<packet::Ipv6>();
}
IpKey destination_of(Frame frame) {
  return frame.parse().destination<packet::Ipv6>();
}
std::uint8_t flags_of(Frame frame) {
  return frame.l4()[4];
}
Bytes options_of(Frame frame) {
  const auto options = frame.l4().subspan(24);
  return {options.begin(), options.end()};
}

TEST(NdpParsing, ReadsASolicitation) {
  const auto message = read(test::ndp({.options = link_option(1, mac(7))}));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->kind, Kind::request);
  EXPECT_EQ(message->sender, key("2001:db8:1::1"));
  EXPECT_EQ(message->target, key("2001:db8:1::10"));
  EXPECT_TRUE(message->has_sender_mac);
  EXPECT_EQ(message->sender_mac, mac(7));
  EXPECT_FALSE(message->solicited);
}

TEST(NdpParsing, ReadsAnAdvertisementOfItsTarget) {
  const auto message = read(test::ndp(test::advertised("2001:db8:1::9", mac(9), "2001:db8:1::2")));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->kind, Kind::answer);
  EXPECT_EQ(message->sender, key("2001:db8:1::9"));
  EXPECT_EQ(message->sender_mac, mac(9));
  EXPECT_TRUE(message->solicited);
  EXPECT_TRUE(message->overrides);
}

TEST(NdpParsing, TellsAnAdvertisementsFlagsApart) {
  Ndp fields = test::advertised("2001:db8:1::9", mac(9), "2001:db8:1::2");
  for (unsigned flags = 0; flags < 8; ++flags) {
    fields.flags = static_cast<std::uint8_t>(flags << 5U);
    const auto message = read(test::ndp(fields));
    ASSERT_TRUE(message) << flags;
    EXPECT_EQ(message->solicited, (fields.flags & test::solicited_flag) != 0) << flags;
    EXPECT_EQ(message->overrides, (fields.flags & test::override_flag) != 0) << flags;
  }
}

TEST(NdpParsing, RefusesEveryHopLimitBut255) {
  for (const int hop_limit : {0, 1, 64, 254}) {
    EXPECT_FALSE(is_read({.hop_limit = static_cast<std::uint8_t>(hop_limit)})) << hop_limit;
  }
  EXPECT_TRUE(is_read({.hop_limit = 255}));
}

TEST(NdpParsing, RefusesAWrongChecksum) {
  const Frame right = test::ndp({});
  for (std::size_t at = 14 + 8; at < right.bytes.size(); ++at) {
    if (at == 54) {
      continue;  // the type
    }
    Frame wrong = right;
    wrong.bytes[at] ^= 0x01;
    const packet::PacketView view = wrong.parse();
    EXPECT_FALSE(view.kind == packet::PacketKind::icmp && parse_ndp(view, wrong.l3().size())) << at;
  }
}

TEST(NdpParsing, RefusesAnyOtherCode) {
  EXPECT_FALSE(is_read({.code = 1}));
}

TEST(NdpParsing, RefusesAMessageThatEndsBeforeItsTarget) {
  Frame frame = test::ndp({.options = {}});
  EXPECT_TRUE(read(frame));
  frame.bytes.pop_back();
  test::put16(frame.bytes, 18, 23);
  frame.fix_checksums();
  EXPECT_FALSE(read(frame));
}

TEST(NdpParsing, RefusesAMessageOfWhichOnlyAPartIsContiguous) {
  Frame frame = test::ndp({});
  const packet::PacketView view = frame.parse();
  EXPECT_TRUE(parse_ndp(view, frame.l3().size()));
  EXPECT_FALSE(parse_ndp(view, frame.l3().size() - 1));
}

TEST(NdpParsing, RefusesTargetsThatAreGroups) {
  EXPECT_FALSE(is_read({.target = "ff02::1"}));
  EXPECT_FALSE(is_read({.type = test::advertisement, .target = "ff02::1", .options = link_option(2, mac(1))}));
}

TEST(NdpParsing, RefusesAnOptionOfLengthZero) {
  Bytes option = link_option(1, mac(1));
  option[1] = 0;
  EXPECT_FALSE(is_read({.options = option}));
}

TEST(NdpParsing, RefusesAnOptionThatGoesBeyondTheEnd) {
  Bytes option = link_option(1, mac(1));
  for (const int units : {2, 3, 255}) {
    option[1] = static_cast<std::uint8_t>(units);
    EXPECT_FALSE(is_read({.options = option})) << units;
  }
}

TEST(NdpParsing, RefusesATrailingPieceOfAnOption) {
  for (std::size_t size = 1; size < 8; ++size) {
    Bytes options = link_option(1, mac(1));
    options.resize(8 + size, 1);
    EXPECT_FALSE(is_read({.options = options})) << size;
  }
}

TEST(NdpParsing, SkipsOptionsThatItDoesNotKnow) {
  Bytes options(16, 0x5a);
  options[0] = 14;  // a nonce (RFC 3971)
  options[1] = 2;
  test::append(options, link_option(1, mac(7)));
  const auto message = read(test::ndp({.options = options}));
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->has_sender_mac);
  EXPECT_EQ(message->sender_mac, mac(7));
}

TEST(NdpParsing, TakesTheLinkAddressOnlyFromTheOptionOfItsMessage) {
  const auto asked = read(test::ndp({.options = link_option(2, mac(7))}));
  ASSERT_TRUE(asked);
  EXPECT_FALSE(asked->has_sender_mac);
  Ndp fields = test::advertised("2001:db8:1::9", mac(9), "2001:db8:1::2");
  fields.options = link_option(1, mac(9));
  const auto answered = read(test::ndp(fields));
  ASSERT_TRUE(answered);
  EXPECT_FALSE(answered->has_sender_mac);
}

TEST(NdpParsing, TakesNoGroupForALinkAddress) {
  for (const MacAddress& group : {test::all_stations, MacAddress{0x33, 0x33, 0, 0, 0, 1}, MacAddress{}}) {
    const auto message = read(test::ndp({.options = link_option(1, group)}));
    EXPECT_FALSE(message && message->has_sender_mac);
  }
}

TEST(NdpParsing, RefusesASolicitedAdvertisementToAGroup) {  // RFC 4861 section 7.1.2
  Ndp fields = test::advertised("2001:db8:1::9", mac(9), "ff02::1");
  EXPECT_FALSE(is_read(fields));
  fields.flags = test::override_flag;
  EXPECT_TRUE(is_read(fields));
}

TEST(NdpParsing, ReadsAProbeForADuplicate) {
  const auto message = read(test::ndp({.source = "::", .options = {}}));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->kind, Kind::request);
  EXPECT_EQ(message->sender, IpKey{});
  EXPECT_FALSE(message->has_sender_mac);
}

TEST(NdpParsing, RefusesAProbeThatNamesALinkAddressOrGoesElsewhere) {  // RFC 4861 section 7.1.1
  EXPECT_FALSE(is_read({.source = "::", .options = link_option(1, mac(1))}));
  EXPECT_FALSE(is_read({.source = "::", .destination = "2001:db8:1::10", .options = {}}));
  EXPECT_FALSE(is_read({.source = "::", .destination = "ff02::1", .options = {}}));
  EXPECT_FALSE(is_read({.source = "::", .destination = "ff02::1:ff00:11", .options = {}}));
}

// RFC 4861 section 7.1.1 asks whether the option is there, not whether what it says is of use.
TEST(NdpParsing, RefusesAProbeWithALinkAddressThatIsAGroup) {
  EXPECT_FALSE(is_read({.source = "::", .options = link_option(1, test::all_stations)}));
}

TEST(NdpParsing, KnowsNeighborDiscoveryByItsType) {
  for (unsigned type = 128; type < 140; ++type) {
    Frame frame = test::ndp({.type = static_cast<std::uint8_t>(type)});
    EXPECT_EQ(is_neighbor_discovery(frame.parse()), type == 135 || type == 136) << type;
  }
  Frame v4 = test::ip<packet::Ipv4>(test::address<packet::Ipv4>("192.0.2.1"), test::address<packet::Ipv4>("192.0.2.2"),
                                    packet::protocol_icmp, Bytes(32, 135));
  EXPECT_FALSE(is_neighbor_discovery(v4.parse()));
}

TEST(NdpParsing, NeverReadsBeyondTheFrameWhateverItsOptionsSay) {
  std::mt19937 random(4861);
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    Bytes options(random() % 40);
    std::ranges::generate(options, [&] { return static_cast<std::uint8_t>(random() % 4); });
    accepted += is_read({.options = options}) ? 1 : 0;
  }
  EXPECT_GT(accepted, 100);
  EXPECT_LT(accepted, 10'000);
}

TEST(NdpBuilding, ASolicitationGoesToTheTargetsGroup) {
  Frame frame = request();
  EXPECT_EQ(test::to_mac(frame), (MacAddress{0x33, 0x33, 0xff, 0x12, 0x34, 0x56}));
  EXPECT_EQ(test::from_mac(frame), mac(2));
  EXPECT_EQ(source_of(frame), key("2001:db8:1::2"));
  EXPECT_EQ(destination_of(frame), key("ff02::1:ff12:3456"));
  EXPECT_EQ(frame.ttl(), 255);
  EXPECT_EQ(frame.l4()[0], test::solicitation);
  EXPECT_EQ(options_of(frame), link_option(1, mac(2)));
  EXPECT_TRUE(frame.checksums_right());
  const auto message = read(frame);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->target, key("2001:db8:1::12:3456"));
}

TEST(NdpBuilding, AConfirmationGoesToTheTargetItself) {
  const MacAddress known = mac(9);
  Frame frame = request(&known);
  EXPECT_EQ(test::to_mac(frame), known);
  EXPECT_EQ(destination_of(frame), key("2001:db8:1::12:3456"));
  EXPECT_TRUE(frame.checksums_right());
  EXPECT_TRUE(read(frame));
}

// RFC 4861 section 4.3: the source link-layer address must not be there; receivers throw such a message away (7.1.1).
TEST(NdpBuilding, ASolicitationFromTheUnspecifiedAddressGoesToTheGroupAndNamesNoLinkAddress) {
  const MacAddress known = mac(9);
  for (const MacAddress* unicast_to : {static_cast<const MacAddress*>(nullptr), &known}) {
    Frame frame = request(unicast_to, "::");
    EXPECT_EQ(options_of(frame), Bytes{});
    EXPECT_EQ(destination_of(frame), key("ff02::1:ff12:3456"));
    EXPECT_TRUE(frame.checksums_right());
    EXPECT_TRUE(read(frame));
  }
}

TEST(NdpBuilding, AnAnswerGoesToTheAskerSolicitedAndOverriding) {
  const auto asked = read(test::ndp({.options = link_option(1, mac(7))}));
  Frame frame = answer(&*asked);
  EXPECT_EQ(test::to_mac(frame), mac(7));
  EXPECT_EQ(source_of(frame), key("2001:db8:1::10"));
  EXPECT_EQ(destination_of(frame), key("2001:db8:1::1"));
  EXPECT_EQ(frame.ttl(), 255);
  EXPECT_EQ(flags_of(frame), test::solicited_flag | test::override_flag);
  EXPECT_EQ(options_of(frame), link_option(2, mac(2)));
  EXPECT_TRUE(frame.checksums_right());
  EXPECT_TRUE(read(frame));
}

TEST(NdpBuilding, AProbeIsAnsweredToAllNodesAndUnsolicited) {  // RFC 4861 section 7.2.4
  const auto asked = read(test::ndp({.source = "::", .options = {}}));
  Frame frame = answer(&*asked);
  EXPECT_EQ(test::to_mac(frame), (MacAddress{0x33, 0x33, 0, 0, 0, 1}));
  EXPECT_EQ(destination_of(frame), key("ff02::1"));
  EXPECT_EQ(flags_of(frame) & test::solicited_flag, 0);
  EXPECT_EQ(options_of(frame), link_option(2, mac(2)));
  EXPECT_TRUE(frame.checksums_right());
  EXPECT_TRUE(read(frame));
}

TEST(NdpBuilding, AnAnnouncementOverridesAtAllNodes) {  // RFC 4861 section 7.2.6
  Frame frame = answer(nullptr);
  EXPECT_EQ(destination_of(frame), key("ff02::1"));
  EXPECT_EQ(flags_of(frame), test::override_flag);
  EXPECT_EQ(frame.ttl(), 255);
  EXPECT_TRUE(frame.checksums_right());
  const auto message = read(frame);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->target, key("2001:db8:1::10"));
  EXPECT_EQ(message->sender_mac, mac(2));
}

TEST(SolicitedNodeMac, IsMadeOfTheAddressesLastThreeBytes) {  // RFC 4291 section 2.7.1, RFC 2464 section 7
  EXPECT_EQ(solicited_node_mac(key("fe80::2aa:ff:fe28:9c5a")), (MacAddress{0x33, 0x33, 0xff, 0x28, 0x9c, 0x5a}));
}

}  // namespace
}  // namespace steelyard::neighbor
