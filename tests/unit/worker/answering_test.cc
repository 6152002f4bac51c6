// What a worker answers itself: who has a VIP, whether a VIP is there; and what it announces.
#include <cstring>

#include "tests/unit/worker/stand.h"

namespace steelyard::worker {
namespace {

using packet::Ipv4;
using packet::Ipv6;
using test::DropReason;
using test::Frame;
using test::gateway_mac;
using test::host_mac;
using test::key;
using test::lan;
using test::mac;
using test::MacAddress;
using test::own_mac;
using test::Scene;
using test::Stand;
using test::wan;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using namespace std::chrono_literals;

// Who says to be where, in frames of any kind.
std::vector<std::string> announced_in(std::vector<Frame> frames, const MacAddress& from) {
  std::vector<std::string> owners;
  for (Frame& frame : frames) {
    const packet::PacketView view = frame.parse();
    const auto message = view.kind == packet::PacketKind::arp ? neighbor::parse_arp(frame.l3())
                                                              : neighbor::parse_ndp(view, frame.l3().size());
    if (message && message->sender == message->target && message->sender_mac == from) {
      owners.push_back(service::Address::from_v6(message->sender.bytes()).to_string());
    }
  }
  return owners;
}
neighbor::NeighborMessage arp_in(Frame frame) {
  return neighbor::parse_arp(frame.l3()).value();
}
neighbor::NeighborMessage ndp_in(Frame frame) {
  return neighbor::parse_ndp(frame.parse(), frame.l3().size()).value();
}

TEST(Announcing, TellsEveryLinkAtStartWhoHasTheVipsAndTheLocalAddresses) {
  Stand stand({.announced = false});
  stand.settle();
  for (const std::uint16_t link : {wan, lan}) {
    EXPECT_THAT(announced_in(stand.sent(link), own_mac(link)),
                UnorderedElementsAre("192.0.2.10", "2001:db8:1::10", "10.0.0.200", "2001:db8:2::200"));
  }
}

TEST(Announcing, IsDoneOnceHoweverManyWorkersThereAre) {
  Stand stand({.workers = 2, .announced = false});
  stand.settle();
  stand.pass(5s);
  EXPECT_THAT(stand.sent(wan), SizeIs(4));
}

TEST(Announcing, IsDoneAgainWhenTheVipsChange) {
  Stand stand;
  stand.publish_vips({"192.0.2.10", "192.0.2.11"});
  stand.settle();
  EXPECT_THAT(announced_in(stand.sent(wan), own_mac(wan)), IsSupersetOf({"192.0.2.10", "192.0.2.11"}));
}

TEST(Announcing, TakesAFewVipsATurnAndForgetsNone) {
  Stand stand;
  std::vector<std::string> vips;
  for (int host = 1; host <= 100; ++host) {
    vips.push_back("192.0.2." + std::to_string(host + 100));
  }
  stand.publish_vips(vips);
  std::size_t turns = 0;
  for (; stand.port(wan).sent().size() < 102 && turns < 100; ++turns) {
    const std::size_t before = stand.port(wan).sent().size();
    stand.turn();
    EXPECT_LE(stand.port(wan).sent().size() - before, 16u);
  }
  EXPECT_THAT(announced_in(stand.sent(wan), own_mac(wan)), IsSupersetOf(vips));
}

// The switch behind the cable may be another one.
TEST(Announcing, IsRepeatedWhenALinkComesUp) {
  Stand stand;
  stand.link_comes_up();
  stand.pass(200ms);
  EXPECT_THAT(announced_in(stand.sent(wan), own_mac(wan)), SizeIs(4));
  EXPECT_THAT(announced_in(stand.sent(lan), own_mac(lan)), SizeIs(4));
  stand.pass(200ms);
  EXPECT_THAT(announced_in(stand.sent(wan), own_mac(wan)), IsEmpty());
}

// An empty pool at the wrong moment must not leave the routers with the MAC address of the node that was there before.
TEST(Announcing, WaitsForABuffer) {
  Stand stand({.announced = false});
  std::vector<nic::Packet> taken;
  while (auto packet = stand.generate().allocate()) {
    taken.push_back(std::move(packet));
  }
  stand.turn();
  taken.clear();
  stand.pass(200ms);
  EXPECT_THAT(announced_in(stand.sent(wan), own_mac(wan)), SizeIs(4));
  EXPECT_THAT(announced_in(stand.sent(lan), own_mac(lan)), SizeIs(4));
}

TEST(AddressResolution, AnArpRequestForAVipIsAnsweredToTheAsker) {
  Stand stand;
  stand.receive_as_is(wan, test::arp({.sender_mac = mac(7), .sender = "192.0.2.7", .target = "192.0.2.10"}));
  stand.settle();
  const auto sent = stand.sent(wan);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(test::to_mac(sent[0]), mac(7));
  const auto answer = arp_in(sent[0]);
  EXPECT_EQ(answer.kind, neighbor::NeighborMessage::Kind::answer);
  EXPECT_EQ(answer.sender, key("192.0.2.10"));
  EXPECT_EQ(answer.sender_mac, own_mac(wan));
  EXPECT_EQ(answer.target, key("192.0.2.7"));
  EXPECT_EQ(stand.packets().consumed.get(), 1u);
}

TEST(AddressResolution, ASolicitationForAVipIsAnsweredToTheAsker) {
  Stand stand;
  stand.receive_as_is(wan, test::ndp({.options = test::link_option(1, mac(7))}));
  stand.settle();
  auto sent = stand.sent(wan);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(test::to_mac(sent[0]), mac(7));
  EXPECT_TRUE(sent[0].checksums_right());
  const auto answer = ndp_in(sent[0]);
  EXPECT_TRUE(answer.solicited);
  EXPECT_EQ(answer.sender, key("2001:db8:1::10"));
  EXPECT_EQ(answer.sender_mac, own_mac(wan));
}

TEST(AddressResolution, AUnicastSolicitationWithoutALinkAddressIsAnsweredToWhereItCameFrom) {  // RFC 4861 section 4.3
  Stand stand;
  stand.receive_as_is(wan,
                      test::ndp({.destination = "2001:db8:1::10", .options = {}, .to = own_mac(wan), .from = mac(7)}));
  stand.settle();
  const auto sent = stand.sent(wan);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(test::to_mac(sent[0]), mac(7));
  EXPECT_TRUE(ndp_in(sent[0]).solicited);
}

TEST(AddressResolution, AProbeForAVipIsAnsweredSoThatNobodyElseTakesIt) {
  Stand stand;
  stand.receive_as_is(wan, test::arp({.sender_mac = mac(7), .sender = "0.0.0.0"}));
  stand.receive_as_is(wan, test::ndp({.source = "::", .options = {}, .from = mac(7)}));
  stand.settle();
  auto sent = stand.sent(wan);
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_EQ(test::to_mac(sent[0]), mac(7));
  EXPECT_EQ(arp_in(sent[0]).sender, key("192.0.2.10"));
  EXPECT_EQ(test::to_mac(sent[1]), (MacAddress{0x33, 0x33, 0, 0, 0, 1}));
  EXPECT_EQ(sent[1].parse().destination<Ipv6>(), key("ff02::1"));
  EXPECT_FALSE(ndp_in(sent[1]).solicited);
}

TEST(AddressResolution, LocalAddressesAreAnsweredForAndStrangersAreNot) {
  Stand stand;
  stand.receive_as_is(lan, test::arp({.sender_mac = mac(7), .sender = "10.0.0.7", .target = "10.0.0.200"}));
  stand.receive_as_is(lan, test::arp({.sender_mac = mac(7), .sender = "10.0.0.7", .target = "10.0.0.201"}));
  stand.settle();
  const auto sent = stand.sent(lan);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(arp_in(sent[0]).sender, key("10.0.0.200"));
  EXPECT_EQ(stand.packets().consumed.get(), 2u);
}

TEST(AddressResolution, ThePortsOwnAddressIsAnsweredForOnlyWhenNoKernelDoes) {
  for (const bool kernel : {false, true}) {
    Stand stand({.kernel = kernel});
    stand.receive_as_is(wan, test::arp({.sender_mac = mac(7), .sender = "192.0.2.7", .target = "192.0.2.2"}));
    stand.settle();
    EXPECT_THAT(stand.sent(wan), SizeIs(kernel ? 0 : 1));
    EXPECT_THAT(stand.given_to_kernel(wan), SizeIs(kernel ? 1 : 0));
  }
}

TEST(AddressResolution, TheKernelSeesEveryMessageToo) {
  Stand stand({.kernel = true});
  const Frame request = test::arp({.sender_mac = mac(7), .sender = "192.0.2.7"});
  stand.receive_as_is(wan, request);
  stand.settle();
  EXPECT_THAT(stand.sent(wan), SizeIs(1));
  const auto given = stand.given_to_kernel(wan);
  ASSERT_THAT(given, SizeIs(1));
  EXPECT_EQ(given[0].bytes, request.bytes);
  EXPECT_EQ(stand.packets().to_kernel.get(), 1u);
}

TEST(AddressResolution, AClaimOnAVipIsCountedNotAnsweredAndNotLearned) {
  Stand stand;
  for (const std::uint16_t operation : std::array<std::uint16_t, 2>{1, 2}) {
    stand.receive_as_is(wan, test::arp({.operation = operation, .sender_mac = mac(66), .sender = "192.0.2.10"}));
  }
  stand.receive_as_is(wan, test::ndp(test::advertised("2001:db8:1::10", mac(66), "2001:db8:1::7")));
  stand.settle();
  EXPECT_THAT(stand.sent(wan), IsEmpty());
  EXPECT_EQ(stand.packets().address_conflicts.get(), 3u);
}

TEST(AddressResolution, OurOwnAnnouncementComingBackIsNoClaim) {
  Stand stand;
  for (const std::uint16_t port : {wan, lan}) {  // the same segment behind both
    stand.receive_as_is(wan, test::arp({.sender_mac = own_mac(port), .sender = "192.0.2.10"}));
  }
  stand.settle();
  EXPECT_EQ(stand.packets().address_conflicts.get(), 0u);
}

TEST(AddressResolution, MalformedMessagesAreDroppedByName) {
  Stand stand;
  stand.receive_as_is(wan, test::arp({.hardware = 7}));
  stand.receive_as_is(wan, test::ndp({.hop_limit = 64}));
  stand.settle();
  EXPECT_EQ(stand.drops(DropReason::arp_malformed), 1u);
  EXPECT_EQ(stand.drops(DropReason::ndp_malformed), 1u);
  EXPECT_THAT(stand.sent(wan), IsEmpty());
}

TEST(AddressResolution, AnEmptyPoolLeavesAQuestionUnanswered) {
  Stand stand;
  std::vector<nic::Packet> taken;
  while (auto packet = stand.generate().allocate()) {
    taken.push_back(std::move(packet));
  }
  stand.receive_as_is(wan, test::arp({}));
  stand.settle();
  EXPECT_THAT(stand.sent(wan), IsEmpty());
  EXPECT_EQ(stand.packets().consumed.get(), 1u);
}

template <class Family>
class Echo : public ::testing::Test {
 protected:
  static Frame request(std::size_t payload = 32) {
    return test::echo_request<Family>(Scene<Family>::client, Scene<Family>::vip, payload);
  }
};
using Families = ::testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(Echo, Families);

TYPED_TEST(Echo, AVipAnswersWithTheSameDataAndRightChecksums) {
  using S = Scene<TypeParam>;
  for (const std::size_t payload : {0UL, 1UL, 32UL, 1'400UL}) {
    Stand stand;
    Frame request = this->request(payload);
    stand.receive(wan, request);
    stand.settle();
    auto sent = stand.sent(wan);
    ASSERT_THAT(sent, SizeIs(1));
    Frame& reply = sent[0];
    EXPECT_EQ(test::to_mac(reply), gateway_mac);
    EXPECT_EQ(test::from_mac(reply), own_mac(wan));
    const packet::PacketView view = reply.parse();
    ASSERT_EQ(view.kind, packet::PacketKind::icmp);
    EXPECT_EQ(view.template source<TypeParam>(), test::address<TypeParam>(S::vip));
    EXPECT_EQ(view.template destination<TypeParam>(), test::address<TypeParam>(S::client));
    EXPECT_EQ(reply.l4()[0], TypeParam::is_v6 ? 129 : 0);
    EXPECT_TRUE(std::ranges::equal(reply.l4().subspan(4), request.l4().subspan(4)));
    EXPECT_TRUE(reply.checksums_right());
    EXPECT_EQ(stand.packets().echo_replies.get(), 1u);
    EXPECT_EQ(stand.packets().generated.get(), 8u) << "the request's own buffer is sent back";
  }
}

TYPED_TEST(Echo, IsRateLimitedByName) {
  Stand stand;
  constexpr std::uint64_t burst = 1'000;
  constexpr std::uint64_t more = 50;
  for (std::uint64_t number = 0; number < burst + more; ++number) {
    stand.receive(wan, this->request());
  }
  stand.settle();
  EXPECT_EQ(stand.packets().echo_replies.get(), burst);
  EXPECT_EQ(stand.drops(DropReason::answer_rate_limited), more);
  stand.pass(50ms);
  stand.receive(wan, this->request());
  stand.settle();
  EXPECT_EQ(stand.packets().echo_replies.get(), burst + 1);
}

TYPED_TEST(Echo, OfThePortsOwnAddressIsTheKernels) {
  Stand stand({.kernel = true});
  stand.receive(wan, test::echo_request<TypeParam>(Scene<TypeParam>::client, Scene<TypeParam>::own));
  stand.settle();
  EXPECT_THAT(stand.sent(wan), IsEmpty());
  auto given = stand.given_to_kernel(wan);
  ASSERT_THAT(given, SizeIs(1));
  EXPECT_EQ(given[0].ttl(), 3);
  EXPECT_TRUE(given[0].checksums_right());
}

TYPED_TEST(Echo, WhereAVipIsThePortsOwnAddressErrorsReachTheKernelWhoseProbesCausedThem) {
  Stand stand({.kernel = true});
  stand.publish_vips({Scene<TypeParam>::own});
  stand.settle();
  std::ignore = stand.sent(wan);
  Frame error = test::echo_request<TypeParam>(Scene<TypeParam>::client, Scene<TypeParam>::own);
  stand.receive(wan, error);
  error.l4()[0] = TypeParam::is_v6 ? 1 : 3;  // destination unreachable
  error.fix_checksums();
  stand.receive(wan, error);
  stand.settle();
  EXPECT_EQ(stand.packets().echo_replies.get(), 1U);
  auto given = stand.given_to_kernel(wan);
  ASSERT_THAT(given, SizeIs(1));
  EXPECT_EQ(given[0].l4()[0], TypeParam::is_v6 ? 1 : 3);
}

// A server's port is closed: it says so of the packet that it got, and the client hears it, whichever worker gets it.
TYPED_TEST(Echo, AnErrorAboutAForwardedPacketReachesItsSender) {
  using S = Scene<TypeParam>;
  Stand stand({.workers = 2});
  for (std::uint16_t port = 1; port <= 8; ++port) {
    stand.receive(wan, test::first_packet<TypeParam>(test::datagram_port, port));
  }
  stand.resolve();
  std::size_t errors = 0;
  for (Frame& to_server : stand.sent(lan)) {
    const auto quoted = to_server.l3();
    test::Bytes message(8 + quoted.size());
    message[0] = TypeParam::is_v6 ? 1 : 3;
    message[1] = TypeParam::is_v6 ? 4 : 3;
    std::ranges::copy(quoted, message.begin() + 8);
    const auto ends = to_server.parse().template tuple<TypeParam>();
    Frame error = test::ip<TypeParam>(ends.destination, ends.source,
                                      TypeParam::is_v6 ? packet::protocol_icmpv6 : packet::protocol_icmp, message);
    error.fix_checksums();
    for (std::uint16_t worker = 0; worker < 2; ++worker) {
      stand.receive(lan, error, worker);
      ++errors;
    }
  }
  EXPECT_EQ(errors, 16u);
  stand.resolve();
  auto told = stand.sent(wan);
  EXPECT_THAT(told, SizeIs(errors));
  for (Frame& frame : told) {
    EXPECT_TRUE(frame.checksums_right());
    EXPECT_EQ(frame.parse().template source<TypeParam>(), test::address<TypeParam>(S::vip));
    EXPECT_EQ(frame.parse().template destination<TypeParam>(), test::address<TypeParam>(S::client));
  }
  EXPECT_EQ(stand.all_drops(), 0u);
}

TYPED_TEST(Echo, OtherMessagesToAVipAreDroppedByName) {
  Stand stand;
  Frame frame = this->request();
  for (const int type : {0, 3, 5, 13, 17, 129, 1, 2}) {
    frame.l4()[0] = static_cast<std::uint8_t>(type);
    frame.fix_checksums();
    stand.receive(wan, frame);
  }
  stand.settle();
  EXPECT_THAT(stand.sent(wan), IsEmpty());
  EXPECT_EQ(stand.drops(DropReason::icmp_unsupported), 8u);
}

}  // namespace
}  // namespace steelyard::worker
