// New connections: which packet opens a flow, when another server is tried, and when there is no room.
#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;
using testing::SizeIs;

template <class Family>
class Opening : public BalancerTest<Family> {};
TYPED_TEST_SUITE(Opening, Families);

TYPED_TEST(Opening, ConnectionsAreSharedOutAmongTheServers) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world({.servers = 3});
    std::array<int, 3> opened{};
    for (std::size_t client = 1; client <= 12; ++client) {
      Connection<TypeParam> connection(world, service, client);
      connection.open();
      ++opened.at(connection.server());
    }
    EXPECT_THAT(opened, ElementsAre(4, 4, 4));
    EXPECT_EQ(world.counters().flows_created.get(), 12U);
    for (const service::Server& server : world.listener(service).servers) {
      EXPECT_EQ(world.active(server.id), 4U);
    }
  }
}

TYPED_TEST(Opening, AServerThatIsDownOrHasNoWeightGetsNone) {
  World<TypeParam> world({.servers = 3});
  world.set_up(this->nat_tcp, 0, false);
  world.set_weight(this->nat_tcp, 2, 0);
  for (std::size_t client = 1; client <= 6; ++client) {
    Connection<TypeParam> connection(world, this->nat_tcp, client);
    connection.open();
    EXPECT_EQ(connection.server(), 1U);
  }
}

TYPED_TEST(Opening, AHandshakeBecomesAnEstablishedFlowThatIsListed) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->fullnat_tcp, 7, 4'321);
  connection.open();
  world.pass(5s);
  const auto flows = world.flows();
  ASSERT_THAT(flows, SizeIs(1));
  EXPECT_EQ(flows[0].client, to_service(world.client(7)));
  EXPECT_EQ(flows[0].client_port, 4'321);
  EXPECT_EQ(flows[0].vip, to_service(world.vip()));
  EXPECT_EQ(flows[0].vip_port, 81);
  EXPECT_EQ(flows[0].local, to_service(world.local()));
  EXPECT_EQ(flows[0].local_port, __builtin_bswap16(connection.server_side.destination_port));
  EXPECT_EQ(flows[0].server, to_service(world.server(connection.server())));
  EXPECT_EQ(flows[0].server_port, 8'080);
  EXPECT_EQ(flows[0].listener, world.listener(this->fullnat_tcp).id);
  EXPECT_EQ(flows[0].state, FlowState::established);
  EXPECT_EQ(flows[0].mode, Mode::fullnat);
  EXPECT_EQ(flows[0].idle_seconds, 5U);
}

TYPED_TEST(Opening, ASynOnAnEndedFlowOpensANewOne) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    for (std::uint32_t round = 1; round <= 4; ++round) {
      connection.open({round * 1'000'000}, {round * 2'000'000});
      connection.client_data(10);
      connection.close();
      EXPECT_EQ(world.counters().flows_created.get(), round);
      EXPECT_EQ(world.balancer().flows(), 1U);
    }
  }
}

// RFC 5961 section 4: the server answers it with a challenge; the connection goes on.
TYPED_TEST(Opening, ASynOnAnEstablishedFlowOpensNothing) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.open({1'000});
    for (const Sequence number : {Sequence{1'000}, Sequence{1'500}, Sequence{0x90000000}}) {
      Frame seen = connection.from_client({.sequence = number, .flags = syn});
      EXPECT_EQ(seen.sequence(), number + connection.delta);
    }
    connection.client_data(20);
    connection.server_data(20);
    EXPECT_THAT(world.flows(), ElementsAre(Field(&FlowRecord::state, FlowState::established)));
    EXPECT_EQ(world.counters().flows_created.get(), 1U);
  }
}

// RFC 9293 section 3.5.1: a client that has lost its memory finds the old connection, resets it and gets a new one.
TYPED_TEST(Opening, AClientThatRestartedGetsANewConnectionOnItsOldPort) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.open({1'000});
    connection.client_data(500);
    connection.from_client({.sequence = {0x70000000}, .flags = syn});
    Frame challenge = connection.from_server(
        {.sequence = connection.server_next, .acknowledgment = connection.client_next + connection.delta});
    connection.from_client({.sequence = challenge.acknowledgment(), .flags = rst});
    EXPECT_THAT(world.flows(), ElementsAre(Field(&FlowRecord::state, FlowState::lingering)));
    connection.open({0x70000000});
    EXPECT_THAT(world.flows(), ElementsAre(Field(&FlowRecord::state, FlowState::established)));
  }
}

// In `nat` mode the server knows a client by its address and port alone.
TYPED_TEST(Opening, OneClientPortThroughTwoVipsGoesToTwoServers) {
  World<TypeParam> world;
  Connection<TypeParam> one(world, this->nat_tcp);
  one.open();
  for (std::size_t round = 0; round < 4; ++round) {
    Connection<TypeParam> other(world, this->other_vip_tcp);
    other.open();
    EXPECT_NE(other.server(), one.server()) << round;
    EXPECT_EQ(one.server_data(1).parse().template tuple<TypeParam>(), one.client_side.reversed());
    EXPECT_EQ(other.server_data(1).parse().template tuple<TypeParam>(), other.client_side.reversed());
    other.close();
    // Moves the other service's turn on, so that both of its servers have been the first choice.
    Connection<TypeParam>(world, this->other_vip_tcp, 50 + round).open();
  }
}

