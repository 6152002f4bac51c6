// Http listeners in snapshots: their targets, what is shared and what keeps its id.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "control/config/validate.h"
#include "control/runtime/builder.h"

namespace steelyard::control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using std::chrono_literals::operator""s;

std::shared_ptr<const config::Config> config_of(const std::string& listeners) {
  const std::string text =
      "ports: [{name: wan, device: net_null0, addresses: [192.0.2.2/24, 10.0.0.254/24]}]\n"
      "local_addresses: [10.0.0.100]\n"
      "load_balancers: [{name: lb, address: 192.0.2.10, listeners: [" +
      listeners +
      "]}]\n"
      "server_groups:\n"
      "  - {name: main, servers: [{address: 10.0.0.1, port: 80}, {address: 10.0.0.2, port: 80}]}\n"
      "  - {name: api, servers: [{address: 10.0.0.3, port: 80, max_connections: 7}]}\n"
      "  - {name: img, servers: [{address: 10.0.0.1, port: 80}]}\n";
  config::ParseResult loaded = config::load_text(text, "f");
  EXPECT_TRUE(loaded.config) << text << config::to_string(loaded.diagnostics.front());
  return std::make_shared<const config::Config>(std::move(*loaded.config));
}

std::string http(const std::string& keys = {}) {
  return "{protocol: http, port: 80, server_group: main" + (keys.empty() ? "" : ", " + keys) + "}";
}

const std::string sticky = "sticky_session: {type: insert, cookie_timeout: 60}";
const std::string two_rules =
    "rules: [{name: a, url: /api, server_group: api}, {name: i, domain: img.example.org, server_group: img}]";

service::VipKey vip(std::uint16_t port = 80) {
  return {*service::Address::parse("192.0.2.10"), port, service::Protocol::tcp};
}

class HttpPlan : public testing::Test {
 protected:
  Plan build(const std::string& listeners, const Plan* previous = nullptr) {
    auto plan = builder_.build(config_of(listeners), {}, previous);
    EXPECT_TRUE(plan);
    return std::move(*plan);
  }
  static const service::Listener& at(const Plan& plan, std::size_t place) {
    return *plan.snapshot->find(plan.listeners.at(place).id);
  }
  static std::vector<std::string> rules_of(const Plan& plan) {
    std::vector<std::string> rules;
    for (const ListenerPlan& listener : plan.listeners) {
      rules.push_back(listener.rule);
    }
    return rules;
  }
  PlanBuilder builder_{2, {}};
};

TEST_F(HttpPlan, AListenerIsItsOwnFirstTargetAndConnectionsEndAtItsAddress) {
  const Plan plan = build(http("idle_timeout: 7, max_body_bytes: 5, slb_id: true, " + sticky));
  ASSERT_EQ(plan.listeners.size(), 1U);
  const service::Listener& listener = at(plan, 0);
  ASSERT_NE(listener.http, nullptr);
  EXPECT_EQ(listener.http->idle_timeout, 7s);
  EXPECT_EQ(listener.http->most_body_octets, 5U);
  EXPECT_TRUE(listener.http->slb_id);
  EXPECT_EQ(listener.http->load_balancer, "lb");
  EXPECT_EQ(listener.http->cookie.timeout, 60s);
  EXPECT_EQ(listener.http->rules, nullptr);
  EXPECT_NE(listener.tags, nullptr);
  EXPECT_EQ(plan.snapshot->index->find(vip()), plan.listeners[0].id);
  EXPECT_TRUE(plan.snapshot->terminated->contains(vip()));
  EXPECT_EQ(plan.targets.size(), 2U);
  EXPECT_EQ(plan.targets[0].probe.type, healthcheck::ProbeType::http);
}

