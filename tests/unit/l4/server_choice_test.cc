// max_connections: what opens, what counts, where the others go and what their clients are told.
#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

template <class Family>
class LimitedServers : public BalancerTest<Family> {
 protected:
  using Service = typename BalancerTest<Family>::Service;

  // Both servers take one connection, and worker 0 has the permits.
  static void limit_to_one(World<Family>& world, const Service& service) {
    for (std::size_t server = 0; server < 2; ++server) {
      world.limit(service, server, 1);
      world.permit(service, server, 1);
    }
  }
  static std::string try_to_open(World<Family>& world, const Service& service, std::size_t client) {
    const auto tuple = world.to_service(service, client);
    Frame frame = tuple.protocol == packet::protocol_tcp ? test::tcp(tuple, {.flags = syn}) : test::udp(tuple);
    return text(world.receive(frame));
  }
};
TYPED_TEST_SUITE(LimitedServers, Families);

TYPED_TEST(LimitedServers, AConnectionThatAFullServerCannotTakeGoesToAnotherAndThenIsRefused) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp, this->nat_udp, this->fullnat_udp}) {
    World<TypeParam> world;
    this->limit_to_one(world, service);
    EXPECT_EQ(this->try_to_open(world, service, 1), "forward");
    EXPECT_EQ(this->try_to_open(world, service, 2), "forward");
    for (const service::Server& server : world.listener(service).servers) {
      EXPECT_EQ(world.active(server.id), 1U);
    }
    EXPECT_EQ(this->try_to_open(world, service, 3), "drop connection_limit_reached");
    EXPECT_THAT(world.sent(), SizeIs(1)) << "the client is told";
    EXPECT_EQ(world.active(), 2U);
  }
}

TYPED_TEST(LimitedServers, WithWhenFullDropTheClientIsToldNothing) {
  for (const auto& service : {this->nat_tcp, this->nat_udp}) {
    World<TypeParam> world;
    this->limit_to_one(world, service);
    world.listener(service).when_full = service::WhenFull::drop;
    EXPECT_EQ(this->try_to_open(world, service, 1), "forward");
    EXPECT_EQ(this->try_to_open(world, service, 2), "forward");
    EXPECT_EQ(this->try_to_open(world, service, 3), "drop connection_limit_reached");
    EXPECT_THAT(world.sent(), IsEmpty());
  }
}

TYPED_TEST(LimitedServers, WithoutAnyUsableServerTheClientIsToldWhateverWhenFullSays) {
  World<TypeParam> world;
  this->limit_to_one(world, this->nat_tcp);
  world.listener(this->nat_tcp).when_full = service::WhenFull::drop;
  world.set_all(this->nat_tcp, false);
  EXPECT_EQ(this->try_to_open(world, this->nat_tcp, 1), "drop no_usable_server");
  EXPECT_THAT(world.sent(), SizeIs(1));
}

TYPED_TEST(LimitedServers, APlaceIsFreeAgainWhenItsConnectionEnds) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world;
    this->limit_to_one(world, service);
    Connection<TypeParam> first(world, service, 1);
    first.open();
    EXPECT_EQ(this->try_to_open(world, service, 2), "forward");
    EXPECT_EQ(this->try_to_open(world, service, 3), "drop connection_limit_reached");
    first.client_data(0, fin | ack);
    EXPECT_EQ(this->try_to_open(world, service, 3), "drop connection_limit_reached") << "half closed it counts";
    first.server_data(0, fin | ack);
    first.client_data(0);
    EXPECT_EQ(this->try_to_open(world, service, 3), "forward");
  }
}

TYPED_TEST(LimitedServers, AHalfOpenConnectionCountsUntilItExpires) {
  World<TypeParam> world;
  this->limit_to_one(world, this->nat_tcp);
  EXPECT_EQ(this->try_to_open(world, this->nat_tcp, 1), "forward");
  EXPECT_EQ(this->try_to_open(world, this->nat_tcp, 2), "forward");
  world.pass(9s);
  EXPECT_EQ(this->try_to_open(world, this->nat_tcp, 3), "drop connection_limit_reached");
  world.pass(2s);
  EXPECT_EQ(this->try_to_open(world, this->nat_tcp, 3), "forward");
}

TYPED_TEST(LimitedServers, APermitThatIsElsewhereIsMissedAndTheClientIsLeftToTryAgain) {
  World<TypeParam> world;
  for (std::size_t server = 0; server < 2; ++server) {
    world.limit(this->nat_tcp, server, 1);
  }
  EXPECT_EQ(this->try_to_open(world, this->nat_tcp, 1), "drop connection_permit_missing");
  EXPECT_THAT(world.sent(), IsEmpty());
  std::uint32_t missed = 0;
  for (const service::Server& server : world.listener(this->nat_tcp).servers) {
    missed += world.backend(server.id).permit_missing.get();
  }
  EXPECT_EQ(missed, 1U);
  world.permit(this->nat_tcp, 1, 1);
  EXPECT_EQ(this->try_to_open(world, this->nat_tcp, 1), "forward");
}

