// How flows end: by FINs, by resets that their receiver would take, by idle timeouts; and what is left afterwards.
#include <random>

#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

template <class Family>
class Ending : public BalancerTest<Family> {
 protected:
  static FlowState state(World<Family>& world) {
    const auto flows = world.flows();
    return flows.size() == 1 ? flows.front().state : FlowState::free;
  }
  static void expect_nothing_left(World<Family>& world) {
    EXPECT_EQ(world.balancer().flows(), 0U);
    EXPECT_EQ(world.active(), 0U);
    EXPECT_EQ(world.counters().half_open.get(), 0U);
    EXPECT_EQ((Family::is_v6 ? world.counters().flows_ipv6 : world.counters().flows_ipv4).get(), 0U);
  }
  // The resets that end a connection both of whose sides have received everything: each has exactly the number that its
  // receiver expects (RFC 5961 section 3.2), in the receiver's own numbering.
  static void expect_resets(World<Family>& world, const Connection<Family>& connection) {
    auto resets = world.sent();
    ASSERT_THAT(resets, SizeIs(2));
    Frame& to_server = resets[0];
    Frame& to_client = resets[1];
    EXPECT_EQ(to_server.parse().template tuple<Family>(), connection.server_side.reversed());
    EXPECT_EQ(to_server.sequence(), connection.client_next + connection.delta);
    EXPECT_EQ(to_server.acknowledgment(), connection.server_next);
    EXPECT_EQ(to_client.parse().template tuple<Family>(), connection.client_side.reversed());
    EXPECT_EQ(to_client.sequence(), connection.server_next);
    EXPECT_EQ(to_client.acknowledgment(), connection.client_next);
    EXPECT_EQ(to_server.flags() & (rst | syn | fin), rst);
    EXPECT_EQ(to_client.flags() & (rst | syn | fin), rst);
  }
};
TYPED_TEST_SUITE(Ending, Families);

TYPED_TEST(Ending, AnIdleConnectionIsResetOnBothSidesAfterItsTimeout) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    world.listener(service).established_timeout = 30s;
    Connection<TypeParam> connection(world, service);
    connection.open();
    connection.client_data(100);
    connection.server_data(3'000);
    world.pass(29s);
    EXPECT_EQ(this->state(world), FlowState::established);
    EXPECT_THAT(world.sent(), IsEmpty());
    world.pass(1'250ms);
    this->expect_resets(world, connection);
    this->expect_nothing_left(world);
    EXPECT_EQ(world.counters().flows_expired.get(), 1U);
    EXPECT_EQ(world.counters().resets_sent.get(), 2U);
  }
}

TYPED_TEST(Ending, FifteenMinutesIsTheLongestTimeout) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp);
  connection.open();
  world.pass(899s);
  EXPECT_EQ(this->state(world), FlowState::established);
  world.pass(1'250ms);
  this->expect_resets(world, connection);
}

