// Checks of listeners of `protocol: http`: rules that say the same twice, redirects that lead back, and whether we have
// what connections that end here need.
#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "control/config/checks.h"
#include "control/config/server_sets.h"

namespace steelyard::control::config {

namespace {

std::string what_it_matches(const HttpRule& rule) {
  std::string text = rule.domain.empty() ? "" : "domain " + in_quotes(rule.domain);
  if (!rule.url.empty()) {
    text += (text.empty() ? "url " : " and url ") + in_quotes(rule.url);
  }
  return text;
}

void check_rules(const HttpListener& http, Report& report) {
  std::unordered_map<std::string_view, Position> names;
  std::map<std::pair<std::string_view, std::string_view>, const HttpRule*> matches;
  for (const HttpRule& rule : http.rules) {
    if (!rule.name.empty()) {
      const auto [first, is_new] = names.try_emplace(rule.name, rule.at);
      if (!is_new) {
        report.error(rule.at, "a second rule of the listener is named " + in_quotes(rule.name) + ", after " +
                                  in_line(first->second) + "; names must differ");
      }
    }
    if (rule.domain.empty() && rule.url.empty()) {
      continue;  // neither could be read
    }
    const auto [first, is_new] = matches.try_emplace({rule.domain, rule.url}, &rule);
    if (!is_new) {
      report.error(rule.at, what_it_matches(rule) + " of rule " + in_quotes(rule.name) + " is already what rule " +
                                in_quotes(first->second->name) + " in " + in_line(first->second->at) +
                                " matches; allowed: each domain and url together once in a listener");
    }
  }
}

// What goes by a header must say which.
void check_hash_header(const ListenerRef& ref, Report& report) {
  const HttpListener& http = *ref.listener->http;
  const std::string& name = ref.rule != nullptr ? ref.rule->hash_header.value_or(http.hash_header) : http.hash_header;
  if (ref.scheduler() == Scheduler::header && name.empty()) {
    report.error(ref.at(), ref.text() +
                               " has `scheduler: header` and does not say by which; allowed: `hash_header` "
                               "with a header's name");
  }
  const bool has_own = ref.rule != nullptr ? ref.rule->hash_header.has_value() : !name.empty();
  const bool of_rules = ref.rule == nullptr && std::ranges::any_of(http.rules, [](const HttpRule& rule) {
                          return rule.scheduler == Scheduler::header;
                        });
  if (has_own && ref.scheduler() != Scheduler::header && !of_rules) {
    report.warning(ref.at(), "`hash_header` of " + ref.text() + " has no effect: only `scheduler: header` uses it");
  }
}

// Without it no client ever gets anywhere.
void check_redirect(const ListenerRef& ref, Report& report) {
  const Redirect& redirect = *ref.listener->http->redirect;
  if (ref.listener->port != 0 && redirect.port == ref.listener->port) {
    report.error(ref.listener->at, "`redirect` of " + ref.text() + " leads to its own port " +
                                       std::to_string(redirect.port) + "; allowed: another listener's port");
  }
}

// Connections to servers come from a local address of the server's family, whatever the client speaks.
void check_sources(const Config& config, Report& report) {
  std::array<bool, 2> has_source{};
  for (const LocalAddress& local : config.local_addresses) {
    has_source[local.address.is_v4() ? 1 : 0] = true;
  }
  for (const ServerSet& set : server_sets(config)) {
    const auto user =
        std::ranges::find_if(set.listeners, [](const ListenerRef& ref) { return ref.listener->http.has_value(); });
    if (user == set.listeners.end()) {
      continue;
    }
    for (const bool v4 : {true, false}) {
      const auto server = std::ranges::find_if(
          set.servers, [v4](const Server& one) { return one.address.is_v4() == v4 && !one.address.is_unspecified(); });
      if (server != set.servers.end() && !has_source[v4 ? 1 : 0]) {
        report.error(user->servers_at(), user->text() + " needs an IPv" + (v4 ? "4" : "6") +
                                             " address in `local_addresses` for server " + server->address.to_string() +
                                             " (" + in_line(server->at) + ") of " + set.label + ", and there is none");
      }
    }
  }
}

}  // namespace

void check_http(const Config& config, const Incomplete& incomplete, Report& report) {
  bool any = false;
  for (const LoadBalancer& balancer : config.load_balancers) {
    for (const Listener& listener : balancer.listeners) {
      if (!listener.http) {
        continue;
      }
      any = true;
      const ListenerRef ref{&balancer, &listener};
      if (config.memory.connections == 0) {
        report.error(listener.at,
                     ref.text() +
                         " needs connections that end here, and `memory: {connections: 0}` leaves it none; "
                         "allowed: 1024..16777216");
      }
      check_rules(*listener.http, report);
      check_hash_header(ref, report);
      for (const HttpRule& rule : listener.http->rules) {
        check_hash_header({&balancer, &listener, &rule}, report);
      }
      if (listener.http->redirect) {
        check_redirect(ref, report);
      }
    }
  }
  if (any && !incomplete.local_addresses) {
    check_sources(config, report);
  }
}

}  // namespace steelyard::control::config
