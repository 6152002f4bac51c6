// Workers together: packets find their owner whoever received them, persistence is decided at the client's home, and
// what one learns of the neighbours all know.
#include "tests/unit/worker/stand.h"

namespace steelyard::worker {
namespace {

using packet::Ipv4;
using packet::Ipv6;
using test::answer_to;
using test::DropReason;
using test::first_packet;
using test::Frame;
using test::lan;
using test::Scene;
using test::Stand;
using test::wan;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;
using namespace packet::tcp_flag;

template <class Family>
class HandOff : public ::testing::Test {
 protected:
  using S = Scene<Family>;
  // The frame that left for a server after a client's packet came in at a worker.
  static Frame forwarded(Stand& stand, const Frame& from_client, std::uint16_t at) {
    stand.receive(wan, from_client, at);
    stand.resolve();
    auto sent = stand.sent(lan);
    EXPECT_THAT(sent, SizeIs(1));
    return sent.empty() ? Frame{test::Bytes(60)} : sent[0];
  }
  static std::string last_byte(Frame& frame) {
    return std::to_string(frame.parse().template destination<Family>().bytes().back());
  }
  // A client whose home is one worker, and a port of it that another worker owns.
  static std::string client_at_home_of(const Stand& stand, std::uint16_t home) {
    for (int host = 1; host < 200; ++host) {
      const std::string client = (Family::is_v6 ? "2001:db8:77::" : "198.51.100.") + std::to_string(host);
      if (stand.owner(test::address<Family>(client), 0) == home) {
        return client;
      }
    }
    throw std::logic_error("no client is at home there");
  }
};
using Families = ::testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(HandOff, Families);

TYPED_TEST(HandOff, AConnectionIsOpenedByItsOwnerWhoeverReceivesItsFirstPacket) {
  for (const std::uint16_t owner : std::array<std::uint16_t, 2>{0, 1}) {
    for (const std::uint16_t receiver : std::array<std::uint16_t, 2>{0, 1}) {
      Stand stand({.workers = 2});
      const std::uint16_t port = stand.template port_owned_by<TypeParam>(owner, TestFixture::S::client);
      (void)this->forwarded(stand, first_packet<TypeParam>(test::nat_port, port), receiver);
      EXPECT_EQ(stand.worker(owner).balancer_counters().flows_created.get(), 1u);
      EXPECT_EQ(stand.worker(1U - owner).balancer_counters().flows_created.get(), 0u);
      EXPECT_EQ(stand.all_drops(), 0u);
    }
  }
}

TYPED_TEST(HandOff, AServersAnswerFindsTheOwnerInEveryMode) {
  for (const std::uint16_t vip_port :
       {test::nat_port, test::fullnat_port, test::persistent_port, test::datagram_port}) {
    for (const std::uint16_t owner : std::array<std::uint16_t, 2>{0, 1}) {
      Stand stand({.workers = 2});
      const std::uint16_t port = stand.template port_owned_by<TypeParam>(owner, TestFixture::S::client);
      const Frame first = first_packet<TypeParam>(vip_port, port);
      const Frame answer = answer_to<TypeParam>(this->forwarded(stand, first, 0));
      stand.receive(lan, answer, static_cast<std::uint16_t>(1U - owner));
      stand.resolve();
      auto sent = stand.sent(wan);
      ASSERT_THAT(sent, SizeIs(1)) << vip_port;
      EXPECT_EQ(sent[0].parse().template tuple<TypeParam>(),
                Frame(first).parse().template tuple<TypeParam>().reversed());
      EXPECT_TRUE(sent[0].checksums_right());
      EXPECT_EQ(stand.packets(owner).forwarded.get(), 2u);
      EXPECT_EQ(stand.all_drops(), 0u);
    }
  }
}

TYPED_TEST(HandOff, APacketInTheMiddleIsTheOwnersToo) {
  Stand stand({.workers = 2});
  const std::uint16_t port = stand.template port_owned_by<TypeParam>(1, TestFixture::S::client);
  const Frame first = first_packet<TypeParam>(test::nat_port, port);
  stand.receive(lan, answer_to<TypeParam>(this->forwarded(stand, first, 1)), 1);
  stand.resolve();
  (void)stand.sent(wan);
  const auto ends = Frame(first).parse().template tuple<TypeParam>();
  const std::uint64_t before = stand.packets(0).handed_out.get();
  stand.receive(wan, test::tcp(ends, {.sequence = {1'001}, .acknowledgment = {5'001}, .payload = 100}), 0);
  stand.settle();
  auto sent = stand.sent(lan);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_TRUE(sent[0].checksums_right());
  EXPECT_EQ(stand.packets(0).handed_out.get(), before + 1);
}

TYPED_TEST(HandOff, AClientsServerIsChosenAtItsHomeAndTheFlowOpenedByItsOwner) {
  Stand stand({.workers = 3});
  const std::string client = this->client_at_home_of(stand, 2);
  const std::uint16_t port = stand.template port_owned_by<TypeParam>(1, client);
  (void)this->forwarded(stand, first_packet<TypeParam>(test::persistent_port, port, client), 0);
  EXPECT_EQ(stand.worker(1).balancer_counters().persistence_asked_home.get(), 1u);
  EXPECT_EQ(stand.worker(1).balancer_counters().flows_created.get(), 1u);
  EXPECT_GE(stand.packets(2).handed_in.get(), 1u);
  EXPECT_EQ(stand.all_drops(), 0u);
}

TYPED_TEST(HandOff, AClientKeepsItsServerOnEveryWorker) {
  Stand stand({.workers = 3});
  const std::string client = this->client_at_home_of(stand, 2);
  std::string chosen;
  for (std::uint16_t number = 0; number < 12; ++number) {
    Frame sent =
        this->forwarded(stand, first_packet<TypeParam>(test::persistent_port, 30'000 + number, client), number % 3);
    const std::string server = this->last_byte(sent);
    chosen = number == 0 ? server : chosen;
    EXPECT_EQ(server, chosen) << number;
  }
  std::uint64_t asked = 0;
  std::uint64_t created = 0;
  for (std::size_t worker = 0; worker < 3; ++worker) {
    asked += stand.worker(worker).balancer_counters().persistence_asked_home.get();
    created += stand.worker(worker).balancer_counters().flows_created.get();
  }
  EXPECT_LE(asked, 1u) << "later connections read what the home wrote";
  EXPECT_EQ(created, 12u);
}

TYPED_TEST(HandOff, WithoutAUsableServerTheHomeRefusesAtOnce) {
  Stand stand({.workers = 3});
  stand.take_servers_down();
  const std::string client = this->client_at_home_of(stand, 2);
  const std::uint16_t port = stand.template port_owned_by<TypeParam>(1, client);
  stand.receive(wan, first_packet<TypeParam>(test::persistent_port, port, client), 0);
  stand.resolve();
  auto sent = stand.sent(wan);
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].flags(), rst | ack);
  EXPECT_EQ(stand.drops(DropReason::no_usable_server), 1u);
}

TYPED_TEST(HandOff, AFullRingDropsByName) {
  Stand stand({.workers = 2, .ring_size = 8});
  const std::uint16_t port = stand.template port_owned_by<TypeParam>(1, TestFixture::S::client);
  for (int number = 0; number < 10; ++number) {
    stand.receive(wan, first_packet<TypeParam>(test::datagram_port, port), 0);
  }
  stand.turn(0);
  EXPECT_EQ(stand.packets(0).handed_out.get(), 7u);
  EXPECT_EQ(stand.drops(DropReason::handoff_ring_full), 3u);
}

TYPED_TEST(HandOff, APacketNeverCircles) {
  Stand stand({.workers = 2});
  const std::uint16_t port = stand.template port_owned_by<TypeParam>(1, TestFixture::S::client);
  // It has been handed on three times, and worker 0 gets it though it belongs to worker 1.
  stand.hand_over(first_packet<TypeParam>(test::nat_port, port), 1, 0, 1, 3);
  stand.turn(0);
  EXPECT_EQ(stand.drops(DropReason::reassigned), 1u);
  EXPECT_EQ(stand.packets(0).handed_out.get(), 0u);
}

TYPED_TEST(HandOff, WhatNobodyClaimsGoesToTheKernelOfThePortItCameFrom) {
  Stand stand({.workers = 2, .kernel = true});
  stand.receive(lan,
                test::tcp(test::tuple<TypeParam>(packet::protocol_tcp, TestFixture::S::server, test::server_port,
                                                 TestFixture::S::own, 40'000)),
                1);
  stand.settle();
  EXPECT_THAT(stand.given_to_kernel(lan), SizeIs(1));
  EXPECT_THAT(stand.given_to_kernel(wan), IsEmpty());
  EXPECT_EQ(stand.packets(1).to_kernel.get(), 1u);
}

TYPED_TEST(HandOff, AWorkerWithoutAQueueSendsThroughTheFirst) {
  Stand stand({.workers = 2, .queues = 1});
  const std::uint16_t port = stand.template port_owned_by<TypeParam>(1, TestFixture::S::client);
  const Frame answer =
      answer_to<TypeParam>(this->forwarded(stand, first_packet<TypeParam>(test::fullnat_port, port), 0));
  stand.receive(lan, answer, 0);
  stand.resolve();
  EXPECT_THAT(stand.sent(wan), SizeIs(1));
  EXPECT_EQ(stand.packets(1).transmitted.get(), 0u);
  EXPECT_EQ(stand.packets(1).forwarded.get(), 2u);
  EXPECT_GE(stand.packets(1).relayed_out.get(), 2u);
  EXPECT_EQ(stand.packets(0).relayed_in.get(), stand.packets(1).relayed_out.get());
  EXPECT_EQ(stand.all_drops(), 0u);
}

TYPED_TEST(HandOff, AFullRelayDropsByName) {
  Stand stand({.workers = 2, .queues = 1, .ring_size = 16});
  const std::uint16_t port = stand.template port_owned_by<TypeParam>(1, TestFixture::S::client);
  const Frame frame = first_packet<TypeParam>(test::datagram_port, port);
  (void)this->forwarded(stand, frame, 0);
  for (const int packets : {10, 10}) {
    stand.hand_over(frame, 0, 1, packets);  // worker 0 has no turn in between
    stand.turn(1);
  }
  EXPECT_EQ(stand.drops(DropReason::tx_ring_full), 5u);
}

TEST(HandOffOfNeighbours, AnAnswerTeachesEveryWorkerAndIsSentToTheKernelOnce) {
  Stand stand({.workers = 2, .kernel = true});
  for (const std::uint16_t worker : std::array<std::uint16_t, 2>{0, 1}) {
    const std::uint16_t port = stand.port_owned_by<Ipv4>(worker, Scene<Ipv4>::client);
    stand.receive(wan, first_packet<Ipv4>(test::nat_port, port), worker);
  }
  stand.settle();
  EXPECT_EQ(stand.packets(0).waiting.get() + stand.packets(1).waiting.get(), 2u);
  (void)stand.sent(lan);
  for (const std::uint8_t host : std::array<std::uint8_t, 2>{1, 2}) {
    stand.receive(lan,
                  test::arp({.operation = 2,
                             .sender_mac = test::host_mac(lan, host),
                             .sender = "10.0.0." + std::to_string(host),
                             .target = "10.0.0.254"}),
                  0);
  }
  stand.settle();
  EXPECT_THAT(stand.sent(lan), SizeIs(2));
  EXPECT_EQ(stand.packets(1).consumed.get(), 2u);
  EXPECT_EQ(stand.packets(1).waiting.get(), 0u);
  EXPECT_THAT(stand.given_to_kernel(lan), SizeIs(2));
}

TEST(HandOffOfNeighbours, AClaimOnAVipIsNotPassedOn) {
  Stand stand({.workers = 2});
  stand.receive_as_is(wan, test::arp({.sender_mac = test::mac(66), .sender = "192.0.2.10"}), 0);
  stand.settle();
  EXPECT_EQ(stand.packets(1).handed_in.get(), 0u);
  EXPECT_EQ(stand.packets(0).address_conflicts.get(), 1u);
}

TEST(HandOffOfNeighbours, WithoutABufferTheOthersLearnLater) {
  Stand stand({.workers = 2});
  std::vector<nic::Packet> taken;
  while (auto packet = stand.generate(0).allocate()) {
    taken.push_back(std::move(packet));
  }
  stand.receive_as_is(wan, test::arp({}), 0);
  stand.settle();
  EXPECT_EQ(stand.packets(0).consumed.get(), 1u);
  EXPECT_EQ(stand.packets(1).handed_in.get(), 0u);
}

TEST(HandOffOfNeighbours, OnlyOneWorkerAnswersForAVip) {
  Stand stand({.workers = 3});
  stand.receive_as_is(wan, test::arp({.sender_mac = test::mac(7), .sender = "192.0.2.7"}), 1);
  stand.settle();
  EXPECT_THAT(stand.sent(wan), SizeIs(1));
}

}  // namespace
}  // namespace steelyard::worker