TYPED_TEST(Ending, APacketOfEitherSideKeepsAConnection) {
  World<TypeParam> world;
  world.listener(this->nat_tcp).established_timeout = 10s;
  Connection<TypeParam> connection(world, this->nat_tcp);
  connection.open();
  for (int round = 0; round < 20; ++round) {
    world.pass(9s);
    round % 2 == 0 ? connection.client_data(1) : connection.server_data(1);
  }
  EXPECT_EQ(this->state(world), FlowState::established);
  world.pass(10'250ms);
  this->expect_nothing_left(world);
}

TYPED_TEST(Ending, WhateverWasSaidBeforeTheResetsHaveTheNumbersThatAreExpected) {
  std::mt19937 random(5);
  for (int round = 0; round < 100; ++round) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, round % 2 == 0 ? this->nat_tcp : this->fullnat_tcp);
    connection.open({static_cast<std::uint32_t>(random())}, {static_cast<std::uint32_t>(random())});
    for (auto segments = random() % 20; segments > 0; --segments) {
      const std::size_t octets = random() % 1'400;
      random() % 2 == 0 ? connection.client_data(octets) : connection.server_data(octets);
    }
    EXPECT_EQ(world.balancer().reset({}, 0, 1'000).ended, 1U);
    this->expect_resets(world, connection);
    this->expect_nothing_left(world);
  }
}

// What was seen last is not the end of what was sent.
TYPED_TEST(Ending, RetransmissionsAndDisorderDoNotMoveTheNumbersBack) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->fullnat_tcp);
  connection.open();
  const Sequence client = connection.client_next;
  const Sequence server = connection.server_next;
  connection.client_data(1'000);
  connection.server_data(1'000);
  connection.from_client({.sequence = client, .acknowledgment = server, .payload = 500});
  connection.from_server({.sequence = server, .acknowledgment = client + connection.delta, .payload = 500});
  (void)world.balancer().reset({}, 0, 1'000);
  this->expect_resets(world, connection);
}

TYPED_TEST(Ending, AConnectionClosedByEitherSideLingersAndIsForgottenAfterAMinute) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    for (const bool client_first : {true, false}) {
      World<TypeParam> world;
      Connection<TypeParam> connection(world, service);
      connection.open({0xfffffffe}, {0xffffffff});
      const auto close = [&](bool client, std::size_t octets) {
        client ? connection.client_data(octets, fin | ack) : connection.server_data(octets, fin | ack);
      };
      close(client_first, 7);
      EXPECT_EQ(this->state(world), FlowState::half_closed);
      client_first ? connection.server_data(400) : connection.client_data(400);
      EXPECT_EQ(this->state(world), FlowState::half_closed);
      close(!client_first, 0);
      EXPECT_EQ(this->state(world), FlowState::closing);
      EXPECT_EQ(world.active(), 1U);
      client_first ? connection.client_data(0) : connection.server_data(0);
      EXPECT_EQ(this->state(world), FlowState::lingering);
      EXPECT_EQ(world.active(), 0U);
      world.pass(59s);
      connection.client_data(0);
      connection.server_data(0);
      world.pass(1'250ms);
      this->expect_nothing_left(world);
      EXPECT_THAT(world.sent(), IsEmpty());
    }
  }
}

TYPED_TEST(Ending, BothSidesMayCloseAtOnce) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->fullnat_tcp);
  connection.open();
  const Sequence client = connection.client_next;
  const Sequence server = connection.server_next;
  connection.from_client({.sequence = client, .acknowledgment = server, .flags = fin | ack});
  connection.from_server({.sequence = server, .acknowledgment = client + connection.delta, .flags = fin | ack});
  EXPECT_EQ(this->state(world), FlowState::closing);
  connection.from_client({.sequence = client + 1, .acknowledgment = server + 1});
  EXPECT_EQ(this->state(world), FlowState::closing);
  connection.from_server({.sequence = server + 1, .acknowledgment = client + 1 + connection.delta});
  EXPECT_EQ(this->state(world), FlowState::lingering);
}

TYPED_TEST(Ending, ARepeatedFinIsNotTheOtherSides) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp);
  connection.open();
  const Sequence number = connection.client_next;
  for (int attempt = 0; attempt < 3; ++attempt) {
    connection.client_next = number;
    connection.client_data(0, fin | ack);
    EXPECT_EQ(this->state(world), FlowState::half_closed);
  }
}

TYPED_TEST(Ending, AHalfClosedConnectionThatStandsStillIsReset) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.open();
    connection.client_data(10, fin | ack);
    connection.server_data(0);
    world.pass(119s);
    EXPECT_EQ(this->state(world), FlowState::half_closed);
    world.pass(1'250ms);
    this->expect_resets(world, connection);
    this->expect_nothing_left(world);
  }
}

TYPED_TEST(Ending, AConnectionWhoseLastAcknowledgmentIsLostEndsQuietly) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp);
  connection.open();
  connection.client_data(0, fin | ack);
  connection.server_data(0, fin | ack);
  world.pass(29s);
  EXPECT_EQ(this->state(world), FlowState::closing);
  world.pass(1'250ms);
  this->expect_nothing_left(world);
  EXPECT_THAT(world.sent(), IsEmpty());
}

TYPED_TEST(Ending, AnExchangeByUdpEndsAfterNinetySilentSecondsWithoutAWord) {
  for (const auto& service : {this->nat_udp, this->fullnat_udp}) {
    World<TypeParam> world;
    Connection<TypeParam> exchange(world, service);
    exchange.from_client(UdpFields{});
    for (int round = 0; round < 5; ++round) {
      world.pass(89s);
      round % 2 == 0 ? exchange.from_server(UdpFields{}) : exchange.from_client(UdpFields{});
    }
    EXPECT_EQ(world.active(), 1U);
    world.pass(90'250ms);
    this->expect_nothing_left(world);
    EXPECT_THAT(world.sent(), IsEmpty());
    EXPECT_EQ(world.counters().flows_expired.get(), 1U);
  }
}

TYPED_TEST(Ending, AResetWithTheExpectedNumberEndsTheFlow) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    for (const bool by_client : {true, false}) {
      World<TypeParam> world;
      Connection<TypeParam> connection(world, service);
      connection.open();
      connection.client_data(10);
      connection.server_data(10);
      if (by_client) {
        Frame seen = connection.from_client({.sequence = connection.client_next, .flags = rst});
        EXPECT_EQ(seen.sequence(), connection.client_next + connection.delta);
      } else {
        Frame seen = connection.from_server({.sequence = connection.server_next,
                                             .acknowledgment = connection.client_next + connection.delta,
                                             .flags = rst | ack});
        EXPECT_EQ(seen.sequence(), connection.server_next);
        EXPECT_EQ(seen.acknowledgment(), connection.client_next);
      }
      EXPECT_EQ(this->state(world), FlowState::lingering);
      EXPECT_EQ(world.active(), 0U);
      world.pass(61s);
      this->expect_nothing_left(world);
    }
  }
}

