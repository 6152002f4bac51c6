// Layer 4's part in connections that end here: whose their packets are, and the servers of their requests.
#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

// Requests go to the servers of a service of the world, whatever its mode.
template <class Family>
class Layer7 : public BalancerTest<Family> {
 protected:
  using Service = typename BalancerTest<Family>::Service;
  using W = World<Family>;

  explicit Layer7(std::size_t servers = 3) : world({.servers = servers}) {}

  [[nodiscard]] service::Listener& target() { return world.listener(this->nat_tcp); }
  [[nodiscard]] service::BackendId id(std::size_t server) { return target().servers.at(server).id; }
  [[nodiscard]] static service::Address client(std::size_t number) { return l4::to_service(W::client(number)); }
  ServerChoice choose(std::vector<std::size_t> without = {}, std::size_t number = 1) {
    return world.balancer().choose(target(), schedule::client_key(target().scheduler, client(number), 40'000, {}, 80),
                                   without);
  }
  // A request begins with its turn's server; that.
  std::size_t request() {
    const ServerChoice choice = choose();
    EXPECT_TRUE(choice.server.has_value());
    world.balancer().begin_request(target(), id(choice.server.value_or(0)));
    return choice.server.value_or(0);
  }
  void end(std::size_t server) { world.balancer().end_request(target().id, id(server)); }
  std::string receive(std::uint8_t flags) {
    Frame frame = test::tcp(world.to_service(this->nat_tcp), {.flags = flags});
    return text(world.receive(frame));
  }
  void terminate() {
    world.listener(this->nat_tcp).http = std::make_shared<service::HttpSettings>();
    note_terminated();
  }
  void note_terminated() {
    const std::array keys{target().key};
    world.snapshot().terminated = std::make_shared<service::EndpointSet>(keys);
  }
  void forget_listeners() { world.snapshot().index = std::make_shared<service::ListenerIndex>(); }

  W world;
};
TYPED_TEST_SUITE(Layer7, Families);

TYPED_TEST(Layer7, PacketsToItsListenersAreTerminatedAndNamed) {
  const std::string named = "terminated, of listener " + std::to_string(this->target().id.value);
  this->terminate();
  EXPECT_EQ(this->receive(syn), named);
  EXPECT_EQ(this->receive(ack), named);
  EXPECT_THAT(this->world.flows(), IsEmpty());
}

TYPED_TEST(Layer7, AFlowThatWasThereBeforeGoesOn) {
  Connection<TypeParam> connection(this->world, this->nat_tcp, 1);
  connection.open();
  this->terminate();
  connection.client_data(100);
  connection.server_data(100);
}

TYPED_TEST(Layer7, OfAFormerListenerWhatIsUnderWayIsTerminatedAndNewOnesAreRefused) {
  this->note_terminated();
  this->forget_listeners();
  EXPECT_EQ(this->receive(ack), "terminated, of listener 0");
  EXPECT_EQ(this->receive(syn), "drop no_flow");
  std::vector<Frame> sent = this->world.sent();
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].flags(), rst | ack);
}

TYPED_TEST(Layer7, WhereALayer4ListenerFollowsItHasTheNewConnections) {
  this->note_terminated();
  EXPECT_EQ(this->receive(ack), "terminated, of listener 0");
  EXPECT_EQ(this->receive(syn), "forward");
  EXPECT_EQ(this->receive(syn), "forward");
}

TYPED_TEST(Layer7, WithoutHttpListenersNothingIsTerminated) {
  EXPECT_EQ(this->receive(ack), "drop no_flow");
  this->forget_listeners();
  EXPECT_EQ(this->receive(ack), "unclaimed");
  EXPECT_EQ(this->receive(syn), "unclaimed");
}

TYPED_TEST(Layer7, RequestsTakeTurnsWithConnections) {
  std::vector<std::size_t> servers;
  for (int count = 0; count < 6; ++count) {
    servers.push_back(this->request());
  }
  for (std::size_t server = 0; server < 3; ++server) {
    EXPECT_EQ(std::ranges::count(servers, server), 2);
    EXPECT_EQ(this->world.active(this->id(server)), 2u);
    EXPECT_EQ(this->world.backend(this->id(server)).connections.get(), 2u);
  }
  for (const std::size_t server : servers) {
    this->end(server);
  }
  EXPECT_EQ(this->world.active(), 0u);
}

TYPED_TEST(Layer7, TheLeastLoadedServerIsToldByRequestsUnderWay) {
  service::Listener& target = this->target();
  target.scheduler = service::Scheduler::wlc;
  ++target.servers_generation;
  target.scratch[0] = std::make_unique<std::uint32_t[]>(schedule::scratch_words(target.scheduler, 3));
  std::array<std::size_t, 3> first{};
  std::ranges::generate(first, [this] { return this->request(); });
  EXPECT_NE(first[0], first[1]);
  this->end(first[1]);
  EXPECT_EQ(this->request(), first[1]);
  this->end(first[2]);
  EXPECT_EQ(this->request(), first[2]);
}

