// Handshakes that are not complete: they hold at most a quarter of the table, live 10 s, give way oldest first, and
// cannot be ended or completed by somebody who does not see them.
#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

template <class Family>
class HalfOpen : public BalancerTest<Family> {
 protected:
  static FlowState state(World<Family>& world) {
    const auto flows = world.flows();
    EXPECT_THAT(flows, SizeIs(1));
    return flows.empty() ? FlowState::free : flows.front().state;
  }
};
TYPED_TEST_SUITE(HalfOpen, Families);

TYPED_TEST(HalfOpen, AFloodHoldsAQuarterOfTheTableAndTheOldestGivesWay) {
  World<TypeParam> world({.flows = 40});
  for (std::size_t client = 1; client <= 100; ++client) {
    Connection<TypeParam>(world, this->nat_tcp, client).send_syn();
    EXPECT_EQ(world.balancer().flows(), std::min<std::size_t>(client, 10));
  }
  EXPECT_EQ(world.counters().half_open_replaced.get(), 90U);
  for (const FlowRecord& flow : world.flows()) {
    EXPECT_GT(flow.client, to_service(world.client(90)));
  }
}

TYPED_TEST(HalfOpen, AFloodDoesNotTouchEstablishedFlows) {
  World<TypeParam> world({.flows = 40});
  std::vector<Connection<TypeParam>> established;
  for (std::size_t client = 1; client <= 30; ++client) {
    established.emplace_back(world, this->nat_tcp, client).open();
  }
  for (std::size_t client = 101; client <= 200; ++client) {
    Connection<TypeParam>(world, this->nat_tcp, client).send_syn();
  }
  EXPECT_EQ(world.balancer().flows(), 40U);
  for (auto& connection : established) {
    connection.client_data(1);
    connection.server_data(1);
  }
}

TYPED_TEST(HalfOpen, AnAnsweredSynStillCountsUntilTheClientAcknowledges) {
  World<TypeParam> world({.flows = 4});
  Connection<TypeParam> first(world, this->nat_tcp, 1);
  first.send_syn();
  first.send_syn_ack();
  Connection<TypeParam> second(world, this->nat_tcp, 2);
  second.open();
  EXPECT_EQ(world.counters().half_open_replaced.get(), 1U);
  Connection<TypeParam> third(world, this->nat_tcp, 3);
  third.send_syn();
  EXPECT_EQ(world.counters().half_open_replaced.get(), 1U);
  EXPECT_EQ(world.balancer().flows(), 2U);
}

TYPED_TEST(HalfOpen, ItLivesTenSeconds) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp);
  connection.send_syn();
  world.pass(9s);
  EXPECT_EQ(world.balancer().flows(), 1U);
  EXPECT_EQ(world.counters().half_open.get(), 1U);
  world.pass(1'250ms);
  EXPECT_EQ(world.balancer().flows(), 0U);
  EXPECT_EQ(world.counters().half_open.get(), 0U);
  EXPECT_EQ(world.counters().half_open_expired.get(), 1U);
  EXPECT_EQ(world.active(), 0U);
}

TYPED_TEST(HalfOpen, RetransmissionsDoNotProlongIt) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->fullnat_tcp);
  for (int second = 0; second < 10; ++second) {
    connection.send_syn();
    connection.send_syn_ack();
    world.pass(1s);
  }
  world.pass(250ms);
  EXPECT_EQ(world.balancer().flows(), 0U);
  EXPECT_EQ(world.counters().flows_created.get(), 1U);
}

