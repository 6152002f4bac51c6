// Several workers: whose packet it is follows from the packet alone, and whoever gets it first, one worker opens the
// flow, once. With persistence, the client's home worker decides for all.
#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using testing::Each;
using testing::Gt;

template <class Family>
class Workers : public BalancerTest<Family> {
 protected:
  static std::size_t owner(World<Family>& world, const packet::Tuple<Family>& of_client) {
    return world.balancer().owner_of(of_client.source, of_client.source_port).value;
  }
  static std::size_t home(World<Family>& world, std::size_t client) {
    return world.balancer().owner_of(world.client(client), 0).value;
  }
  static std::uint64_t created(World<Family>& world) {
    return world.counters(0).flows_created.get() + world.counters(1).flows_created.get();
  }
};
TYPED_TEST_SUITE(Workers, Families);

TYPED_TEST(Workers, AllAgreeWhoOwnsAClientsPort) {
  World<TypeParam> world({.workers = 2});
  std::array<int, 2> owned{};
  for (std::size_t client = 1; client <= 100; ++client) {
    const auto tuple = world.to_service(this->nat_tcp, client);
    const auto owner = world.balancer(0).owner_of(tuple.source, tuple.source_port);
    EXPECT_EQ(owner, world.balancer(1).owner_of(tuple.source, tuple.source_port));
    ++owned.at(owner.value);
  }
  EXPECT_THAT(owned, Each(Gt(25)));
}

TYPED_TEST(Workers, AClientsPacketIsHandedToItsOwnerUntouched) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp, this->nat_udp, this->fullnat_udp}) {
    World<TypeParam> world({.workers = 2});
    for (std::size_t client = 1; client <= 20; ++client) {
      const auto tuple = world.to_service(service, client);
      Frame frame = tuple.protocol == packet::protocol_tcp ? test::tcp(tuple, {.flags = syn}) : test::udp(tuple);
      const Frame before = frame;
      const std::size_t owner = this->owner(world, tuple);
      EXPECT_EQ(text(world.receive(frame, 1 - owner)), "to worker " + std::to_string(owner));
      EXPECT_EQ(frame.bytes, before.bytes);
      EXPECT_EQ(text(world.receive(frame, owner)), "forward");
    }
    EXPECT_EQ(this->created(world), 20U);
  }
}

TYPED_TEST(Workers, AnAnswerIsHandedToWhoOpenedTheFlow) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    World<TypeParam> world({.flows = 128, .workers = 2});
    for (std::size_t client = 1; client <= 20; ++client) {
      const auto tuple = world.to_service(service, client);
      const std::size_t owner = this->owner(world, tuple);
      Frame opening = test::tcp(tuple, {.sequence = {5}, .flags = syn});
      EXPECT_EQ(text(world.receive(opening, owner)), "forward");
      const auto seen = opening.parse().template tuple<TypeParam>();
      if (service.mode == Mode::fullnat) {
        EXPECT_EQ(__builtin_bswap16(seen.source_port) % 2U, owner);
      }
      Frame answer =
          test::tcp(seen.reversed(), {.sequence = {9}, .acknowledgment = opening.sequence() + 1, .flags = syn | ack});
      EXPECT_EQ(text(world.receive(answer, 1 - owner)), "to worker " + std::to_string(owner));
      EXPECT_EQ(text(world.receive(answer, owner)), "forward");
      EXPECT_EQ(answer.parse().template tuple<TypeParam>(), tuple.reversed());
    }
  }
}