// RFC 5961 section 3: the receiver judges it, and the connection goes on.
TYPED_TEST(Ending, ABlindResetEndsNothing) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.open();
    connection.client_data(10);
    connection.server_data(10);
    for (const std::uint32_t off : {1U, 1'000U, 0x80000000U, 0xfffff000U}) {
      connection.from_client({.sequence = connection.client_next + off, .flags = rst});
      connection.from_server({.sequence = connection.server_next + off, .flags = rst});
      // The right number in the numbering of the other side is wrong.
      if (connection.delta != 0) {
        connection.from_client({.sequence = connection.client_next + connection.delta, .flags = rst});
      }
    }
    EXPECT_EQ(this->state(world), FlowState::established);
    connection.client_data(1);
    connection.server_data(1);
    EXPECT_EQ(world.active(), 1U);
  }
}

TYPED_TEST(Ending, BlindFinsAndSynsChangeNoStateAndNoNumbers) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.open();
    const Sequence far = connection.client_next + 0x60000000;
    for (const std::uint8_t flags : {static_cast<std::uint8_t>(fin | ack), std::uint8_t{syn},
                                     static_cast<std::uint8_t>(syn | ack), std::uint8_t{ack}}) {
      connection.from_client({.sequence = far, .acknowledgment = connection.server_next + 0x60000000, .flags = flags});
      connection.from_server({.sequence = connection.server_next + 0x60000000, .acknowledgment = far, .flags = flags});
    }
    EXPECT_EQ(this->state(world), FlowState::established);
    (void)world.balancer().reset({}, 0, 1'000);
    this->expect_resets(world, connection);
  }
}

// The server's end is half-open, the client's data is in the air.
TYPED_TEST(Ending, AConnectionThatIsOpeningIsResetOnBothSides) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.send_syn({1'000});
    EXPECT_EQ(world.balancer().reset({}, 0, 1'000).ended, 1U);
    auto resets = world.sent();
    ASSERT_THAT(resets, SizeIs(2));
    EXPECT_EQ(resets[0].flags(), rst);
    EXPECT_EQ(resets[0].sequence(), Sequence{1'001} + connection.delta);
    EXPECT_EQ(resets[1].flags(), rst | ack);  // SYN-SENT takes a reset that acknowledges its SYN
    EXPECT_EQ(resets[1].acknowledgment(), Sequence{1'001});
    this->expect_nothing_left(world);
    connection.send_syn({2'000});
    connection.send_syn_ack({700'000});
    EXPECT_EQ(world.balancer().reset({}, 0, 1'000).ended, 1U);
    this->expect_resets(world, connection);
  }
}

TYPED_TEST(Ending, AfterEverythingHasExpiredAllBooksAreClosed) {
  World<TypeParam> world({.flows = 128, .servers = 3});
  std::mt19937 random(3);
  for (std::size_t client = 1; client <= 100; ++client) {
    const auto& service = client % 2 == 0 ? this->nat_tcp : this->fullnat_tcp;
    Connection<TypeParam> connection(world, service, client);
    if (client % 5 == 0) {
      Connection<TypeParam>(world, client % 2 == 0 ? this->nat_udp : this->fullnat_udp, client)
          .from_client(UdpFields{});
      continue;
    }
    connection.open({static_cast<std::uint32_t>(random())});
    if (client % 3 == 0) {
      connection.close();
    } else if (client % 3 == 1) {
      connection.client_data(1, fin | ack);
    }
    world.pass(1s);
  }
  EXPECT_EQ(world.counters().flows_created.get(), 100U);
  world.pass(901s);
  this->expect_nothing_left(world);
}

}  // namespace
}  // namespace steelyard::l4