TEST_F(HttpPlan, WhatIsGzippedComesFromTheFileAndAChangeIsOne) {
  const Plan off = build(http());
  EXPECT_FALSE(at(off, 0).http->gzip);
  const Plan on = build(http("gzip: {min_bytes: 7}"), &off);
  ASSERT_TRUE(at(on, 0).http->gzip);
  EXPECT_EQ(at(on, 0).http->gzip->least_octets, 7U);
  const Plan same = build(http("gzip: {min_bytes: 7}"), &on);
  EXPECT_EQ(at(same, 0).http, at(on, 0).http);
  const Plan other = build(http("gzip: {min_bytes: 7, types: [a/b]}"), &same);
  EXPECT_THAT(at(other, 0).http->gzip->types, ElementsAre("a/b"));
}

TEST_F(HttpPlan, TrustedProxiesAreTheListenersAndWhatServersAreToldIsEveryTargets) {
  const std::string keys = "client_address: proxy_v1, health_check: {type: tcp}, " + two_rules;
  const Plan without = build(http(keys));
  EXPECT_EQ(at(without, 0).http->proxies, nullptr);
  const Plan plan = build(http("accept_proxy: {from: [10.9.0.0/16]}, " + keys), &without);
  ASSERT_NE(at(plan, 0).http->proxies, nullptr);
  EXPECT_TRUE(at(plan, 0).http->proxies->allows(*service::Address::parse("10.9.8.7")));
  EXPECT_FALSE(at(plan, 0).http->proxies->allows(*service::Address::parse("10.8.8.7")));
  EXPECT_EQ(at(plan, 1).http->proxies, nullptr);
  EXPECT_EQ(at(plan, 1).client_address, service::ClientAddress::proxy_v1);
  const Plan same = build(http("accept_proxy: {from: [10.9.0.0/17, 10.9.128.0/17]}, " + keys), &plan);
  EXPECT_EQ(same.snapshot->find(same.listeners[0].id), plan.snapshot->find(plan.listeners[0].id));
  const Plan other = build(http("accept_proxy: {from: [10.9.0.0/17]}, " + keys), &same);
  EXPECT_FALSE(at(other, 0).http->proxies->allows(*service::Address::parse("10.9.128.7")));
}

TEST_F(HttpPlan, ServersOfHttpListenersAreNoNatServers) {
  const service::VipKey server{*service::Address::parse("10.0.0.1"), 80, service::Protocol::tcp};
  const Plan plan = build(http("scheduler: sch"));
  EXPECT_FALSE(plan.snapshot->nat_servers->contains(server));
  EXPECT_FALSE(plan.snapshot->hashed_servers->contains(server));
  EXPECT_NE(at(plan, 0).hash_table, nullptr);
  EXPECT_FALSE(build("{protocol: tcp, port: 81, server_group: main}").snapshot->terminated->contains(vip(81)));
}

TEST_F(HttpPlan, ARuleLeadsToATargetThatIsAListenerOfItsOwnOutsideOfTheIndex) {
  const Plan plan = build(http("max_connection_rate: 9, " + sticky + ", " + two_rules));
  ASSERT_THAT(rules_of(plan), ElementsAre("", "a", "i"));
  const service::Listener& api = at(plan, 1);
  EXPECT_EQ(api.key, vip());
  EXPECT_EQ(plan.listeners[1].group, "api");
  EXPECT_EQ(plan.snapshot->index->find(vip()), plan.listeners[0].id);
  ASSERT_EQ(api.servers.size(), 1U);
  EXPECT_TRUE(api.limited);
  EXPECT_EQ(api.scratch.size(), 2U);
  EXPECT_NE(api.tags, nullptr);
  ASSERT_NE(api.http, nullptr);
  EXPECT_EQ(api.http->cookie, at(plan, 0).http->cookie);
  EXPECT_EQ(api.http->rules, nullptr);
  EXPECT_FALSE(api.limits_clients());
  EXPECT_TRUE(at(plan, 0).limits_clients());
  const service::ForwardingRules* rules = at(plan, 0).http->rules.get();
  ASSERT_NE(rules, nullptr);
  ASSERT_NE(rules->find("any", "/api/v1"), nullptr);
  EXPECT_EQ(rules->find("any", "/api/v1")->target, plan.listeners[1].id);
  ASSERT_NE(rules->find("img.example.org", "/"), nullptr);
  EXPECT_EQ(rules->find("img.example.org", "/")->target, plan.listeners[2].id);
  // The same server behind two targets is two servers to everybody who counts.
  EXPECT_NE(at(plan, 2).servers[0].id, at(plan, 0).servers[0].id);
  EXPECT_EQ(plan.targets.size(), 4U);
}

