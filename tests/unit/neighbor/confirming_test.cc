// Hops that have answered once: asked again while they are in use, found gone, found elsewhere.
#include <gmock/gmock.h>

#include "tests/unit/neighbor/table_fixture.h"

namespace steelyard::neighbor {
namespace {

using packet::DropReason;
using test::key;
using test::mac;
using ::testing::Each;
using ::testing::Pair;
using ::testing::SizeIs;

class Confirming : public NeighborTableTest {
 protected:
  NeighborMessage advertised(const MacAddress& at, bool overrides, bool solicited) {
    NeighborMessage message;
    message.kind = NeighborMessage::Kind::answer;
    message.sender = key("2001:db8:1::9");
    message.sender_mac = at;
    message.has_sender_mac = at != MacAddress{};
    message.overrides = overrides;
    message.solicited = solicited;
    return message;
  }
  // Time passes while packets go to the hop.
  void use(HopIndex index, std::chrono::nanoseconds duration) {
    for (auto passed = 0ns; passed < duration; passed += 50ms) {
      table[index].used = true;
      pass(50ms);
    }
  }
};

TEST_F(Confirming, AHopInUseIsAskedByUnicastAfterThirtySeconds) {
  const HopIndex index = known_hop("192.0.2.9", mac(9));
  use(index, 29s);
  EXPECT_EQ(requests(), 0u);
  use(index, 1500ms);
  ASSERT_GE(requests(), 1u);
  EXPECT_EQ(requests_to(mac(9)), requests());
  EXPECT_TRUE(table[index].reachable);
}

TEST_F(Confirming, AHopThatNobodyUsesIsLeftInPeace) {
  const HopIndex index = known_hop("192.0.2.9", mac(9));
  pass(10min);
  EXPECT_EQ(requests(), 0u);
  EXPECT_TRUE(table[index].reachable);
}

TEST_F(Confirming, AHopThatIsNoLongerUsedIsConfirmedOnceMoreAndThenLeftInPeace) {
  const HopIndex index = known_hop("192.0.2.9", mac(9));
  use(index, 1s);
  pass(29100ms);
  EXPECT_EQ(requests(), 1u);
  answer("192.0.2.9", mac(9));
  pass(10min);
  EXPECT_EQ(requests(), 1u);
  EXPECT_TRUE(table[index].reachable);
}

TEST_F(Confirming, AnAnsweredConfirmationIsTheOnlyOneForThirtySeconds) {
  const HopIndex index = known_hop("192.0.2.9", mac(9));
  use(index, 30100ms);
  ASSERT_EQ(requests(), 1u);
  answer("192.0.2.9", mac(9));
  use(index, 29s);
  EXPECT_EQ(requests(), 1u);
  use(index, 1500ms);
  EXPECT_GE(requests(), 2u);
}

TEST_F(Confirming, ThreeSecondsOfSilenceAreThreeUnicastsAndThreeBroadcasts) {
  const HopIndex index = known_hop("192.0.2.9", mac(9));
  use(index, 30s);
  use(index, 2900ms);
  EXPECT_TRUE(table[index].reachable);
  EXPECT_EQ(requests_to(mac(9)), 3u);
  EXPECT_EQ(requests_to(test::all_stations), 3u);
  use(index, 300ms);
  EXPECT_FALSE(table[index].reachable);
}

TEST_F(Confirming, PacketsOfAHopThatIsGoneWaitAndAreGivenUpByName) {
  const HopIndex index = known_hop("192.0.2.9", mac(9));
  use(index, 33200ms);
  ASSERT_FALSE(table[index].reachable);
  ASSERT_TRUE(wait(index, 0) && wait(index, 1));
  pass(3s);
  EXPECT_THAT(output.given_up, SizeIs(2));
  EXPECT_THAT(output.given_up, Each(Pair(::testing::_, DropReason::neighbor_unreachable)));
  EXPECT_EQ(table.waiting(), 0u);
}

TEST_F(Confirming, AHopThatWasReachableOnceKeepsItsPlace) {
  const HopIndex index = known_hop("192.0.2.9", mac(9));
  use(index, 40s);
  ASSERT_FALSE(table[index].reachable);
  pass(1h);
  EXPECT_EQ(hop("192.0.2.9"), index);
  EXPECT_EQ(table.size(), 1u);
}

TEST_F(Confirming, AHopThatIsGoneIsNotAskedForUntilSomebodyWants) {
  const HopIndex index = known_hop("192.0.2.9", mac(9));
  use(index, 34s);
  pass(5s);
  output = {};
  pass(1min);
  EXPECT_EQ(requests(), 0u);
  ASSERT_TRUE(wait(index, 0));
  pass(100ms);
  EXPECT_EQ(requests_to(test::all_stations), 1u);
  answer("192.0.2.9", mac(9));
  EXPECT_THAT(output.released, SizeIs(1));
  EXPECT_TRUE(table[index].reachable);
}

TEST_F(Confirming, AHopThatIsGoneIsAskedForTwiceASecondHoweverManyPacketsCome) {
  const HopIndex index = known_hop("192.0.2.9", mac(9));
  use(index, 40s);
  ASSERT_FALSE(table[index].reachable);
  output = {};
  use(index, 10s);
  EXPECT_GE(requests(), 10u);
  EXPECT_LE(requests(), 20u);
}

TEST_F(Confirming, AHopThatComesBackByItselfIsUsedAgain) {
  const HopIndex index = known_hop("192.0.2.9", mac(9));
  use(index, 40s);
  learn(*parse_arp(test::arp({.sender_mac = mac(9), .sender = "192.0.2.9"}).l3()));
  EXPECT_TRUE(table[index].reachable);
  EXPECT_EQ(hop("192.0.2.9"), index);
}

TEST_F(Confirming, HopsThatWereReachableOnceDoNotCountAsNeverAnswered) {
  for (std::size_t host = 1; host <= 200; ++host) {
    (void)known_hop("192.0.2." + std::to_string(host), mac(9));
  }
  for (std::size_t host = 0; host < 1'024; ++host) {
    ASSERT_TRUE(find("10.0." + std::to_string(host / 256) + '.' + std::to_string(host % 256), 1)) << host;
  }
  EXPECT_EQ(table.size(), 1'224u);
}

TEST_F(Confirming, AMovedHostIsFollowed) {
  const HopIndex index = known_hop("192.0.2.9", mac(9));
  learn(*parse_arp(
      test::arp({.operation = 2, .sender_mac = mac(0x99), .sender = "192.0.2.9", .target = "192.0.2.9"}).l3()));
  EXPECT_EQ(table[index].destination, mac(0x99));
  EXPECT_TRUE(table[index].reachable);
}

TEST_F(Confirming, WithoutTheOverrideFlagAWorkingAddressStays) {  // RFC 4861 section 7.2.5, I
  const HopIndex index = known_hop("2001:db8:1::9", mac(9));
  learn(advertised(mac(0x99), false, true));
  EXPECT_EQ(table[index].destination, mac(9));
  EXPECT_TRUE(table[index].reachable);
  learn(advertised(mac(0x99), true, true));
  EXPECT_EQ(table[index].destination, mac(0x99));
}

TEST_F(Confirming, WithoutTheOverrideFlagAHopThatIsGoneIsFoundAgain) {
  const HopIndex index = known_hop("2001:db8:1::9", mac(9));
  use(index, 40s);
  ASSERT_FALSE(table[index].reachable);
  learn(advertised(mac(0x99), false, true));
  EXPECT_EQ(table[index].destination, mac(0x99));
  EXPECT_TRUE(table[index].reachable);
}

TEST_F(Confirming, ASolicitedAnswerWithoutALinkAddressConfirmsTheOneThatIsKnown) {  // RFC 4861 section 4.4
  const HopIndex index = known_hop("2001:db8:1::9", mac(9));
  use(index, 30100ms);
  ASSERT_EQ(requests(), 1u);
  learn(advertised({}, false, true));
  EXPECT_EQ(table[index].destination, mac(9));
  use(index, 29s);
  EXPECT_EQ(requests(), 1u);
}

TEST_F(Confirming, AnUnsolicitedAnswerWithoutALinkAddressConfirmsNothing) {
  const HopIndex index = known_hop("2001:db8:1::9", mac(9));
  use(index, 30100ms);
  learn(advertised({}, false, false));
  use(index, 3500ms);
  EXPECT_FALSE(table[index].reachable);
}

}  // namespace
}  // namespace steelyard::neighbor
