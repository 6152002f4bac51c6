// ARP messages as RFC 826 and RFC 5227 have them: what is read, what is refused, and what is built.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/unit/neighbor/frames.h"

namespace steelyard::neighbor {
namespace {

using test::Arp;
using test::Frame;
using test::key;
using test::mac;
using Kind = NeighborMessage::Kind;

std::optional<NeighborMessage> read(Frame frame) {
  return parse_arp(frame.l3());
}

// The 28 bytes behind the Ethernet header of something that was built, by the RFC's names.
Arp fields_of(const Frame& frame) {
  const auto arp = std::span(frame.bytes).subspan(14);
  char text[INET_ADDRSTRLEN];
  Arp fields;
  fields.operation = test::get16(arp, 6);
  fields.sender_mac = test::mac_at(arp, 8);
  fields.sender = inet_ntop(AF_INET, arp.data() + 14, text, sizeof text);
  fields.target_mac = test::mac_at(arp, 18);
  fields.target = inet_ntop(AF_INET, arp.data() + 24, text, sizeof text);
  fields.to = test::to_mac(frame);
  return fields;
}

Frame built(std::span<const std::uint8_t> room, std::size_t length) {
  return {{room.begin(), room.begin() + static_cast<std::ptrdiff_t>(length)}};
}
Frame request(const MacAddress* unicast_to = nullptr, const std::string& source = "192.0.2.2") {
  std::array<std::uint8_t, largest_message> room{};
  return built(room, build_request(room, mac(2), key(source), key("192.0.2.9"), unicast_to));
}
Frame answer(const NeighborMessage* asked) {
  std::array<std::uint8_t, largest_message> room{};
  return built(room, build_answer(room, mac(2), key("192.0.2.10"), asked));
}

TEST(ArpParsing, ReadsARequest) {
  const auto message = read(test::arp({.sender_mac = mac(7), .sender = "192.0.2.7", .target = "192.0.2.10"}));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->kind, Kind::request);
  EXPECT_EQ(message->sender, key("192.0.2.7"));
  EXPECT_EQ(message->target, key("192.0.2.10"));
  EXPECT_TRUE(message->has_sender_mac);
  EXPECT_EQ(message->sender_mac, mac(7));
}

TEST(ArpParsing, ReadsAReplyAndItsSenderOverridesWhatIsKnown) {
  const auto message = read(test::arp({.operation = 2, .sender_mac = mac(7), .sender = "192.0.2.7"}));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->kind, Kind::answer);
  EXPECT_EQ(message->sender_mac, mac(7));
  EXPECT_TRUE(message->overrides);
}

TEST(ArpParsing, ReadsAProbeWhoseSenderIsUnspecified) {
  const auto message = read(test::arp({.sender = "0.0.0.0"}));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->sender, key("0.0.0.0"));
  EXPECT_EQ(message->kind, Kind::request);
}

TEST(ArpParsing, NeedsTwentyEightBytesAndReadsNoneBeyond) {
  Frame frame = test::arp({});
  frame.bytes.resize(14 + 28);
  EXPECT_TRUE(read(frame));
  while (frame.bytes.size() > 14) {
    frame.bytes.pop_back();
    frame.bytes.shrink_to_fit();
    EXPECT_FALSE(read(frame)) << frame.bytes.size();
  }
}

TEST(ArpParsing, RefusesOtherHardwareAndOtherProtocols) {
  EXPECT_FALSE(read(test::arp({.hardware = 6})));
  EXPECT_FALSE(read(test::arp({.protocol = 0x86dd})));
  EXPECT_FALSE(read(test::arp({.hardware_size = 8})));
  EXPECT_FALSE(read(test::arp({.protocol_size = 16})));
}

TEST(ArpParsing, RefusesOperationsThatAreNeitherRequestNorReply) {
  for (const int operation : {0, 3, 4, 8, 9, 0x0100, 0xffff}) {
    EXPECT_FALSE(read(test::arp({.operation = static_cast<std::uint16_t>(operation)}))) << operation;
  }
}