// The server waits for an acknowledgment, the client may have sent it in vain: both are told.
TYPED_TEST(HalfOpen, WhenAnAnsweredHandshakeExpiresBothSidesAreReset) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.send_syn({1'000});
    connection.send_syn_ack({700'000});
    world.pass(10'250ms);
    auto resets = world.sent();
    ASSERT_THAT(resets, SizeIs(2));
    EXPECT_EQ(resets[0].parse().template tuple<TypeParam>(), connection.server_side.reversed());
    EXPECT_EQ(resets[0].sequence(), Sequence{1'001} + connection.delta);
    EXPECT_EQ(resets[1].parse().template tuple<TypeParam>(), connection.client_side.reversed());
    EXPECT_EQ(resets[1].sequence(), Sequence{700'001});
  }
}

TYPED_TEST(HalfOpen, ARetransmittedSynGoesToTheSameServer) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    Frame first = connection.send_syn();
    for (int attempt = 0; attempt < 3; ++attempt) {
      EXPECT_EQ(connection.send_syn().bytes, first.bytes);
    }
    EXPECT_EQ(world.counters().flows_created.get(), 1U);
  }
}

TYPED_TEST(HalfOpen, ARetransmittedSynLeavesAServerThatWentDown) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp);
  connection.send_syn();
  const std::size_t first = connection.server();
  world.set_up(this->nat_tcp, first, false);
  connection.send_syn();
  EXPECT_NE(connection.server(), first);
  EXPECT_EQ(world.counters().redispatched.get(), 1U);
  EXPECT_EQ(world.balancer().flows(), 1U);
  EXPECT_EQ(world.active(), 1U);
}

TYPED_TEST(HalfOpen, AServersRefusalEndsIt) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.send_syn({1'000});
    Frame refusal = connection.from_server({.acknowledgment = Sequence{1'001} + connection.delta, .flags = rst | ack});
    EXPECT_EQ(refusal.acknowledgment(), Sequence{1'001});
    EXPECT_EQ(this->state(world), FlowState::lingering);
    EXPECT_EQ(world.active(), 0U);
  }
}

TYPED_TEST(HalfOpen, AClientThatGivesUpEndsIt) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->fullnat_tcp);
  connection.send_syn();
  connection.send_syn_ack();
  connection.from_client({.sequence = connection.client_next, .flags = rst});
  EXPECT_EQ(this->state(world), FlowState::lingering);
}

// RFC 9293 section 3.10.7.3: in SYN-SENT a reset counts only if it acknowledges the SYN.
TYPED_TEST(HalfOpen, ABlindResetFromTheServersSideDoesNotEndIt) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.send_syn({1'000});
    connection.from_server({.sequence = {123'456}, .flags = rst});
    connection.from_server({.acknowledgment = {123'456}, .flags = rst | ack});
    EXPECT_EQ(this->state(world), FlowState::syn_sent);
    connection.send_syn_ack({700'000});
    connection.from_server({.sequence = {123'456}, .flags = rst});
    EXPECT_EQ(this->state(world), FlowState::syn_received);
    connection.send_ack();
    EXPECT_EQ(this->state(world), FlowState::established);
  }
}

// RFC 5961 section 3.2, for the server's SYN-RECEIVED.
TYPED_TEST(HalfOpen, ABlindResetFromTheClientsSideDoesNotEndIt) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.send_syn({1'000});
    connection.from_client({.sequence = {50'000'000}, .flags = rst});
    connection.send_syn_ack();
    connection.from_client({.sequence = {50'000'000}, .flags = rst});
    connection.from_client({.sequence = {1'002}, .flags = rst});
    EXPECT_EQ(this->state(world), FlowState::syn_received);
    connection.send_ack();
    EXPECT_EQ(this->state(world), FlowState::established);
  }
}

// RFC 9293 section 3.10.7.3: an acknowledgment that is not of the SYN is answered by a reset, and the wait goes on.
TYPED_TEST(HalfOpen, ASynAckThatAcknowledgesSomethingElseChangesNothing) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.send_syn({1'000});
    for (const Sequence acknowledged : {Sequence{1'000}, Sequence{80'000}, Sequence{80'000'000}}) {
      connection.from_server({.sequence = {5}, .acknowledgment = acknowledged + connection.delta, .flags = syn | ack});
      EXPECT_EQ(this->state(world), FlowState::syn_sent);
    }
    connection.send_syn_ack();
    connection.send_ack();
    EXPECT_EQ(this->state(world), FlowState::established);
  }
}

// RFC 9293 section 3.5.1, figure 9: the server still has an old connection; the client resets that and tries again.
TYPED_TEST(HalfOpen, AServersOldConnectionIsResetAndTheHandshakeGoesOn) {
  for (const std::uint8_t answer : {ack, static_cast<std::uint8_t>(syn | ack)}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, this->nat_tcp);
    connection.send_syn({1'000});
    connection.from_server({.sequence = {300'000}, .acknowledgment = {90'000}, .flags = answer});
    connection.from_client({.sequence = {90'000}, .flags = rst});
    const std::size_t server = connection.server();
    connection.open();
    EXPECT_EQ(connection.server(), server);
    EXPECT_EQ(this->state(world), FlowState::established);
  }
}

// RFC 5961 section 4, for a connection that is not open yet.
TYPED_TEST(HalfOpen, ASynWithAnotherNumberDoesNotSpoilTheHandshake) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.send_syn({1'000});
    connection.from_client({.sequence = {90'000'000}, .flags = syn});
    connection.send_syn_ack();
    connection.from_client({.sequence = {90'000'000}, .flags = syn});
    connection.send_ack();
    EXPECT_EQ(this->state(world), FlowState::established);
    connection.close();
    EXPECT_EQ(this->state(world), FlowState::lingering);
  }
}

TYPED_TEST(HalfOpen, AClientMayTryAnewWithAnotherNumber) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, service);
    connection.send_syn({90'000'000});
    connection.from_client({.sequence = {1'000}, .flags = syn});
    connection.client_next = {1'001};
    connection.send_syn_ack();
    connection.send_ack();
    connection.close();
    EXPECT_EQ(this->state(world), FlowState::lingering);
  }
}

// Out of order, or the SYN-ACK was lost between the server and here.
TYPED_TEST(HalfOpen, AnAcknowledgmentBeforeTheSynAckDoesNotSpoilIt) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->fullnat_tcp);
  connection.send_syn({1'000});
  connection.from_server({.sequence = {700'001}, .acknowledgment = Sequence{1'001} + connection.delta});
  connection.send_syn_ack({700'000});
  connection.send_ack();
  EXPECT_EQ(this->state(world), FlowState::established);
}

TYPED_TEST(HalfOpen, OnlyAnAcknowledgmentOfTheServersSynEstablishes) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp);
  connection.send_syn({1'000});
  connection.send_syn_ack({700'000});
  for (const Sequence wrong : {Sequence{700'000}, Sequence{700'002}, Sequence{0}}) {
    connection.from_client({.sequence = {1'001}, .acknowledgment = wrong});
    EXPECT_EQ(this->state(world), FlowState::syn_received);
  }
  connection.send_ack();
  EXPECT_EQ(this->state(world), FlowState::established);
}

TYPED_TEST(HalfOpen, TheFirstAcknowledgmentMayCarryDataAndEvenTheEnd) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp);
  connection.send_syn();
  connection.send_syn_ack();
  connection.client_data(10, fin | ack);
  EXPECT_EQ(this->state(world), FlowState::half_closed);
  connection.server_data(5, fin | ack);
  connection.client_data(0);
  EXPECT_EQ(this->state(world), FlowState::lingering);
}

// RFC 7413: data in the SYN, of which the server takes all or nothing.
TYPED_TEST(HalfOpen, ASynWithDataIsAcknowledgedInWholeOrInPart) {
  for (const std::uint32_t taken : {0U, 100U}) {
    World<TypeParam> world;
    Connection<TypeParam> connection(world, this->nat_tcp);
    connection.from_client({.sequence = {1'000}, .flags = syn, .payload = 100});
    connection.from_server({.sequence = {700'000}, .acknowledgment = Sequence{1'001} + taken, .flags = syn | ack});
    connection.from_client({.sequence = Sequence{1'001} + taken, .acknowledgment = {700'001}});
    EXPECT_EQ(this->state(world), FlowState::established);
  }
}

TYPED_TEST(HalfOpen, ASynThatIsRepeatedWithoutItsDataIsAcknowledgedWithIt) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp);
  connection.from_client({.sequence = {1'000}, .flags = syn, .payload = 100});
  connection.from_client({.sequence = {1'000}, .flags = syn});
  connection.from_server({.sequence = {700'000}, .acknowledgment = {1'101}, .flags = syn | ack});
  connection.from_client({.sequence = {1'101}, .acknowledgment = {700'001}});
  EXPECT_EQ(this->state(world), FlowState::established);
}

TYPED_TEST(HalfOpen, AfterItHasExpiredAllBooksAreClosed) {
  World<TypeParam> world({.flows = 40});
  for (std::size_t client = 1; client <= 100; ++client) {
    Connection<TypeParam> connection(world, client % 2 == 0 ? this->nat_tcp : this->fullnat_tcp, client);
    connection.send_syn();
    if (client % 3 == 0) {
      connection.send_syn_ack();
    }
  }
  world.pass(11s);
  EXPECT_EQ(world.balancer().flows(), 0U);
  EXPECT_EQ(world.active(), 0U);
  EXPECT_THAT(world.flows(), IsEmpty());
  EXPECT_EQ(world.counters().half_open.get(), 0U);
}

}  // namespace
}  // namespace steelyard::l4
