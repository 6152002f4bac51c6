// Limits of a listener for its clients: new connections a second, and what one source may have, over all workers.
#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using testing::IsEmpty;

template <class Family>
class ClientLimits : public BalancerTest<Family> {
 protected:
  using Test = BalancerTest<Family>;
  using TestWorld = World<Family>;
  static std::vector<typename Test::Service> services() {
    return {Test::nat_tcp, Test::fullnat_tcp, Test::nat_udp,    Test::fullnat_udp,
            Test::dr_tcp,  Test::dr_udp,      Test::tunnel_tcp, Test::tunnel_udp};
  }
  static typename TestWorld::Options of_workers(std::uint16_t workers) {
    return {.flows = 1'024, .servers = 3, .workers = workers, .local_ports = {2'000, 4'999}};
  }
  // A client's first packet from the next port, given to a worker.
  std::string come(TestWorld& world, const typename Test::Service& to, std::size_t client, std::size_t worker = 0) {
    const auto tuple = TestWorld::to_service(to, client, ++port_);
    Frame frame = to.protocol == Protocol::tcp ? test::tcp(tuple, {.flags = syn}) : test::udp(tuple);
    return text(world.deliver(frame, worker));
  }
  // How many of so many get in.
  std::size_t let_in(TestWorld& world, const typename Test::Service& to, std::size_t client, std::size_t count) {
    std::size_t passed = 0;
    for (std::size_t number = 0; number < count; ++number) {
      passed += come(world, to, client, number % world.workers()) == "forward" ? 1U : 0U;
    }
    return passed;
  }
  // So many sources have the first bits in common that in IPv6 all clients of a world are one source of /64.
  static void one_address_is_one_source(service::Listener& listener) { listener.per_source.ipv6_prefix = 128; }

 private:
  std::uint16_t port_ = 1'000;
};
TYPED_TEST_SUITE(ClientLimits, Families);

TYPED_TEST(ClientLimits, SoManyNewConnectionsASecondComeInOverAllWorkers) {
  for (const std::uint16_t workers : {std::uint16_t{1}, std::uint16_t{2}}) {
    for (const auto& service : this->services()) {
      World<TypeParam> world(this->of_workers(workers));
      world.listener(service).connection_rate = 10;
      world.pass(1s);
      std::size_t passed = 0;
      for (std::size_t client = 1; client <= 50; ++client) {
        passed += this->let_in(world, service, client, 1);
      }
      EXPECT_EQ(passed, 10U);
      EXPECT_EQ(world.refused(service, &ListenerCounters::connection_rate_exceeded), 40U);
      EXPECT_THAT(world.sent(), IsEmpty()) << "nobody is told";
      world.pass(2s);
      EXPECT_EQ(this->let_in(world, service, 1, 20), 10U);
    }
  }
}

TYPED_TEST(ClientLimits, TheRateIsTheListenersOwn) {
  World<TypeParam> world(this->of_workers(1));
  world.listener(this->nat_tcp).connection_rate = 1;
  EXPECT_EQ(this->let_in(world, this->nat_tcp, 1, 10), 1U);
  EXPECT_EQ(this->let_in(world, this->nat_udp, 1, 10), 10U);
}

TYPED_TEST(ClientLimits, ASourceHasSoManyConnectionsAtATimeOverAllWorkers) {
  for (const std::uint16_t workers : {std::uint16_t{1}, std::uint16_t{2}}) {
    for (const auto& service : this->services()) {
      World<TypeParam> world(this->of_workers(workers));
      world.listener(service).per_source.connections = 5;
      this->one_address_is_one_source(world.listener(service));
      EXPECT_EQ(this->let_in(world, service, 1, 20), 5U);
      EXPECT_EQ(this->let_in(world, service, 2, 20), 5U) << "others have their own";
      EXPECT_EQ(world.refused(service, &ListenerCounters::source_connections_exceeded), 30U);
      EXPECT_THAT(world.sent(), IsEmpty());
      world.pass(20s);  // half-open connections end
      EXPECT_EQ(this->let_in(world, service, 1, 20), service.protocol == Protocol::tcp ? 5U : 0U);
      world.pass(100s);  // and exchanges of datagrams
      EXPECT_EQ(this->let_in(world, service, 1, 20), 5U);
    }
  }
}

TYPED_TEST(ClientLimits, AnEndedConnectionMakesRoomAtOnce) {
  World<TypeParam> world(this->of_workers(1));
  world.listener(this->nat_tcp).per_source.connections = 1;
  Connection<TypeParam> first(world, this->nat_tcp, 1);
  first.open();
  EXPECT_EQ(this->come(world, this->nat_tcp, 1), "drop source_connections_exceeded");
  first.client_data(10);
  first.close();
  EXPECT_EQ(this->come(world, this->nat_tcp, 1), "forward");
  EXPECT_EQ(this->come(world, this->nat_tcp, 1), "drop source_connections_exceeded");
}

TYPED_TEST(ClientLimits, ASourceOpensSoManyConnectionsASecondOverAllWorkers) {
  for (const std::uint16_t workers : {std::uint16_t{1}, std::uint16_t{2}}) {
    World<TypeParam> world(this->of_workers(workers));
    service::Listener& listener = world.listener(this->nat_udp);
    listener.per_source.connection_rate = 3;
    this->one_address_is_one_source(listener);
    world.pass(1s);
    EXPECT_EQ(this->let_in(world, this->nat_udp, 1, 20), 3U);
    EXPECT_EQ(this->let_in(world, this->nat_udp, 2, 20), 3U);
    EXPECT_EQ(world.refused(this->nat_udp, &ListenerCounters::source_rate_exceeded), 34U);
    world.pass(2s);
    EXPECT_EQ(this->let_in(world, this->nat_udp, 1, 20), 3U);
  }
}

TYPED_TEST(ClientLimits, AGreedySourceTakesNothingOfWhatTheListenerTakesOfAll) {
  World<TypeParam> world(this->of_workers(1));
  service::Listener& listener = world.listener(this->nat_tcp);
  listener.connection_rate = 10;
  listener.per_source.connection_rate = 4;
  this->one_address_is_one_source(listener);
  world.pass(1s);
  EXPECT_EQ(this->let_in(world, this->nat_tcp, 1, 100), 4U);
  EXPECT_EQ(this->let_in(world, this->nat_tcp, 2, 4), 4U);
  EXPECT_EQ(this->let_in(world, this->nat_tcp, 3, 4), 2U);
}

// client(1), client(2), ..: in IPv6 they lie in one /64.
TYPED_TEST(ClientLimits, AllAddressesOfAnIpv6NetworkAreOneSource) {
  World<TypeParam> world(this->of_workers(2));
  world.listener(this->nat_tcp).per_source.connections = 5;
  std::size_t passed = 0;
  for (std::size_t client = 1; client <= 20; ++client) {
    passed += this->let_in(world, this->nat_tcp, client, 1);
  }
  EXPECT_EQ(passed, TypeParam::is_v6 ? 5U : 20U);
}

TYPED_TEST(ClientLimits, WithPersistenceTheyHoldTooWhoeverDecides) {
  World<TypeParam> world(this->of_workers(2));
  service::Listener& listener = world.listener(this->nat_tcp);
  listener.persistence_timeout = 60s;
  listener.per_source.connections = 5;
  this->one_address_is_one_source(listener);
  for (std::size_t client = 1; client <= 4; ++client) {
    EXPECT_EQ(this->let_in(world, this->nat_tcp, client, 20), 5U);
  }
}

TYPED_TEST(ClientLimits, PacketsThatTheirHomeDecidesTogetherDoNotExceedThem) {
  World<TypeParam> world(this->of_workers(2));
  service::Listener& listener = world.listener(this->nat_tcp);
  listener.persistence_timeout = 60s;
  listener.per_source.connections = 1;
  const std::size_t home = world.balancer().owner_of(world.client(1), 0).value;
  const std::size_t owner = 1 - home;
  std::vector<Frame> frames;  // both let in before either has become a connection
  for (std::uint16_t port = 1'000; frames.size() < 2; ++port) {
    const auto tuple = world.to_service(this->nat_tcp, 1, port);
    if (world.balancer().owner_of(tuple.source, tuple.source_port).value == owner) {
      frames.push_back(test::tcp(tuple, {.flags = syn}));
      EXPECT_EQ(text(world.receive(frames.back(), owner)), "ask worker " + std::to_string(home));
    }
  }
  const Verdict decided = world.decide_for(frames[0], static_cast<std::uint16_t>(owner), home);
  EXPECT_EQ(text(world.open_decided(frames[0], decided.backend, owner)), "forward");
  EXPECT_EQ(text(world.open_decided(frames[1], decided.backend, owner)), "drop source_connections_exceeded");
}

TYPED_TEST(ClientLimits, AdoptedConnectionsCountForTheirSourceAndNotAsNewOnes) {
  World<TypeParam> world(this->of_workers(1));
  world.go_by_hash(this->nat_tcp);
  service::Listener& listener = world.listener(this->nat_tcp);
  listener.connection_rate = 1;
  listener.per_source.connections = 3;
  listener.per_source.connection_rate = 1;
  for (std::uint16_t port = 1; port <= 5; ++port) {
    Frame frame = test::tcp(world.to_service(this->nat_tcp, 1, port), {.sequence = {5}, .acknowledgment = {7}});
    EXPECT_EQ(text(world.receive(frame)), port <= 3 ? "forward" : "drop source_connections_exceeded") << port;
  }
}

TYPED_TEST(ClientLimits, ThoseThatBeganBeforeTheLimitDoNotLockTheirSourceOut) {
  World<TypeParam> world(this->of_workers(1));
  Connection<TypeParam> old(world, this->nat_tcp, 1);
  old.open();
  service::SourceLimits& limits = world.listener(this->nat_tcp).per_source;
  limits.connections = 2;
  EXPECT_EQ(this->let_in(world, this->nat_tcp, 1, 5), 2U);
  limits.connections = 0;
  world.pass(20s);  // the two end uncounted
  limits = {2, 0, 64, limits.generation + 1};
  EXPECT_EQ(this->let_in(world, this->nat_tcp, 1, 5), 2U);
}

TYPED_TEST(ClientLimits, AFlowThatCouldNotBeMadeCountsNoMore) {
  World<TypeParam> world({.flows = 64, .servers = 1});
  world.listener(this->nat_tcp).per_source.connections = 1;
  Connection<TypeParam> other(world, this->other_vip_tcp, 1, 9'000);
  other.open();
  Frame colliding = test::tcp(world.to_service(this->nat_tcp, 1, 9'000), {.flags = syn});
  EXPECT_EQ(text(world.receive(colliding)), "drop reverse_tuple_collision");
  EXPECT_EQ(this->come(world, this->nat_tcp, 1), "forward");
}

}  // namespace
}  // namespace steelyard::l4
