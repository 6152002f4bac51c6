// Flows that open in one burst: all are begun before the first is finished, and still each is decided as if it were
// alone - by true loads, within the limits, and with nothing left behind when one fails.
#include <deque>

#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using testing::Each;
using testing::ElementsAre;

template <class Family>
class Burst : public BalancerTest<Family> {
 protected:
  using TestWorld = World<Family>;
  using Service = typename TestWorld::Service;

  // The first packet of a connection; what begin() says of it.
  std::string begin(TestWorld& world, const Service& to, std::size_t client, std::uint16_t port = 40'000) {
    const auto tuple = TestWorld::to_service(to, client, port);
    Packet& packet = packets_.emplace_back(Packet{
        to.protocol == Protocol::tcp ? test::tcp(tuple, {.sequence = {1'000}, .flags = syn}) : test::udp(tuple, {}),
        {},
        {}});
    packet.view = packet.frame.parse();
    Balancer& balancer = world.balancer();
    const std::uint64_t hash = balancer.template hash_of<Family>(packet.view);
    const std::string verdict = text(balancer.template begin<Family>(packet.view, hash, packet.opening));
    if (verdict != "opening") {
      packets_.pop_back();
    }
    return verdict;
  }
  // What finish() says of those that open, in their order.
  std::vector<std::string> finish(TestWorld& world) {
    std::vector<std::string> verdicts;
    for (Packet& packet : packets_) {
      verdicts.push_back(text(world.balancer().template finish<Family>(packet.view, packet.opening)));
      EXPECT_TRUE(packet.frame.checksums_right());
      servers_.push_back(packet.frame.parse().template destination<Family>());
    }
    packets_.clear();
    return verdicts;
  }
  // Where the finished ones went.
  [[nodiscard]] std::size_t sent_to(std::size_t server) const {
    return static_cast<std::size_t>(std::ranges::count(servers_, TestWorld::server(server)));
  }

 private:
  struct Packet {
    Frame frame;
    packet::PacketView view;
    Opening<Family> opening;
  };
  std::deque<Packet> packets_;
  std::vector<typename Family::Address> servers_;
};
TYPED_TEST_SUITE(Burst, Families);

TYPED_TEST(Burst, EveryFlowOfABurstIsThereAfterwards) {
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp, this->nat_udp, this->fullnat_udp}) {
    World<TypeParam> world;
    for (std::size_t client = 1; client <= 8; ++client) {
      EXPECT_EQ(this->begin(world, service, client), "opening");
    }
    EXPECT_THAT(this->finish(world), Each("forward"));
    EXPECT_EQ(world.flows().size(), 8U);
    EXPECT_EQ(world.balancer().flows(), 8U);
    EXPECT_EQ(world.active(), 8U);
    EXPECT_EQ(world.counters().flows_created.get(), 8U);
  }
}

TYPED_TEST(Burst, LeastConnectionsCountsTheFlowsThatAreStillToBeFinished) {
  World<TypeParam> world({.servers = 4});
  auto& listener = world.listener(this->nat_tcp);
  listener.scheduler = service::Scheduler::wlc;
  listener.scratch[0] = std::make_unique<std::uint32_t[]>(schedule::scratch_words(listener.scheduler, 4));
  for (std::size_t client = 1; client <= 32; ++client) {
    EXPECT_EQ(this->begin(world, this->nat_tcp, client), client <= 16 ? "opening" : "drop flow_table_full");
  }
  EXPECT_THAT(this->finish(world), Each("forward"));
  for (std::size_t server = 0; server < 4; ++server) {
    EXPECT_EQ(this->sent_to(server), 4U) << server;
  }
}

TYPED_TEST(Burst, HalfOpenFlowsStayBelowTheirLimitAndTheOldestGivesWayToABurst) {
  World<TypeParam> world({.flows = 40});
  for (std::size_t client = 1; client <= 10; ++client) {
    Connection<TypeParam>(world, this->nat_tcp, client).send_syn();
  }
  for (std::size_t client = 101; client <= 115; ++client) {
    EXPECT_EQ(this->begin(world, this->nat_tcp, client), client <= 110 ? "opening" : "drop flow_table_full");
  }
  EXPECT_THAT(this->finish(world), Each("forward"));
  EXPECT_EQ(world.balancer().flows(), 10U);
  EXPECT_EQ(world.active(), 10U);
  Connection<TypeParam>(world, this->nat_tcp, 200).open();
  EXPECT_EQ(world.counters().half_open_replaced.get(), 11U);
}

TYPED_TEST(Burst, TheLastPlacesOfTheTableGoToThoseWhoComeFirst) {
  World<TypeParam> world({.flows = 8});
  for (std::size_t client = 1; client <= 6; ++client) {
    Connection<TypeParam>(world, this->fullnat_tcp, client).open();
  }
  EXPECT_EQ(this->begin(world, this->fullnat_udp, 11), "opening");
  EXPECT_EQ(this->begin(world, this->nat_udp, 12), "opening");
  EXPECT_EQ(this->begin(world, this->fullnat_udp, 13), "drop flow_table_full");
  EXPECT_THAT(this->finish(world), ElementsAre("forward", "forward"));
  EXPECT_EQ(world.active(), 8U);
}

TYPED_TEST(Burst, OneClientPortThroughTwoVipsGoesToTwoServersInOneBurst) {
  World<TypeParam> world;
  EXPECT_EQ(this->begin(world, this->nat_tcp, 1), "opening");
  EXPECT_EQ(this->begin(world, this->other_vip_tcp, 1), "opening");
  EXPECT_THAT(this->finish(world), ElementsAre("forward", "forward"));
  EXPECT_EQ(this->sent_to(0), 1U);
  EXPECT_EQ(this->sent_to(1), 1U);
  EXPECT_EQ(world.active(), 2U);
}

TYPED_TEST(Burst, AFlowThatCannotBeFinishedLeavesNothingBehind) {
  World<TypeParam> world({.servers = 1});
  EXPECT_EQ(this->begin(world, this->nat_tcp, 1), "opening");
  EXPECT_EQ(this->begin(world, this->other_vip_tcp, 1), "opening");
  EXPECT_EQ(world.active(), 2U);
  EXPECT_THAT(this->finish(world), ElementsAre("forward", "drop reverse_tuple_collision"));
  EXPECT_EQ(world.balancer().flows(), 1U);
  EXPECT_EQ(world.active(), 1U);
  world.pass(11s);  // the handshake takes too long
  EXPECT_EQ(world.balancer().flows(), 0U);
  EXPECT_EQ(world.active(), 0U);
}

TYPED_TEST(Burst, WithoutALocalPortNothingIsLeftBehind) {
  World<TypeParam> world({.local_ports = {2'000, 2'001}});
  EXPECT_EQ(this->begin(world, this->fullnat_tcp, 1), "opening");
  EXPECT_EQ(this->begin(world, this->fullnat_tcp, 2), "opening");
  EXPECT_EQ(this->begin(world, this->fullnat_tcp, 3), "drop local_ports_exhausted");
  EXPECT_THAT(this->finish(world), ElementsAre("forward", "forward"));
  EXPECT_EQ(world.balancer().flows(), 2U);
  EXPECT_EQ(world.active(), 2U);
}

}  // namespace
}  // namespace steelyard::l4