TEST_F(HttpPlan, RulesThatLeadToTheSameServersInTheSameWayShareATarget) {
  const Plan plan = build(http(
      "scheduler: wlc, rules: [{name: a, url: /a, server_group: api}, {name: b, url: /b, server_group: api}, "
      "{name: c, url: /c, server_group: main}, {name: d, url: /d, server_group: api, scheduler: rr}, "
      "{name: e, url: /e, server_group: api, scheduler: wlc}, {name: f, url: /f, server_group: api, scheduler: rr}, "
      "{name: g, url: /g, server_group: main, sticky_session: {type: server, cookie: x}}, "
      "{name: h, url: /h, server_group: main, health_check: {enabled: false}}]"));
  EXPECT_THAT(rules_of(plan), ElementsAre("", "a,b,e", "d,f", "g", "h"));
  EXPECT_EQ(at(plan, 1).scheduler, service::Scheduler::wlc);
  EXPECT_EQ(at(plan, 2).scheduler, service::Scheduler::rr);
  EXPECT_EQ(at(plan, 3).http->cookie.name, "x");
  EXPECT_FALSE(plan.listeners[4].backends[0].checked);
  // What leads to the listener's own servers in its own way is the listener.
  EXPECT_EQ(at(plan, 0).http->rules->find("any", "/c")->target, plan.listeners[0].id);
}

TEST_F(HttpPlan, OfManyRulesThatShareATargetTheFirstAreNamed) {
  std::string rules;
  for (int number = 0; number < 20; ++number) {
    const std::string text = std::to_string(number);
    rules += "{name: r" + text + ", url: /" + text + ", server_group: api}, ";
  }
  EXPECT_THAT(rules_of(build(http("rules: [" + rules + "]"))), ElementsAre("", "r0,r1,r2,r3,r4,r5,r6,r7,..."));
}

TEST_F(HttpPlan, WhatDidNotChangeIsSharedWithTheSnapshotBefore) {
  const Plan first = build(http(sticky + ", " + two_rules));
  const Plan second = build(http(sticky + ", " + two_rules), &first);
  for (std::size_t place = 0; place < 3; ++place) {
    EXPECT_EQ(&at(second, place), &at(first, place)) << place;
  }
  const Plan slower = build(http("idle_timeout: 1, " + sticky + ", " + two_rules), &second);
  EXPECT_NE(at(slower, 0).http, at(first, 0).http);
  EXPECT_EQ(at(slower, 0).tags, at(first, 0).tags);
  EXPECT_EQ(at(slower, 0).id, at(first, 0).id);
  const Plan drained = [&] {
    Plan plan = build(http(sticky + ", " + two_rules), &first);
    builder_.override_group(
        plan, {{ServerKey{"api", *service::Address::parse("10.0.0.3"), 80}, {AdminState::draining, {}}}}, "api");
    return plan;
  }();
  EXPECT_EQ(at(drained, 1).servers[0].weight, 0);
  EXPECT_EQ(at(drained, 1).http, at(first, 1).http);
  EXPECT_EQ(&at(drained, 2), &at(first, 2));
}

