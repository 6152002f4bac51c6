// Who may open a flow: access lists, whoever decides about the server, and what a changed list does to flows.
#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using service::AccessControl;
using service::AccessType;
using testing::IsEmpty;
using testing::SizeIs;

template <class Family>
class Admission : public BalancerTest<Family> {
 protected:
  using Test = BalancerTest<Family>;
  static std::vector<typename Test::Service> services() {
    return {Test::nat_tcp, Test::fullnat_tcp, Test::nat_udp,    Test::fullnat_udp,
            Test::dr_tcp,  Test::dr_udp,      Test::tunnel_tcp, Test::tunnel_udp};
  }
  static std::shared_ptr<const AccessControl> list(AccessType type, std::initializer_list<std::size_t> clients) {
    std::vector<service::Prefix> entries;
    for (const std::size_t client : clients) {
      entries.push_back({to_service(World<Family>::client(client)), std::uint8_t{Family::is_v6 ? 128 : 32}});
    }
    return std::make_shared<AccessControl>(type, entries);
  }
  // The first packet of a client's connection or exchange.
  static Frame first(const typename Test::Service& to, std::size_t client, std::uint16_t port = 40'000) {
    const auto tuple = World<Family>::to_service(to, client, port);
    return to.protocol == Protocol::tcp ? test::tcp(tuple, {.flags = syn}) : test::udp(tuple);
  }
  static std::string opens(World<Family>& world, const typename Test::Service& to, std::size_t client) {
    Frame frame = first(to, client);
    return text(world.receive(frame));
  }
};
TYPED_TEST_SUITE(Admission, Families);

TYPED_TEST(Admission, ABlackListShutsItsSourcesOutAndAWhiteListEverybodyElse) {
  for (const auto& service : this->services()) {
    World<TypeParam> world;
    world.listener(service).access = this->list(AccessType::black, {1, 3});
    EXPECT_EQ(this->opens(world, service, 1), "drop access_denied");
    EXPECT_EQ(this->opens(world, service, 2), "forward");
    EXPECT_EQ(this->opens(world, service, 3), "drop access_denied");
    world.listener(service).access = this->list(AccessType::white, {4});
    EXPECT_EQ(this->opens(world, service, 4), "forward");
    EXPECT_EQ(this->opens(world, service, 5), "drop access_denied");
    EXPECT_EQ(world.refused(service, &ListenerCounters::access_denied), 3U);
    EXPECT_THAT(world.sent(), IsEmpty()) << "nobody is told";
    EXPECT_EQ(world.active(), 2U);
  }
}

TYPED_TEST(Admission, EachListenerHasItsOwnList) {
  World<TypeParam> world;
  world.listener(this->nat_tcp).access = this->list(AccessType::white, {});
  EXPECT_EQ(this->opens(world, this->nat_tcp, 1), "drop access_denied");
  EXPECT_EQ(this->opens(world, this->nat_udp, 1), "forward");
  EXPECT_EQ(this->opens(world, this->fullnat_tcp, 1), "forward");
  EXPECT_EQ(world.refused(this->nat_udp, &ListenerCounters::access_denied), 0U);
}

TYPED_TEST(Admission, NeitherAStoppedListenerNorOneWithoutServersAnswersAClientThatIsShutOut) {
  for (const auto& service : this->services()) {
    World<TypeParam> world;
    world.listener(service).access = this->list(AccessType::black, {1});
    world.listener(service).running = false;
    EXPECT_EQ(this->opens(world, service, 1), "drop access_denied");
    world.listener(service).running = true;
    world.set_all(service, false);
    EXPECT_EQ(this->opens(world, service, 1), "drop access_denied");
    EXPECT_THAT(world.sent(), IsEmpty());
  }
}

TYPED_TEST(Admission, SegmentsOfUnknownConnectionsAreNotAnsweredToAClientThatIsShutOut) {
  World<TypeParam> world;
  world.listener(this->nat_tcp).access = this->list(AccessType::black, {1});
  for (const std::uint8_t flags : {std::uint8_t{ack}, std::uint8_t{fin | ack}, std::uint8_t{syn | ack}}) {
    Frame stray = test::tcp(world.to_service(this->nat_tcp, 1), {.acknowledgment = {7}, .flags = flags});
    EXPECT_EQ(text(world.receive(stray)), "drop access_denied");
  }
  EXPECT_THAT(world.sent(), IsEmpty());
}

