// Connections that a new process, or another node, takes over in their middle: by hash the same server is found again.
#include <random>

#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using service::Scheduler;
using testing::IsEmpty;
using testing::SizeIs;

template <class Family>
class Adoption : public BalancerTest<Family> {
 protected:
  using Node = World<Family>;
  using Talk = Connection<Family>;

  // A connection that has been opened through one process, as it is after that process has been killed.
  static Talk opened(const Talk& made_for, Scheduler scheduler, const typename World<Family>::Options& options = {}) {
    Node before(options);
    before.go_by_hash(BalancerTest<Family>::nat_tcp, scheduler);
    Talk connection(before, BalancerTest<Family>::nat_tcp);
    connection.client_side = made_for.client_side;
    connection.open({0xfffffff0}, {0xffffff00});
    connection.client_data(300);
    connection.server_data(2'000);
    return connection;
  }
  // The same, seen through another world.
  static Talk survivor(Node& world, std::size_t client, Scheduler scheduler = Scheduler::sch,
                       std::uint16_t port = 40'000) {
    Talk connection(world, BalancerTest<Family>::nat_tcp, client, port);
    const Talk old =
        opened(connection, scheduler, {.servers = world.listener(BalancerTest<Family>::nat_tcp).servers.size()});
    connection.server_side = old.server_side;
    connection.client_next = old.client_next;
    connection.server_next = old.server_next;
    return connection;
  }
  static FlowState state(Node& world) {
    const auto flows = world.flows();
    return flows.size() == 1 ? flows.front().state : FlowState::free;
  }
  // Both sides get resets with exactly the numbers that they expect.
  static void expect_resets(Node& world, const Talk& connection) {
    auto resets = world.sent();
    ASSERT_THAT(resets, SizeIs(2));
    EXPECT_EQ(resets[0].parse().template tuple<Family>(), connection.server_side.reversed());
    EXPECT_EQ(resets[0].sequence(), connection.client_next);
    EXPECT_EQ(resets[1].parse().template tuple<Family>(), connection.client_side.reversed());
    EXPECT_EQ(resets[1].sequence(), connection.server_next);
  }
};
TYPED_TEST_SUITE(Adoption, Families);

TYPED_TEST(Adoption, AClientsPacketContinuesTheConnectionWithTheServerThatItHad) {
  for (const auto scheduler : {Scheduler::sch, Scheduler::tch}) {
    World<TypeParam> world({.flows = 128, .servers = 5});
    world.go_by_hash(this->nat_tcp, scheduler);
    std::array<int, 5> seen{};
    for (std::size_t client = 1; client <= 30; ++client) {
      auto connection = this->survivor(world, client, scheduler);
      const auto server_side = connection.server_side;
      connection.client_data(100);
      EXPECT_EQ(connection.server_side, server_side) << client;
      EXPECT_EQ(connection.server_data(200).parse().template tuple<TypeParam>(), connection.client_side.reversed());
      connection.client_data(0);
      ++seen.at(connection.server());
    }
    EXPECT_EQ(std::ranges::count(seen, 0), 0) << "clients are spread";
    EXPECT_EQ(world.counters().adopted.get(), 30U);
    EXPECT_EQ(world.active(), 30U);
    world.pass(11s);
    EXPECT_THAT(world.flows(),
                testing::AllOf(SizeIs(30), testing::Each(testing::Field(&FlowRecord::state, FlowState::established))));
    EXPECT_THAT(world.sent(), IsEmpty());
  }
}

TYPED_TEST(Adoption, AServersPacketContinuesItToo) {
  for (const auto scheduler : {Scheduler::sch, Scheduler::tch}) {
    World<TypeParam> world({.servers = 5});
    world.go_by_hash(this->nat_tcp, scheduler);
    auto connection = this->survivor(world, 7, scheduler);
    EXPECT_EQ(connection.server_data(1'000).parse().template tuple<TypeParam>(), connection.client_side.reversed());
    EXPECT_EQ(this->state(world), FlowState::adopted_from_server);
    connection.server_data(1'000);
    EXPECT_EQ(this->state(world), FlowState::adopted_from_server) << "one side alone has spoken";
    const auto server_side = connection.server_side;
    connection.client_data(0);
    EXPECT_EQ(connection.server_side, server_side);
    EXPECT_EQ(this->state(world), FlowState::established);
    EXPECT_EQ(world.counters().adopted.get(), 1U);
  }
}

TYPED_TEST(Adoption, AnAdoptedConnectionIsForwardedFastAndResetWithTheRightNumbersWhenIdle) {
  for (const bool client_first : {true, false}) {
    World<TypeParam> world;
    world.go_by_hash(this->nat_tcp);
    world.listener(this->nat_tcp).established_timeout = 30s;
    auto connection = this->survivor(world, 1);
    client_first ? connection.client_data(100) : connection.server_data(100);
    client_first ? connection.server_data(50) : connection.client_data(50);
    client_first ? connection.client_data(0) : connection.server_data(0);
    const std::size_t fast = world.fast();
    for (int round = 0; round < 5; ++round) {
      connection.client_data(10);
      connection.server_data(10);
    }
    EXPECT_GE(world.fast(), fast + 8);
    world.pass(29s);
    EXPECT_EQ(this->state(world), FlowState::established);
    world.pass(1'250ms);
    this->expect_resets(world, connection);
    EXPECT_EQ(world.balancer().flows(), 0U);
    EXPECT_EQ(world.active(), 0U);
  }
}

// It carries the number before the next one (RFC 9293 section 3.8.4).
TYPED_TEST(Adoption, AKeepAliveAdoptsWithTheRightNumbers) {
  World<TypeParam> world;
  world.go_by_hash(this->nat_tcp);
  auto connection = this->survivor(world, 1);
  connection.from_client({.sequence = connection.client_next + 0xffffffffU, .acknowledgment = connection.server_next});
  connection.server_data(0);
  EXPECT_EQ(this->state(world), FlowState::established);
  (void)world.balancer().reset({}, 0, 1'000);
  this->expect_resets(world, connection);
}

TYPED_TEST(Adoption, WithoutAnAnswerItEndsAfterTenSecondsWithoutAWordAndCanBeAdoptedAgain) {
  World<TypeParam> world;
  world.go_by_hash(this->nat_tcp);
  auto connection = this->survivor(world, 1);
  for (int round = 1; round <= 3; ++round) {
    connection.client_data(10);
    EXPECT_EQ(this->state(world), FlowState::adopted_from_client);
    world.pass(10'250ms);
    EXPECT_EQ(world.balancer().flows(), 0U);
    EXPECT_EQ(world.active(), 0U);
    EXPECT_EQ(world.counters().half_open.get(), 0U);
  }
  EXPECT_THAT(world.sent(), IsEmpty());
  EXPECT_EQ(world.counters().adopted.get(), 3U);
  EXPECT_EQ(world.counters().half_open_expired.get(), 3U);
}

TYPED_TEST(Adoption, AFloodHoldsAQuarterOfTheTableAndTouchesNoEstablishedFlow) {
  World<TypeParam> world({.flows = 40});
  world.go_by_hash(this->nat_tcp);
  std::vector<Connection<TypeParam>> established;
  for (std::size_t client = 1; client <= 30; ++client) {
    established.emplace_back(world, this->nat_tcp, client).open();
  }
  for (std::size_t client = 101; client <= 200; ++client) {
    Connection<TypeParam> forged(world, this->nat_tcp, client);
    for (const std::uint32_t number : {1'000U, 2'000U}) {
      forged.from_client({.sequence = {number}, .acknowledgment = {number}, .payload = 10});
    }
  }
  EXPECT_EQ(world.balancer().flows(), 40U);
  EXPECT_EQ(world.counters().half_open_replaced.get(), 90U);
  for (auto& connection : established) {
    connection.client_data(1);
    connection.server_data(1);
  }
  EXPECT_THAT(world.sent(), IsEmpty());
}

TYPED_TEST(Adoption, AServerThatKnowsNothingOfItEndsItByItsReset) {
  World<TypeParam> world;
  world.go_by_hash(this->nat_tcp);
  Connection<TypeParam> forged(world, this->nat_tcp);
  forged.from_client({.sequence = {1'000}, .acknowledgment = {9'000}, .payload = 10});
  forged.from_server({.sequence = {9'000}, .flags = rst});
  EXPECT_EQ(this->state(world), FlowState::lingering);
  EXPECT_EQ(world.active(), 0U);
}

TYPED_TEST(Adoption, AForgedFirstPacketDoesNotKeepTheRealConnectionFromBeingConfirmed) {
  World<TypeParam> world;
  world.go_by_hash(this->nat_tcp);
  auto connection = this->survivor(world, 1);
  connection.from_client({.sequence = connection.client_next + 0x60000000, .acknowledgment = {77}});
  connection.server_data(10);
  EXPECT_EQ(this->state(world), FlowState::adopted_from_client) << "the server speaks of something else";
  connection.client_data(10);
  connection.server_data(10);
  EXPECT_EQ(this->state(world), FlowState::established);
  connection.client_data(0);
  (void)world.balancer().reset({}, 0, 1'000);
  this->expect_resets(world, connection);
}

TYPED_TEST(Adoption, AConnectionIsClosedLikeAnyOtherWhoeverIsSeenFirst) {
  for (const bool client_first : {true, false}) {
    World<TypeParam> world;
    world.go_by_hash(this->nat_tcp);
    auto connection = this->survivor(world, 1);
    client_first ? connection.client_data(5, fin | ack) : connection.server_data(5, fin | ack);
    EXPECT_TRUE(this->state(world) == FlowState::adopted_from_client ||
                this->state(world) == FlowState::adopted_from_server);
    client_first ? connection.server_data(0) : connection.client_data(0);
    EXPECT_EQ(this->state(world), FlowState::half_closed);
    client_first ? connection.server_data(9, fin | ack) : connection.client_data(9, fin | ack);
    EXPECT_EQ(this->state(world), FlowState::closing);
    client_first ? connection.client_data(0) : connection.server_data(0);
    EXPECT_EQ(this->state(world), FlowState::lingering);
    EXPECT_EQ(world.active(), 0U);
  }
}

TYPED_TEST(Adoption, ASynOnAnAdoptedFlowOpensANewConnection) {
  World<TypeParam> world;
  world.go_by_hash(this->nat_tcp);
  Connection<TypeParam> connection(world, this->nat_tcp);
  connection.from_client({.sequence = {5}, .acknowledgment = {6}});
  connection.open();
  EXPECT_EQ(this->state(world), FlowState::established);
  EXPECT_EQ(world.active(), 1U);
}

// Its local port and the distance between the two numberings are lost.
// Modes in which the server answers past us.
TYPED_TEST(Adoption, WhereServersAnswerDirectlyTheClientsNextSegmentConfirms) {
  for (const auto& service : {this->dr_tcp, this->tunnel_tcp}) {
    for (std::size_t client = 1; client <= 8; ++client) {
      const auto survive = [&](World<TypeParam>& world, Connection<TypeParam>& connection) {
        world.go_by_hash(service);
        connection.client_next = {0xfffffff0};
        connection.server_next = {700'001};
      };
      World<TypeParam> before({.servers = 5});
      Connection<TypeParam> opened(before, service, client);
      before.go_by_hash(service);
      opened.send_syn();
      const std::size_t server = before.direct_server();

      World<TypeParam> world({.servers = 5});
      Connection<TypeParam> connection(world, service, client);
      survive(world, connection);
      connection.client_data(100);
      EXPECT_EQ(world.direct_server(), server);
      EXPECT_EQ(this->state(world), FlowState::adopted_from_client);
      connection.client_data(0);
      EXPECT_EQ(this->state(world), FlowState::established);
      EXPECT_EQ(world.direct_server(), server);
      EXPECT_EQ(world.active(), 1U);
      world.pass(901s);
      auto resets = world.sent();
      ASSERT_THAT(resets, SizeIs(2));
      EXPECT_EQ(resets[0].sequence(), connection.client_next);
      EXPECT_EQ(resets[1].sequence(), connection.server_next);
      EXPECT_EQ(world.active(), 0U);
    }
  }
}

TYPED_TEST(Adoption, OfADirectConnectionAGuessConfirmsNothingAndTheRealOneStillDoes) {
  World<TypeParam> world;
  world.go_by_hash(this->dr_tcp);
  Connection<TypeParam> connection(world, this->dr_tcp);
  connection.client_next = {5'000};
  connection.server_next = {700'001};
  connection.from_client({.sequence = {0x80000000}, .acknowledgment = {0x40000000}, .payload = 10});  // forged
  connection.client_data(10);
  EXPECT_EQ(this->state(world), FlowState::adopted_from_client);
  connection.client_data(10);
  EXPECT_EQ(this->state(world), FlowState::established);
  connection.client_data(0, fin | ack);
  EXPECT_EQ(this->state(world), FlowState::client_closed);
}

TYPED_TEST(Adoption, ADirectConnectionThatIsNotConfirmedEndsWithoutAWord) {
  World<TypeParam> world;
  world.go_by_hash(this->dr_tcp);
  Connection<TypeParam> connection(world, this->dr_tcp);
  connection.from_client({.sequence = {5'000}, .acknowledgment = {700'001}});
  world.pass(11s);
  EXPECT_THAT(world.flows(), IsEmpty());
  EXPECT_THAT(world.sent(), IsEmpty());
  EXPECT_EQ(world.active(), 0U);
}

TYPED_TEST(Adoption, FullNatAndOtherSchedulersAdoptNothing) {
  World<TypeParam> world;
  world.go_by_hash(this->fullnat_tcp);
  for (const auto& service : {this->fullnat_tcp, this->nat_tcp}) {
    Connection<TypeParam> connection(world, service);
    EXPECT_EQ(connection.try_client({.sequence = {5}, .acknowledgment = {6}}), "drop no_flow");
    auto resets = world.sent();
    ASSERT_THAT(resets, SizeIs(1));
    EXPECT_EQ(resets[0].flags() & rst, rst);
  }
  EXPECT_EQ(world.balancer().flows(), 0U);
}

TYPED_TEST(Adoption, OnlyTheMiddleOfAConnectionIsAdopted) {
  World<TypeParam> world;
  world.go_by_hash(this->nat_tcp);
  auto connection = this->survivor(world, 1);
  EXPECT_EQ(connection.try_client({.flags = rst}), "drop reply_is_reset");
  EXPECT_EQ(connection.try_server({.flags = rst | ack}), "drop reply_is_reset");
  EXPECT_THAT(world.sent(), IsEmpty());
  EXPECT_EQ(connection.try_client({.flags = syn | ack}), "drop no_flow");
  // A handshake that the client does not wait for any more: the server is told.
  EXPECT_EQ(connection.try_server({.flags = syn | ack}), "drop no_flow");
  EXPECT_THAT(world.sent(), SizeIs(2));
  EXPECT_EQ(world.balancer().flows(), 0U);
}

TYPED_TEST(Adoption, AStoppedListenerAndOneWithoutUsableServersAdoptNothing) {
  World<TypeParam> world;
  world.go_by_hash(this->nat_tcp);
  auto connection = this->survivor(world, 1);
  world.listener(this->nat_tcp).running = false;
  EXPECT_EQ(connection.try_client({.acknowledgment = {1}}), "drop no_flow");
  EXPECT_EQ(connection.try_server({.acknowledgment = {1}}), "drop no_flow");
  EXPECT_THAT(world.sent(), SizeIs(2));
  world.listener(this->nat_tcp).running = true;
  world.set_all(this->nat_tcp, false);
  EXPECT_EQ(connection.try_client({.acknowledgment = {1}}), "drop no_flow");
  EXPECT_THAT(world.sent(), SizeIs(1));
  EXPECT_EQ(world.balancer().flows(), 0U);
}

// A reset would end a connection that the client's next packet can save.
TYPED_TEST(Adoption, AServersPacketThatDoesNotTellItsListenerIsDroppedWithoutAReset) {
  World<TypeParam> world;
  world.go_by_hash(this->nat_tcp, Scheduler::sch, false);
  auto connection = this->survivor(world, 1);
  EXPECT_EQ(connection.try_server({.sequence = connection.server_next, .acknowledgment = connection.client_next}),
            "drop no_flow");
  EXPECT_THAT(world.sent(), IsEmpty());
  connection.client_data(0);
  connection.server_data(1);
  EXPECT_EQ(this->state(world), FlowState::established);
}

TYPED_TEST(Adoption, AServersPacketToAClientOfAnotherServerIsDroppedWithoutAReset) {
  World<TypeParam> world;
  world.go_by_hash(this->nat_tcp);
  auto connection = this->survivor(world, 1);
  auto stray = connection;
  stray.server_side.source = world.server(1 - connection.server());
  EXPECT_EQ(stray.try_server({.acknowledgment = {1}}), "drop no_flow");
  EXPECT_EQ(world.balancer().flows(), 0U);
  // Nor does one to a client whose connection is known, by its only possible server.
  world.set_up(this->nat_tcp, connection.server(), false);
  Connection<TypeParam> elsewhere(world, this->nat_tcp);
  elsewhere.open();
  world.set_up(this->nat_tcp, connection.server(), true);
  EXPECT_EQ(connection.try_server({.acknowledgment = {1}}), "drop no_flow");
  elsewhere.client_data(1);
  elsewhere.server_data(1);
  EXPECT_EQ(world.balancer().flows(), 1U);
  EXPECT_THAT(world.sent(), IsEmpty());
}

TYPED_TEST(Adoption, OurOwnAddressesAsSourcesAreForged) {
  World<TypeParam> world;
  world.go_by_hash(this->nat_tcp);
  for (const auto& source : {world.local(), world.own(), world.other_vip()}) {
    auto tuple = world.to_service(this->nat_tcp);
    tuple.source = source;
    Frame frame = test::tcp(tuple, {.acknowledgment = {1}});
    EXPECT_EQ(text(world.receive(frame)), "drop ip_source_bad");
  }
  EXPECT_EQ(world.balancer().flows(), 0U);
}

TYPED_TEST(Adoption, BothSidesInOneBurstMakeOneFlow) {
  World<TypeParam> world;
  world.go_by_hash(this->nat_tcp);
  auto connection = this->survivor(world, 1);
  Frame from_server =
      test::tcp(connection.server_side, {.sequence = connection.server_next, .acknowledgment = connection.client_next});
  Frame from_client =
      test::tcp(connection.client_side, {.sequence = connection.client_next, .acknowledgment = connection.server_next});
  std::array<packet::PacketView, 2> views{from_server.parse(), from_client.parse()};
  std::array<l4::Opening<TypeParam>, 2> openings;
  Balancer& balancer = world.balancer();
  for (std::size_t place : {0U, 1U}) {
    const auto hash = balancer.template hash_of<TypeParam>(views[place]);
    EXPECT_EQ(text(balancer.template begin<TypeParam>(views[place], hash, openings[place])), "opening");
  }
  // What makes the worker let the second wait for the first.
  EXPECT_EQ(openings[0].answer_hash(), balancer.template hash_of<TypeParam>(views[1]));
  EXPECT_EQ(openings[1].answer_hash(), balancer.template hash_of<TypeParam>(views[0]));
  EXPECT_EQ(text(balancer.template finish<TypeParam>(views[0], openings[0])), "forward");
  EXPECT_EQ(text(balancer.template finish<TypeParam>(views[1], openings[1])), "drop reverse_tuple_collision");
  EXPECT_EQ(balancer.flows(), 1U);
  EXPECT_EQ(world.active(), 1U);
}

TYPED_TEST(Adoption, TheOwnerAdoptsWhoeverGetsThePacket) {
  for (const bool client_first : {true, false}) {
    for (const auto scheduler : {Scheduler::sch, Scheduler::tch}) {
      World<TypeParam> world({.servers = 3, .workers = 2});
      world.go_by_hash(this->nat_tcp, scheduler);
      for (std::size_t client = 1; client <= 10; ++client) {
        auto connection = this->survivor(world, client, scheduler);
        Frame from_client = test::tcp(connection.client_side,
                                      {.sequence = connection.client_next, .acknowledgment = connection.server_next});
        Frame from_server = test::tcp(connection.server_side,
                                      {.sequence = connection.server_next, .acknowledgment = connection.client_next});
        for (Frame* frame : {client_first ? &from_client : &from_server, client_first ? &from_server : &from_client}) {
          EXPECT_EQ(text(world.deliver(*frame, client % 2)), "forward");
        }
        EXPECT_EQ(from_client.parse().template tuple<TypeParam>(), connection.server_side.reversed());
        EXPECT_EQ(from_server.parse().template tuple<TypeParam>(), connection.client_side.reversed());
      }
      EXPECT_EQ(world.counters(0).adopted.get() + world.counters(1).adopted.get(), 10U);
      EXPECT_GT(world.counters(0).adopted.get(), 0U);
      EXPECT_GT(world.counters(1).adopted.get(), 0U);
    }
  }
}

TYPED_TEST(Adoption, TheServerThatIsRememberedForTheClientIsTried) {
  World<TypeParam> world({.servers = 4});
  world.go_by_hash(this->nat_tcp);
  world.listener(this->nat_tcp).persistence_timeout = 60s;
  auto connection = this->survivor(world, 1);
  const std::size_t by_hash = connection.server();
  world.set_up(this->nat_tcp, by_hash, false);
  Connection<TypeParam> first(world, this->nat_tcp, 1, 50'000);
  first.open();
  const std::size_t remembered = first.server();
  EXPECT_NE(remembered, by_hash);
  world.set_up(this->nat_tcp, by_hash, true);
  Connection<TypeParam> second(world, this->nat_tcp, 1, 50'001);
  second.from_client({.sequence = {5}, .acknowledgment = {6}});
  EXPECT_EQ(second.server(), remembered);
}

}  // namespace
}  // namespace steelyard::l4