TYPED_TEST(Layer7, AServerThatWasTriedIsNotChosenAgain) {
  for (std::size_t tried = 0; tried < 3; ++tried) {
    EXPECT_NE(this->choose({tried}).server, tried);
  }
  EXPECT_EQ(this->choose({0, 2}).server, 1u);
  const ServerChoice none = this->choose({0, 1, 2});
  EXPECT_FALSE(none.server);
  EXPECT_EQ(none.refused, packet::DropReason::no_usable_server);
}

TYPED_TEST(Layer7, WithoutAUsableServerThereIsNone) {
  this->world.set_all(this->nat_tcp, false);
  EXPECT_EQ(this->choose().refused, packet::DropReason::no_usable_server);
  EXPECT_FALSE(this->choose().server);
  this->world.set_up(this->nat_tcp, 1, true);
  EXPECT_EQ(this->choose().server, 1u);
  EXPECT_FALSE(this->choose({1}).server);
}

TYPED_TEST(Layer7, RequestsAreNeverMoreThanAServerTakes) {
  for (std::size_t server = 0; server < 3; ++server) {
    this->world.limit(this->nat_tcp, server, 1);
    this->world.permit(this->nat_tcp, server, 1);
  }
  for (int count = 0; count < 3; ++count) {
    (void)this->request();
  }
  EXPECT_EQ(this->choose().refused, packet::DropReason::connection_limit_reached);
  EXPECT_EQ(this->choose({0}).refused, packet::DropReason::connection_limit_reached);
  EXPECT_FALSE(this->world.balancer().has_place(this->target().servers[1]));
  this->end(1);
  EXPECT_TRUE(this->world.balancer().has_place(this->target().servers[1]));
  EXPECT_EQ(this->choose({0}).server, 1u);
  EXPECT_EQ(this->request(), 1u);
}

TYPED_TEST(Layer7, ARequestThatEndsAfterItsTargetIsGoneCountsNoMore) {
  const std::size_t server = this->request();
  const service::BackendId backend = this->id(server);
  const service::ListenerId target = this->target().id;
  this->world.snapshot().listeners[target.value] = nullptr;
  this->world.balancer().end_request(target, backend);
  EXPECT_EQ(this->world.active(backend), 0u);
}

TYPED_TEST(Layer7, ByHashAClientKeepsItsServer) {
  this->world.go_by_hash(this->nat_tcp);
  for (std::size_t number = 1; number < 20; ++number) {
    const auto server = this->choose({}, number).server;
    ASSERT_TRUE(server);
    EXPECT_EQ(this->choose({}, number).server, server);
    EXPECT_NE(this->choose({*server}, number).server, server);
  }
}

TYPED_TEST(Layer7, PayloadIsCountedBothWays) {
  this->world.balancer().count_payload(this->id(0), Side::client, 100'000);
  this->world.balancer().count_payload(this->id(0), Side::server, 70);
  const BackendCounters& counters = this->world.backend(this->id(0));
  EXPECT_EQ(counters.bytes_in.get(), 100'000u);
  EXPECT_EQ(counters.bytes_out.get(), 70u);
  EXPECT_EQ(counters.packets_in.get(), 1u);
}

TYPED_TEST(Layer7, ASourceAsksSoManyRequestsASecond) {
  service::Listener& listener = this->target();
  listener.per_source.request_rate = 3;
  listener.per_source.ipv6_prefix = 128;
  Balancer& balancer = this->world.balancer();
  this->world.pass(std::chrono::seconds{1});
  const auto taken = [&](std::size_t number) {
    std::size_t count = 0;
    for (int asked = 0; asked < 10; ++asked) {
      count += balancer.takes_request(listener, this->client(number)) ? 1U : 0U;
    }
    return count;
  };
  EXPECT_EQ(taken(1), 3U);
  EXPECT_EQ(taken(2), 3U);
  EXPECT_EQ(this->world.refused(this->nat_tcp, &ListenerCounters::source_requests_exceeded), 14U);
  EXPECT_TRUE(balancer.client_comes(listener, this->client(1))) << "connections are another matter";
  this->world.pass(std::chrono::seconds{2});
  EXPECT_EQ(taken(1), 3U);
}

TYPED_TEST(Layer7, ConnectionsOfASourceAreCountedWhileTheyLast) {
  service::Listener& listener = this->target();
  listener.per_source.connections = 2;
  listener.per_source.ipv6_prefix = 128;
  Balancer& balancer = this->world.balancer();
  EXPECT_TRUE(balancer.client_comes(listener, this->client(1)));
  EXPECT_TRUE(balancer.client_comes(listener, this->client(1)));
  EXPECT_FALSE(balancer.client_comes(listener, this->client(1)));
  EXPECT_TRUE(balancer.client_comes(listener, this->client(2)));
  EXPECT_EQ(this->world.refused(this->nat_tcp, &ListenerCounters::source_connections_exceeded), 1u);
  balancer.client_goes(listener.id, this->client(1));
  EXPECT_TRUE(balancer.client_comes(listener, this->client(1)));
}

}  // namespace
}  // namespace steelyard::l4