TEST_F(HttpPlan, TargetsKeepTheirIdsWhileTheirRulesNameTheSameGroup) {
  const Plan first = build(http(two_rules));
  const Plan other = build(
      http("rules: [{name: z, domain: z.example.org, server_group: img}, {name: a, url: /api/v2, server_group: api}]"),
      &first);
  EXPECT_THAT(rules_of(other), ElementsAre("", "z", "a"));
  EXPECT_EQ(other.listeners[1].id, first.listeners[2].id);
  EXPECT_EQ(other.listeners[2].id, first.listeners[1].id);
  EXPECT_EQ(at(other, 2).servers[0].id, at(first, 1).servers[0].id);
  EXPECT_EQ(&at(other, 2), &at(first, 1));
  const Plan gone = build(http(), &other);
  EXPECT_EQ(gone.snapshot->find(first.listeners[1].id), nullptr);
  EXPECT_EQ(gone.listeners[0].id, first.listeners[0].id);
  // Nobody else gets the ids while something may be counted under them.
  const Plan back = build(http(two_rules), &gone);
  EXPECT_EQ(back.listeners[1].id, first.listeners[1].id);
}

TEST_F(HttpPlan, TwoListenersWithTheSameRulesHaveTargetsOfTheirOwn) {
  const Plan plan = build(http(two_rules) + ", {protocol: http, port: 81, server_group: main, " + two_rules + "}");
  EXPECT_EQ(plan.listeners.size(), 6U);
  EXPECT_NE(plan.listeners[1].id, plan.listeners[4].id);
  EXPECT_TRUE(plan.snapshot->terminated->contains(vip(81)));
}

TEST_F(HttpPlan, ARemovedListenerTerminatesWhatItHasUntilItsIdsAreFree) {
  const std::string other = "{protocol: tcp, port: 81, server_group: main}";
  const Plan first = build(http(two_rules) + ", " + other);
  const Plan without = build(other, &first);
  EXPECT_TRUE(without.snapshot->terminated->contains(vip()));
  EXPECT_FALSE(without.snapshot->former_listeners->contains(vip()));
  const Plan neither = build("", &without);
  EXPECT_TRUE(neither.snapshot->terminated->contains(vip()));
  EXPECT_TRUE(neither.snapshot->former_listeners->contains(vip(81)));
  const auto hours = [now = std::chrono::steady_clock::now()](int many) { return now + std::chrono::hours(many); };
  const auto everybody = [](service::ListenerId) { return true; };
  const auto all = [](service::BackendId) { return true; };
  // A target's server is busy: the listener stays known, since its clients' connections do.
  const service::BackendId busy = first.listeners[1].backends[0].id;
  builder_.release_ids(
      hours(1), [busy](service::BackendId id) { return id != busy; }, everybody);
  EXPECT_TRUE(build("", &neither).snapshot->terminated->contains(vip()));
  // So it does while clients are connected whom no server has anything to do for.
  const service::ListenerId own = first.listeners[0].id;
  builder_.release_ids(hours(2), all, [own](service::ListenerId id) { return id != own; });
  builder_.release_ids(hours(3), all, [own](service::ListenerId id) { return id != own; });
  EXPECT_TRUE(build("", &neither).snapshot->terminated->contains(vip()));
  builder_.release_ids(hours(4), all, everybody);
  EXPECT_FALSE(build("", &neither).snapshot->terminated->contains(vip()));
}

TEST_F(HttpPlan, AStoppedListenerTerminatesWhatItHas) {
  const Plan plan = build(http("status: stopped"));
  EXPECT_FALSE(at(plan, 0).running);
  EXPECT_TRUE(plan.snapshot->terminated->contains(vip()));
}

TEST_F(HttpPlan, AListenerThatBecomesLayer4TerminatesWhatItHasWhileClientsAreConnected) {
  const std::string tcp = "{protocol: tcp, port: 80, server_group: main}";
  const Plan first = build(http(two_rules));
  const Plan changed = build(tcp, &first);
  const service::ListenerId id = first.listeners[0].id;
  EXPECT_EQ(changed.listeners[0].id, id);
  EXPECT_EQ(at(changed, 0).http, nullptr);
  EXPECT_EQ(at(changed, 0).tags, nullptr);
  EXPECT_TRUE(changed.snapshot->terminated->contains(vip()));
  const auto idle = [](service::BackendId) { return true; };
  const auto now = std::chrono::steady_clock::now();
  builder_.release_ids(now, idle, [id](service::ListenerId one) { return one != id; });
  EXPECT_TRUE(build(tcp, &changed).snapshot->terminated->contains(vip()));
  builder_.release_ids(now, idle, [](service::ListenerId) { return true; });
  EXPECT_FALSE(build(tcp, &changed).snapshot->terminated->contains(vip()));
  // One that is http stays whoever is connected.
  const Plan again = build(http(), &changed);
  builder_.release_ids(now, idle, [](service::ListenerId) { return true; });
  EXPECT_TRUE(build(http(), &again).snapshot->terminated->contains(vip()));
}

