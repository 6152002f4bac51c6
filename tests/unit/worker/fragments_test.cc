// Fragments through workers: whatever their order and whoever receives them, what leaves is the datagram that came,
// with the addresses, ports and checksums of its flow; and what cannot be one is dropped by name, in bounded memory.
#include <random>
#include <ranges>

#include "tests/unit/fragment_builder.h"
#include "tests/unit/worker/stand.h"

namespace steelyard::worker {
namespace {

using packet::Ipv4;
using packet::Ipv6;
using test::cut;
using test::DropReason;
using test::first_packet;
using test::Frame;
using test::join;
using test::lan;
using test::Scene;
using test::Stand;
using test::wan;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;
using namespace packet::tcp_flag;

constexpr std::size_t piece = 1'448;
constexpr std::size_t payload = 4'000;  // three fragments

enum class Order { sent, reversed, shuffled };

std::vector<Frame> in_order(std::vector<Frame> frames, Order order) {
  if (order == Order::reversed) {
    std::ranges::reverse(frames);
  } else if (order == Order::shuffled) {
    std::ranges::shuffle(frames, std::mt19937(7));
  }
  return frames;
}

template <class Family>
class FragmentsOfFlows : public ::testing::Test {
 protected:
  using S = Scene<Family>;
  using Tuple = packet::Tuple<Family>;

  // The one datagram that left a link, put together; it has right checksums.
  static Frame left(Stand& stand, std::uint16_t link) {
    auto whole = join<Family>(stand.sent(link));
    EXPECT_TRUE(whole.has_value()) << "what left makes no datagram";
    if (!whole) {
      return Frame{test::Bytes(80)};
    }
    EXPECT_TRUE(whole->checksums_right());
    return *whole;
  }
  // Fragments come in, each at another worker than the one before.
  static void receive(Stand& stand, std::uint16_t link, const std::vector<Frame>& frames, std::size_t workers) {
    std::size_t number = 0;
    for (const Frame& frame : frames) {
      stand.receive(link, frame, static_cast<std::uint16_t>(number++ % workers));
    }
    stand.resolve();
  }
  static test::Bytes data_of(Frame frame) {
    const auto l4 = frame.l4();
    const auto header = frame.protocol() == packet::protocol_udp ? 8 : (l4[12] >> 4U) * 4;
    return {l4.begin() + header, l4.end()};
  }
  static Tuple tuple_of(Frame frame) { return frame.parse().template tuple<Family>(); }

