// A flow is found from both directions, from its insertion to its removal, in a table of fixed size.
#include "dataplane/l4/flow_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/unit/l4/balancer_world.h"

namespace steelyard::l4 {
namespace {

template <class Family>
class FlowTables : public testing::Test {
 protected:
  static constexpr std::size_t capacity = 16;
  using Table = FlowTable<Family>;

  static Flow<Family> flow(std::size_t client, std::uint16_t port = 1'000, FlowState state = FlowState::established) {
    Flow<Family> made{};
    made.client = World<Family>::client(client);
    made.vip = World<Family>::vip();
    made.local = World<Family>::local();
    made.server = World<Family>::server(client % 3);
    made.client_port = port;
    made.vip_port = 80;
    made.local_port = static_cast<std::uint16_t>(client);
    made.server_port = port;
    made.set_state(state);
    return made;
  }
  auto find(const packet::Tuple<Family>& tuple) const { return table.find(tuple, table.hash_of(tuple)); }
  // In a list, as every flow of a balancer is.
  std::optional<FlowIndex> insert(const Flow<Family>& made) {
    if (!table.reserve()) {
      return std::nullopt;
    }
    const auto index =
        table.insert_reserved(made, table.hash_of(made.client_side()), table.hash_of(made.server_side()));
    index ? table.timers().append_lingering(*index) : table.release_reserved();
    return index;
  }

  Memory memory{Table::memory_needed(capacity)};
  Table table{memory.all(), capacity, test_key};
};
TYPED_TEST_SUITE(FlowTables, Families);

TYPED_TEST(FlowTables, AFlowIsFoundFromBothDirections) {
  const auto made = this->flow(1);
  const auto index = this->insert(made);
  ASSERT_TRUE(index);
  const auto from_client = this->find(made.client_side());
  ASSERT_TRUE(from_client);
  EXPECT_EQ(from_client->flow, *index);
  EXPECT_EQ(from_client->side, Side::client);
  const auto from_server = this->find(made.server_side());
  ASSERT_TRUE(from_server);
  EXPECT_EQ(from_server->flow, *index);
  EXPECT_EQ(from_server->side, Side::server);
  EXPECT_FALSE(this->find(made.client_side().reversed()));
  EXPECT_FALSE(this->find(made.server_side().reversed()));
}

TYPED_TEST(FlowTables, TheTupleOfASideIsThatOfItsPackets) {
  const auto made = this->flow(1);
  EXPECT_EQ(made.tuple_from(Side::client), made.client_side());
  EXPECT_EQ(made.tuple_from(Side::server), made.server_side());
  EXPECT_EQ(made.client_side().protocol, packet::protocol_tcp);
  EXPECT_EQ(this->flow(1, 1, FlowState::udp).client_side().protocol, packet::protocol_udp);
}

TYPED_TEST(FlowTables, AnyDifferenceInATupleIsAnotherFlow) {
  const auto made = this->flow(1);
  ASSERT_TRUE(this->insert(made));
  auto tuple = made.client_side();
  tuple.source = World<TypeParam>::client(2);
  EXPECT_FALSE(this->find(tuple));
  tuple = made.client_side();
  tuple.destination = World<TypeParam>::other_vip();
  EXPECT_FALSE(this->find(tuple));
  tuple = made.client_side();
  ++tuple.source_port;
  EXPECT_FALSE(this->find(tuple));
  tuple = made.client_side();
  ++tuple.destination_port;
  EXPECT_FALSE(this->find(tuple));
  tuple = made.client_side();
  tuple.protocol = packet::protocol_udp;
  EXPECT_FALSE(this->find(tuple));
}

TYPED_TEST(FlowTables, TcpAndUdpOnTheSamePortsAreTwoFlows) {
  const auto tcp = this->flow(1);
  const auto udp = this->flow(1, 1'000, FlowState::udp);
  const auto first = this->insert(tcp);
  const auto second = this->insert(udp);
  EXPECT_EQ(this->find(tcp.client_side())->flow, *first);
  EXPECT_EQ(this->find(udp.client_side())->flow, *second);
}

TYPED_TEST(FlowTables, ARemovedFlowIsFoundNoMoreAndItsPlaceIsUsedAgain) {
  const auto made = this->flow(1);
  const auto index = this->insert(made);
  this->table.remove(*index);
  EXPECT_FALSE(this->find(made.client_side()));
  EXPECT_FALSE(this->find(made.server_side()));
  EXPECT_EQ(this->table.size(), 0U);
  EXPECT_EQ(this->table[*index].state(), FlowState::free);
  EXPECT_EQ(this->insert(this->flow(2)), index);
  EXPECT_EQ(this->table.walk_end(), 1U);
}

TYPED_TEST(FlowTables, ItHoldsWhatItWasMadeForAndNotOneMore) {
  for (std::size_t client = 0; client < this->capacity; ++client) {
    ASSERT_TRUE(this->insert(this->flow(client)));
  }
  EXPECT_EQ(this->table.size(), this->capacity);
  EXPECT_FALSE(this->insert(this->flow(99)));
  EXPECT_FALSE(this->find(this->flow(99).client_side()));
  for (std::size_t client = 0; client < this->capacity; ++client) {
    EXPECT_TRUE(this->find(this->flow(client).client_side()));
    EXPECT_TRUE(this->find(this->flow(client).server_side()));
  }
}

TYPED_TEST(FlowTables, AQuarterMayBeHalfOpenButAlwaysOne) {
  EXPECT_EQ(this->table.half_open_limit(), 4U);
  Memory small(FlowTable<TypeParam>::memory_needed(2));
  EXPECT_EQ(FlowTable<TypeParam>(small.all(), 2, test_key).half_open_limit(), 1U);
}

TYPED_TEST(FlowTables, OverManyChangesItAgreesWithASet) {
  std::mt19937 random(4);
  std::set<std::size_t> present;
  for (int round = 0; round < 20'000; ++round) {
    const std::size_t client = random() % 40;
    const auto made = this->flow(client);
    const auto hit = this->find(made.server_side());
    ASSERT_EQ(hit.has_value(), present.contains(client));
    if (hit) {
      this->table.remove(hit->flow);
      present.erase(client);
    } else if (this->insert(made)) {
      present.insert(client);
    } else {
      ASSERT_EQ(present.size(), this->capacity);
    }
    ASSERT_EQ(this->table.size(), present.size());
    ASSERT_LE(this->table.walk_end(), this->capacity);
  }
}

TYPED_TEST(FlowTables, WhatABurstRemembersLeadsToTheFlow) {
  const auto made = this->flow(5);
  const auto index = this->insert(made);
  const std::uint64_t hash = this->table.hash_of(made.server_side());
  const auto candidate = this->table.candidate(this->table.index_line(hash), hash);
  EXPECT_EQ(FlowTable<TypeParam>::flow_of(candidate.value), *index);
  EXPECT_EQ(this->table.entry_line(candidate.value), &this->table[*index]);
  EXPECT_EQ(FlowTable<TypeParam>::side_of(candidate.value), Side::server);
}

}  // namespace
}  // namespace steelyard::l4
