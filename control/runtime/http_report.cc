#include "control/runtime/http_report.h"

#include <array>
#include <boost/json/array.hpp>
#include <utility>

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
    json::object object{{"name", rule.name}, {"domain", rule.domain}, {"url", rule.url}};
    if (rule.changes.answer) {
      object["answer"] = rule.changes.answer->status;
    } else {
      object["group"] = rule.server_group;
    }
    rules.push_back(std::move(object));
  }
  return rules;
}

template <std::size_t size>
json::object by_class(const std::array<std::uint64_t, size>& counts) {
  json::object object;
  for (std::size_t place = 0; place < size; ++place) {
    object[http::status_classes[place]] = counts[place];
  }
  return object;
}

json::object to_json(const RequestTimes& times) {
  json::object object{{"count", times.total()}, {"sum_us", times.sum_us}};
  for (const auto& [name, part] : {std::pair{"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}, {"p999_us", 0.999}}) {
    object[name] = times.quantile(part);
  }
  return object;
}

PrometheusText::Labels with(PrometheusText::Labels labels, std::string_view name, std::string_view value) {
  labels.emplace_back(name, value);
  return labels;
}

void add_classes(PrometheusText::Family& family, const PrometheusText::Labels& labels,
                 const std::array<std::uint64_t, http::status_classes.size()>& counts) {
  for (std::size_t place = 0; place < counts.size(); ++place) {
    family.add(with(labels, "class", http::status_classes[place]), counts[place]);
  }
}

void add_times(PrometheusText::Family& family, const PrometheusText::Labels& labels, const RequestTimes& times) {
  std::array<PrometheusText::Bucket, http::Durations::limits> buckets;
  std::uint64_t below = 0;
  for (std::size_t bucket = 0; bucket < buckets.size(); ++bucket) {
    below += times.counts[bucket];
    buckets[bucket] = {static_cast<double>(http::Durations::limit(bucket)) / 1e6, below};
  }
  family.add_histogram(labels, buckets, times.total(), static_cast<double>(times.sum_us) / 1e6);
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
  if (http.fixed_answer) {
    object["answer"] = http.fixed_answer->status;
  } else {
    object["client_address"] = config::to_string(settings.client_address);
    object["sticky_session"] = session_of(http.cookie);
  }
  if (http.gzip) {
    object["gzip"] = json::object{{"min_bytes", http.gzip->least_octets},
                                  {"types", json::array(http.gzip->types.begin(), http.gzip->types.end())}};
  }
  if (plan.rule.empty() && !settings.http->rules.empty()) {
    object["forwarding"] = forwarding_of(*settings.http);
  }
}

json::object to_json(const http::ProxyCounters& counters) {
  return {{"requests", counters.requests.get()},
          {"retries", counters.retries.get()},
          {"clients", counters.clients.get()},
          {"servers", counters.servers.get()},
          {"idle", counters.idle.get()},
          {"exchanges", counters.exchanges.get()},
          {"queued", counters.queued.get()},
          {"bad_proxy_headers", counters.bad_proxy_headers.get()},
          {"gzip_answers", counters.gzip_answers.get()},
          {"gzip_skipped", counters.gzip_skipped.get()},
          {"gzip_bytes_in", counters.gzip_octets_in.get()},
          {"gzip_bytes_out", counters.gzip_octets_out.get()}};
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
  text.counter("steelyard_http_gzip_answers_total", "HTTP answers that were gzipped.")
      .add(labels, counters.gzip_answers.get());
  text.counter("steelyard_http_gzip_skipped_total",
               "HTTP answers that were not gzipped for want of time, buffers or a compressor.")
      .add(labels, counters.gzip_skipped.get());
  text.counter("steelyard_http_gzip_input_bytes_total", "Bodies of gzipped answers before, in bytes.")
      .add(labels, counters.gzip_octets_in.get());
  text.counter("steelyard_http_gzip_output_bytes_total", "Bodies of gzipped answers after, in bytes.")
      .add(labels, counters.gzip_octets_out.get());
}

json::object to_json(const ListenerRequests& requests) {
  json::object causes;
  for (std::size_t cause = 1; cause < requests.by_cause.size(); ++cause) {  // the first one is none
    if (requests.by_cause[cause] != 0) {
      causes[http::code_of(static_cast<http::Cause>(cause))] = requests.by_cause[cause];
    }
  }
  json::object times;
  for (std::size_t part = 0; part < requests.times.size(); ++part) {
    times[http::timed_parts[part].name] = to_json(requests.times[part]);
  }
  return {{"by_class", by_class(requests.by_class)}, {"by_cause", std::move(causes)}, {"times", std::move(times)}};
}

json::object to_json(const ServerRequests& requests) {
  return {{"by_class", by_class(requests.by_class)}, {"first_byte", to_json(requests.first_octet)}};
}

void add_requests(PrometheusText& text, const PrometheusText::Labels& labels, const ListenerRequests& requests) {
  add_classes(text.counter("steelyard_http_listener_requests_total", "Requests that are over, by class of the status."),
              labels, requests.by_class);
  for (std::size_t cause = 1; cause < requests.by_cause.size(); ++cause) {
    if (requests.by_cause[cause] != 0) {
      text.counter("steelyard_http_listener_causes_total",
                   "Requests that Steelyard has answered or ended itself, by cause.")
          .add(with(labels, "cause", http::code_of(static_cast<http::Cause>(cause))), requests.by_cause[cause]);
    }
  }
  for (std::size_t part = 0; part < requests.times.size(); ++part) {
    add_times(text.histogram("steelyard_http_request_seconds", "Time of requests that are over, by part."),
              with(labels, "part", http::timed_parts[part].name), requests.times[part]);
  }
}

void add_requests(PrometheusText& text, const PrometheusText::Labels& labels, const ServerRequests& requests) {
  add_classes(text.counter("steelyard_http_server_requests_total",
                           "Requests that a server was the last to get, by class of the status."),
              labels, requests.by_class);
  add_times(text.histogram("steelyard_http_server_first_byte_seconds",
                           "Time from a request's way to the server to the answer's head."),
            labels, requests.first_octet);
}

}  // namespace steelyard::control::report
