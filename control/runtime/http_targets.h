// From an http listener of the configuration to what workers read of it: where its rules send requests, and how. A
// target is a service::Listener like any other; rules share one when they lead to the same servers in the same way.
// Pure.
#pragma once

#include <string>
#include <vector>

#include "control/config/model.h"
#include "dataplane/service/http_settings.h"

namespace steelyard::control {

// What rules of a listener lead to, beside the listener itself.
struct HttpTarget {
  // Its name over reloads, once in a listener: the group's, and behind a space that of a rule that says something else
  // than its listener.
  std::string name;
  std::string rules;  // names of the rules that lead here, with commas; of many the first ones and "..."
  std::string group;
  config::Scheduler scheduler{};
  std::string hash_header;
  config::SessionCookie cookie;
  config::HealthCheck health_check;
  config::MessageChanges changes;  // in force: those of the rule and of the listener
};

struct HttpTargets {
  static constexpr std::size_t listener = ~std::size_t{0};
  std::vector<HttpTarget> targets;
  std::vector<std::size_t> of_rule;  // by rule: a place in `targets`, or `listener`
};

// `settings` is an http listener.
[[nodiscard]] HttpTargets http_targets(const config::Listener& settings);

// For the listener itself but for its rules.
[[nodiscard]] service::HttpSettings http_settings(const config::LoadBalancer& balancer,
                                                  const config::HttpListener& http);
// For a target of it.
[[nodiscard]] service::HttpSettings http_settings(const config::LoadBalancer& balancer,
                                                  const config::HttpListener& http, const HttpTarget& target);

// Do they say the same? Null: layer 4.
[[nodiscard]] bool same_http(const service::HttpSettings* a, const service::HttpSettings* b);

}  // namespace steelyard::control
