// Mode `dr`: the client's packets reach the server as they are, by its link address, and the server answers past us.
#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

template <class Family>
class DirectReturn : public BalancerTest<Family> {
 protected:
  using TestConnection = typename BalancerTest<Family>::TestConnection;

  // The client's half of a handshake; the server numbers from 700,000 on.
  static void open(TestConnection& connection) {
    connection.send_syn({1'000});
    connection.server_next = {700'001};
    connection.send_ack();
  }
  static FlowState state(World<Family>& world) {
    const auto flows = world.flows();
    return flows.size() == 1 ? flows[0].state : FlowState::free;
  }
};
TYPED_TEST_SUITE(DirectReturn, Families);

TYPED_TEST(DirectReturn, AServerGetsWhatTheClientHasSent) {
  World<TypeParam> world;
  for (const TcpFields& fields :
       {TcpFields{.sequence = {1'000}, .flags = syn}, TcpFields{.sequence = {1'001}, .acknowledgment = {700'001}},
        TcpFields{.sequence = {1'001}, .acknowledgment = {700'001}, .payload = 333}}) {
    Frame sent = test::tcp(world.to_service(this->dr_tcp), fields);
    Frame seen = sent;
    ASSERT_EQ(text(world.receive(seen)), "forward");
    sent.l3()[TypeParam::ttl_offset] -= 1;
    sent.fix_checksums();
    EXPECT_EQ(seen.bytes, sent.bytes);
  }
  EXPECT_EQ(world.fast(), 1U) << "data goes the fast way";
}

TYPED_TEST(DirectReturn, ServersTakeTurnsAndAConnectionStaysOnItsOwn) {
  World<TypeParam> world;
  std::vector<std::size_t> servers;
  for (std::uint16_t port = 40'000; port < 40'004; ++port) {
    Connection<TypeParam> connection(world, this->dr_tcp, 1, port);
    this->open(connection);
    const std::size_t chosen = world.direct_server();
    servers.push_back(chosen);
    connection.client_data(10);
    EXPECT_EQ(world.direct_server(), chosen);
  }
  EXPECT_THAT(servers, testing::UnorderedElementsAre(0, 0, 1, 1));
}

TYPED_TEST(DirectReturn, TheClientsAcknowledgmentEndsTheHandshake) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->dr_tcp);
  connection.send_syn({1'000});
  EXPECT_EQ(this->state(world), FlowState::syn_sent);
  connection.from_client({.sequence = {999}, .acknowledgment = {700'001}});
  connection.from_client({.sequence = {100'000'000}, .acknowledgment = {700'001}});
  connection.from_client({.sequence = {200'000'000}, .acknowledgment = {700'001}});
  EXPECT_EQ(this->state(world), FlowState::syn_sent) << "none follows the SYN";
  connection.from_client({.sequence = {300'000'000}, .flags = syn});  // somebody else, in the client's name
  connection.from_client({.sequence = {1'001}, .acknowledgment = {700'001}});
  EXPECT_EQ(this->state(world), FlowState::established);
  world.pass(60s);
  EXPECT_THAT(world.flows(), SizeIs(1)) << "not half-open";
}

TYPED_TEST(DirectReturn, AHandshakeThatDoesNotGoOnIsForgotten) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->dr_tcp);
  connection.send_syn({1'000});
  EXPECT_EQ(world.active(), 1U);
  world.pass(11s);
  EXPECT_THAT(world.flows(), IsEmpty());
  EXPECT_EQ(world.active(), 0U);
}

TYPED_TEST(DirectReturn, AClientThatHasClosedCountsNoMoreAndIsForwardedOn) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->dr_tcp);
  this->open(connection);
  connection.client_data(0, fin | ack);
  EXPECT_EQ(this->state(world), FlowState::client_closed);
  EXPECT_EQ(world.active(), 0U);
  const auto forwarded_on = [&] {
    std::uint32_t sum = 0;
    for (const service::Server& server : world.listener(this->dr_tcp).servers) {
      sum += world.backend(server.id).client_closed.get();
    }
    return sum;
  };
  EXPECT_EQ(forwarded_on(), 1U);
  for (int minute = 0; minute < 5; ++minute) {  // a long answer
    world.pass(60s);
    connection.server_next = connection.server_next + 100'000;
    connection.client_data(0);
  }
  world.pass(121s);
  EXPECT_THAT(world.flows(), IsEmpty());
  EXPECT_THAT(world.sent(), IsEmpty()) << "it may well have ended in order";
  EXPECT_EQ(world.active(), 0U);
  EXPECT_EQ(forwarded_on(), 0U);
}

TYPED_TEST(DirectReturn, APortThatIsUsedAgainIsANewConnection) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->dr_tcp);
  this->open(connection);
  const std::size_t first = world.direct_server();
  connection.client_data(0, fin | ack);
  world.pass(2s);
  this->open(connection);
  EXPECT_NE(world.direct_server(), first);
  EXPECT_EQ(this->state(world), FlowState::established);
  EXPECT_EQ(world.active(), 1U);
  EXPECT_EQ(world.counters().flows_created.get(), 2U);
}

TYPED_TEST(DirectReturn, ASynDoesNotTakeALivingConnectionFromItsServer) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->dr_tcp);
  this->open(connection);
  const std::size_t server = world.direct_server();
  const auto forged_syn_stays = [&] {
    connection.from_client({.sequence = {123'456'789}, .flags = syn});
    EXPECT_EQ(world.direct_server(), server);
    EXPECT_EQ(world.counters().flows_created.get(), 1U);
  };
  world.pass(60s);
  forged_syn_stays();
  connection.client_data(10);
  world.set_up(this->dr_tcp, server, false);
  forged_syn_stays();
  world.set_up(this->dr_tcp, server, true);
  connection.client_data(0, fin | ack);
  forged_syn_stays();
  connection.client_data(0);
  EXPECT_EQ(world.direct_server(), server);
}

TYPED_TEST(DirectReturn, ConnectionsThatTheClientHasClosedGiveWayToNewOnes) {
  World<TypeParam> world;
  Connection<TypeParam> download(world, this->dr_tcp, 2);
  this->open(download);
  download.client_data(0, fin | ack);
  for (std::uint16_t port = 40'000; port < 40'300; ++port) {
    Connection<TypeParam> connection(world, this->dr_tcp, 1, port);
    this->open(connection);
    connection.client_data(0, fin | ack);
    download.client_data(0);  // an acknowledgment of the answer
    world.pass(250ms);
  }
  EXPECT_EQ(world.counters().flows_created.get(), 301U);
  EXPECT_EQ(world.active(), 0U);
  FlowFilter in_use;
  in_use.client = l4::to_service(world.client(2));
  EXPECT_THAT(world.flows(in_use), SizeIs(1));
}

TYPED_TEST(DirectReturn, AForgedAcknowledgmentDoesNotMoveTheServersNumbers) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->dr_tcp);
  this->open(connection);
  connection.from_client({.sequence = {500'000'000}, .acknowledgment = connection.server_next + 1'000});
  connection.from_client(
      {.sequence = connection.client_next, .acknowledgment = connection.server_next + 1'000'000'000});
  world.pass(901s);
  auto sent = world.sent();
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_EQ(sent[1].sequence(), connection.server_next);
}

TYPED_TEST(DirectReturn, OnlyTheResetThatTheServerTakesEndsTheFlow) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->dr_tcp);
  this->open(connection);
  connection.client_data(100);
  connection.from_client({.sequence = connection.client_next - 1, .flags = rst});
  connection.from_client({.sequence = connection.client_next + 1, .flags = rst});
  EXPECT_EQ(this->state(world), FlowState::established);
  connection.from_client({.sequence = connection.client_next, .flags = rst});
  EXPECT_EQ(this->state(world), FlowState::lingering);
  EXPECT_EQ(world.active(), 0U);
}

TYPED_TEST(DirectReturn, AnIdleFlowIsResetInTheNumbersOfBothEnds) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->dr_tcp);
  this->open(connection);
  connection.client_data(100);
  connection.server_next = {800'001};
  connection.client_data(0);
  const std::size_t server = world.direct_server();
  world.pass(901s);
  EXPECT_THAT(world.flows(), IsEmpty());
  auto sent = world.sent();
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_EQ(world.direct_server(), server);
  EXPECT_EQ(sent[0].parse().template tuple<TypeParam>(), connection.client_side);
  EXPECT_EQ(sent[0].sequence(), connection.client_next);
  EXPECT_EQ(sent[0].flags(), rst | ack);
  EXPECT_EQ(sent[1].parse().template tuple<TypeParam>(), connection.client_side.reversed());
  EXPECT_EQ(sent[1].sequence(), Sequence{800'001});
  EXPECT_EQ(sent[1].acknowledgment(), connection.client_next);
}

TYPED_TEST(DirectReturn, TheNumbersOutlastManyGigabytes) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->dr_tcp);
  this->open(connection);
  constexpr std::uint32_t step = 1U << 23U;
  for (int turn = 0; turn < 1'100; ++turn) {  // twice round the numbers
    connection.client_next = connection.client_next + step;
    connection.server_next = connection.server_next + step;
    connection.client_data(100);
  }
  world.pass(901s);
  auto sent = world.sent();
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_EQ(sent[0].sequence(), connection.client_next);
  EXPECT_EQ(sent[1].sequence(), connection.server_next);
}

TYPED_TEST(DirectReturn, ASynWhoseServerIsDownGoesToAnother) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->dr_tcp);
  for (const bool established : {false, true}) {
    connection.send_syn({1'000});
    if (established) {
      this->open(connection);
    }
    const std::size_t first = world.direct_server();
    world.set_up(this->dr_tcp, first, false);
    if (established) {
      world.pass(2s);
    }
    connection.send_syn({5'000});
    EXPECT_NE(world.direct_server(), first);
    world.set_up(this->dr_tcp, first, true);
    EXPECT_EQ(world.active(), 1U);
  }
}

TYPED_TEST(DirectReturn, DatagramsToo) {
  World<TypeParam> world;
  Connection<TypeParam> exchange(world, this->dr_udp);
  exchange.from_client(UdpFields{.payload = 60});
  const std::size_t server = world.direct_server();
  for (const std::size_t payload : {0U, 1U, 1'000U}) {
    exchange.from_client(UdpFields{.payload = payload});
    EXPECT_EQ(world.direct_server(), server);
  }
  EXPECT_GT(world.fast(), 0U);
  world.pass(91s);
  EXPECT_THAT(world.flows(), IsEmpty());
  EXPECT_EQ(world.active(), 0U);
}

TYPED_TEST(DirectReturn, AnAnswerThatStrayedToUsIsNobodys) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->dr_tcp);
  this->open(connection);
  Frame answer = test::tcp(connection.client_side.reversed(), {.sequence = {700'001}, .acknowledgment = {1'001}});
  EXPECT_EQ(text(world.receive(answer)), "unclaimed");
}

TYPED_TEST(DirectReturn, AFullTableOfFlowsComesAndGoes) {
  World<TypeParam> world;
  for (int round = 0; round < 3; ++round) {
    for (std::uint16_t port = 0; port < 64; ++port) {
      Connection<TypeParam> connection(world, this->dr_udp, 1, static_cast<std::uint16_t>(40'000 + port));
      connection.from_client(UdpFields{.payload = 8});
    }
    EXPECT_THAT(world.flows(), SizeIs(64));
    world.pass(91s);
    EXPECT_THAT(world.flows(), IsEmpty());
  }
}

TYPED_TEST(DirectReturn, OnTwoWorkersTheOwnerForwards) {
  World<TypeParam> world({.workers = 2});
  for (std::uint16_t port = 40'000; port < 40'008; ++port) {
    Frame first = test::tcp(world.to_service(this->dr_tcp, 1, port), {.flags = syn});
    EXPECT_EQ(text(world.deliver(first, 0)), "forward");
    Frame second = test::tcp(world.to_service(this->dr_tcp, 1, port), {.flags = syn});
    EXPECT_EQ(text(world.deliver(second, 1)), "forward");
  }
  EXPECT_EQ(world.counters(0).flows_created.get() + world.counters(1).flows_created.get(), 8U);
}

}  // namespace
}  // namespace steelyard::l4
