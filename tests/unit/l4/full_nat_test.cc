// Full NAT's numbers: the client's data is numbered anew for the server, the acknowledgments of it - SACK blocks
// included - are numbered back, and what the server numbers is left alone. And its local ports: each worker's own,
// given back at the end, with numbers that a TIME_WAIT at the server yields to.
#include <set>

#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using test::Bytes;
using testing::ElementsAre;
using testing::SizeIs;

template <class Family>
class FullNat : public BalancerTest<Family> {
 protected:
  static constexpr auto service = BalancerTest<Family>::fullnat_tcp;
  static std::uint16_t local_port(const Connection<Family>& connection) {
    return __builtin_bswap16(connection.server_side.destination_port);
  }
};
TYPED_TEST_SUITE(FullNat, Families);

// A SACK option behind that many no-operations, padded to four bytes.
Bytes sack_option(std::size_t behind, std::initializer_list<Sequence> edges) {
  Bytes option(behind, 1);
  option.push_back(5);
  option.push_back(static_cast<std::uint8_t>(2 + 4 * edges.size()));
  for (const Sequence edge : edges) {
    option.resize(option.size() + 4);
    test::put32(option, option.size() - 4, edge.value);
  }
  option.resize((option.size() + 3) / 4 * 4, 0);
  return option;
}

constexpr std::uint8_t timestamps = 8;
constexpr std::size_t first_option = 20;

TYPED_TEST(FullNat, TheClientsDataIsNumberedAnewAndAcknowledgedInItsOwnNumbers) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->service);
  connection.open({1'000}, {700'000});
  ASSERT_NE(connection.delta, 0U);
  Frame data = connection.client_data(50);
  EXPECT_EQ(data.sequence(), Sequence{1'001} + connection.delta);
  EXPECT_EQ(data.acknowledgment(), Sequence{700'001});
  Frame answer = connection.server_data(60);
  EXPECT_EQ(answer.sequence(), Sequence{700'001});
  EXPECT_EQ(answer.acknowledgment(), Sequence{1'051});
}

TYPED_TEST(FullNat, NumbersWrapAround) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->service);
  connection.open({0xffffff00}, {0xffffffff});
  for (int segment = 0; segment < 5; ++segment) {
    const Sequence next = connection.client_next;
    EXPECT_EQ(connection.client_data(100).sequence(), next + connection.delta);
    EXPECT_EQ(connection.server_data(100).acknowledgment(), next + 100);
  }
  EXPECT_EQ(connection.client_next, Sequence{245});
  connection.close();
  EXPECT_THAT(world.flows(), ElementsAre(testing::Field(&FlowRecord::state, FlowState::lingering)));
}

// The numbers that the server sees may wrap where the client's do not.
TYPED_TEST(FullNat, NumbersWrapAroundAtTheServerOnly) {
  World<TypeParam> world;
  Connection<TypeParam> probe(world, this->service, 2);
  probe.send_syn({0});
  Connection<TypeParam> connection(world, this->service);
  for (std::uint32_t isn : {0U, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
    Frame seen = connection.send_syn({isn});
    EXPECT_EQ(connection.send_syn_ack().acknowledgment(), Sequence{isn} + 1);
    connection.send_ack();
    EXPECT_EQ(connection.from_client({.sequence = Sequence{isn} + 0x80000000U}).sequence(),
              seen.sequence() + 0x80000000U);
    connection.close();
  }
}

TYPED_TEST(FullNat, SackBlocksAreNumberedBackAtEveryOffset) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->service);
  connection.open();
  const Sequence lost = connection.client_next;
  connection.client_next = lost + 10'000;
  for (std::size_t behind = 0; behind < 4; ++behind) {
    const Bytes option = sack_option(behind, {lost + connection.delta + 100, lost + connection.delta + 200,
                                              lost + connection.delta + 500, lost + connection.delta + 900});
    Frame seen = connection.from_server(
        {.sequence = connection.server_next, .acknowledgment = lost + connection.delta, .options = option});
    const auto blocks = seen.l4().subspan(first_option + behind + 2);
    EXPECT_EQ(test::get32(blocks, 0), (lost + 100).value) << behind;
    EXPECT_EQ(test::get32(blocks, 4), (lost + 200).value) << behind;
    EXPECT_EQ(test::get32(blocks, 8), (lost + 500).value) << behind;
    EXPECT_EQ(test::get32(blocks, 12), (lost + 900).value) << behind;
  }
}

TYPED_TEST(FullNat, TheClientsSackBlocksAreTheServersNumbersAndStay) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->service);
  connection.open();
  const Bytes option = sack_option(1, {{700'100}, {700'200}});
  Frame seen = connection.from_client(
      {.sequence = connection.client_next, .acknowledgment = connection.server_next, .options = option});
  EXPECT_TRUE(std::ranges::equal(seen.l4().subspan(first_option, option.size()), option));
}

TYPED_TEST(FullNat, AMalformedOptionPassesAsItIs) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->service);
  connection.open();
  for (const Bytes& option : {Bytes{5, 0, 1, 2}, Bytes{5, 1, 2, 3}, Bytes{5, 200, 2, 3}, Bytes{1, 1, 1, 5}}) {
    Frame seen = connection.from_server({.sequence = connection.server_next,
                                         .acknowledgment = connection.client_next + connection.delta,
                                         .options = option});
    EXPECT_TRUE(std::ranges::equal(seen.l4().subspan(first_option, option.size()), option));
  }
}

