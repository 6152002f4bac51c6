// Taps: what a worker tells of packets while somebody watches, and that watching changes nothing of what it does.
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
using test::lan;
using test::Scene;
using test::Stand;
using test::wan;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace packet::tcp_flag;

constexpr std::size_t ring_bytes = 1U << 16U;

template <class Family>
class Watching : public ::testing::Test {
 protected:
  using S = Scene<Family>;

  static TapFilter client(const std::string& text = S::client) { return {service::Prefix::parse(text), std::nullopt}; }
  static TapFilter listener(std::uint16_t port) {
    const auto protocol = test::is_for_datagrams(port) ? service::Protocol::udp : service::Protocol::tcp;
    return {std::nullopt, service::VipKey{test::model_address(S::vip), port, protocol}};
  }
  static std::shared_ptr<Tap> tap(Stand& stand, const TapFilter& filter, std::uint32_t snaplen = 0,
                                  std::size_t workers = 1, std::size_t bytes = ring_bytes) {
    auto made = std::make_shared<Tap>(filter, snaplen, workers, bytes);
    stand.watch({made});
    return made;
  }
  static std::vector<PacketEvent> events(const Tap& tap, std::size_t worker = 0) {
    std::vector<PacketEvent> all;
    for (auto record = tap.rings[worker]->front(); !record.empty(); record = tap.rings[worker]->front()) {
      EXPECT_EQ(record.size(), sizeof(PacketEvent));
      std::memcpy(&all.emplace_back(), record.data(), sizeof(PacketEvent));
      tap.rings[worker]->pop();
    }
    return all;
  }
  struct Copy {
    PacketCopy head;
    test::Bytes bytes;
  };
  static std::vector<Copy> copies(const Tap& tap, std::size_t worker = 0) {
    std::vector<Copy> all;
    for (auto record = tap.rings[worker]->front(); !record.empty(); record = tap.rings[worker]->front()) {
      Copy& copy = all.emplace_back();
      std::memcpy(&copy.head, record.data(), sizeof copy.head);
      copy.bytes.resize(record.size() - sizeof copy.head);
      std::memcpy(copy.bytes.data(), record.data() + sizeof copy.head, copy.bytes.size());
      tap.rings[worker]->pop();
    }
    return all;
  }
  // The one frame that leaves `to` when this one comes in at `from`.
  static Frame passed(Stand& stand, std::uint16_t from, std::uint16_t to, const Frame& frame, std::uint16_t at = 0) {
    stand.receive(from, frame, at);
    stand.resolve();
    auto sent = stand.sent(to);
    EXPECT_THAT(sent, SizeIs(1));
    return sent.empty() ? Frame{test::Bytes(80)} : sent[0];
  }
};
using Families = ::testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(Watching, Families);

