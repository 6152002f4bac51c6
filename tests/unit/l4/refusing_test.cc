// What a client or server is told when nobody takes its packet: resets with the right numbers (RFC 9293 section
// 3.10.7.1), port unreachable for UDP (RFC 792, RFC 4443 section 3.1), each limited in rate, none in answer to a reset.
#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

template <class Family>
class Refusing : public BalancerTest<Family> {
 protected:
  using Service = typename BalancerTest<Family>::Service;

  static void expect_reset(World<Family>& world, const packet::Tuple<Family>& to, std::uint8_t flags, Sequence sequence,
                           Sequence acknowledgment) {
    auto sent = world.sent();
    ASSERT_THAT(sent, SizeIs(1));
    EXPECT_EQ(sent[0].parse().template tuple<Family>(), to.reversed());
    EXPECT_EQ(sent[0].flags(), flags);
    EXPECT_EQ(sent[0].sequence(), sequence);
    EXPECT_EQ(sent[0].acknowledgment(), acknowledgment);
  }
};
TYPED_TEST_SUITE(Refusing, Families);

TYPED_TEST(Refusing, WithoutAUsableServerASynIsReset) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    world.set_all(service, false);
    Connection<TypeParam> connection(world, service);
    EXPECT_EQ(connection.try_client({.sequence = {0xffffffff}, .flags = syn}), "drop no_usable_server");
    this->expect_reset(world, connection.client_side, rst | ack, {0}, {0});
    EXPECT_EQ(connection.try_client({.sequence = {70}, .flags = syn, .payload = 30}), "drop no_usable_server");
    this->expect_reset(world, connection.client_side, rst | ack, {0}, {101});
    EXPECT_EQ(world.counters().resets_sent.get(), 2U);
    EXPECT_EQ(world.balancer().flows(), 0U);
  }
}

TYPED_TEST(Refusing, WhenTheServersAreBackConnectionsOpen) {
  World<TypeParam> world;
  world.set_all(this->nat_tcp, false);
  Connection<TypeParam> connection(world, this->nat_tcp);
  EXPECT_EQ(connection.try_client({.flags = syn}), "drop no_usable_server");
  world.set_up(this->nat_tcp, 1, true);
  connection.open();
  EXPECT_EQ(connection.server(), 1U);
}

TYPED_TEST(Refusing, AStoppedListenerResetsNewConnectionsAndKeepsTheOldOnes) {
  World<TypeParam> world;
  Connection<TypeParam> old(world, this->nat_tcp, 1);
  old.open();
  world.listener(this->nat_tcp).running = false;
  Connection<TypeParam> connection(world, this->nat_tcp, 2);
  EXPECT_EQ(connection.try_client({.sequence = {70}, .flags = syn}), "drop listener_stopped");
  this->expect_reset(world, connection.client_side, rst | ack, {0}, {71});
  old.client_data(1);
}

TYPED_TEST(Refusing, UdpIsToldThatThePortIsUnreachable) {
  for (const auto& service : {this->nat_udp, this->fullnat_udp}) {
    for (const bool stopped : {false, true}) {
      World<TypeParam> world;
      world.listener(service).running = !stopped;
      world.set_all(service, false);
      Frame datagram = test::udp(world.to_service(service), {.payload = 40});
      const Frame before = datagram;
      EXPECT_EQ(text(world.receive(datagram)), stopped ? "drop listener_stopped" : "drop no_usable_server");
      auto sent = world.sent();
      ASSERT_THAT(sent, SizeIs(1));
      const auto view = sent[0].parse();
      EXPECT_EQ(view.template source<TypeParam>(), world.vip());
      EXPECT_EQ(view.template destination<TypeParam>(), world.client(1));
      EXPECT_EQ(sent[0].protocol(), TypeParam::is_v6 ? packet::protocol_icmpv6 : packet::protocol_icmp);
      EXPECT_EQ(sent[0].l4()[0], TypeParam::is_v6 ? 1 : 3);
      EXPECT_EQ(sent[0].l4()[1], TypeParam::is_v6 ? 4 : 3);
      // As it came and whole, since it is short (RFC 4443 section 2.4 c).
      const auto quote = sent[0].l4().subspan(8);
      ASSERT_EQ(quote.size(), before.bytes.size() - 14);
      EXPECT_TRUE(std::ranges::equal(quote, std::span(before.bytes).subspan(14, quote.size())));
      EXPECT_EQ(world.counters().unreachables_sent.get(), 1U);
    }
  }
}

