// A VLAN of a port: its frames have a tag on the wire, and are handled like those of a port of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/worker/stand.h"

namespace steelyard {
namespace {

using test::DropReason;
using test::first_packet;
using test::Frame;
using test::lan;
using test::Scene;
using test::Stand;
using test::wan;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint16_t vlan = 200;

template <class Family>
class Vlans : public testing::Test {};
using Families = testing::Types<packet::Ipv4, packet::Ipv6>;
TYPED_TEST_SUITE(Vlans, Families);

TYPED_TEST(Vlans, AConnectionPassesFromAPortToItsVlanAndBack) {
  for (const std::uint16_t port : {test::nat_port, test::fullnat_port, test::datagram_port}) {
    Stand stand({.lan_vlan = vlan});
    stand.receive(wan, first_packet<TypeParam>(port));
    stand.resolve();
    const auto to_server = stand.sent(lan);
    ASSERT_THAT(to_server, SizeIs(1));
    EXPECT_EQ(stand.drops(DropReason::vlan_unknown), 0u);
    const std::uint64_t tagged = stand.sent_tagged();
    EXPECT_GT(tagged, 0u);
    stand.receive(lan, test::answer_to<TypeParam>(to_server[0]));
    stand.resolve();
    EXPECT_THAT(stand.sent(wan), SizeIs(1));
    EXPECT_EQ(stand.sent_tagged(), tagged) << "the answer leaves without a tag";
  }
}

TYPED_TEST(Vlans, AWorkerWithoutAQueueSendsTaggedFramesThroughTheOneThatHasIt) {
  Stand stand({.workers = 2, .queues = 1, .lan_vlan = vlan});
  const std::uint16_t port = stand.template port_owned_by<TypeParam>(1, Scene<TypeParam>::client);
  stand.receive(wan, first_packet<TypeParam>(test::nat_port, port));
  stand.resolve();
  const auto to_server = stand.sent(lan);
  ASSERT_THAT(to_server, SizeIs(1));
  EXPECT_GT(stand.packets(1).relayed_out.get(), 0u);
  stand.receive(lan, test::answer_to<TypeParam>(to_server[0]));
  stand.resolve();
  EXPECT_THAT(stand.sent(wan), SizeIs(1));
}

TYPED_TEST(Vlans, FramesOfOtherVlansAreDroppedByName) {
  Stand stand({.lan_vlan = vlan});
  const std::uint64_t before = stand.all_drops();
  Frame frame = first_packet<TypeParam>(test::nat_port);
  test::set_macs(frame, test::own_mac(wan), test::gateway_mac);
  stand.receive_as_is(wan, test::tagged(frame, vlan + 1));
  stand.receive_as_is(wan, test::tagged(test::tagged(frame, vlan), vlan));
  stand.settle();
  EXPECT_EQ(stand.drops(DropReason::vlan_unknown), 2u);
  EXPECT_EQ(stand.all_drops(), before + 2);
  EXPECT_THAT(stand.sent(wan), IsEmpty());
  EXPECT_THAT(stand.sent(lan), IsEmpty());
}

// IEEE 802.1Q section 6.9: the identifier 0 tells a priority, and the upper four bits are no part of it.
TYPED_TEST(Vlans, APriorityIsNoVlan) {
  Stand stand({.lan_vlan = vlan});
  Frame frame = first_packet<TypeParam>(test::nat_port);
  test::set_macs(frame, test::own_mac(wan), test::gateway_mac);
  stand.receive_as_is(wan, test::tagged(frame, 0xe000));
  stand.resolve();
  const auto to_server = stand.sent(lan);
  ASSERT_THAT(to_server, SizeIs(1));
  Frame answer = test::answer_to<TypeParam>(to_server[0]);
  test::set_macs(answer, test::own_mac(lan), test::host_mac(lan, 1));
  stand.receive_as_is(wan, test::tagged(answer, 0x6000 | vlan));
  stand.resolve();
  EXPECT_THAT(stand.sent(wan), SizeIs(1));
}

// Frames of both links in one burst: each link's in the order of arrival.
TYPED_TEST(Vlans, ABurstOfBothLinksIsSortedOut) {
  Stand stand({.lan_vlan = vlan});
  stand.receive(wan, first_packet<TypeParam>(test::datagram_port));
  stand.resolve();
  const auto to_server = stand.sent(lan);
  ASSERT_THAT(to_server, SizeIs(1));
  const auto sized = [](Frame frame, std::size_t payload) {
    return test::udp(frame.parse().template tuple<TypeParam>(), {.payload = payload});
  };
  const Frame answer = test::answer_to<TypeParam>(to_server[0]);
  stand.receive(lan, answer);
  stand.resolve();
  ASSERT_THAT(stand.sent(wan), SizeIs(1));
  for (std::size_t number = 0; number < 10; ++number) {
    stand.receive(wan, sized(first_packet<TypeParam>(test::datagram_port), 100 + number));
    stand.receive(lan, sized(answer, 200 + number));
  }
  EXPECT_EQ(stand.turn(0), 20u);
  const auto to_servers = stand.sent(lan);
  const auto to_clients = stand.sent(wan);
  ASSERT_THAT(to_servers, SizeIs(10));
  ASSERT_THAT(to_clients, SizeIs(10));
  for (std::size_t number = 1; number < 10; ++number) {
    EXPECT_EQ(to_servers[number].bytes.size(), to_servers[0].bytes.size() + number);
    EXPECT_EQ(to_clients[number].bytes.size(), to_clients[0].bytes.size() + number);
  }
}

TYPED_TEST(Vlans, WhatItsKernelSideSendsIsTaggedAndWhatItGetsIsNot) {
  Stand stand({.kernel = true, .lan_vlan = vlan});
  Frame frame = first_packet<TypeParam>(test::nat_port);
  test::set_macs(frame, test::host_mac(lan, 1), test::own_mac(lan));
  const std::uint64_t before = stand.sent_tagged();
  stand.receive_from_kernel(lan, frame);
  stand.settle();
  const auto sent = stand.sent(lan);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].bytes, frame.bytes);
  EXPECT_EQ(stand.sent_tagged(), before + 1);
  Frame echo =
      test::echo_request<TypeParam>(Scene<TypeParam>::server, TypeParam::is_v6 ? "2001:db8:2::254" : "10.0.0.254");
  test::set_macs(echo, test::own_mac(lan), test::host_mac(lan, 1));
  stand.receive_as_is(lan, echo);
  stand.settle();
  const auto given = stand.given_to_kernel(lan);
  ASSERT_THAT(given, SizeIs(1));
  EXPECT_EQ(given[0].bytes, echo.bytes);
}