TYPED_TEST(Workers, StraySegmentsAreAnsweredByTheirOwnerOnly) {
  World<TypeParam> world({.workers = 2});
  auto to_local = world.to_service(this->fullnat_tcp).reversed();
  to_local.source = world.server(0);
  to_local.source_port = __builtin_bswap16(std::uint16_t{8'080});
  to_local.destination = world.local();
  to_local.destination_port = __builtin_bswap16(std::uint16_t{2'001});
  Frame stray = test::tcp(to_local, {.acknowledgment = {77}});
  EXPECT_EQ(text(world.receive(stray, 0)), "to worker 1");
  EXPECT_THAT(world.sent(), testing::IsEmpty());
  EXPECT_EQ(text(world.receive(stray, 1)), "drop no_flow");
  EXPECT_THAT(world.sent(), testing::SizeIs(1));
}

TYPED_TEST(Workers, EachUsesItsOwnLocalPorts) {
  World<TypeParam> world({.flows = 128, .workers = 2, .local_ports = {3'000, 3'019}});
  std::array<std::size_t, 2> opened{};
  for (std::size_t client = 1; client <= 60; ++client) {
    const auto tuple = world.to_service(this->fullnat_udp, client);
    const std::size_t owner = this->owner(world, tuple);
    Frame frame = test::udp(tuple);
    const bool room = opened.at(owner) < 10;
    EXPECT_EQ(text(world.receive(frame, owner)), room ? "forward" : "drop local_ports_exhausted");
    opened.at(owner) += room ? 1U : 0U;
  }
  EXPECT_THAT(opened, Each(10U));
}

// Client 1, 2, ..: some are at home with worker 0, some with worker 1, and their ports are owned by both.
TYPED_TEST(Workers, AClientsConnectionsMeetOneServerWhoeverOpensThem) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp, this->nat_udp}) {
    World<TypeParam> world({.flows = 256, .servers = 3, .workers = 2, .local_ports = {2'000, 2'999}});
    world.listener(service).persistence_timeout = 60s;
    for (std::size_t client = 1; client <= 8; ++client) {
      std::optional<typename TypeParam::Address> server;
      for (std::uint16_t port = 1'000; port < 1'012; ++port) {
        const auto tuple = world.to_service(service, client, port);
        Frame frame = tuple.protocol == packet::protocol_tcp ? test::tcp(tuple, {.flags = syn}) : test::udp(tuple);
        EXPECT_EQ(text(world.deliver(frame, port % 2)), "forward");
        const auto chosen = frame.parse().template destination<TypeParam>();
        EXPECT_EQ(chosen, server.value_or(chosen));
        server = chosen;
      }
    }
    EXPECT_EQ(this->created(world), 96U);
    EXPECT_GT(world.counters(0).persistence_asked_home.get() + world.counters(1).persistence_asked_home.get(), 0U);
  }
}

// Two first packets of a client are on their way to its home at the same time.
TYPED_TEST(Workers, SimultaneousFirstConnectionsOfAClientMeetOneServer) {
  World<TypeParam> world({.servers = 5, .workers = 2});
  world.listener(this->nat_tcp).persistence_timeout = 60s;
  std::size_t asked = 0;
  for (std::size_t client = 1; client <= 8; ++client) {
    const std::size_t home = this->home(world, client);
    std::vector<Frame> frames;
    for (std::uint16_t port = 1'000; port < 1'008; ++port) {
      const auto tuple = world.to_service(this->nat_tcp, client, port);
      if (this->owner(world, tuple) != home) {
        frames.push_back(test::tcp(tuple, {.flags = syn}));
      }
    }
    std::vector<service::BackendId> decided;
    for (Frame& frame : frames) {
      EXPECT_EQ(text(world.receive(frame, 1 - home)), "ask worker " + std::to_string(home));
    }
    for (Frame& frame : frames) {
      decided.push_back(world.decide_for(frame, static_cast<std::uint16_t>(1 - home), home).backend);
      EXPECT_EQ(decided.back(), decided.front());
      EXPECT_EQ(text(world.open_decided(frame, decided.back(), 1 - home)), "forward");
      ++asked;
    }
  }
  EXPECT_GT(asked, 8U);
  EXPECT_EQ(this->created(world), asked);
}

TYPED_TEST(Workers, AFirstPacketThatWasDecidedTwiceOpensOneFlow) {
  World<TypeParam> world({.workers = 2});
  world.listener(this->fullnat_tcp).persistence_timeout = 60s;
  std::size_t client = 1;
  const auto foreign = [&] {
    return this->owner(world, world.to_service(this->fullnat_tcp, client)) != this->home(world, client);
  };
  while (!foreign()) {
    ++client;
  }
  const std::size_t home = this->home(world, client);
  Frame first = test::tcp(world.to_service(this->fullnat_tcp, client), {.flags = syn});
  Frame again = first;
  ASSERT_EQ(text(world.receive(first, 1 - home)), "ask worker " + std::to_string(home));
  ASSERT_EQ(text(world.receive(again, 1 - home)), "ask worker " + std::to_string(home));
  for (Frame* frame : {&first, &again}) {
    const auto decided = world.decide_for(*frame, static_cast<std::uint16_t>(1 - home), home);
    EXPECT_EQ(text(world.open_decided(*frame, decided.backend, 1 - home)), "forward");
  }
  EXPECT_EQ(first.bytes, again.bytes);
  EXPECT_EQ(this->created(world), 1U);
}

TYPED_TEST(Workers, WithoutAUsableServerTheHomeRefuses) {
  World<TypeParam> world({.workers = 2});
  world.listener(this->nat_tcp).persistence_timeout = 60s;
  world.set_all(this->nat_tcp, false);
  for (std::size_t client = 1; client <= 10; ++client) {
    Frame frame = test::tcp(world.to_service(this->nat_tcp, client), {.flags = syn});
    EXPECT_EQ(text(world.deliver(frame, 0)), "drop no_usable_server");
  }
  EXPECT_THAT(world.sent(), testing::SizeIs(10));
}

}  // namespace
}  // namespace steelyard::l4
