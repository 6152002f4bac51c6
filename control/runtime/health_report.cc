#include "control/runtime/health_report.h"

#include <array>
#include <ctime>

namespace steelyard::control::report {
namespace {

using healthcheck::Status;
using healthcheck::TargetStatus;

double seconds_between(healthcheck::TimePoint then, const Moment& now) {
  return std::chrono::duration<double>(now.steady - then).count();
}

std::string unknown_because(const TargetStatus& status) {
  if (status.local_error) {
    return status.local_error->reason;
  }
  if (!status.last) {
    return "not yet checked";
  }
  return "no good answer yet, " + std::to_string(status.failures) + " bad in a row, the last: " + status.last->reason;
}

}  // namespace

Moment Moment::now() {
  return {healthcheck::Clock::now(), std::chrono::system_clock::now()};
}

std::string wall_time(healthcheck::TimePoint then, const Moment& now) {
  const auto wall = now.wall - std::chrono::duration_cast<std::chrono::system_clock::duration>(now.steady - then);
  const std::time_t seconds = std::chrono::system_clock::to_time_t(wall);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

std::string_view health_name(const TargetStatus& status) {
  if (status.status == Status::down) {
    return "down";
  }
  const bool has_answered = status.proven || status.successes != 0;
  return status.local_error || !has_answered ? "unknown" : "up";
}

void add_health(boost::json::object& server, const TargetStatus& status, const Moment& now) {
  const std::string_view name = health_name(status);
  const bool unknown = name == "unknown";
  const healthcheck::TimePoint since = unknown && status.local_error ? status.local_error->since : status.since;
  server["health"] = name;
  server["since"] = wall_time(since, now);
  server["since_s"] = seconds_between(since, now);
  server["check"] = status.check;
  server["failures"] = status.failures;
  server["local_errors"] = status.local_errors;
  if (status.last) {
    server["last_result"] = status.last->reason;
    server["last_time_s"] = seconds_between(status.last_time, now);
  }
  if (unknown) {
    server["unknown_because"] = unknown_because(status);
  }
  if (status.down_because) {
    server["down_because"] = status.down_because->reason;
    server["down_check"] = status.down_check;
  }
  if (status.local_error) {
    server["local_error"] = status.local_error->reason;
    server["local_error_since"] = wall_time(status.local_error->since, now);
    server["local_error_since_s"] = seconds_between(status.local_error->since, now);
  }
}

void add_health(PrometheusText& text, const PrometheusText::Labels& server, const TargetStatus& status) {
  text.gauge("steelyard_server_up",
             "1: the server is used, since its health check says up or, see steelyard_server_health_unknown, has not "
             "said anything.")
      .add(server, status.status == Status::up ? 1 : 0);
  text.gauge("steelyard_server_health_unknown",
             "1: the server's health check cannot be made or has not had enough answers yet.")
      .add(server, health_name(status) == "unknown" ? 1 : 0);
}

void add_checks(PrometheusText& text, const healthcheck::CheckerCounters& counters) {
  text.counter("steelyard_health_probes_started_total", "Health probes started.").add({}, counters.started);
  text.counter("steelyard_health_probes_succeeded_total", "Health probes with a good answer.")
      .add({}, counters.succeeded);
  text.counter("steelyard_health_probes_failed_total", "Health probes with a bad answer or none.")
      .add({}, counters.failed);
  text.counter("steelyard_health_probes_local_errors_total",
               "Health probes that could not be made (no interface, route or descriptor); servers keep their state.")
      .add({}, counters.local_errors);
  text.counter("steelyard_health_probes_delayed_total", "Health probes that waited for others to end.")
      .add({}, counters.delayed);
  text.counter("steelyard_health_probes_cancelled_total", "Health probes that a reload ended.")
      .add({}, counters.cancelled);
  text.counter("steelyard_health_changes_total", "Servers that went up or down.").add({}, counters.changes);
  text.gauge("steelyard_health_probes_in_flight", "Health probes under way.").add({}, counters.in_flight);
}

}  // namespace steelyard::control::report