TYPED_TEST(FullNat, TimestampsAreStrippedFromEverySynAndNothingElseIs) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->service);
  // MSS, SACK permitted, timestamps, no-operation, window scale: what Linux sends; and with timestamps at an odd place.
  const Bytes even{2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7};
  const Bytes odd{1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 3, 3, 7, 0, 0};
  for (const Bytes& options : {even, odd, even}) {
    Bytes expected = options;
    const auto stamp = std::ranges::find(expected, timestamps);
    std::fill_n(stamp, 10, std::uint8_t{1});
    Frame seen = connection.from_client({.sequence = {1'000}, .flags = syn, .options = options});
    EXPECT_TRUE(std::ranges::equal(seen.l4().subspan(first_option, options.size()), expected));
  }
}

TYPED_TEST(FullNat, TimestampsStayWhereTheyAreWanted) {
  World<TypeParam> world;
  world.listener(this->service).strip_timestamps = false;
  const Bytes options{8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 1};
  Connection<TypeParam> connection(world, this->service);
  Connection<TypeParam> direct(world, this->nat_tcp);
  for (auto* one : {&connection, &direct}) {
    for (int attempt = 0; attempt < 2; ++attempt) {
      Frame seen = one->from_client({.sequence = {1'000}, .flags = syn, .options = options});
      EXPECT_TRUE(std::ranges::equal(seen.l4().subspan(first_option, options.size()), options));
    }
  }
}

TYPED_TEST(FullNat, EveryPortOfTheRangeIsUsedOnceAndThenNoneIsLeft) {
  World<TypeParam> world({.local_ports = {3'000, 3'009}});
  std::set<std::uint16_t> ports;
  for (std::size_t client = 1; client <= 10; ++client) {
    Connection<TypeParam> connection(world, this->service, client);
    connection.open();
    ports.insert(this->local_port(connection));
  }
  EXPECT_THAT(ports, SizeIs(10));
  EXPECT_EQ(*ports.begin(), 3'000);
  EXPECT_EQ(*ports.rbegin(), 3'009);
  Connection<TypeParam> one_more(world, this->service, 11);
  EXPECT_EQ(one_more.try_client({.flags = syn}), "drop local_ports_exhausted");
  EXPECT_EQ(world.balancer().flows(), 10U);
  EXPECT_EQ(world.counters().flows_created.get(), 10U);
}

TYPED_TEST(FullNat, UdpTakesPortsAsWell) {
  World<TypeParam> world({.local_ports = {3'000, 3'001}});
  for (std::size_t client = 1; client <= 2; ++client) {
    Connection<TypeParam>(world, this->fullnat_udp, client).from_client(UdpFields{});
  }
  Frame third = test::udp(world.to_service(this->fullnat_udp, 3));
  EXPECT_EQ(text(world.receive(third)), "drop local_ports_exhausted");
  world.pass(91s);
  Connection<TypeParam>(world, this->fullnat_udp, 3).from_client(UdpFields{});
}

TYPED_TEST(FullNat, AHalfOpenFlowGivesItsPortToANewOneAndItsServerIsTold) {
  World<TypeParam> world({.local_ports = {3'000, 3'001}});
  Connection<TypeParam> established(world, this->service, 1);
  established.open();
  Connection<TypeParam> half_open(world, this->service, 2);
  half_open.send_syn();
  half_open.send_syn_ack();
  Connection<TypeParam> next(world, this->service, 3);
  next.send_syn();
  EXPECT_EQ(this->local_port(next), this->local_port(half_open));
  auto resets = world.sent();
  ASSERT_THAT(resets, SizeIs(1));
  EXPECT_EQ(resets[0].parse().template tuple<TypeParam>(), half_open.server_side.reversed());
  EXPECT_EQ(resets[0].sequence(), half_open.client_next + half_open.delta);
  EXPECT_EQ(world.counters().half_open_replaced.get(), 1U);
  established.client_data(1);
}

TYPED_TEST(FullNat, APortIsGivenBackHoweverItsFlowEnds) {
  const auto closes = [](auto&, auto& connection) { connection.close(); };
  const auto resets = [](auto&, auto& connection) {
    connection.from_client({.sequence = connection.client_next, .flags = rst});
  };
  const auto idles = [](auto& world, auto&) { world.pass(901s); };
  const auto ordered = [](auto& world, auto&) { (void)world.balancer().reset({}, 0, 1'000); };
  const auto check = [&](const auto& end) {
    World<TypeParam> world({.servers = 1, .local_ports = {3'000, 3'000}});
    for (std::size_t round = 1; round <= 5; ++round) {
      Connection<TypeParam> connection(world, this->service, round);
      connection.open();
      end(world, connection);
    }
    EXPECT_EQ(world.counters().flows_created.get(), 5U);
  };
  check(closes);
  check(resets);
  check(idles);
  check(ordered);
}

// RFC 9293 section 3.6.1: the SYN that takes a connection out of TIME_WAIT is numbered beyond the old connection's end.
TYPED_TEST(FullNat, AReusedPortStartsBeyondWhatTheSameServerHasSeen) {
  World<TypeParam> world({.servers = 1, .local_ports = {3'000, 3'000}});
  Sequence end;
  for (std::size_t round = 1; round <= 20; ++round) {
    Connection<TypeParam> connection(world, this->service, 1, static_cast<std::uint16_t>(40'000 + round));
    const Sequence isn{static_cast<std::uint32_t>(round * 0x31415926U)};
    Frame seen = connection.send_syn(isn);
    EXPECT_TRUE(round == 1 || packet::after(seen.sequence(), end)) << round;
    connection.send_syn_ack();
    connection.send_ack();
    // More than the clock of initial numbers moves on meanwhile.
    for (int step = 0; step < 40; ++step) {
      connection.client_next = connection.client_next + 10'000'000;
      connection.client_data(1'000);
    }
    connection.close();
    end = connection.client_next + connection.delta;
    world.pass(1s);
  }
}

TYPED_TEST(FullNat, AReusedPortStartsBeyondAConnectionThatWasCutOff) {
  World<TypeParam> world({.servers = 1, .local_ports = {3'000, 3'000}});
  Connection<TypeParam> cut_off(world, this->service, 1);
  cut_off.open();
  for (int step = 0; step < 100; ++step) {
    cut_off.client_next = cut_off.client_next + 10'000'000;
    cut_off.client_data(1'000);
  }
  EXPECT_EQ(world.balancer().reset({}, 0, 1'000).ended, 1U);
  Connection<TypeParam> next(world, this->service, 2);
  EXPECT_TRUE(packet::after(next.send_syn().sequence(), cut_off.client_next + cut_off.delta));
}

TYPED_TEST(FullNat, AUdpExchangeInBetweenDoesNotMakeAPortForgetItsNumbers) {
  World<TypeParam> world({.servers = 1, .local_ports = {3'000, 3'000}});
  Connection<TypeParam> before(world, this->service, 1);
  before.open();
  for (int step = 0; step < 150; ++step) {
    before.client_next = before.client_next + 10'000'000;
    before.client_data(1'000);
  }
  before.close();
  Connection<TypeParam>(world, this->fullnat_udp, 2).from_client(UdpFields{});
  world.pass(90s);
  Connection<TypeParam> next(world, this->service, 3);
  EXPECT_TRUE(packet::after(next.send_syn().sequence(), before.client_next + before.delta));
}

// RFC 6528: numbers of different tuples tell nothing of each other, and go on with a clock.
TYPED_TEST(FullNat, InitialNumbersFollowAClockPerTuple) {
  World<TypeParam> world({.servers = 1, .local_ports = {3'000, 3'001}});
  Connection<TypeParam> one(world, this->service, 1);
  Connection<TypeParam> other(world, this->service, 2);
  const Sequence first = one.send_syn({5}).sequence();
  EXPECT_GT(packet::distance(first, other.send_syn({5}).sequence()) + 0x10000U, 0x20000U);
  world.pass(11s);  // both half-open flows are gone
  Connection<TypeParam> again(world, this->service, 3);
  Connection<TypeParam> last(world, this->service, 4);
  again.send_syn({5});
  last.send_syn({5});
  const auto& same = this->local_port(again) == this->local_port(one) ? again : last;
  EXPECT_EQ(packet::distance(first, Sequence{5} + same.delta), 11'000'000'000U / 64);
}

TYPED_TEST(FullNat, ALateSegmentOfAnEndedFlowStillPassesUntilItsPortIsTaken) {
  World<TypeParam> world({.servers = 1, .local_ports = {3'000, 3'000}});
  Connection<TypeParam> ended(world, this->service, 1);
  ended.open();
  ended.close();
  ended.server_data(0);
  Connection<TypeParam> next(world, this->service, 2);
  next.open();
  EXPECT_EQ(ended.try_client({.sequence = ended.client_next, .acknowledgment = ended.server_next}), "drop no_flow");
  EXPECT_EQ(next.server_data(5).parse().template tuple<TypeParam>(), next.client_side.reversed());
  EXPECT_EQ(world.counters().lingering_recycled.get(), 1U);
}

}  // namespace
}  // namespace steelyard::l4