TEST_F(HttpPlan, ARedirectHasNoServersAndNoGroup) {
  const Plan plan = build("{protocol: http, port: 80, redirect: {status: 301}}");
  EXPECT_EQ(plan.listeners[0].group, "");
  EXPECT_THAT(at(plan, 0).servers, IsEmpty());
  ASSERT_TRUE(at(plan, 0).http->redirect);
  EXPECT_EQ(at(plan, 0).http->redirect->status, 301);
  EXPECT_TRUE(plan.snapshot->terminated->contains(vip()));
}

TEST_F(HttpPlan, RulesChangeMessagesAsTheirListenerUnlessTheySayMore) {
  const std::string set_x = "request_headers: [{set: X, value: a}]";
  const Plan plan = build(http(set_x + ", path_prefix: {strip: /v1}, rules: [{name: a, url: /a, server_group: api}, "
                                       "{name: b, url: /b, server_group: api, request_headers: [], path_prefix: off}, "
                                       "{name: c, url: /c, answer: deny}]"));
  EXPECT_THAT(rules_of(plan), ElementsAre("", "a", "b", "c"));
  for (const std::size_t place : {0U, 1U}) {
    EXPECT_THAT(at(plan, place).http->request_edits,
                ElementsAre(service::HeaderEdit{service::HeaderEdit::Kind::set, "X", "a"}));
    EXPECT_EQ(at(plan, place).http->path_edit, (service::PathEdit{"/v1", ""}));
  }
  EXPECT_THAT(at(plan, 2).http->request_edits, IsEmpty());
  EXPECT_EQ(at(plan, 2).http->path_edit, std::nullopt);
  EXPECT_EQ(at(plan, 3).http->fixed_answer, service::FixedAnswer{});
  EXPECT_THAT(at(plan, 3).servers, IsEmpty());
  EXPECT_EQ(at(plan, 0).http->fixed_answer, std::nullopt);
}

TEST_F(HttpPlan, AListenerWithAnAnswerNeedsNoServersAndItsRulesMayHaveSome) {
  const Plan plan =
      build("{protocol: http, port: 80, answer: {status: 404}, rules: [{name: a, url: /a, server_group: api}]}");
  EXPECT_EQ(at(plan, 0).http->fixed_answer->status, 404);
  EXPECT_THAT(at(plan, 0).servers, IsEmpty());
  EXPECT_EQ(at(plan, 1).http->fixed_answer, std::nullopt);
  EXPECT_EQ(at(plan, 1).servers.size(), 1U);
}

TEST_F(HttpPlan, TagsFindServersAndDependOnTheKey) {
  http::CookieKey key;
  key.octets[0] = 1;
  PlanBuilder builder{1, key};
  const auto plan = builder.build(config_of(http(sticky)), {}, nullptr);
  ASSERT_TRUE(plan);
  const http::SessionCookies own{key};
  key.octets[0] = 2;
  const http::SessionCookies other{key};
  const service::Listener& listener = at(*plan, 0);
  for (std::size_t place = 0; place < listener.servers.size(); ++place) {
    EXPECT_EQ(listener.tags->find(own.tag_of(listener.servers[place]).value), place);
    EXPECT_EQ(listener.tags->find(other.tag_of(listener.servers[place]).value), std::nullopt);
  }
}

}  // namespace
}  // namespace steelyard::control