TYPED_TEST(Admission, AConnectionInItsMiddleIsNotAdoptedForAClientThatIsShutOut) {
  World<TypeParam> world;
  world.go_by_hash(this->nat_tcp);
  world.listener(this->nat_tcp).access = this->list(AccessType::black, {1});
  Frame from_client = test::tcp(world.to_service(this->nat_tcp, 1), {.sequence = {5}, .acknowledgment = {7}});
  EXPECT_EQ(text(world.receive(from_client)), "drop access_denied");
  for (std::size_t server = 0; server < 2; ++server) {
    auto answer = world.to_service(this->nat_tcp, 1).reversed();
    answer.source = world.server(server);
    answer.source_port = __builtin_bswap16(std::uint16_t{8'080});
    Frame from_server = test::tcp(answer, {.sequence = {7}, .acknowledgment = {5}});
    EXPECT_EQ(text(world.receive(from_server)), "drop access_denied");
  }
  EXPECT_EQ(world.refused(this->nat_tcp, &ListenerCounters::access_denied), 3U);
  EXPECT_EQ(world.counters().adopted.get(), 0U);
  Frame allowed = test::tcp(world.to_service(this->nat_tcp, 2), {.sequence = {5}, .acknowledgment = {7}});
  EXPECT_EQ(text(world.receive(allowed)), "forward");
}

TYPED_TEST(Admission, AnEstablishedConnectionIsNotAskedAgain) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp, 1);
  connection.open();
  world.listener(this->nat_tcp).access = this->list(AccessType::black, {1});
  connection.client_data(100);
  connection.server_data(100);
  EXPECT_EQ(world.refused(this->nat_tcp, &ListenerCounters::access_denied), 0U);
}

TYPED_TEST(Admission, WithPersistenceTheOwnerShutsOutBeforeTheHomeIsAsked) {
  for (const auto& service : {this->nat_tcp, this->fullnat_udp}) {
    World<TypeParam> world({.flows = 256, .workers = 2, .local_ports = {2'000, 2'999}});
    world.listener(service).persistence_timeout = 60s;
    world.listener(service).access = this->list(AccessType::black, {1});
    for (std::uint16_t port = 1'000; port < 1'020; ++port) {
      Frame denied = this->first(service, 1, port);
      EXPECT_EQ(text(world.deliver(denied, port % 2)), "drop access_denied");
      Frame allowed = this->first(service, 2, port);
      EXPECT_EQ(text(world.deliver(allowed, port % 2)), "forward");
    }
    EXPECT_EQ(world.refused(service, &ListenerCounters::access_denied), 20U);
  }
}

TYPED_TEST(Admission, AReloadThatShutsAClientOutWhileItsHomeDecidesHoldsForThatPacket) {
  World<TypeParam> world({.workers = 2});
  world.listener(this->nat_tcp).persistence_timeout = 60s;
  for (std::uint16_t port = 1'000; port < 1'040; ++port) {
    Frame frame = this->first(this->nat_tcp, 1, port);
    const auto tuple = frame.parse().template tuple<TypeParam>();
    const std::size_t owner = world.balancer().owner_of(tuple.source, tuple.source_port).value;
    const Verdict asked = world.receive(frame, owner);
    if (asked.kind != Verdict::Kind::ask_home) {
      continue;
    }
    const Verdict decided = world.decide_for(frame, static_cast<std::uint16_t>(owner), asked.worker.value);
    ASSERT_EQ(decided.kind, Verdict::Kind::return_to);
    world.listener(this->nat_tcp).access = this->list(AccessType::black, {1});
    EXPECT_EQ(text(world.open_decided(frame, decided.backend, owner)), "drop access_denied");
    return;
  }
  FAIL() << "no port of the client belongs to another worker than its home";
}

TYPED_TEST(Admission, AChangedListEndsTheFlowsOfThoseItShutsOutAndNoOthers) {
  World<TypeParam> world;
  Connection<TypeParam> denied(world, this->nat_tcp, 1);
  Connection<TypeParam> ended(world, this->nat_tcp, 1, 41'000);
  Connection<TypeParam> datagrams(world, this->nat_udp, 1);
  Connection<TypeParam> elsewhere(world, this->fullnat_tcp, 1);
  Connection<TypeParam> allowed(world, this->nat_tcp, 2);
  denied.open();
  ended.open();
  ended.close();
  datagrams.from_client(UdpFields{});
  elsewhere.open();
  allowed.open();
  FlowFilter filter;
  const auto access = this->list(AccessType::black, {1});
  filter.shut_out = {{world.listener(this->nat_tcp).id, access}, {world.listener(this->nat_udp).id, access}};
  ASSERT_TRUE(std::ranges::is_sorted(*filter.shut_out, {}, &Door::listener));
  const auto progress = world.balancer().reset(filter, 0, 10'000);
  EXPECT_EQ(progress.ended, 3U) << "the one that lingers is forwarded no more, either";
  EXPECT_THAT(world.sent(), SizeIs(2)) << "both ends of the connection are told";
  EXPECT_THAT(world.flows(), SizeIs(2));
  elsewhere.client_data(10);
  allowed.client_data(10);
}

}  // namespace
}  // namespace steelyard::l4
