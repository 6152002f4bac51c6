// Packets on their way through a worker: to their server and back, to the kernel, or dropped by a name.
#include "tests/unit/fragment_builder.h"
#include "tests/unit/worker/stand.h"

namespace steelyard::worker {
namespace {

using packet::Ipv4;
using packet::Ipv6;
using test::answer_to;
using test::DropReason;
using test::first_packet;
using test::Frame;
using test::gateway_mac;
using test::host_mac;
using test::lan;
using test::MacAddress;
using test::own_mac;
using test::Scene;
using test::Stand;
using test::wan;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;
using namespace packet::tcp_flag;

template <class Family>
class Forwarding : public ::testing::Test {
 protected:
  // The one frame that goes to a server after a client's packet, its neighbours found.
  static Frame forwarded(Stand& stand, const Frame& from_client) {
    stand.receive(wan, from_client);
    stand.resolve();
    auto sent = stand.sent(lan);
    EXPECT_THAT(sent, SizeIs(1));
    return sent.empty() ? Frame{Bytes(60)} : sent[0];
  }
  static Frame returned(Stand& stand, const Frame& from_server) {
    stand.receive(lan, from_server);
    stand.resolve();
    auto sent = stand.sent(wan);
    EXPECT_THAT(sent, SizeIs(1));
    return sent.empty() ? Frame{Bytes(60)} : sent[0];
  }
  using Bytes = test::Bytes;
};
using Families = ::testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(Forwarding, Families);

TYPED_TEST(Forwarding, AConnectionGoesToAServerAndItsAnswerBackToTheClient) {
  using S = Scene<TypeParam>;
  for (const std::uint16_t port : {test::nat_port, test::fullnat_port, test::persistent_port, test::datagram_port}) {
    Stand stand;
    Frame to_server = this->forwarded(stand, first_packet<TypeParam>(port));
    EXPECT_EQ(test::from_mac(to_server), own_mac(lan));
    const auto ends = to_server.parse().template tuple<TypeParam>();
    EXPECT_EQ(test::to_mac(to_server), host_mac(lan, ends.destination.bytes().back()));
    EXPECT_EQ(ends.destination_port, __builtin_bswap16(test::server_port));
    EXPECT_EQ(ends.source, test::address<TypeParam>(port == test::fullnat_port ? S::local : S::client));
    EXPECT_TRUE(to_server.checksums_right());
    Frame to_client = this->returned(stand, answer_to<TypeParam>(to_server));
    EXPECT_EQ(test::to_mac(to_client), gateway_mac);
    EXPECT_EQ(to_client.parse().template tuple<TypeParam>(),
              first_packet<TypeParam>(port).parse().template tuple<TypeParam>().reversed());
    EXPECT_TRUE(to_client.checksums_right());
    EXPECT_EQ(stand.packets().forwarded.get(), 2u);
    EXPECT_EQ(stand.all_drops(), 0u);
  }
}

TYPED_TEST(Forwarding, PacketsWaitForTheirNeighbourAndLeaveInOrder) {
  Stand stand;
  for (std::uint16_t port = 1; port <= 10; ++port) {
    stand.receive(wan, first_packet<TypeParam>(test::datagram_port, port));
  }
  stand.settle();
  EXPECT_EQ(stand.packets().waiting.get(), 10u);
  stand.resolve();
  EXPECT_EQ(stand.packets().waiting.get(), 0u);
  std::array<std::uint16_t, 2> last{};
  for (Frame& frame : stand.sent(lan)) {
    const auto ends = frame.parse().template tuple<TypeParam>();
    std::uint16_t& before = last.at(ends.destination.bytes().back() % 2);
    EXPECT_LT(before, __builtin_bswap16(ends.source_port));
    before = __builtin_bswap16(ends.source_port);
  }
  EXPECT_GE(std::min(last[0], last[1]), 9);
}

// Eight datagrams of one client come in one burst, before there is a flow: it takes one turn of the rotation, not
// eight.
TYPED_TEST(Forwarding, ThePacketsOfOneNewFlowInOneBurstMakeOneFlow) {
  Stand stand;
  for (std::uint16_t client = 1; client <= 2; ++client) {
    this->forwarded(stand, first_packet<TypeParam>(test::datagram_port, client));  // both servers are known now
  }
  std::array<std::vector<std::uint8_t>, 2> servers;
  for (std::uint16_t client = 0; client < 2; ++client) {
    for (std::size_t payload = 1; payload <= 8; ++payload) {
      const auto ends = test::tuple<TypeParam>(packet::protocol_udp, Scene<TypeParam>::client,
                                               static_cast<std::uint16_t>(5'000 + client), Scene<TypeParam>::vip,
                                               test::datagram_port);
      stand.receive(wan, test::udp(ends, {.payload = payload}));
    }
  }
  stand.turn();
  std::size_t expected_payload = 1;
  for (Frame& frame : stand.sent(lan)) {
    const auto view = frame.parse();
    EXPECT_EQ(view.l4_length, 8 + expected_payload) << "order";
    expected_payload = expected_payload % 8 + 1;
    const auto ends = view.template tuple<TypeParam>();
    servers.at(__builtin_bswap16(ends.source_port) - 5'000U).push_back(ends.destination.bytes().back());
  }
  for (const auto& of_one_client : servers) {
    EXPECT_THAT(of_one_client, AllOf(SizeIs(8), Each(of_one_client.at(0))));
  }
  EXPECT_NE(servers[0].at(0), servers[1].at(0));
  EXPECT_EQ(stand.worker().balancer_counters().flows_created.get(), 4u);
}

TYPED_TEST(Forwarding, ASynThatComesTwiceInOneBurstOpensOneConnection) {
  for (const std::uint16_t port : {test::nat_port, test::fullnat_port, test::persistent_port}) {
    Stand stand;
    for (int copy = 0; copy < 2; ++copy) {
      stand.receive(wan, first_packet<TypeParam>(port));
    }
    stand.resolve();
    auto sent = stand.sent(lan);
    ASSERT_THAT(sent, SizeIs(2));
    EXPECT_EQ(sent[0].bytes, sent[1].bytes);
    EXPECT_EQ(stand.worker().balancer_counters().flows_created.get(), 1u);
  }
}

// On one link for all: a server sends in the burst that opens the flow, as it does to a client that it knows from
// before.
TYPED_TEST(Forwarding, AServersPacketFindsTheFlowThatItsBurstOpens) {
  using S = Scene<TypeParam>;
  Stand stand;
  for (std::uint16_t client = 1; client <= 2; ++client) {
    this->forwarded(stand, first_packet<TypeParam>(test::datagram_port, client));
  }
  stand.receive(wan, first_packet<TypeParam>(test::datagram_port, 6'000));
  for (const char* server : {S::server, S::other_server}) {
    stand.receive(wan,
                  test::udp(test::tuple<TypeParam>(packet::protocol_udp, server, test::server_port, S::client, 6'000),
                            {.payload = 30}));
  }
  stand.resolve();
  EXPECT_THAT(stand.sent(wan), SizeIs(1)) << "the chosen server's";
  EXPECT_EQ(stand.drops(DropReason::no_flow), 1u) << "the other's";
}

// Both families and what is no layer 4 at all.
TYPED_TEST(Forwarding, AMixedBurstIsHandledPacketByPacket) {
  Stand stand;
  for (std::uint16_t port = 1; port <= 4; ++port) {
    stand.receive(wan, first_packet<Ipv4>(test::nat_port, port));
    stand.receive(wan, test::echo_request<TypeParam>(Scene<TypeParam>::client, Scene<TypeParam>::vip));
    stand.receive(wan, first_packet<Ipv6>(test::fullnat_port, port));
    stand.receive(wan, first_packet<TypeParam>(test::datagram_port, port));
  }
  stand.resolve();
  EXPECT_THAT(stand.sent(lan), SizeIs(12));
  EXPECT_THAT(stand.sent(wan), SizeIs(4)) << "echo replies";
  EXPECT_EQ(stand.all_drops(), 0u);
}

TYPED_TEST(Forwarding, SixtyFourPacketsWaitForANeighbourAndTheRestIsDroppedByName) {
  Stand stand;
  for (std::uint16_t port = 1; port <= 200; ++port) {
    stand.receive(wan, first_packet<TypeParam>(test::datagram_port, port));
  }
  stand.settle();
  EXPECT_EQ(stand.packets().waiting.get(), 128u);  // of two servers
  EXPECT_EQ(stand.drops(DropReason::neighbor_queue_full), 72u);
}

TYPED_TEST(Forwarding, PacketsToASilentNeighbourAreDroppedByName) {
  Stand stand;
  stand.receive(wan, first_packet<TypeParam>(test::nat_port));
  stand.pass(3s);
  EXPECT_EQ(stand.drops(DropReason::neighbor_unreachable), 1u);
  EXPECT_EQ(stand.packets().waiting.get(), 0u);
  EXPECT_THAT(stand.sent(lan), SizeIs(4)) << "requests";
}

// Steelyard is a router to who sends through it: the error names the link's MTU and quotes what the sender wrote.
TYPED_TEST(Forwarding, WhoSendsAPacketThatDoesNotFitTheNextLinkIsTold) {
  using S = Scene<TypeParam>;
  for (const std::uint16_t port : {test::nat_port, test::fullnat_port}) {
    Stand stand;
    this->forwarded(stand, first_packet<TypeParam>(port));
    const auto ends = test::tuple<TypeParam>(packet::protocol_tcp, S::client, 4'321, S::vip, port);
    Frame large = test::tcp(ends, {.sequence = {1'001}, .payload = 1'500});
    if (!TypeParam::is_v6) {
      large.l3()[6] |= 0x40;  // don't fragment
      large.fix_checksums();
    }
    stand.receive(wan, large);
    stand.resolve();
    EXPECT_EQ(stand.drops(DropReason::frame_exceeds_mtu), 1u);
    auto told = stand.sent(wan);
    ASSERT_THAT(told, SizeIs(1));
    EXPECT_TRUE(told[0].checksums_right());
    const auto view = told[0].parse();
    EXPECT_EQ(view.template source<TypeParam>(), ends.destination);
    EXPECT_EQ(view.template destination<TypeParam>(), ends.source);
    EXPECT_EQ(test::get32(told[0].l4(), 4), 1'500u);
    const auto quote = told[0].l4().subspan(8 + TypeParam::header_size);
    const auto sent = large.l4();
    EXPECT_TRUE(std::ranges::equal(quote.first(8), sent.first(8)));
    EXPECT_EQ(stand.packets().too_big_sent.get(), 1u);
  }
}

TYPED_TEST(Forwarding, AFrameThatDoesNotFitTheNextLinkIsSplitWhereItMayBe) {
  Stand stand;
  const auto ends = test::tuple<TypeParam>(packet::protocol_udp, Scene<TypeParam>::client, 4'321, Scene<TypeParam>::vip,
                                           test::datagram_port);
  const std::size_t fits = 1'500 - TypeParam::header_size - 8;
  stand.receive(wan, test::udp(ends, {.payload = fits}));
  stand.resolve();
  EXPECT_THAT(stand.sent(lan), SizeIs(1));
  Frame large = test::udp(ends, {.payload = fits + 1});
  stand.receive(wan, large);
  stand.resolve();
  auto sent = stand.sent(lan);
  if (TypeParam::is_v6) {
    EXPECT_THAT(sent, IsEmpty());
    EXPECT_EQ(stand.drops(DropReason::frame_exceeds_mtu), 1u);
    EXPECT_THAT(stand.sent(wan), SizeIs(1));
    return;
  }
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_LE(sent[0].bytes.size(), 1'514u);
  auto whole = test::join<TypeParam>(sent);
  ASSERT_TRUE(whole);
  EXPECT_TRUE(whole->checksums_right());
  EXPECT_TRUE(std::ranges::equal(whole->l4().subspan(8), large.l4().subspan(8)));
  EXPECT_EQ(stand.packets().split.get(), 1u);
}

TYPED_TEST(Forwarding, APacketThatTakesAllBuffersToSplitIsDroppedByName) {
  if (TypeParam::is_v6) {
    return;
  }
  Stand stand({.generated_buffers = 15});
  const auto ends = test::tuple<TypeParam>(packet::protocol_udp, Scene<TypeParam>::client, 4'321, Scene<TypeParam>::vip,
                                           test::datagram_port);
  stand.receive(wan, test::udp(ends));
  stand.resolve();
  (void)stand.sent(lan);
  std::vector<nic::Packet> taken;
  while (stand.generate().available() > 1) {
    taken.push_back(stand.generate().allocate());
  }
  stand.receive(wan, test::udp(ends, {.payload = 1'600}));
  stand.turn();
  EXPECT_EQ(stand.drops(DropReason::no_buffer), 1u);
  EXPECT_THAT(stand.sent(lan), IsEmpty());
}

TYPED_TEST(Forwarding, AFrameThatDoesNotFitIsSplitOrDroppedAlsoAfterItHasWaited) {
  Stand stand;
  const auto ends = test::tuple<TypeParam>(packet::protocol_udp, Scene<TypeParam>::client, 4'321, Scene<TypeParam>::vip,
                                           test::datagram_port);
  stand.receive(wan, test::udp(ends, {.payload = 1'600}));
  stand.resolve();
  EXPECT_EQ(stand.drops(DropReason::frame_exceeds_mtu), TypeParam::is_v6 ? 1u : 0u);
  EXPECT_THAT(stand.sent(lan), SizeIs(TypeParam::is_v6 ? 0 : 2));
  EXPECT_EQ(stand.packets().waiting.get(), 0u);
}

TYPED_TEST(Forwarding, AFullTransmitRingDropsByName) {
  Stand stand;
  (void)this->forwarded(stand, first_packet<TypeParam>(test::datagram_port));
  stand.port(lan).set_room(3);
  for (int number = 0; number < 10; ++number) {
    stand.receive(wan, first_packet<TypeParam>(test::datagram_port));
  }
  stand.settle();
  EXPECT_THAT(stand.sent(lan), SizeIs(3));
  EXPECT_EQ(stand.drops(DropReason::tx_ring_full), 7u);
}

TYPED_TEST(Forwarding, RefusalsReachTheClient) {
  using S = Scene<TypeParam>;
  Stand stand;
  const auto stray = test::tuple<TypeParam>(packet::protocol_tcp, S::client, 4'321, S::vip, test::nat_port);
  stand.receive(wan, test::tcp(stray, {.acknowledgment = {777}, .flags = ack}));
  stand.resolve();
  auto sent = stand.sent(wan);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].flags(), rst);
  EXPECT_EQ(sent[0].sequence().value, 777u);
  EXPECT_EQ(test::to_mac(sent[0]), gateway_mac);
  EXPECT_TRUE(sent[0].checksums_right());
  EXPECT_EQ(stand.drops(DropReason::no_flow), 1u);
}

TYPED_TEST(Forwarding, AnEmptyPoolStopsAnswersNotConnections) {
  using S = Scene<TypeParam>;
  Stand stand;
  Frame to_server = this->forwarded(stand, first_packet<TypeParam>(test::nat_port));
  (void)this->returned(stand, answer_to<TypeParam>(to_server));
  std::vector<nic::Packet> taken;
  while (auto packet = stand.generate().allocate()) {
    taken.push_back(std::move(packet));
  }
  const auto stray = test::tuple<TypeParam>(packet::protocol_tcp, S::client, 999, S::vip, test::nat_port);
  stand.receive(wan, test::tcp(stray, {.flags = ack}));
  auto known = first_packet<TypeParam>(test::nat_port).parse().template tuple<TypeParam>();
  stand.receive(wan, test::tcp(known, {.sequence = {1'001}, .acknowledgment = {5'001}, .flags = ack}));
  stand.settle();
  EXPECT_THAT(stand.sent(wan), IsEmpty());
  EXPECT_THAT(stand.sent(lan), SizeIs(1));
}

TYPED_TEST(Forwarding, WhatIsForNobodyIsDroppedAsUnmatched) {
  using S = Scene<TypeParam>;
  Stand stand({.kernel = true});
  stand.receive(wan, test::tcp(test::tuple<TypeParam>(packet::protocol_tcp, S::client, 1, S::vip, 9'999)));
  stand.receive(wan, test::udp(test::tuple<TypeParam>(packet::protocol_udp, S::client, 1, S::server, 53)));
  stand.receive(wan, test::echo_request<TypeParam>(S::client, S::server));
  stand.receive(wan, test::ip<TypeParam>(test::address<TypeParam>(S::client), test::address<TypeParam>(S::vip), 47,
                                         test::Bytes(20)));
  stand.settle();
  EXPECT_EQ(stand.drops(DropReason::unmatched), 4u);
  EXPECT_THAT(stand.given_to_kernel(wan), IsEmpty());
}

TYPED_TEST(Forwarding, WhatIsForNobodyIsTheKernelsWithPassUnmatched) {
  using S = Scene<TypeParam>;
  Stand stand({.kernel = true, .pass_unmatched = true});
  stand.receive(wan, test::tcp(test::tuple<TypeParam>(packet::protocol_tcp, S::client, 1, S::vip, 9'999)));
  stand.receive(wan, test::echo_request<TypeParam>(S::client, S::server));
  stand.settle();
  EXPECT_THAT(stand.given_to_kernel(wan), SizeIs(2));
  EXPECT_EQ(stand.all_drops(), 0u);
}

TYPED_TEST(Forwarding, WhatIsForThePortsOwnAddressIsTheKernelsOfThatPort) {
  using S = Scene<TypeParam>;
  const Frame frame = test::tcp(test::tuple<TypeParam>(packet::protocol_tcp, S::client, 1, S::own, 22), {.flags = syn});
  Stand stand({.kernel = true});
  stand.receive(lan, frame);
  stand.settle();
  EXPECT_THAT(stand.given_to_kernel(lan), SizeIs(1));
  EXPECT_THAT(stand.given_to_kernel(wan), IsEmpty());
}

TYPED_TEST(Forwarding, WithoutAKernelItsPacketsAreDroppedByName) {
  using S = Scene<TypeParam>;
  Stand stand;
  stand.receive(wan, test::tcp(test::tuple<TypeParam>(packet::protocol_tcp, S::client, 1, S::own, 22), {.flags = syn}));
  stand.settle();
  EXPECT_EQ(stand.drops(DropReason::kernel_absent), 1u);
}

TYPED_TEST(Forwarding, AFullRingToTheKernelDropsByName) {
  Stand stand({.kernel = true, .kernel_ring_size = 8});
  for (int number = 0; number < 10; ++number) {
    stand.receive(wan, test::echo_request<TypeParam>(Scene<TypeParam>::client, Scene<TypeParam>::own));
  }
  stand.settle();
  EXPECT_EQ(stand.packets().to_kernel.get(), 7u);
  EXPECT_EQ(stand.drops(DropReason::kernel_ring_full), 3u);
}

TYPED_TEST(Forwarding, WhatTheKernelSendsLeavesAsItIs) {
  Stand stand({.kernel = true});
  const Frame frame = test::echo_request<TypeParam>(Scene<TypeParam>::own, Scene<TypeParam>::client);
  stand.receive_from_kernel(wan, frame);
  stand.settle();
  const auto sent = stand.sent(wan);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].bytes, frame.bytes);
  EXPECT_EQ(stand.packets().from_kernel.get(), 1u);
}

TYPED_TEST(Forwarding, AFrameForAnotherStationIsDroppedByName) {
  Stand stand({.kernel = true, .pass_unmatched = true});
  Frame syn_frame = first_packet<TypeParam>(test::nat_port);
  Frame echo = test::echo_request<TypeParam>(Scene<TypeParam>::client, Scene<TypeParam>::vip);
  for (Frame* frame : {&syn_frame, &echo}) {
    test::set_macs(*frame, host_mac(wan, 200), gateway_mac);
    stand.receive_as_is(wan, *frame);
    test::set_macs(*frame, own_mac(lan), gateway_mac);
    stand.receive_as_is(wan, *frame);
  }
  stand.settle();
  EXPECT_EQ(stand.drops(DropReason::not_for_us), 4u);
  EXPECT_THAT(stand.sent(wan), IsEmpty());
}

TYPED_TEST(Forwarding, LayerFourAnswersNobodyWhoCalledEverybody) {
  for (const bool kernel : {false, true}) {
    Stand stand({.kernel = kernel});
    Frame frame = first_packet<TypeParam>(test::nat_port);
    for (const MacAddress& group : {test::all_stations, MacAddress{0x01, 0x00, 0x5e, 0, 0, 1}}) {
      test::set_macs(frame, group, gateway_mac);
      stand.receive_as_is(wan, frame);
    }
    stand.settle();
    EXPECT_THAT(stand.sent(lan), IsEmpty());
    EXPECT_EQ(stand.worker().balancer_counters().flows_created.get(), 0u);
    EXPECT_THAT(stand.given_to_kernel(wan), SizeIs(kernel ? 2 : 0));
    EXPECT_EQ(stand.drops(DropReason::kernel_absent), kernel ? 0u : 2u);
  }
}

TEST(ForwardingBursts, AllOfALongQueueIsHandledABurstATurn) {
  Stand stand;
  for (int number = 0; number < 100; ++number) {
    stand.receive(wan, test::echo_request<Ipv4>(Scene<Ipv4>::client, Scene<Ipv4>::vip));
  }
  for (const std::size_t handled : {32UL, 32UL, 32UL, 4UL, 0UL}) {
    EXPECT_EQ(stand.turn(), handled);
  }
  EXPECT_THAT(stand.sent(wan), SizeIs(100));
}

TEST(ForwardingBursts, ShortFramesAreDroppedByName) {
  Stand stand;
  for (std::size_t size = 1; size < 14; ++size) {
    stand.receive_as_is(wan, {test::Bytes(size)});
  }
  stand.settle();
  EXPECT_EQ(stand.drops(DropReason::frame_too_short), 13u);
}

TEST(ForwardingHops, AClientOnTheLinkIsItsOwnNextHop) {
  Stand stand;
  const Frame client = first_packet<Ipv4>(test::nat_port, 1, "192.0.2.77");
  stand.receive(wan, client);
  stand.resolve();
  Frame to_server = stand.sent(lan).at(0);
  stand.receive(lan, answer_to<Ipv4>(to_server));
  stand.resolve();
  const auto sent = stand.sent(wan);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(test::to_mac(sent[0]), host_mac(wan, 77));
}

}  // namespace
}  // namespace steelyard::worker
