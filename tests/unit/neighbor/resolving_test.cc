// A next hop from its first packet to its answer, or to being given up, and what bounds all of it.
#include <gmock/gmock.h>

#include "tests/unit/neighbor/table_fixture.h"

namespace steelyard::neighbor {
namespace {

using packet::DropReason;
using test::key;
using test::mac;
using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

using Resolving = NeighborTableTest;

std::string numbered(std::size_t host) {
  return "10.0." + std::to_string(host / 256) + '.' + std::to_string(host % 256);
}

TEST_F(Resolving, ANewHopIsAskedForOnceAndNotYetReachable) {
  const HopIndex index = hop("192.0.2.9");
  EXPECT_NE(index, HopIndex{});
  EXPECT_FALSE(table[index].reachable);
  EXPECT_EQ(hop("192.0.2.9"), index);
  EXPECT_EQ(hop("192.0.2.9"), index);
  EXPECT_EQ(requests(), 1u);
  EXPECT_EQ(table.size(), 1u);
}

TEST_F(Resolving, TheRequestIsAnArpBroadcastFromThePortsAddress) {
  (void)hop("10.0.0.9", 1);
  ASSERT_THAT(output.sent, SizeIs(1));
  EXPECT_EQ(output.sent[0].port, 1);
  EXPECT_EQ(test::to_mac(output.sent[0].frame), test::all_stations);
  const auto message = parse_arp(output.sent[0].frame.l3());
  ASSERT_TRUE(message);
  EXPECT_EQ(message->kind, NeighborMessage::Kind::request);
  EXPECT_EQ(message->sender, key("10.0.0.254"));
  EXPECT_EQ(message->sender_mac, mac(0xa1));
  EXPECT_EQ(message->target, key("10.0.0.9"));
}

TEST_F(Resolving, TheRequestForAnIpv6HopIsASolicitationToItsGroup) {
  (void)hop("2001:db8:1::9");
  ASSERT_THAT(output.sent, SizeIs(1));
  test::Frame& frame = output.sent[0].frame;
  EXPECT_EQ(test::to_mac(frame), solicited_node_mac(key("2001:db8:1::9")));
  const auto message = parse_ndp(frame.parse(), frame.l3().size());
  ASSERT_TRUE(message);
  EXPECT_EQ(message->sender, key("2001:db8:1::2"));
  EXPECT_EQ(message->target, key("2001:db8:1::9"));
}

TEST_F(Resolving, ARequestThatAnyHostMayAnswerIsSentEvenWithoutAnAddressOfTheFamily) {
  (void)hop("2001:db8:2::9", 1);
  ASSERT_THAT(output.sent, SizeIs(1));
  test::Frame& frame = output.sent[0].frame;
  EXPECT_TRUE(parse_ndp(frame.parse(), frame.l3().size()));
}

TEST_F(Resolving, AnAnswerMakesTheHopReachable) {
  const HopIndex index = hop("192.0.2.9");
  answer("192.0.2.9", mac(9));
  EXPECT_TRUE(table[index].reachable);
  EXPECT_EQ(table[index].destination, mac(9));
  EXPECT_EQ(table[index].source, mac(0xa0));
  EXPECT_EQ(table[index].port, 0);
}

TEST_F(Resolving, ARequestOfTheHopItselfTellsAsMuch) {  // RFC 826: the sender is learned before anything else
  const HopIndex index = hop("192.0.2.9");
  learn(*parse_arp(test::arp({.sender_mac = mac(9), .sender = "192.0.2.9", .target = "192.0.2.77"}).l3()));
  EXPECT_TRUE(table[index].reachable);
  EXPECT_EQ(table[index].destination, mac(9));
}

TEST_F(Resolving, TheAnswerOfAnotherAddressOrOnAnotherPortSaysNothing) {
  const HopIndex index = hop("192.0.2.9");
  answer("192.0.2.8", mac(8));
  answer("192.0.2.9", mac(9), 1);
  EXPECT_FALSE(table[index].reachable);
  EXPECT_EQ(table.size(), 1u);
}

TEST_F(Resolving, TheSameAddressOnTwoPortsIsTwoHops) {
  const HopIndex first = hop("192.0.2.9", 0);
  const HopIndex second = hop("192.0.2.9", 1);
  EXPECT_NE(first, second);
  answer("192.0.2.9", mac(9), 1);
  EXPECT_FALSE(table[first].reachable);
  EXPECT_TRUE(table[second].reachable);
}

TEST_F(Resolving, AnIpv6HopIsNotTheIpv4HopThatLooksLikeIt) {
  const HopIndex v4 = hop("192.0.2.9");
  const HopIndex v6 = hop("::192.0.2.9");
  EXPECT_NE(v4, v6);
  answer("::192.0.2.9", mac(9));
  EXPECT_FALSE(table[v4].reachable);
}

TEST_F(Resolving, MessagesFromStrangersCreateNothing) {
  answer("192.0.2.9", mac(9));
  learn(*parse_arp(test::arp({.sender_mac = mac(8), .sender = "192.0.2.8"}).l3()));
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(requests(), 0u);
  EXPECT_FALSE(table[hop("192.0.2.9")].reachable);
}

TEST_F(Resolving, AnAdvertisementWithoutALinkAddressDoesNotResolve) {  // RFC 4861 section 7.2.5
  const HopIndex index = hop("2001:db8:1::9");
  NeighborMessage message;
  message.kind = NeighborMessage::Kind::answer;
  message.sender = key("2001:db8:1::9");
  message.solicited = true;
  learn(message);
  EXPECT_FALSE(table[index].reachable);
}

TEST_F(Resolving, PacketsLeaveInTheOrderInWhichTheyCame) {
  const HopIndex index = hop("192.0.2.9");
  for (std::size_t packet = 0; packet < 10; ++packet) {
    EXPECT_TRUE(wait(index, packet));
  }
  EXPECT_EQ(table.waiting(), 10u);
  answer("192.0.2.9", mac(9));
  ASSERT_THAT(output.released, SizeIs(10));
  for (std::size_t packet = 0; packet < 10; ++packet) {
    EXPECT_THAT(output.released[packet], Pair(packet_at(packet), index.value));
  }
  EXPECT_EQ(table.waiting(), 0u);
}

TEST_F(Resolving, OnlyTheHopThatAnsweredLetsItsPacketsGo) {
  const HopIndex first = hop("192.0.2.8");
  const HopIndex second = hop("192.0.2.9");
  ASSERT_TRUE(wait(first, 0) && wait(second, 1) && wait(first, 2));
  answer("192.0.2.9", mac(9));
  EXPECT_THAT(output.released, ::testing::ElementsAre(Pair(packet_at(1), second.value)));
  EXPECT_EQ(table.waiting(), 2u);
}

TEST_F(Resolving, SixtyFourPacketsWaitForAHop) {
  const HopIndex index = hop("192.0.2.9");
  for (std::size_t packet = 0; packet < 64; ++packet) {
    EXPECT_TRUE(wait(index, packet)) << packet;
  }
  EXPECT_FALSE(wait(index, 64));
  EXPECT_EQ(table.waiting(), 64u);
  answer("192.0.2.9", mac(9));
  EXPECT_THAT(output.released, SizeIs(64));
}

TEST_F(Resolving, AThousandAndTwentyFourPacketsWaitInAll) {
  std::size_t packet = 0;
  for (std::size_t host = 0; host < 16; ++host) {
    const HopIndex index = hop("192.0.2." + std::to_string(host + 1));
    for (std::size_t each = 0; each < 64; ++each) {
      EXPECT_TRUE(wait(index, packet++));
    }
  }
  const HopIndex another = hop("192.0.2.99");
  EXPECT_FALSE(wait(another, packet));
  EXPECT_EQ(table.waiting(), 1'024u);
  answer("192.0.2.1", mac(1));
  EXPECT_TRUE(wait(another, packet));
}

TEST_F(Resolving, ASilentHopIsAskedTwiceASecondFourTimesInAll) {
  (void)hop("192.0.2.9");
  pass(450ms);
  EXPECT_EQ(requests(), 1u);
  pass(100ms);
  EXPECT_EQ(requests(), 2u);
  pass(1s);
  EXPECT_EQ(requests(), 4u);
  pass(10s);
  EXPECT_EQ(requests(), 4u);
  EXPECT_EQ(requests_to(test::all_stations), 4u);
}

TEST_F(Resolving, PacketsOfASilentHopAreGivenUpByName) {
  const HopIndex index = hop("192.0.2.9");
  ASSERT_TRUE(wait(index, 0) && wait(index, 1));
  pass(1900ms);
  EXPECT_THAT(output.given_up, IsEmpty());
  pass(200ms);
  EXPECT_THAT(output.given_up, SizeIs(2));
  EXPECT_THAT(output.given_up, Each(Pair(::testing::_, DropReason::neighbor_unreachable)));
  EXPECT_EQ(output.given_up[0].first, packet_at(0));
  EXPECT_EQ(table.waiting(), 0u);
}

TEST_F(Resolving, AHopThatNeverAnsweredIsForgotten) {
  (void)hop("192.0.2.9");
  pass(3s);
  EXPECT_EQ(table.size(), 0u);
  answer("192.0.2.9", mac(9));
  EXPECT_EQ(table.size(), 0u);
  output = {};
  EXPECT_FALSE(table[hop("192.0.2.9")].reachable);
  EXPECT_EQ(requests(), 1u);
}

TEST_F(Resolving, PacketsDoNotMakeItAskMoreOften) {
  const HopIndex index = hop("192.0.2.9");
  for (std::size_t packet = 0; packet < 64; ++packet) {
    ASSERT_EQ(hop("192.0.2.9"), index);
    ASSERT_TRUE(wait(index, packet));
    table[index].used = true;
    pass(10ms);
  }
  EXPECT_EQ(requests(), 2u);
}

TEST_F(Resolving, NeverAnsweredHopsAreAtMostAThousandAndTwentyFour) {
  for (std::size_t host = 0; host < 1'024; ++host) {
    EXPECT_TRUE(find(numbered(host), 1)) << host;
  }
  EXPECT_FALSE(find(numbered(1'024), 1));
  EXPECT_EQ(table.size(), 1'024u);
  EXPECT_EQ(requests(), 1'024u);
  answer(numbered(7), mac(7), 1);
  EXPECT_TRUE(find(numbered(1'024), 1));
  EXPECT_FALSE(find(numbered(1'025), 1));
}

TEST_F(Resolving, AScanKeepsNobodyOutWhoIsKnownNorForLong) {
  const HopIndex known = known_hop("192.0.2.9", mac(9));
  for (std::size_t host = 0; host < 3'000; ++host) {
    (void)find(numbered(host), 1);
  }
  EXPECT_EQ(hop("192.0.2.9"), known);
  EXPECT_TRUE(table[known].reachable);
  EXPECT_FALSE(find("192.0.2.8"));
  pass(4s);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_TRUE(find("192.0.2.8"));
}

TEST_F(Resolving, AFullTableRefusesNewHopsAndKeepsTheOldOnes) {
  NeighborTable small(ports(), {.hops = 4, .unresolved = 1'024}, {{1, 2, 3, 4}}, output);
  for (std::uint8_t host = 1; host <= 4; ++host) {
    ASSERT_TRUE(small.find(key("192.0.2." + std::to_string(host)), 0, now()));
  }
  EXPECT_FALSE(small.find(key("192.0.2.5"), 0, now()));
  EXPECT_TRUE(small.find(key("192.0.2.4"), 0, now()));
  EXPECT_EQ(small.size(), 4u);
}

TEST_F(Resolving, HopsThatShareABucketStayApartWhenOneIsForgotten) {
  // Four places make four buckets and the chance that eight rounds never chain two is nil.
  NeighborTable small(ports(), {.hops = 3}, {{1, 2, 3, 4}}, output);
  std::uint64_t time = now();
  const auto kept = small.find(key("192.0.2.200"), 0, time);
  ASSERT_TRUE(kept);
  NeighborMessage message;
  message.sender = key("192.0.2.200");
  message.sender_mac = mac(200);
  message.has_sender_mac = true;
  small.learn(message, 0, time);
  for (int round = 0; round < 8; ++round) {
    ASSERT_TRUE(small.find(key("192.0.2." + std::to_string(2 * round + 1)), 0, time));
    ASSERT_TRUE(small.find(key("192.0.2." + std::to_string(2 * round + 2)), 0, time));
    for (int tick = 0; tick < 60; ++tick) {
      small.tick(time += 50'000'000);
    }
    ASSERT_EQ(small.size(), 1u);
    ASSERT_EQ(small.find(key("192.0.2.200"), 0, time), kept);
  }
}

TEST_F(Resolving, ATickLooksAtNoMoreThanItsBudget) {
  for (std::size_t host = 0; host < 100; ++host) {
    (void)hop(numbered(host), 1);
  }
  output = {};
  const std::uint64_t later = now() + 600'000'000;
  for (std::size_t call = 1; call <= 10; ++call) {
    table.tick(later, 10);
    EXPECT_EQ(requests(), 10 * call);
  }
  table.tick(later, 10);
  EXPECT_EQ(requests(), 100u);
}

}  // namespace
}  // namespace steelyard::neighbor
