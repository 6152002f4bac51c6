#include "control/runtime/http_targets.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

namespace steelyard::control {
namespace {

auto what_it_says(const service::HttpSettings& settings) {
  return std::tie(settings.header_timeout, settings.idle_timeout, settings.request_timeout, settings.connect_timeout,
                  settings.tunnel_timeout, settings.queue_timeout, settings.queue_length, settings.most_header_octets,
                  settings.most_fields, settings.most_target_octets, settings.most_body_octets, settings.most_requests,
                  settings.forwarded_for, settings.forwarded_proto, settings.forwarded_port,
                  settings.forwarded_client_port, settings.slb_id, settings.slb_ip, settings.https,
                  settings.load_balancer, settings.cookie, settings.redirect, settings.gzip, settings.request_edits,
                  settings.answer_edits, settings.path_edit, settings.fixed_answer, settings.error_pages,
                  settings.hash_field);
}

template <class Part>
bool same(const std::shared_ptr<const Part>& a, const std::shared_ptr<const Part>& b) {
  return a == b || (a != nullptr && b != nullptr && *a == *b);
}

config::MessageChanges in_force(const config::MessageChanges& rule, const config::MessageChanges& listener) {
  return {rule.request_headers ? rule.request_headers : listener.request_headers,
          rule.response_headers ? rule.response_headers : listener.response_headers,
          rule.path_prefix ? rule.path_prefix : listener.path_prefix, rule.answer};
}

// Where a rule leads to, by what is in force.
HttpTarget wanted_by(const config::HttpRule& rule, const config::Listener& listener) {
  return {{},
          rule.name,
          rule.server_group,
          rule.scheduler.value_or(listener.scheduler),
          rule.hash_header.value_or(listener.http->hash_header),
          rule.sticky_session.value_or(listener.http->sticky_session),
          rule.health_check.value_or(listener.health_check),
          in_force(rule.changes, listener.http->changes)};
}

// For people: a label of thousands of names tells them nothing.
void add_name(HttpTarget& target, const std::string& name) {
  constexpr std::ptrdiff_t most_commas = 8;
  const auto commas = std::ranges::count(target.rules, ',');
  if (commas < most_commas) {
    target.rules += ',' + (commas == most_commas - 1 ? "..." : name);
  }
}

bool same_way(const HttpTarget& a, const HttpTarget& b) {
  return a.scheduler == b.scheduler && a.hash_header == b.hash_header && a.cookie == b.cookie &&
         a.health_check == b.health_check && a.changes == b.changes;
}

}  // namespace

HttpTargets http_targets(const config::Listener& settings) {
  HttpTargets found;
  const HttpTarget own{{},
                       {},
                       settings.server_group,
                       settings.scheduler,
                       settings.http->hash_header,
                       settings.http->sticky_session,
                       settings.health_check,
                       settings.http->changes};
  std::unordered_map<std::string_view, std::vector<std::size_t>> by_group;
  for (const config::HttpRule& rule : settings.http->rules) {
    HttpTarget wanted = wanted_by(rule, settings);
    if (wanted.group == own.group && same_way(wanted, own)) {
      found.of_rule.push_back(HttpTargets::listener);
      continue;
    }
    std::vector<std::size_t>& known = by_group[rule.server_group];
    const auto shared =
        std::ranges::find_if(known, [&](std::size_t place) { return same_way(found.targets[place], wanted); });
    if (shared != known.end()) {
      add_name(found.targets[*shared], rule.name);
      found.of_rule.push_back(*shared);
      continue;
    }
    wanted.name = same_way(wanted, own) ? wanted.group : wanted.group + ' ' + rule.name;
    known.push_back(found.targets.size());
    found.of_rule.push_back(found.targets.size());
    found.targets.push_back(std::move(wanted));
  }
  return found;
}

service::HttpSettings http_settings(const config::LoadBalancer& balancer, const config::HttpListener& http,
                                    const HttpTarget& target) {
  service::HttpSettings settings;
  settings.header_timeout = http.header_timeout;
  settings.idle_timeout = http.idle_timeout;
  settings.request_timeout = http.request_timeout;
  settings.connect_timeout = http.connect_timeout;
  settings.tunnel_timeout = http.tunnel_timeout;
  settings.queue_timeout = http.queue_timeout;
  settings.queue_length = http.queue_length;
  settings.most_header_octets = http.max_header_bytes;
  settings.most_fields = http.max_headers;
  settings.most_target_octets = http.max_url_bytes;
  settings.most_body_octets = http.max_body_bytes;
  settings.most_requests = http.max_requests_per_connection;
  settings.forwarded_for = http.x_forwarded_for;
  settings.forwarded_proto = http.x_forwarded_proto;
  settings.forwarded_port = http.x_forwarded_port;
  settings.forwarded_client_port = http.x_forwarded_client_srcport;
  settings.slb_id = http.slb_id;
  settings.slb_ip = http.slb_ip;
  settings.load_balancer = balancer.name;
  settings.error_pages = http.error_pages;
  settings.hash_field = target.hash_header;
  settings.cookie = target.cookie;
  settings.request_edits = target.changes.request_headers.value_or(std::vector<service::HeaderEdit>{});
  settings.answer_edits = target.changes.response_headers.value_or(std::vector<service::HeaderEdit>{});
  if (target.changes.path_prefix && !target.changes.path_prefix->prefix.empty()) {
    settings.path_edit = target.changes.path_prefix;
  }
  settings.fixed_answer = target.changes.answer;
  return settings;
}

service::HttpSettings http_settings(const config::LoadBalancer& balancer, const config::HttpListener& http) {
  HttpTarget own;
  own.hash_header = http.hash_header;
  own.cookie = http.sticky_session;
  own.changes = http.changes;
  service::HttpSettings settings = http_settings(balancer, http, own);
  settings.redirect = http.redirect;
  settings.gzip = http.gzip;
  if (!http.accept_proxy.empty()) {
    settings.proxies = std::make_shared<service::AccessControl>(service::AccessType::white, http.accept_proxy);
  }
  return settings;
}

bool same_http(const service::HttpSettings* a, const service::HttpSettings* b) {
  if (a == nullptr || b == nullptr) {
    return a == b;
  }
  return what_it_says(*a) == what_it_says(*b) && same(a->rules, b->rules) && same(a->proxies, b->proxies);
}

}  // namespace steelyard::control