TYPED_TEST(Opening, AServerThatIsAClientIsNeverSentItsOwnPacketsInNatMode) {
  World<TypeParam> world;
  for (std::size_t round = 0; round < 4; ++round) {
    Connection<TypeParam> own(world, this->nat_tcp, 1, static_cast<std::uint16_t>(50'000 + round));
    own.client_side.source = World<TypeParam>::server(0);
    own.open();
    EXPECT_NE(own.server(), 0U) << round;
  }
  Connection<TypeParam> hidden(world, this->fullnat_tcp);
  hidden.client_side.source = World<TypeParam>::server(0);
  hidden.open();  // by full NAT it may come back to itself
}

TYPED_TEST(Opening, OneClientPortThroughTwoVipsToTheOnlyServerIsRefusedByName) {
  World<TypeParam> world({.servers = 1});
  Connection<TypeParam> one(world, this->nat_tcp);
  Connection<TypeParam> other(world, this->other_vip_tcp);
  one.open();
  EXPECT_EQ(other.try_client({.sequence = {5}, .flags = syn}), "drop reverse_tuple_collision");
  EXPECT_EQ(world.balancer().flows(), 1U);
  EXPECT_EQ(world.active(), 1U);
  one.client_data(1);
  one.close();
  other.open();
  EXPECT_EQ(world.counters().lingering_recycled.get(), 1U);
  EXPECT_EQ(other.server_data(1).parse().template tuple<TypeParam>(), other.client_side.reversed());
}

TYPED_TEST(Opening, FullNatKnowsNoCollision) {
  World<TypeParam> world({.servers = 1});
  Connection<TypeParam> direct(world, this->nat_tcp);
  Connection<TypeParam> translated(world, this->fullnat_tcp);
  direct.open();
  translated.open();
  EXPECT_NE(direct.server_side, translated.server_side);
  EXPECT_EQ(translated.server_data(1).parse().template tuple<TypeParam>(), translated.client_side.reversed());
}

TYPED_TEST(Opening, AFullTableRefusesNewFlowsAndKeepsTheOldOnes) {
  World<TypeParam> world({.flows = 8});
  std::vector<Connection<TypeParam>> connections;
  for (std::size_t client = 1; client <= 8; ++client) {
    connections.emplace_back(world, client % 2 == 0 ? this->nat_tcp : this->fullnat_tcp, client).open();
  }
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    Connection<TypeParam> refused(world, service, 9);
    EXPECT_EQ(refused.try_client({.flags = syn}), "drop flow_table_full");
  }
  Frame datagram = test::udp(world.to_service(this->fullnat_udp));
  EXPECT_EQ(text(world.receive(datagram)), "drop flow_table_full");
  EXPECT_EQ(world.active(), 8U);
  for (auto& connection : connections) {
    connection.client_data(1);
    connection.server_data(1);
  }
  EXPECT_THAT(world.sent(), IsEmpty());
}

TYPED_TEST(Opening, InAFullTableEndedFlowsGiveWayOldestFirst) {
  World<TypeParam> world({.flows = 8});
  std::vector<Connection<TypeParam>> connections;
  for (std::size_t client = 1; client <= 8; ++client) {
    connections.emplace_back(world, this->nat_tcp, client).open();
  }
  for (std::size_t place : {5U, 2U}) {
    connections[place].close();
    world.pass(1s);
  }
  Connection<TypeParam>(world, this->nat_tcp, 9).open();
  EXPECT_EQ(connections[5].try_client({.sequence = connections[5].client_next}), "drop no_flow");
  connections[2].client_data(0);
  Connection<TypeParam>(world, this->nat_tcp, 10).open();
  EXPECT_EQ(connections[2].try_client({.sequence = connections[2].client_next}), "drop no_flow");
  EXPECT_EQ(world.counters().lingering_recycled.get(), 2U);
}

TYPED_TEST(Opening, OnlyASynOpensATcpFlow) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp);
  for (const std::uint8_t flags : {std::uint8_t{ack}, static_cast<std::uint8_t>(syn | ack),
                                   static_cast<std::uint8_t>(fin | ack), std::uint8_t{rst}}) {
    connection.try_client({.flags = flags});
  }
  EXPECT_EQ(world.balancer().flows(), 0U);
  EXPECT_EQ(world.active(), 0U);
}

// In front of a server it would claim full NAT's own tuples, or those of health checks.
TYPED_TEST(Opening, OurOwnAddressesAsSourcesAreForged) {
  World<TypeParam> world;
  for (const auto& source : {world.local(), world.own(), world.vip(), world.other_vip()}) {
    auto tuple = world.to_service(this->nat_tcp);
    tuple.source = source;
    if (tuple.source == tuple.destination) {
      continue;  // dropped by the parser
    }
    Frame frame = test::tcp(tuple, {.flags = syn});
    EXPECT_EQ(text(world.receive(frame)), "drop ip_source_bad");
  }
  EXPECT_EQ(world.balancer().flows(), 0U);
}

TYPED_TEST(Opening, WhatIsNobodysIsUnclaimed) {
  World<TypeParam> world;
  auto tuple = world.to_service(this->nat_tcp);
  tuple.destination_port = __builtin_bswap16(std::uint16_t{9'999});
  Frame other_port = test::tcp(tuple, {.flags = syn});
  EXPECT_EQ(text(world.receive(other_port)), "unclaimed");
  tuple = world.to_service(this->nat_tcp);
  tuple.protocol = packet::protocol_udp;
  tuple.destination_port = __builtin_bswap16(std::uint16_t{53});
  Frame other_protocol = test::udp(tuple);
  EXPECT_EQ(text(world.receive(other_protocol)), "unclaimed");
}

// A health check asks the server from the node's own address; the answer is not a client's.
TYPED_TEST(Opening, AServersAnswerToTheNodeItselfIsNotForAClient) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp);
  connection.open();
  auto tuple = connection.server_side;
  tuple.destination = world.own();
  Frame answer = test::tcp(tuple, {.flags = syn | ack});
  EXPECT_EQ(text(world.receive(answer)), "unclaimed");
}

}  // namespace
}  // namespace steelyard::l4
