#include "control/runtime/http_report.h"

#include <boost/json/array.hpp>

namespace steelyard::control::report {
namespace {

namespace json = boost::json;

json::object session_of(const service::SessionCookie& cookie) {
  switch (cookie.kind) {
    case service::SessionCookie::Kind::off:
      break;
    case service::SessionCookie::Kind::insert:
      return {{"type", "insert"}, {"cookie", cookie.name}, {"cookie_timeout", cookie.timeout.count()}};
    case service::SessionCookie::Kind::rewrite:
      return {{"type", "server"}, {"cookie", cookie.name}};
  }
  return {{"type", "off"}};
}

json::array proxies_of(const config::HttpListener& http) {
  json::array proxies;
  for (const service::Prefix& proxy : http.accept_proxy) {
    proxies.push_back(json::string(proxy.to_string()));
  }
  return proxies;
}

json::array forwarding_of(const config::HttpListener& http) {
  json::array rules;
  for (const config::HttpRule& rule : http.rules) {
    rules.push_back(
        json::object{{"name", rule.name}, {"domain", rule.domain}, {"url", rule.url}, {"group", rule.server_group}});
  }
  return rules;
}

}  // namespace

json::object name_of(const config::Listener& settings, const ListenerPlan& plan) {
  json::object object{{"protocol", config::protocol_name(settings)}, {"port", settings.port}};
  if (!plan.rule.empty()) {
    object["rule"] = plan.rule;
  }
  return object;
}

std::string text_of(const config::LoadBalancer& balancer, const config::Listener& settings, const ListenerPlan& plan) {
  return balancer.name + ':' + std::string(config::protocol_name(settings)) + ':' + std::to_string(settings.port) +
         (plan.rule.empty() ? "" : " rule " + plan.rule);
}

void add_http(json::object& object, const config::Listener& settings, const ListenerPlan& plan,
              const service::HttpSettings& http) {
  if (plan.rule.empty() && !settings.http->accept_proxy.empty()) {
    object["accept_proxy"] = proxies_of(*settings.http);
  }
  if (http.redirect) {
    object["redirect"] = json::object{{"status", http.redirect->status},
                                      {"scheme", http.redirect->to_https ? "https" : "http"},
                                      {"port", http.redirect->port}};
    return;
  }
  object["client_address"] = config::to_string(settings.client_address);
  object["sticky_session"] = session_of(http.cookie);
  if (plan.rule.empty() && !settings.http->rules.empty()) {
    object["forwarding"] = forwarding_of(*settings.http);
  }
}

json::object to_json(const http::ProxyCounters& counters) {
  return {{"requests", counters.requests.get()}, {"retries", counters.retries.get()},
          {"clients", counters.clients.get()},   {"servers", counters.servers.get()},
          {"idle", counters.idle.get()},         {"exchanges", counters.exchanges.get()},
          {"queued", counters.queued.get()},     {"bad_proxy_headers", counters.bad_proxy_headers.get()}};
}

void add_http(PrometheusText& text, std::string_view worker, const http::ProxyCounters& counters) {
  const PrometheusText::Labels labels{{"worker", worker}};
  text.counter("steelyard_http_requests_total", "HTTP requests.").add(labels, counters.requests.get());
  text.counter("steelyard_http_retries_total", "Tries to get an answer from a server beyond the first of a request.")
      .add(labels, counters.retries.get());
  text.counter("steelyard_http_bad_proxy_headers_total",
               "Connections of trusted proxies that did not begin with a PROXY header.")
      .add(labels, counters.bad_proxy_headers.get());
  text.gauge("steelyard_http_clients", "Connections of clients to http listeners.").add(labels, counters.clients.get());
  text.gauge("steelyard_http_servers", "Connections to servers of http listeners.").add(labels, counters.servers.get());
  text.gauge("steelyard_http_servers_idle", "Those of them that wait for a request.").add(labels, counters.idle.get());
  text.gauge("steelyard_http_exchanges", "HTTP requests under way.").add(labels, counters.exchanges.get());
  text.gauge("steelyard_http_queued", "Those of them that wait for a server with room.")
      .add(labels, counters.queued.get());
}

}  // namespace steelyard::control::report
