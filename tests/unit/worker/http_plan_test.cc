// What follows from the number of connections.
#include "dataplane/worker/http_plan.h"

#include <gtest/gtest.h>

#include <array>

namespace steelyard::worker {
namespace {

TEST(HttpPlan, LocalPortsAreSharedOutWithoutGapOrOverlap) {
  for (const l4::PortRange range : {l4::PortRange{1'024, 65'535}, {1'024, 1'025}, {1'024, 1'026}, {5'000, 5'999}}) {
    const LocalPortHalves halves = halves_of(range);
    EXPECT_EQ(halves.layer4.first, range.first);
    EXPECT_EQ(halves.layer4.last + 1, halves.layer7.first);
    EXPECT_EQ(halves.layer7.last, range.last);
    const int more = (halves.layer7.last - halves.layer7.first) - (halves.layer4.last - halves.layer4.first);
    EXPECT_TRUE(more == 0 || more == 1);
  }
}

TEST(HttpPlan, ASinglePortIsLayer7s) {
  const LocalPortHalves halves = halves_of({7'000, 7'000});
  EXPECT_LT(halves.layer4.last, halves.layer4.first);
  EXPECT_EQ(halves.layer7.first, 7'000);
  EXPECT_EQ(halves.layer7.last, 7'000);
}

TEST(HttpPlan, TakesOfTheLocalAddressesOnlyItsPorts) {
  const std::array locals{service::Address::parse("10.0.0.200").value()};
  const TcpPlan plan = tcp_plan({}, locals, {33'280, 65'535}, 16'384);
  EXPECT_FALSE(plan.all_ports);
  EXPECT_EQ(plan.addresses, std::vector(locals.begin(), locals.end()));
  EXPECT_EQ(plan.local_ports.first, 33'280);
  EXPECT_EQ(plan.limits.listeners, service::max_listeners);
}

TEST(HttpPlan, SizesGrowWithTheConnections) {
  TcpPlan before = tcp_plan({.connections = 1'024, .cookie_key = {}}, {}, {}, 16'384);
  EXPECT_EQ(before.limits.half_open, 4'096u);
  for (const std::size_t connections : {65'536u, 262'144u, 1'048'576u}) {
    const HttpPlan http{.connections = connections, .cookie_key = {}};
    const TcpPlan plan = tcp_plan(http, {}, {}, 16'384);
    EXPECT_EQ(plan.limits.connections, connections);
    EXPECT_EQ(plan.limits.half_open, connections / 4);
    EXPECT_EQ(proxy_setup(http).exchanges, connections / 2);
    EXPECT_EQ(proxy_setup(http).compressors, 64U);
    EXPECT_GE(plan.payload_buffers, before.payload_buffers);
    EXPECT_GT(plan.queue_nodes, before.queue_nodes);
    EXPECT_GT(table_bytes(plan), table_bytes(before));
    EXPECT_GT(table_bytes(plan), connections * 480);
    EXPECT_LT(table_bytes(plan), connections * 1'024 + (64U << 20U)) << "a connection costs less than a KiB";
    before = plan;
  }
  EXPECT_EQ(proxy_setup({.connections = 100, .exchanges = 7, .cookie_key = {}}).exchanges, 7u);
}

}  // namespace
}  // namespace steelyard::worker