TEST(ArpParsing, RefusesSendersThatCanBeNoStation) {
  EXPECT_FALSE(read(test::arp({.sender_mac = test::all_stations})));
  EXPECT_FALSE(read(test::arp({.sender_mac = {0x01, 0x00, 0x5e, 0, 0, 1}})));
  EXPECT_FALSE(read(test::arp({.sender_mac = {}})));
}

TEST(ArpBuilding, ARequestGoesToEverybody) {
  const Frame frame = request();
  EXPECT_EQ(test::get16(frame.bytes, 12), 0x0806);
  EXPECT_EQ(test::from_mac(frame), mac(2));
  const Arp fields = fields_of(frame);
  EXPECT_EQ(fields.to, test::all_stations);
  EXPECT_EQ(fields.operation, 1);
  EXPECT_EQ(fields.sender_mac, mac(2));
  EXPECT_EQ(fields.sender, "192.0.2.2");
  EXPECT_EQ(fields.target_mac, MacAddress{});
  EXPECT_EQ(fields.target, "192.0.2.9");
}

TEST(ArpBuilding, AConfirmationGoesToTheOneWhoIsAsked) {
  const MacAddress known = mac(9);
  const Frame frame = request(&known);
  EXPECT_EQ(test::to_mac(frame), known);
  EXPECT_EQ(fields_of(frame).operation, 1);
}

TEST(ArpBuilding, WithoutAnAddressOfOurOwnTheSenderIsUnspecified) {
  EXPECT_EQ(fields_of(request(nullptr, "0.0.0.0")).sender, "0.0.0.0");
}

TEST(ArpBuilding, AnAnswerGoesToTheAskerAlone) {
  const auto asked = read(test::arp({.sender_mac = mac(7), .sender = "192.0.2.7"}));
  const Frame frame = answer(&*asked);
  const Arp fields = fields_of(frame);
  EXPECT_EQ(fields.to, mac(7));
  EXPECT_EQ(fields.operation, 2);
  EXPECT_EQ(fields.sender_mac, mac(2));
  EXPECT_EQ(fields.sender, "192.0.2.10");
  EXPECT_EQ(fields.target_mac, mac(7));
  EXPECT_EQ(fields.target, "192.0.2.7");
}

TEST(ArpBuilding, AnAnnouncementIsARequestForTheOwnAddress) {  // RFC 5227 section 3
  const Frame frame = answer(nullptr);
  const Arp fields = fields_of(frame);
  EXPECT_EQ(fields.to, test::all_stations);
  EXPECT_EQ(fields.operation, 1);
  EXPECT_EQ(fields.sender, "192.0.2.10");
  EXPECT_EQ(fields.target, "192.0.2.10");
  EXPECT_EQ(fields.sender_mac, mac(2));
  EXPECT_EQ(fields.target_mac, MacAddress{});
}

TEST(ArpBuilding, WhatIsBuiltIsReadBack) {
  EXPECT_TRUE(read(request()));
  EXPECT_TRUE(read(answer(nullptr)));
}

TEST(IpKey, KeepsIpv4MappedAndTellsItFromIpv6) {
  const auto address = test::address<packet::Ipv4>("192.0.2.7");
  EXPECT_EQ(to_key(address), key("192.0.2.7"));
  EXPECT_EQ(to_v4(key("192.0.2.7")), address);
  EXPECT_TRUE(is_v4(key("0.0.0.0")));
  EXPECT_TRUE(is_v4(key("255.255.255.255")));
  EXPECT_FALSE(is_v4(key("::")));
  EXPECT_FALSE(is_v4(key("::192.0.2.7")));
  EXPECT_FALSE(is_v4(key("1::ffff:192.0.2.7")));
  EXPECT_FALSE(is_v4(key("::1:ffff:0:0")));
  EXPECT_FALSE(is_v4(key("64:ff9b::192.0.2.7")));
}

}  // namespace
}  // namespace steelyard::neighbor