TYPED_TEST(Vlans, AFullPortLosesTaggedFramesByName) {
  Stand stand({.lan_vlan = vlan});
  stand.receive(wan, first_packet<TypeParam>(test::datagram_port));
  stand.resolve();
  ASSERT_THAT(stand.sent(lan), SizeIs(1));
  const auto datagram = first_packet<TypeParam>(test::datagram_port);
  stand.port(wan).set_room(5);
  for (int number = 0; number < 100; ++number) {
    stand.receive(wan, datagram);
  }
  stand.settle();
  EXPECT_THAT(stand.sent(lan), SizeIs(5));
  EXPECT_EQ(stand.drops(DropReason::tx_ring_full), 95u);
}

TYPED_TEST(Vlans, AFrameThatEndsInItsTagIsDropped) {
  Stand stand({.lan_vlan = vlan});
  const std::uint64_t before = stand.all_drops();
  Frame frame = first_packet<TypeParam>(test::nat_port);
  test::set_macs(frame, test::own_mac(wan), test::gateway_mac);
  const Frame with = test::tagged(frame, vlan);
  for (const std::size_t length : {15u, 16u, 17u, 18u, 20u}) {
    stand.receive_as_is(wan, Frame{{with.bytes.begin(), with.bytes.begin() + static_cast<std::ptrdiff_t>(length)}});
  }
  stand.settle();
  EXPECT_EQ(stand.all_drops(), before + 5);
}

}  // namespace
}  // namespace steelyard