TYPED_TEST(Refusing, RefusalsAreLimitedInRateAndThatIsNamed) {
  World<TypeParam> world;
  world.set_all(this->nat_tcp, false);
  world.set_all(this->nat_udp, false);
  std::size_t resets = 0;
  for (int packet = 0; packet < 10'000; ++packet) {
    Frame frame = test::tcp(world.to_service(this->nat_tcp), {.flags = syn});
    resets += text(world.receive(frame)) == "drop no_usable_server" ? 1U : 0U;
  }
  EXPECT_THAT(world.sent(), SizeIs(resets));
  EXPECT_LE(resets, 5'000U);
  EXPECT_GT(resets, 0U);
  Frame syn_segment = test::tcp(world.to_service(this->nat_tcp), {.flags = syn});
  EXPECT_EQ(text(world.receive(syn_segment)), "drop answer_rate_limited");
  // Unreachables have a limit of their own.
  std::size_t unreachables = 0;
  for (int packet = 0; packet < 1'000; ++packet) {
    Frame frame = test::udp(world.to_service(this->nat_udp));
    unreachables += text(world.receive(frame)) == "drop no_usable_server" ? 1U : 0U;
  }
  EXPECT_THAT(world.sent(), SizeIs(unreachables));
  EXPECT_LE(unreachables, 100U);
  EXPECT_GT(unreachables, 0U);
  world.pass(1s);
  EXPECT_EQ(text(world.receive(syn_segment)), "drop no_usable_server");
}

TYPED_TEST(Refusing, AStraySegmentOfAClientIsResetWithItsOwnNumber) {
  World<TypeParam> world;
  Connection<TypeParam> stray(world, this->fullnat_tcp);
  EXPECT_EQ(stray.try_client({.sequence = {1}, .acknowledgment = {777}, .flags = ack | psh, .payload = 9}),
            "drop no_flow");
  this->expect_reset(world, stray.client_side, rst, {777}, {0});
  EXPECT_EQ(stray.try_client({.sequence = {1}, .acknowledgment = {778}, .flags = syn | ack}), "drop no_flow");
  this->expect_reset(world, stray.client_side, rst, {778}, {0});
}

TYPED_TEST(Refusing, AStraySegmentOfAServerIsResetWithItsOwnNumber) {
  World<TypeParam> world;
  auto to_client = world.to_service(this->nat_tcp).reversed();
  to_client.source = world.server(0);
  to_client.source_port = __builtin_bswap16(std::uint16_t{8'080});
  auto to_local = to_client;
  to_local.destination = world.local();
  to_local.destination_port = __builtin_bswap16(std::uint16_t{2'001});
  for (const auto& tuple : {to_client, to_local}) {
    Frame stray = test::tcp(tuple, {.sequence = {1}, .acknowledgment = {777}, .flags = fin | ack});
    EXPECT_EQ(text(world.receive(stray)), "drop no_flow");
    this->expect_reset(world, tuple, rst, {777}, {0});
    Frame reset = test::tcp(tuple, {.sequence = {1}, .acknowledgment = {777}, .flags = rst | ack});
    EXPECT_EQ(text(world.receive(reset)), "drop reply_is_reset");
  }
  EXPECT_THAT(world.sent(), IsEmpty());
}

TYPED_TEST(Refusing, AResetIsNeverAnswered) {
  World<TypeParam> world;
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    Connection<TypeParam> stray(world, service);
    for (const std::uint8_t flags : {std::uint8_t{rst}, static_cast<std::uint8_t>(rst | ack)}) {
      EXPECT_EQ(stray.try_client({.sequence = {1}, .flags = flags}), "drop reply_is_reset");
      world.listener(service).running = false;
      EXPECT_EQ(stray.try_client({.sequence = {1}, .flags = flags}), "drop reply_is_reset");
      world.listener(service).running = true;
    }
  }
  EXPECT_THAT(world.sent(), IsEmpty());
}

TYPED_TEST(Refusing, StraySegmentsAreDroppedSilentlyWhenThatIsWanted) {
  World<TypeParam> world;
  world.snapshot().reset_unknown_tcp = false;
  Connection<TypeParam> stray(world, this->nat_tcp);
  EXPECT_EQ(stray.try_client({.acknowledgment = {777}}), "drop no_flow");
  EXPECT_THAT(world.sent(), IsEmpty());
}

TYPED_TEST(Refusing, AStrayAnswerByUdpIsDroppedByName) {
  World<TypeParam> world;
  auto tuple = world.to_service(this->fullnat_udp).reversed();
  tuple.source = world.server(0);
  tuple.source_port = __builtin_bswap16(std::uint16_t{8'080});
  tuple.destination = world.local();
  tuple.destination_port = __builtin_bswap16(std::uint16_t{2'001});
  Frame stray = test::udp(tuple);
  EXPECT_EQ(text(world.receive(stray)), "drop no_flow");
  EXPECT_THAT(world.sent(), IsEmpty());
}

// A removed listener's clients learn that their connections are gone; nothing new opens.
TYPED_TEST(Refusing, AFormerListenerResetsWhatItDoesNotKnow) {
  World<TypeParam> world;
  Connection<TypeParam> running(world, this->nat_tcp, 1);
  running.open();
  const std::array former{world.listener(this->nat_tcp).key};
  world.snapshot().index = std::make_shared<service::ListenerIndex>();
  world.snapshot().former_listeners = std::make_shared<service::EndpointSet>(former);
  running.client_data(1);
  running.server_data(1);
  Connection<TypeParam> late(world, this->nat_tcp, 2);
  EXPECT_EQ(late.try_client({.sequence = {50}, .flags = syn}), "drop no_flow");
  this->expect_reset(world, late.client_side, rst | ack, {0}, {51});
}

}  // namespace
}  // namespace steelyard::l4
