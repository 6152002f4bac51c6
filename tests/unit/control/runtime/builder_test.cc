// Snapshots from configurations: what is shared, and what a change makes anew.
#include "control/runtime/builder.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "control/config/validate.h"

namespace steelyard::control {
namespace {

std::shared_ptr<const config::Config> config_of(const std::string& listeners, const std::string& servers) {
  const std::string text =
      "ports: [{name: wan, device: net_null0, addresses: [192.0.2.2/24, 10.0.0.254/24]}]\n"
      "load_balancers: [{name: lb, address: 192.0.2.10, listeners: [" +
      listeners + "]}]\nserver_groups: [{name: g, servers: [" + servers + "]}]\n";
  config::ParseResult loaded = config::load_text(text, "f");
  EXPECT_TRUE(loaded.config) << text;
  return std::make_shared<const config::Config>(std::move(*loaded.config));
}

const std::string by_source = "{protocol: tcp, port: 80, server_group: g, scheduler: sch}";
const std::string by_tuple = "{protocol: udp, port: 53, server_group: g, scheduler: tch}";
const std::string in_turn = "{protocol: tcp, port: 81, server_group: g}";
const std::string two = "{address: 10.0.0.1, port: 80}, {address: 10.0.0.2, port: 80}";

const service::Listener& listener(const Plan& plan, std::size_t place) {
  return *plan.snapshot->find(plan.listeners.at(place).id);
}

class Builder : public testing::Test {
 protected:
  Plan build(const std::string& listeners, const std::string& servers = two, const Plan* previous = nullptr) {
    auto plan = builder.build(config_of(listeners, servers), {}, previous);
    EXPECT_TRUE(plan);
    return std::move(*plan);
  }
  PlanBuilder builder{1, {}};
};

TEST_F(Builder, ListenersOfAGroupShareItsHashTableAndOthersHaveNone) {
  const Plan plan = build(by_source + ", " + by_tuple + ", " + in_turn);
  ASSERT_NE(listener(plan, 0).hash_table, nullptr);
  EXPECT_EQ(listener(plan, 0).hash_table->order.size(), 2U);
  EXPECT_EQ(listener(plan, 1).hash_table, listener(plan, 0).hash_table);
  EXPECT_EQ(listener(plan, 2).hash_table, nullptr);
}

TEST_F(Builder, AWeightMakesNoNewHashTableAndAServerDoes) {
  Plan plan = build(by_source);
  const auto table = listener(plan, 0).hash_table;
  const Plan reweighted =
      build(by_source, "{address: 10.0.0.1, port: 80, weight: 7}, {address: 10.0.0.2, port: 80}", &plan);
  EXPECT_EQ(listener(reweighted, 0).servers[0].weight, 7);
  EXPECT_EQ(listener(reweighted, 0).hash_table, table);
  const Plan grown = build(by_source, two + ", {address: 10.0.0.3, port: 80}", &plan);
  EXPECT_NE(listener(grown, 0).hash_table, table);
  EXPECT_EQ(listener(grown, 0).hash_table->order.size(), 3U);
}

TEST_F(Builder, AnOverrideMakesNoNewHashTable) {
  Plan plan = build(by_source);
  const auto table = listener(plan, 0).hash_table;
  builder.override_group(plan, {{ServerKey{"g", *service::Address::parse("10.0.0.1"), 80}, {AdminState::disabled, {}}}},
                         "g");
  EXPECT_EQ(listener(plan, 0).servers[0].weight, 0);
  EXPECT_EQ(listener(plan, 0).hash_table, table);
}

std::shared_ptr<const config::Config> with_lists(const std::string& entries, const std::string& access = "white") {
  const std::string listener = ", server_group: g, access_control: {type: " + access + ", lists: [a, b]}}";
  const std::string text =
      "ports: [{name: wan, device: net_null0, addresses: [192.0.2.2/24, 10.0.0.254/24]}]\n"
      "access_control_lists: [{name: a, entries: [" +
      entries +
      "]}, {name: b, entries: [203.0.113.1]}]\n"
      "load_balancers: [{name: lb, address: 192.0.2.10, listeners: [{protocol: tcp, port: 80" +
      listener + ", {protocol: udp, port: 80" + listener +
      ", {protocol: tcp, port: 81, server_group: g}]}]\nserver_groups: [{name: g, servers: [" + two + "]}]\n";
  config::ParseResult loaded = config::load_text(text, "f");
  EXPECT_TRUE(loaded.config) << text;
  return std::make_shared<const config::Config>(std::move(*loaded.config));
}

TEST_F(Builder, ListenersWithTheSameListsShareThemAndKeepThemWhileTheySayTheSame) {
  const auto first = builder.build(with_lists("198.51.100.0/24"), {}, nullptr);
  ASSERT_TRUE(first);
  const auto access = listener(*first, 0).access;
  ASSERT_NE(access, nullptr);
  EXPECT_EQ(listener(*first, 1).access, access);
  EXPECT_EQ(listener(*first, 2).access, nullptr);
  for (const char* allowed : {"198.51.100.7", "203.0.113.1"}) {
    EXPECT_TRUE(access->allows(*service::Address::parse(allowed)));
  }
  EXPECT_FALSE(access->allows(*service::Address::parse("203.0.113.2")));
  const auto rewritten =
      builder.build(with_lists("198.51.100.0/25, {entry: 198.51.100.128/25, comment: c}"), {}, &*first);
  ASSERT_TRUE(rewritten);
  EXPECT_EQ(rewritten->snapshot->find(rewritten->listeners[0].id), first->snapshot->find(first->listeners[0].id));
  const auto smaller = builder.build(with_lists("198.51.100.0/25"), {}, &*rewritten);
  ASSERT_TRUE(smaller);
  EXPECT_NE(listener(*smaller, 0).access, access);
  EXPECT_EQ(smaller->snapshot->find(smaller->listeners[2].id), first->snapshot->find(first->listeners[2].id));
  const auto turned = builder.build(with_lists("198.51.100.0/25", "black"), {}, &*smaller);
  ASSERT_TRUE(turned);
  EXPECT_TRUE(listener(*turned, 0).access->allows(*service::Address::parse("203.0.113.2")));
}

TEST_F(Builder, CountsPerSourceGoOnUntilTheyAreOfOtherThings) {
  const auto limited = [this](const std::string& limits, const Plan* previous) {
    return build("{protocol: tcp, port: 80, server_group: g" + limits + "}", two, previous);
  };
  const auto generation = [](const Plan& plan) { return listener(plan, 0).per_source.generation; };
  const Plan off = limited("", nullptr);
  EXPECT_FALSE(listener(off, 0).limits_clients());
  const Plan on = limited(", max_connection_rate: 7, per_source: {max_connections: 5}", &off);
  EXPECT_EQ(listener(on, 0).connection_rate, 7U);
  EXPECT_EQ(listener(on, 0).per_source.connections, 5U);
  const Plan more = limited(", per_source: {max_connections: 9}", &on);
  EXPECT_EQ(listener(more, 0).per_source.connections, 9U);
  EXPECT_EQ(generation(more), generation(on));
  const Plan wider = limited(", per_source: {max_connections: 9, ipv6_prefix: 48}", &more);
  EXPECT_NE(generation(wider), generation(more));
  const Plan off_again = limited("", &wider);
  const Plan on_again = limited(", per_source: {max_connections: 9, ipv6_prefix: 48}", &off_again);
  EXPECT_NE(generation(on_again), generation(wider));
}

// Whose packets may belong to a connection that can be adopted, and by which listener.
TEST_F(Builder, ServersOfTcpListenersByHashAreKnownAndTheirListenerWhereThereIsOneOnly) {
  const service::VipKey server{*service::Address::parse("10.0.0.1"), 80, service::Protocol::tcp};
  const Plan alone = build(by_source + ", " + by_tuple);
  EXPECT_TRUE(alone.snapshot->hashed_servers->contains(server));
  EXPECT_EQ(alone.snapshot->hashed_listeners->find(server), alone.listeners[0].id);
  const Plan shared = build(by_source + ", " + in_turn);
  EXPECT_TRUE(shared.snapshot->hashed_servers->contains(server));
  EXPECT_EQ(shared.snapshot->hashed_listeners->find(server), std::nullopt);
  const Plan without = build(by_tuple + ", " + in_turn);
  EXPECT_FALSE(without.snapshot->hashed_servers->contains(server));
  EXPECT_EQ(without.snapshot->hashed_listeners->find(server), std::nullopt);
}

}  // namespace
}  // namespace steelyard::control
