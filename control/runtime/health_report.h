// How health checks appear in `status` and in the metrics. Pure: values and times are passed in. A server whose check
// cannot be made, or has not said enough yet, is `unknown`: it is used like one that is up, but nobody claims that it
// is.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <string>
#include <string_view>

#include "control/metrics/prometheus_text.h"
#include "healthcheck/scheduler.h"

namespace steelyard::control::report {

// One moment on both clocks.
struct Moment {
  healthcheck::TimePoint steady;
  std::chrono::system_clock::time_point wall;

  [[nodiscard]] static Moment now();
};

// "2024-05-01T10:00:00Z": the wall-clock time of a moment on the steady clock.
[[nodiscard]] std::string wall_time(healthcheck::TimePoint then, const Moment& now);

// `down` whenever the server gets no connections; else `unknown` while its probes cannot be made or have had no good
// answer; else `up`.
[[nodiscard]] std::string_view health_name(const healthcheck::TargetStatus& status);

// Puts "health", "since", "check" and what else is known about a checked server into its object of `status`.
void add_health(boost::json::object& server, const healthcheck::TargetStatus& status, const Moment& now);

// The samples of one checked server.
void add_health(PrometheusText& text, const PrometheusText::Labels& server, const healthcheck::TargetStatus& status);

// The checker's own samples.
void add_checks(PrometheusText& text, const healthcheck::CheckerCounters& counters);

}  // namespace steelyard::control::report