TYPED_TEST(Watching, AConnectionIsToldFromItsOpeningOnInBothDirections) {
  for (const std::uint16_t port : {test::nat_port, test::fullnat_port}) {
    Stand stand;
    const auto tap = this->tap(stand, this->client());
    const Frame to_server = this->passed(stand, wan, lan, first_packet<TypeParam>(port));
    (void)this->passed(stand, lan, wan, answer_to<TypeParam>(to_server));
    const auto told = this->events(*tap);
    ASSERT_THAT(told, SizeIs(2));
    EXPECT_TRUE(told[0].from_client);
    EXPECT_EQ(told[0].source.address, test::model_address(TestFixture::S::client));
    EXPECT_EQ(told[0].source.port, 4'321);
    EXPECT_EQ(told[0].destination.port, port);
    EXPECT_EQ(told[0].tcp_flags, syn);
    EXPECT_EQ(told[0].sequence, 1'000u);
    EXPECT_EQ(told[0].facts, fact::opened | fact::forwarded | fact::waits) << "its server was not known to the link";
    EXPECT_EQ(told[0].server.port, test::server_port);
    EXPECT_FALSE(told[1].from_client);
    EXPECT_EQ(told[1].source.address, told[0].server.address);
    EXPECT_EQ(told[1].tcp_flags, syn | ack);
    EXPECT_EQ(told[1].facts & ~fact::waits, fact::forwarded);
  }
}

TYPED_TEST(Watching, OnlyWhatFitsTheFilterIsTold) {
  Stand stand;
  auto mine = std::make_shared<Tap>(this->client(), 0, 1, ring_bytes);
  auto other =
      std::make_shared<Tap>(this->client(TypeParam::is_v6 ? "2001:db8:78::/48" : "198.51.101.0/24"), 0, 1, ring_bytes);
  auto both = this->client();
  both.service = this->listener(test::fullnat_port).service;
  auto one_listener = std::make_shared<Tap>(both, 0, 1, ring_bytes);
  stand.watch({mine, other, one_listener});
  (void)this->passed(stand, wan, lan, first_packet<TypeParam>(test::nat_port));
  const Frame to_server = this->passed(stand, wan, lan, first_packet<TypeParam>(test::fullnat_port));
  (void)this->passed(stand, lan, wan, answer_to<TypeParam>(to_server));
  EXPECT_THAT(this->events(*mine), SizeIs(3));
  EXPECT_THAT(this->events(*other), IsEmpty());
  EXPECT_THAT(this->events(*one_listener), SizeIs(2));
}

TYPED_TEST(Watching, ADropIsToldWithItsReasonAndAnswer) {
  Stand stand;
  (void)this->passed(stand, wan, lan, first_packet<TypeParam>(test::nat_port));
  stand.take_servers_down();
  const auto tap = this->tap(stand, this->client());
  stand.receive(wan, first_packet<TypeParam>(test::nat_port, 999));
  stand.receive(wan, first_packet<TypeParam>(1));  // nobody's port
  stand.settle();
  const auto told = this->events(*tap);
  ASSERT_THAT(told, SizeIs(2));
  EXPECT_EQ(told[0].facts & (fact::dropped | fact::reset), fact::dropped | fact::reset);
  EXPECT_EQ(stand.drops(told[0].reason), 1u);
  EXPECT_EQ(told[1].facts & fact::dropped, fact::dropped);
  EXPECT_EQ(told[1].reason, DropReason::unmatched);
}

TYPED_TEST(Watching, AHandedPacketIsToldByBothWorkers) {
  Stand stand({.workers = 2});
  const std::uint16_t port = stand.template port_owned_by<TypeParam>(1, TestFixture::S::client);
  const auto tap = this->tap(stand, this->client(), 0, 2);
  (void)this->passed(stand, wan, lan, first_packet<TypeParam>(test::nat_port, port), 0);
  const auto receiver = this->events(*tap, 0);
  const auto owner = this->events(*tap, 1);
  ASSERT_THAT(receiver, SizeIs(1));
  EXPECT_EQ(receiver[0].facts, fact::handed_over);
  EXPECT_FALSE(receiver[0].handed_in);
  ASSERT_THAT(owner, SizeIs(1));
  EXPECT_EQ(owner[0].facts & fact::opened, fact::opened);
  EXPECT_TRUE(owner[0].handed_in);
  EXPECT_EQ(owner[0].worker, 1);
}

TYPED_TEST(Watching, FragmentsAreToldWithTheirPlaces) {
  Stand stand;
  const auto tap = this->tap(stand, this->client());
  const Frame datagram = test::udp(test::tuple<TypeParam>(packet::protocol_udp, TestFixture::S::client, 4'321,
                                                          TestFixture::S::vip, test::datagram_port),
                                   {.payload = 2'000});
  for (const Frame& piece : test::cut<TypeParam>(datagram, 1'000)) {
    stand.receive(wan, piece);
  }
  stand.resolve();
  const auto told = this->events(*tap);
  ASSERT_THAT(told, SizeIs(3));
  EXPECT_EQ(told[0].facts & fact::opened, fact::opened);
  EXPECT_EQ(told[0].fragment_offset, 0u);
  EXPECT_EQ(told[1].fragment_offset, 1'000u);
  EXPECT_EQ(told[2].fragment_offset, 2'000u);
  EXPECT_EQ(told[2].kind, packet::PacketKind::fragment);
}

TYPED_TEST(Watching, AnEchoRequestOfTheClientIsToldAsAnswered) {
  Stand stand;
  stand.resolve();
  const auto tap = this->tap(stand, this->client());
  stand.receive(wan, test::echo_request<TypeParam>(TestFixture::S::client, TestFixture::S::vip));
  stand.settle();
  const auto told = this->events(*tap);
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].facts & fact::echoed, fact::echoed);
  EXPECT_EQ(told[0].icmp_type, TypeParam::is_v6 ? 128 : 8);
}

TYPED_TEST(Watching, ACaptureHasPacketsAsTheyCameAndAsTheyLeft) {
  for (const std::uint16_t port : {test::nat_port, test::fullnat_port, test::datagram_port}) {
    Stand stand;
    const auto tap = this->tap(stand, this->listener(port), 65'535);
    const Frame request = first_packet<TypeParam>(port);
    const Frame to_server = this->passed(stand, wan, lan, request);
    const Frame to_client = this->passed(stand, lan, wan, answer_to<TypeParam>(to_server));
    const auto copied = this->copies(*tap);
    ASSERT_THAT(copied, SizeIs(4));
    const auto shape = [](const auto& copy) { return std::pair(copy.head.link, copy.head.outbound); };
    EXPECT_EQ(shape(copied[0]), std::pair(wan, false));
    EXPECT_EQ(shape(copied[1]), std::pair(lan, true));
    EXPECT_EQ(shape(copied[2]), std::pair(lan, false));
    EXPECT_EQ(shape(copied[3]), std::pair(wan, true));
    EXPECT_EQ(copied[1].bytes, to_server.bytes);
    EXPECT_EQ(copied[3].bytes, to_client.bytes);
    EXPECT_EQ(copied[0].bytes.size(), request.bytes.size());
    EXPECT_EQ(copied[0].head.length, request.bytes.size());
  }
}

TYPED_TEST(Watching, ACaptureHasWhatGoesToServersThatAnswerPastUs) {
  for (const std::uint16_t port : {test::direct_datagram_port, test::tunnel_datagram_port}) {
    Stand stand;
    const auto tap = this->tap(stand, this->listener(port), 65'535);
    for (int time = 0; time < 2; ++time) {
      const Frame to_server = this->passed(stand, wan, lan, first_packet<TypeParam>(port));
      const auto copied = this->copies(*tap);
      ASSERT_THAT(copied, SizeIs(2));
      EXPECT_TRUE(copied[1].head.outbound);
      EXPECT_EQ(copied[1].bytes, to_server.bytes);
    }
  }
}

TYPED_TEST(Watching, ACaptureHasEveryFragmentOnceEachWay) {
  for (const std::uint16_t port : {test::datagram_port, test::fullnat_datagram_port}) {
    for (const std::size_t workers : {1U, 2U}) {
      for (std::uint16_t client_port = 5'000; client_port < 5'006; ++client_port) {  // different owners and homes
        SCOPED_TRACE(std::to_string(port) + " workers " + std::to_string(workers));
        Stand stand({.workers = workers});
        const auto tap = this->tap(stand, this->listener(port), 65'535, workers);
        const auto passed = [&](std::uint16_t from, std::uint16_t to, const Frame& datagram) {
          for (const Frame& piece : test::cut<TypeParam>(datagram, 1'000, client_port)) {
            stand.receive(from, piece);
          }
          stand.resolve();
          auto whole = test::join<TypeParam>(stand.sent(to));
          EXPECT_TRUE(whole.has_value());
          return whole.value_or(Frame{test::Bytes(80)});
        };
        Frame to_server = passed(wan, lan,
                                 test::udp(test::tuple<TypeParam>(packet::protocol_udp, TestFixture::S::client,
                                                                  client_port, TestFixture::S::vip, port),
                                           {.payload = 2'000}));
        const auto there = to_server.parse().template tuple<TypeParam>();
        (void)passed(lan, wan, test::udp(there.reversed(), {.payload = 2'000}));
        std::size_t inbound = 0;
        std::size_t outbound = 0;
        for (std::size_t worker = 0; worker < workers; ++worker) {
          for (const auto& copy : this->copies(*tap, worker)) {
            ++(copy.head.outbound ? outbound : inbound);
          }
        }
        EXPECT_EQ(inbound, 6u);
        EXPECT_EQ(outbound, 6u);
      }
    }
  }
}

TYPED_TEST(Watching, ACaptureHasThePiecesOfASplitTunnelPacket) {
  if (TypeParam::is_v6) {
    return;  // the client is told to send less
  }
  Stand stand;
  const auto tap = this->tap(stand, this->listener(test::tunnel_datagram_port), 65'535);
  const auto ends = test::tuple<TypeParam>(packet::protocol_udp, TestFixture::S::client, 4'321, TestFixture::S::vip,
                                           test::tunnel_datagram_port);
  (void)this->passed(stand, wan, lan, test::udp(ends, {.payload = 20}));
  (void)this->copies(*tap);
  const auto told = std::make_shared<Tap>(this->client(), 0, 1, ring_bytes);
  stand.watch({tap, told});
  stand.receive(wan, test::udp(ends, {.payload = 1'472}));
  stand.resolve();
  const auto sent = stand.sent(lan);
  ASSERT_THAT(sent, SizeIs(2));
  const auto copied = this->copies(*tap);
  ASSERT_THAT(copied, SizeIs(3));
  EXPECT_EQ(copied[1].bytes, sent[0].bytes);
  EXPECT_EQ(copied[2].bytes, sent[1].bytes);
  const auto events = this->events(*told);
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].facts, fact::forwarded | fact::split);
}

TYPED_TEST(Watching, ACaptureCutsAtItsLengthAndSaysHowLongThePacketWas) {
  Stand stand;
  const auto tap = this->tap(stand, this->listener(test::nat_port), 40);
  const Frame request = first_packet<TypeParam>(test::nat_port);
  (void)this->passed(stand, wan, lan, request);
  const auto copied = this->copies(*tap);
  ASSERT_THAT(copied, SizeIs(2));
  EXPECT_THAT(copied[0].bytes, SizeIs(40));
  EXPECT_EQ(copied[0].head.length, request.bytes.size());
}

TYPED_TEST(Watching, ARelayedPacketIsCopiedOnceByItsOwner) {
  Stand stand({.workers = 2, .queues = 1});
  const std::uint16_t port = stand.template port_owned_by<TypeParam>(1, TestFixture::S::client);
  const auto tap = this->tap(stand, this->listener(test::nat_port), 65'535, 2);
  (void)this->passed(stand, wan, lan, first_packet<TypeParam>(test::nat_port, port));
  const auto receiver = this->copies(*tap, 0);
  const auto owner = this->copies(*tap, 1);
  ASSERT_THAT(receiver, SizeIs(1));
  EXPECT_FALSE(receiver[0].head.outbound);
  ASSERT_THAT(owner, SizeIs(1));
  EXPECT_TRUE(owner[0].head.outbound);
}

TYPED_TEST(Watching, AServersAnswerIsCopiedOnceWhoeverReceivesIt) {
  for (const std::uint16_t port : {test::nat_port, test::fullnat_port}) {
    Stand stand({.workers = 2});
    const std::uint16_t client_port = stand.template port_owned_by<TypeParam>(1, TestFixture::S::client);
    const auto tap = this->tap(stand, this->listener(port), 65'535, 2);
    const Frame to_server = this->passed(stand, wan, lan, first_packet<TypeParam>(port, client_port), 0);
    (void)this->passed(stand, lan, wan, answer_to<TypeParam>(to_server), 0);
    std::size_t inbound = 0;
    std::size_t outbound = 0;
    for (const std::size_t worker : {0U, 1U}) {
      for (const auto& copy : this->copies(*tap, worker)) {
        ++(copy.head.outbound ? outbound : inbound);
      }
    }
    EXPECT_EQ(inbound, 2u);
    EXPECT_EQ(outbound, 2u);
  }
}

TYPED_TEST(Watching, WhatDoesNotFitTheRingIsCountedAndThePacketStillPasses) {
  Stand stand;
  const auto tap = this->tap(stand, this->listener(test::nat_port), 65'535, 1, 128);
  for (std::uint16_t client_port = 1'000; client_port < 1'010; ++client_port) {
    (void)this->passed(stand, wan, lan, first_packet<TypeParam>(test::nat_port, client_port));
  }
  EXPECT_EQ(tap->rings[0]->lost() + this->copies(*tap).size(), 20u);
  EXPECT_GT(tap->rings[0]->lost(), 0u);
}

TYPED_TEST(Watching, AnEventThatFindsNoRoomIsCountedAndThePacketStillPasses) {
  Stand stand;
  const auto tap = this->tap(stand, this->client(), 0, 1, 512);
  for (std::uint16_t client_port = 1'000; client_port < 1'010; ++client_port) {
    (void)this->passed(stand, wan, lan, first_packet<TypeParam>(test::nat_port, client_port));
  }
  EXPECT_EQ(tap->rings[0]->lost() + this->events(*tap).size(), 10u);
  EXPECT_GT(tap->rings[0]->lost(), 0u);
}

TYPED_TEST(Watching, ABurstPassesAsItPassesUnwatched) {
  const auto left = [this](bool watched) {
    Stand stand;
    std::vector<std::shared_ptr<Tap>> taps;
    if (watched) {
      taps.push_back(std::make_shared<Tap>(this->client(), 0, 1, ring_bytes));
      taps.push_back(std::make_shared<Tap>(this->listener(test::fullnat_port), 65'535, 1, ring_bytes));
      stand.watch(taps);
    }
    std::vector<test::Bytes> sent;
    for (int round = 0; round < 2; ++round) {
      for (std::uint16_t client_port = 1'000; client_port < 1'020; ++client_port) {
        const std::string from = client_port % 3 == 0
                                     ? std::string(TestFixture::S::client)
                                     : std::string(TypeParam::is_v6 ? "2001:db8:77::9" : "198.51.100.9");
        stand.receive(wan, first_packet<TypeParam>(client_port % 2 == 0 ? test::nat_port : test::datagram_port,
                                                   client_port, from));
      }
      stand.resolve();
      for (const Frame& frame : stand.sent(lan)) {
        sent.push_back(frame.bytes);
      }
    }
    EXPECT_EQ(stand.all_drops(), 0u);
    if (watched) {
      EXPECT_THAT(this->events(*taps[0]), SizeIs(12));
    }
    return sent;
  };
  const auto unwatched = left(false);
  EXPECT_THAT(unwatched, SizeIs(40));
  EXPECT_EQ(left(true), unwatched);
}

TYPED_TEST(Watching, NobodyIsToldAnythingAfterTheEnd) {
  Stand stand;
  const auto tap = this->tap(stand, this->client());
  stand.watch({});
  (void)this->passed(stand, wan, lan, first_packet<TypeParam>(test::nat_port));
  EXPECT_THAT(this->events(*tap), IsEmpty());
}

}  // namespace
}  // namespace steelyard::worker