  static Frame datagram(std::uint16_t vip_port, std::uint16_t client_port = 4'321, std::size_t size = payload) {
    return test::udp(test::tuple<Family>(packet::protocol_udp, S::client, client_port, S::vip, vip_port),
                     {.payload = size});
  }
  // A new client's datagram in fragments.
  static std::vector<Frame> fragments(std::uint16_t vip_port = test::datagram_port, std::uint16_t client_port = 4'321,
                                      std::uint32_t id = 77) {
    return cut<Family>(datagram(vip_port, client_port), piece, id);
  }
};
using Families = ::testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(FragmentsOfFlows, Families);

TYPED_TEST(FragmentsOfFlows, DatagramsPassInBothDirectionsInAnyOrderOnAnyNumberOfWorkers) {
  for (const std::uint16_t vip_port : {test::datagram_port, test::fullnat_datagram_port}) {
    for (const Order order : {Order::sent, Order::reversed, Order::shuffled}) {
      for (const std::size_t workers : {1U, 2U, 3U}) {
        for (std::uint16_t client_port = 5'000; client_port < 5'006; ++client_port) {  // different owners and homes
          SCOPED_TRACE(std::to_string(vip_port) + " order " + std::to_string(static_cast<int>(order)) + " workers " +
                       std::to_string(workers));
          Stand stand({.workers = workers});
          const Frame sent = this->datagram(vip_port, client_port);
          const std::uint32_t id = client_port * 3U;
          this->receive(stand, wan, in_order(cut<TypeParam>(sent, piece, id), order), workers);
          const Frame to_server = this->left(stand, lan);
          EXPECT_EQ(this->data_of(to_server), this->data_of(sent));
          const auto there = this->tuple_of(to_server);
          EXPECT_EQ(there.destination_port, __builtin_bswap16(test::server_port));
          EXPECT_EQ(Frame(to_server).ttl(), Frame(sent).ttl() - 1);
          const Frame answer = test::udp(there.reversed(), {.payload = 3'500});
          this->receive(stand, lan, in_order(cut<TypeParam>(answer, piece, id), order), workers);
          const Frame to_client = this->left(stand, wan);
          EXPECT_EQ(this->data_of(to_client), this->data_of(answer));
          EXPECT_EQ(this->tuple_of(to_client), this->tuple_of(sent).reversed());
          EXPECT_EQ(stand.all_drops(), 0u);
          std::uint64_t forwarded = 0;
          for (std::size_t worker = 0; worker < workers; ++worker) {
            forwarded += stand.packets(worker).fragments_forwarded.get();
          }
          EXPECT_EQ(forwarded, 6u);
        }
      }
    }
  }
}

TYPED_TEST(FragmentsOfFlows, SegmentsPassInBothDirectionsInAnyOrderOnAnyNumberOfWorkers) {
  for (const std::uint16_t vip_port : {test::nat_port, test::fullnat_port}) {
    for (const Order order : {Order::sent, Order::reversed, Order::shuffled}) {
      for (const std::size_t workers : {1U, 2U}) {
        Stand stand({.workers = workers});
        const Frame opening = first_packet<TypeParam>(vip_port);
        stand.receive(wan, opening);
        stand.resolve();
        auto opened = stand.sent(lan);
        ASSERT_THAT(opened, SizeIs(1));
        stand.receive(lan, test::answer_to<TypeParam>(opened[0]));
        stand.resolve();
        (void)stand.sent(wan);
        const auto client = this->tuple_of(opening);
        const Frame request = test::tcp(client, {.sequence = {1'001}, .acknowledgment = {5'001}, .payload = payload});
        this->receive(stand, wan, in_order(cut<TypeParam>(request, piece), order), workers);
        Frame to_server = this->left(stand, lan);
        EXPECT_EQ(this->data_of(to_server), this->data_of(request));
        EXPECT_EQ(to_server.sequence(), opened[0].sequence() + 1) << "full NAT's numbers";
        // Acknowledged with a SACK block, which is in the server's numbers, too.
        test::Bytes sack{1, 1, 5, 10, 0, 0, 0, 0, 0, 0, 0, 0};
        test::put32(sack, 4, (opened[0].sequence() + 101).value);
        test::put32(sack, 8, (opened[0].sequence() + 201).value);
        const Frame answer = test::tcp(
            this->tuple_of(to_server).reversed(),
            {.sequence = {5'001}, .acknowledgment = opened[0].sequence() + 1, .options = sack, .payload = payload});
        this->receive(stand, lan, in_order(cut<TypeParam>(answer, piece), order), workers);
        Frame to_client = this->left(stand, wan);
        EXPECT_EQ(this->data_of(to_client), this->data_of(answer));
        EXPECT_EQ(to_client.acknowledgment().value, 1'001u);
        EXPECT_EQ(test::get32(to_client.l4(), 24), 1'101u);
        EXPECT_EQ(this->tuple_of(to_client), client.reversed());
        EXPECT_EQ(stand.all_drops(), 0u);
      }
    }
  }
}

TYPED_TEST(FragmentsOfFlows, TheServerOfAPersistentClientIsAskedForMeanwhile) {
  for (const Order order : {Order::sent, Order::reversed}) {
    for (std::uint16_t port = 6'000; port < 6'010; ++port) {
      Stand stand({.workers = 3});
      const auto ends = test::tuple<TypeParam>(packet::protocol_tcp, TestFixture::S::client, port, TestFixture::S::vip,
                                               test::persistent_port);
      const Frame opening = test::tcp(ends, {.sequence = {1'000}, .flags = syn, .payload = 2'000});
      this->receive(stand, wan, in_order(cut<TypeParam>(opening, piece, port), order), 3);
      EXPECT_EQ(this->data_of(this->left(stand, lan)), this->data_of(opening));
      EXPECT_EQ(stand.all_drops(), 0u);
    }
  }
}

TYPED_TEST(FragmentsOfFlows, TwoClientsDatagramsWithOneIdentificationDoNotMeetAtTheServer) {
  Stand stand({.workers = 2});
  std::vector<std::uint32_t> ids;
  for (const char* client : {"7", "8"}) {
    const std::string from = (TypeParam::is_v6 ? "2001:db8:77::" : "198.51.100.") + std::string(client);
    const auto ends =
        test::tuple<TypeParam>(packet::protocol_udp, from, 4'000, TestFixture::S::vip, test::fullnat_datagram_port);
    this->receive(stand, wan, cut<TypeParam>(test::udp(ends, {.payload = payload}), piece, 99), 2);
    auto sent = stand.sent(lan);
    ASSERT_THAT(sent, SizeIs(3));
    ids.push_back(test::Piece<TypeParam>::of(sent[0]).id);
    EXPECT_TRUE(join<TypeParam>(sent)) << "one number a datagram";
  }
  EXPECT_NE(ids[0], ids[1]);
}

// One server may be behind both services that it talks to.
TYPED_TEST(FragmentsOfFlows, TwoDatagramsOfAClientWithOneIdentificationDoNotMeetAtTheServer) {
  Stand stand;
  std::vector<std::uint32_t> ids;
  for (std::uint16_t client_port = 4'000; client_port < 4'002; ++client_port) {
    this->receive(stand, wan, this->fragments(test::datagram_port, client_port, 99), 1);
    const auto sent = stand.sent(lan);
    ASSERT_THAT(sent, SizeIs(3));
    ids.push_back(test::Piece<TypeParam>::of(sent[0]).id);
  }
  EXPECT_NE(ids[0], ids[1]);
}

TYPED_TEST(FragmentsOfFlows, ADirectServerGetsWhatTheClientHasSentByItsLinkAddress) {
  for (const Order order : {Order::sent, Order::reversed}) {
    Stand stand;
    auto frames = this->fragments(test::direct_datagram_port, 4'000, 99);
    this->receive(stand, wan, in_order(frames, order), 1);
    auto sent = stand.sent(lan);
    ASSERT_THAT(sent, SizeIs(3));
    const auto server = test::to_mac(sent[0]);
    EXPECT_THAT(server, ::testing::AnyOf(test::host_mac(lan, 1), test::host_mac(lan, 2)));
    for (const Frame& frame : sent) {
      EXPECT_EQ(test::to_mac(frame), server);
      EXPECT_EQ(test::Piece<TypeParam>::of(frame).id, 99u);
    }
    const Frame whole = this->datagram(test::direct_datagram_port, 4'000);
    auto joined = join<TypeParam>(sent);
    ASSERT_TRUE(joined);
    EXPECT_TRUE(joined->checksums_right());
    EXPECT_EQ(this->tuple_of(*joined), this->tuple_of(whole));
    EXPECT_EQ(this->data_of(*joined), this->data_of(whole));
    EXPECT_EQ(stand.all_drops(), 0u);
  }
}

TYPED_TEST(FragmentsOfFlows, WhatComesBeforeTheFirstOneIsQueuedAndCounted) {
  Stand stand;
  const auto frames = this->fragments();
  stand.receive(wan, frames[2]);
  stand.receive(wan, frames[1]);
  stand.settle();
  EXPECT_EQ(stand.packets().waiting.get(), 2u);
  EXPECT_THAT(stand.sent(lan), IsEmpty());
  stand.receive(wan, frames[0]);
  stand.resolve();
  EXPECT_EQ(stand.packets().waiting.get(), 0u);
  EXPECT_THAT(stand.sent(lan), SizeIs(3));
}

TYPED_TEST(FragmentsOfFlows, AFirstFragmentAndAWholePacketOfOneNewFlowInOneBurstMakeOneFlow) {
  for (const bool fragment_first : {false, true}) {
    Stand stand;
    const Frame whole = this->datagram(test::datagram_port, 4'321, 20);
    const auto frames = this->fragments();
    if (!fragment_first) {
      stand.receive(wan, whole);
    }
    for (const Frame& frame : frames) {
      stand.receive(wan, frame);
    }
    stand.receive(wan, whole);
    stand.resolve();
    EXPECT_EQ(stand.worker().balancer_counters().flows_created.get(), 1u);
    EXPECT_EQ(stand.all_drops(), 0u);
  }
}

TYPED_TEST(FragmentsOfFlows, AnOverlapIsDroppedWithAllThatFollows) {
  Stand stand;
  auto frames = this->fragments();
  stand.receive(wan, frames[0]);
  stand.resolve();
  const auto ends = this->tuple_of(this->datagram(test::datagram_port));
  stand.receive(wan, test::fragment<TypeParam>(ends.source, ends.destination, packet::protocol_udp, test::Bytes(80),
                                               {.id = 77, .offset = piece - 8, .more = true}));
  stand.receive(wan, frames[1]);
  stand.receive(wan, frames[2]);
  stand.resolve();
  EXPECT_THAT(stand.sent(lan), SizeIs(1));
  EXPECT_EQ(stand.drops(DropReason::fragment_overlap), 3u);
}

TYPED_TEST(FragmentsOfFlows, ADuplicateIsDroppedAlone) {
  Stand stand;
  auto frames = this->fragments();
  for (const std::size_t place : {1U, 0U, 0U, 1U, 2U}) {
    stand.receive(wan, frames[place]);
  }
  stand.resolve();
  EXPECT_TRUE(join<TypeParam>(stand.sent(lan)));
  EXPECT_EQ(stand.drops(DropReason::fragment_duplicate), 2u);
  EXPECT_EQ(stand.worker().balancer_counters().flows_created.get(), 1u);
}

TYPED_TEST(FragmentsOfFlows, TheyFollowTheFirstOneWhenThatIsDropped) {
  Stand stand({.workers = 2});
  stand.take_servers_down();
  const auto frames = this->fragments();
  this->receive(stand, wan, {frames[1], frames[0], frames[2]}, 2);
  EXPECT_THAT(stand.sent(lan), IsEmpty());
  EXPECT_EQ(stand.drops(DropReason::no_usable_server), 1u);
  EXPECT_EQ(stand.drops(DropReason::fragment_first_dropped), 2u);
}

TYPED_TEST(FragmentsOfFlows, WithoutTheFirstOneTheyTimeOut) {
  Stand stand;
  const auto frames = this->fragments();
  stand.receive(wan, frames[1]);
  stand.receive(wan, frames[2]);
  stand.pass(4'900ms);
  EXPECT_EQ(stand.packets().waiting.get(), 2u);
  stand.pass(200ms);
  EXPECT_EQ(stand.packets().waiting.get(), 0u);
  EXPECT_EQ(stand.drops(DropReason::fragment_timed_out), 2u);
  EXPECT_EQ(stand.packets().datagrams_tracked.get(), 0u);
}

TYPED_TEST(FragmentsOfFlows, ATinyFirstOneIsDropped) {
  Stand stand;
  const auto ends =
      test::tuple<TypeParam>(packet::protocol_tcp, TestFixture::S::client, 4'000, TestFixture::S::vip, test::nat_port);
  for (const Frame& frame : cut<TypeParam>(test::tcp(ends, {.flags = syn, .payload = 8}), 8)) {
    stand.receive(wan, frame);
  }
  stand.settle();
  EXPECT_EQ(stand.drops(DropReason::fragment_too_small), 1u);
  EXPECT_EQ(stand.drops(DropReason::fragment_first_dropped), 3u);
}

TYPED_TEST(FragmentsOfFlows, MalformedOnesAreDropped) {
  Stand stand;
  const auto ends = this->tuple_of(this->datagram(test::datagram_port));
  const auto receive = [&](std::size_t length, const test::FragmentFields& fields) {
    stand.receive(wan, test::fragment<TypeParam>(ends.source, ends.destination, packet::protocol_udp,
                                                 test::Bytes(length), fields));
  };
  receive(81, {.more = true});
  receive(0, {.offset = 8});
  receive(1'000, {.offset = 65'528});  // the ping of death
  stand.settle();
  EXPECT_EQ(stand.drops(DropReason::fragment_malformed), 3u);
}

TYPED_TEST(FragmentsOfFlows, LaterOnesAgeLikeTheFirst) {
  Stand stand;
  auto frames = this->fragments();
  frames[1].bytes[TypeParam::is_v6 ? 21 : 22] = 1;
  if (!TypeParam::is_v6) {
    test::put16(frames[1].bytes, 24, 0);
    test::put16(frames[1].bytes, 24, test::slow_checksum(frames[1].l3().first(20)));
  }
  this->receive(stand, wan, frames, 1);
  EXPECT_THAT(stand.sent(lan), SizeIs(2));
  EXPECT_EQ(stand.drops(DropReason::ttl_expired), 1u);
}

TYPED_TEST(FragmentsOfFlows, ForTheNodeItselfGoToTheKernelAsTheyAre) {
  Stand stand({.workers = 2, .kernel = true});
  const auto ends = test::tuple<TypeParam>(packet::protocol_udp, TestFixture::S::client, 4'000, TestFixture::S::own, 9);
  const auto frames = in_order(cut<TypeParam>(test::udp(ends, {.payload = payload}), piece), Order::reversed);
  for (const Frame& frame : frames) {
    stand.receive(wan, frame, 1);
  }
  stand.settle();
  const auto given = stand.given_to_kernel(wan);
  ASSERT_THAT(given, SizeIs(3));
  EXPECT_TRUE(std::ranges::equal(given[0].bytes | std::views::drop(12), frames[0].bytes | std::views::drop(12)));
  EXPECT_TRUE(join<TypeParam>(given));
}

// The VIP is the node's own address, as on a cloud machine that has one: only the first fragment tells.
TYPED_TEST(FragmentsOfFlows, ForAPortOfNobodyOnAVipThatIsTheNodesOwnGoToTheKernel) {
  for (const Order order : {Order::sent, Order::reversed}) {
    Stand stand({.workers = 2, .kernel = true});
    stand.publish_vips({TestFixture::S::own, TestFixture::S::vip});
    const auto ends =
        test::tuple<TypeParam>(packet::protocol_udp, TestFixture::S::client, 4'000, TestFixture::S::own, 9);
    this->receive(stand, wan, in_order(cut<TypeParam>(test::udp(ends, {.payload = payload}), piece), order), 2);
    EXPECT_TRUE(join<TypeParam>(stand.given_to_kernel(wan)));
    EXPECT_EQ(stand.all_drops(), 0u);
  }
}

TYPED_TEST(FragmentsOfFlows, OfNobodysServicesAreUnmatched) {
  Stand stand;
  const auto ends = test::tuple<TypeParam>(packet::protocol_udp, TestFixture::S::client, 4'000, TestFixture::S::vip, 9);
  this->receive(stand, wan, in_order(cut<TypeParam>(test::udp(ends, {.payload = payload}), piece), Order::reversed), 1);
  EXPECT_EQ(stand.drops(DropReason::unmatched), 3u);
}

TYPED_TEST(FragmentsOfFlows, OfAnEchoRequestAreNotAnswered) {
  Stand stand;
  const Frame request = test::echo_request<TypeParam>(TestFixture::S::client, TestFixture::S::vip, 2'000);
  this->receive(stand, wan, cut<TypeParam>(request, piece), 1);
  EXPECT_EQ(stand.drops(DropReason::unmatched), 2u);
}

// Later fragments without a first one, of ever new datagrams, four for each of our own.
TYPED_TEST(FragmentsOfFlows, AFloodStaysInItsMemoryAndDisturbsNobody) {
  for (const std::size_t workers : {1U, 2U}) {
    Stand stand({.workers = workers, .held_fragments = 64});
    const auto flood = this->tuple_of(this->datagram(test::datagram_port));
    this->receive(stand, wan, this->fragments(test::datagram_port, 4'321, 1), workers);  // the server is known now
    (void)stand.sent(lan);
    std::uint32_t id = 10'000;
    for (std::uint16_t round = 0; round < 500; ++round) {
      const auto frames = in_order(this->fragments(test::datagram_port, 4'321, round + 2U), Order::reversed);
      const auto disturb = [&] {
        for (int number = 0; number < 4; ++number) {
          stand.receive(wan,
                        test::fragment<TypeParam>(flood.source, flood.destination, packet::protocol_udp,
                                                  test::Bytes(80), {.id = ++id, .offset = 1'480, .more = true}),
                        static_cast<std::uint16_t>(id % workers));
        }
      };
      for (const Frame& frame : frames) {
        disturb();
        stand.receive(wan, frame, static_cast<std::uint16_t>(round % workers));
        stand.settle();
      }
      stand.receive(wan, this->datagram(test::datagram_port, 4'321, 100));
      stand.settle();
      auto sent = stand.sent(lan);
      ASSERT_THAT(sent, SizeIs(4)) << round;
      EXPECT_TRUE(sent.back().checksums_right());
      sent.pop_back();
      EXPECT_TRUE(join<TypeParam>(sent));
      for (std::size_t worker = 0; worker < workers; ++worker) {
        ASSERT_LE(stand.packets(worker).waiting.get(), 64u);
        ASSERT_LE(stand.packets(worker).datagrams_tracked.get(), 4'096u);
      }
    }
    EXPECT_GT(stand.drops(DropReason::fragment_replaced), 5'000u);
    EXPECT_EQ(stand.all_drops(), stand.drops(DropReason::fragment_replaced));
  }
}

}  // namespace
}  // namespace steelyard::worker
