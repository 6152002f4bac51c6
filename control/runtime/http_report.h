// Listeners as status and stats name them, and what http ones do beside balancing. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "control/metrics/prometheus_text.h"
#include "control/runtime/builder.h"
#include "control/runtime/request_book.h"
#include "dataplane/worker/http_plan.h"

namespace steelyard::control::report {

// "protocol", "port" and, of a target of rules, "rule".
[[nodiscard]] boost::json::object name_of(const config::Listener& settings, const ListenerPlan& plan);
// "web:http:80", "web:http:80 rule api".
[[nodiscard]] std::string text_of(const config::LoadBalancer& balancer, const config::Listener& settings,
                                  const ListenerPlan& plan);

// Puts "sticky_session" or "answer", "client_address" and, of the listener itself, "accept_proxy", "redirect" or
// "forwarding" into an http listener's object of `status`.
void add_http(boost::json::object& object, const config::Listener& settings, const ListenerPlan& plan,
              const service::HttpSettings& http);

// What layer 7 of one worker has done and has open, for `stats` and for the metrics.
[[nodiscard]] boost::json::object to_json(const http::ProxyCounters& counters);
void add_http(PrometheusText& text, std::string_view worker, const http::ProxyCounters& counters);

// How requests have ended, and how long they took, by part of their time.
[[nodiscard]] boost::json::object to_json(const ListenerRequests& requests);
[[nodiscard]] boost::json::object to_json(const ServerRequests& requests);
void add_requests(PrometheusText& text, const PrometheusText::Labels& labels, const ListenerRequests& requests);
void add_requests(PrometheusText& text, const PrometheusText::Labels& labels, const ServerRequests& requests);

}  // namespace steelyard::control::report