TYPED_TEST(LimitedServers, OthersConnectionsMakeAServerFullAndNoPermitIsMissed) {
  World<TypeParam> world({.workers = 2});
  const auto& service = this->nat_tcp;
  for (std::size_t server = 0; server < 2; ++server) {
    world.limit(service, server, 1);
    world.permit(service, server, 1, 0);
  }
  std::array<int, 2> refused{};
  for (std::size_t client = 1; client <= 20; ++client) {
    Frame frame = test::tcp(world.to_service(service, client), {.flags = syn});
    const auto tuple = world.to_service(service, client);
    const std::size_t owner = world.balancer(0).owner_of(tuple.source, tuple.source_port).value;
    const std::string said = text(world.deliver(frame, 0));
    world.sum_connections();
    const bool all_taken = world.active() == 2;
    refused.at(owner) += said == "forward" ? 0 : 1;
    if (said != "forward") {
      EXPECT_EQ(said, all_taken ? "drop connection_limit_reached" : "drop connection_permit_missing");
    }
  }
  EXPECT_EQ(world.active(), 2U);
  EXPECT_THAT(refused, testing::Each(testing::Gt(0)));
}

TYPED_TEST(LimitedServers, AClientWhoseServerIsFullGetsAnotherOneAndKeepsThat) {
  for (const auto& service : {this->nat_tcp, this->nat_udp}) {
    World<TypeParam> world;
    world.listener(service).persistence_timeout = 60s;
    const auto open_from = [&](std::uint16_t port) {
      const auto tuple = world.to_service(service, 1, port);
      Frame frame = tuple.protocol == packet::protocol_tcp ? test::tcp(tuple, {.flags = syn}) : test::udp(tuple);
      EXPECT_EQ(text(world.receive(frame)), "forward");
      return frame.parse().template destination<TypeParam>() == world.server(0) ? 0U : 1U;
    };
    const std::size_t first = open_from(1'000);
    EXPECT_EQ(open_from(1'001), first);
    world.limit(service, first, 2);
    world.permit(service, first, 2);
    EXPECT_EQ(open_from(1'002), 1 - first);
    world.permit(service, first, 3);
    world.limit(service, first, 3);
    EXPECT_EQ(open_from(1'003), 1 - first);
    EXPECT_EQ(world.backend(world.listener(service).servers[first].id).connections.get(), 2U);
  }
}

TYPED_TEST(LimitedServers, AServerWithAFreeTupleButNoPlaceIsNotTriedInsteadOfOneWhoseTupleIsTaken) {
  World<TypeParam> world;
  Connection<TypeParam> taken(world, this->nat_tcp);
  taken.open();
  // The other load balancer's listener has the same servers, and this client's port meets itself at one of them.
  const typename TestFixture::Service other{Protocol::tcp, Mode::nat, true};
  world.set_weight(other, 1 - taken.server(), 1);
  world.limit(other, 1 - taken.server(), 1);
  std::size_t collided = 0;
  for (int tries = 0; tries < 3; ++tries) {
    Frame frame = test::tcp(world.to_service(other), {.flags = syn});
    const std::string said = text(world.receive(frame));
    collided += said == "drop reverse_tuple_collision" ? 1U : 0U;
    EXPECT_NE(said, "forward");
  }
  EXPECT_GT(collided, 0U);
  EXPECT_EQ(world.active(), 1U);
}

TYPED_TEST(LimitedServers, AdoptedConnectionsCountAndHaveAPlaceWhateverTheLimitSays) {
  World<TypeParam> world({.servers = 1});
  world.go_by_hash(this->nat_tcp);
  world.limit(this->nat_tcp, 0, 1);
  world.permit(this->nat_tcp, 0, 1);
  for (std::size_t client = 1; client <= 2; ++client) {
    Frame frame = test::tcp(world.to_service(this->nat_tcp, client), {.sequence = {5}, .acknowledgment = {9}});
    EXPECT_EQ(text(world.receive(frame)), "forward");
  }
  EXPECT_EQ(world.active(), 2U);
  EXPECT_EQ(this->try_to_open(world, this->nat_tcp, 3), "drop connection_limit_reached");
}

TYPED_TEST(LimitedServers, AListenerWithoutLimitsAsksForNoPermits) {
  World<TypeParam> world;
  world.limit(this->fullnat_tcp, 0, 1);
  for (std::size_t client = 1; client <= 6; ++client) {
    EXPECT_EQ(this->try_to_open(world, this->nat_tcp, client), "forward");
  }
}

}  // namespace
}  // namespace steelyard::l4
