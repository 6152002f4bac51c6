// What an administrator or a drain does to flows: lists them in bounded steps, and ends those that a filter names.
#include <map>

#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

using testing::Each;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

FlowFilter of_client(const service::Address& client) {
  FlowFilter filter;
  filter.client = client;
  return filter;
}
FlowFilter of_server(const service::Address& server, std::optional<std::uint16_t> port = std::nullopt) {
  FlowFilter filter;
  filter.server = server;
  filter.server_port = port;
  return filter;
}
FlowFilter of_listener(service::ListenerId listener) {
  FlowFilter filter;
  filter.listener = listener;
  return filter;
}
FlowFilter of_backends(const std::vector<service::BackendId>& sorted) {
  FlowFilter filter;
  filter.backends = sorted;
  return filter;
}
FlowFilter not_ended() {
  FlowFilter filter;
  filter.include_lingering = false;
  return filter;
}

template <class Family>
class Commands : public BalancerTest<Family> {
 protected:
  using Test = BalancerTest<Family>;
  // Ten clients with a TCP connection each, half of them by full NAT.
  void open_ten(World<Family>& world) {
    for (std::size_t client = 1; client <= 10; ++client) {
      connections.emplace_back(world, client % 2 == 0 ? Test::nat_tcp : Test::fullnat_tcp, client).open();
    }
  }
  // Bounded steps until the end; how many flows were ended.
  static std::size_t reset_all(World<Family>& world, const FlowFilter& filter, std::size_t budget) {
    std::size_t ended = 0;
    std::optional<std::uint64_t> cursor = 0;
    for (int steps = 0; cursor && steps < 1'000; ++steps) {
      const auto progress = world.balancer().reset(filter, *cursor, budget);
      ended += progress.ended;
      cursor = progress.next;
    }
    EXPECT_FALSE(cursor);
    return ended;
  }
  std::vector<Connection<Family>> connections;
};
TYPED_TEST_SUITE(Commands, Families);

TYPED_TEST(Commands, AWalkInBoundedStepsVisitsEveryFlowOnce) {
  World<TypeParam> world;
  this->open_ten(world);
  for (const std::size_t budget : {1U, 3U, 10U, 1'000U}) {
    std::map<service::Address, int> visits;
    std::optional<std::uint64_t> cursor = 0;
    for (int steps = 0; cursor && steps < 100; ++steps) {
      std::size_t in_this_step = 0;
      cursor = world.balancer().walk({}, *cursor, budget, [&](const FlowRecord& flow) {
        ++visits[flow.client];
        ++in_this_step;
      });
      EXPECT_LE(in_this_step, budget);
    }
    EXPECT_FALSE(cursor);
    EXPECT_THAT(visits, SizeIs(10));
    EXPECT_THAT(visits, Each(Pair(testing::_, 1)));
  }
}

TYPED_TEST(Commands, AWalkSeesNoFlowThatIsGone) {
  World<TypeParam> world;
  this->open_ten(world);
  EXPECT_EQ(this->reset_all(world, of_client(to_service(world.client(4))), 1'000), 1U);
  EXPECT_THAT(world.flows(), SizeIs(9));
  EXPECT_THAT(world.flows(of_client(to_service(world.client(4)))), IsEmpty());
}

TYPED_TEST(Commands, AFilterNamesClientServerAndListener) {
  World<TypeParam> world;
  this->open_ten(world);
  EXPECT_THAT(world.flows(of_client(to_service(world.client(3)))), SizeIs(1));
  EXPECT_THAT(world.flows(of_listener(world.listener(this->nat_tcp).id)), SizeIs(5));
  const auto on_first = static_cast<std::size_t>(
      std::ranges::count_if(this->connections, [](const auto& one) { return one.server() == 0; }));
  EXPECT_THAT(world.flows(of_server(to_service(world.server(0)))), SizeIs(on_first));
  EXPECT_THAT(world.flows(of_server(to_service(world.server(0)), 8'080)), SizeIs(on_first));
  EXPECT_THAT(world.flows(of_server(to_service(world.server(0)), 8'081)), IsEmpty());
  this->connections[2].close();
  EXPECT_THAT(world.flows(), SizeIs(10));
  EXPECT_THAT(world.flows(not_ended()), SizeIs(9));
}

TYPED_TEST(Commands, ADrainResetsTheConnectionsOfItsServerAndNoOthers) {
  World<TypeParam> world;
  this->open_ten(world);
  std::vector<service::BackendId> drained;
  for (const auto& service : {this->nat_tcp, this->fullnat_tcp}) {
    drained.push_back(world.listener(service).servers[0].id);
  }
  const auto on_first = static_cast<std::size_t>(
      std::ranges::count_if(this->connections, [](const auto& one) { return one.server() == 0; }));
  ASSERT_GT(on_first, 0U);
  EXPECT_EQ(this->reset_all(world, of_backends(drained), 4), on_first);
  EXPECT_EQ(world.counters().flows_reset.get(), on_first);
  EXPECT_THAT(world.sent(), SizeIs(2 * on_first));
  for (const service::BackendId backend : drained) {
    EXPECT_EQ(world.active(backend), 0U);
  }
  for (auto& connection : this->connections) {
    if (connection.server() != 0) {
      connection.client_data(1);
      connection.server_data(1);
    } else {
      EXPECT_EQ(connection.try_client({.sequence = connection.client_next}), "drop no_flow");
    }
  }
}

TYPED_TEST(Commands, ResetsInStepsEndEveryFlowOnce) {
  for (const std::size_t budget : {1U, 2U, 17U, 1'000U}) {
    World<TypeParam> world;
    this->connections.clear();
    this->open_ten(world);
    EXPECT_EQ(this->reset_all(world, {}, budget), 10U);
    EXPECT_THAT(world.sent(), SizeIs(20));
    EXPECT_EQ(world.balancer().flows(), 0U);
    EXPECT_EQ(world.active(), 0U);
  }
}

// Sixteen entries looked at cost as much as one flow ended.
TYPED_TEST(Commands, OneStepEndsNoMoreThanItsBudgetAllows) {
  World<TypeParam> world;
  this->open_ten(world);
  const auto first = world.balancer().reset({}, 0, 32);
  EXPECT_EQ(first.ended, 2U);
  ASSERT_TRUE(first.next);
  EXPECT_EQ(world.balancer().reset({}, *first.next, 1).ended, 1U);
}

TYPED_TEST(Commands, AnExchangeByUdpEndsWithoutAWord) {
  World<TypeParam> world;
  for (const auto& service : {this->nat_udp, this->fullnat_udp}) {
    Connection<TypeParam>(world, service).from_client(UdpFields{});
  }
  EXPECT_EQ(this->reset_all(world, {}, 1'000), 2U);
  EXPECT_THAT(world.sent(), IsEmpty());
  EXPECT_EQ(world.active(), 0U);
}

TYPED_TEST(Commands, AnEndedFlowIsForgottenWithoutAWordAndWithoutCountingTwice) {
  World<TypeParam> world;
  this->open_ten(world);
  for (auto& connection : this->connections) {
    connection.close();
  }
  EXPECT_EQ(this->reset_all(world, not_ended(), 1'000), 0U);
  EXPECT_EQ(this->reset_all(world, {}, 1'000), 10U);
  EXPECT_THAT(world.sent(), IsEmpty());
  EXPECT_EQ(world.balancer().flows(), 0U);
  EXPECT_EQ(world.active(), 0U);
}

}  // namespace
}  // namespace steelyard::l4
