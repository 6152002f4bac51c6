// What `status` and the metrics say about health, at moments that the tests choose.
#include "control/runtime/health_report.h"

#include <gmock/gmock.h>

#include <boost/json/serialize.hpp>

namespace steelyard::control::report {
namespace {

using healthcheck::ProbeOutcome;
using healthcheck::ProbeResult;
using healthcheck::StateMachine;
using healthcheck::Status;
using healthcheck::TargetStatus;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

constexpr healthcheck::TimePoint start{1h};
const Moment later{start + 60s, std::chrono::system_clock::time_point{1'714'557'660s}};  // 2024-05-01T10:01:00Z

// A server that has been known since `start`.
TargetStatus known(Status status, bool proven) {
  TargetStatus made;
  made.status = status;
  made.proven = proven;
  made.since = start;
  made.check = "tcp 10.0.0.1:80";
  return made;
}

boost::json::object shown(const TargetStatus& status) {
  boost::json::object server;
  add_health(server, status, later);
  return server;
}

TEST(HealthReport, AServerThatIsProvenUpIsUp) {
  TargetStatus status = known(Status::up, true);
  status.last = ProbeResult{ProbeOutcome::success, "connected"};
  status.last_time = start + 59s;
  const auto server = shown(status);
  EXPECT_EQ(server.at("health"), "up");
  EXPECT_EQ(server.at("since"), "2024-05-01T10:00:00Z");
  EXPECT_EQ(server.at("since_s"), 60.0);
  EXPECT_EQ(server.at("last_result"), "connected");
  EXPECT_EQ(server.at("last_time_s"), 1.0);
  EXPECT_FALSE(server.contains("unknown_because"));
}

TEST(HealthReport, AServerIsUnknownUntilAGoodAnswer) {
  TargetStatus status = known(Status::up, false);
  EXPECT_EQ(shown(status).at("health"), "unknown");
  EXPECT_EQ(shown(status).at("unknown_because"), "not yet checked");
  status.last = ProbeResult{ProbeOutcome::failure, "connection refused"};
  status.failures = 2;
  EXPECT_EQ(shown(status).at("health"), "unknown");
  EXPECT_EQ(shown(status).at("unknown_because"), "no good answer yet, 2 bad in a row, the last: connection refused");
  status.last = ProbeResult{ProbeOutcome::success, "connected"};
  status.failures = 0;
  status.successes = 1;
  EXPECT_EQ(shown(status).at("health"), "up");
}

TEST(HealthReport, AServerWhoseProbesCannotBeMadeIsUnknownSinceTheyCannot) {
  TargetStatus status = known(Status::up, true);
  status.local_error = healthcheck::LocalError{"cannot probe: bind to interface: No such device", start + 30s};
  const auto server = shown(status);
  EXPECT_EQ(server.at("health"), "unknown");
  EXPECT_EQ(server.at("unknown_because"), "cannot probe: bind to interface: No such device");
  EXPECT_EQ(server.at("since"), "2024-05-01T10:00:30Z");
  EXPECT_EQ(server.at("local_error"), "cannot probe: bind to interface: No such device");
  EXPECT_EQ(server.at("local_error_since_s"), 30.0);
}

TEST(HealthReport, AServerThatIsDownStaysDownWhateverItsProbesDo) {
  TargetStatus status = known(Status::down, true);
  status.down_because = ProbeResult{ProbeOutcome::failure, "HTTP 503"};
  status.down_check = "http HEAD http://10.0.0.1:80/";
  status.local_error = healthcheck::LocalError{"cannot probe: socket: Too many open files", start + 30s};
  const auto server = shown(status);
  EXPECT_EQ(server.at("health"), "down");
  EXPECT_EQ(server.at("since"), "2024-05-01T10:00:00Z");
  EXPECT_EQ(server.at("down_because"), "HTTP 503");
  EXPECT_EQ(server.at("down_check"), "http HEAD http://10.0.0.1:80/");
  EXPECT_EQ(server.at("local_error_since"), "2024-05-01T10:00:30Z");
  EXPECT_FALSE(server.contains("unknown_because"));
}

TEST(HealthMetrics, AServerOfUnknownHealthIsUsedAndMarked) {
  PrometheusText text;
  add_health(text, {{"server", "a"}}, known(Status::up, true));
  add_health(text, {{"server", "b"}}, known(Status::up, false));
  add_health(text, {{"server", "c"}}, known(Status::down, false));
  EXPECT_THAT(text.str(), HasSubstr("steelyard_server_up{server=\"a\"} 1\n"
                                    "steelyard_server_up{server=\"b\"} 1\n"
                                    "steelyard_server_up{server=\"c\"} 0\n"));
  EXPECT_THAT(text.str(), HasSubstr("steelyard_server_health_unknown{server=\"a\"} 0\n"
                                    "steelyard_server_health_unknown{server=\"b\"} 1\n"
                                    "steelyard_server_health_unknown{server=\"c\"} 0\n"));
}

TEST(HealthMetrics, CountProbesByWhatBecameOfThem) {
  PrometheusText text;
  add_checks(text, {.started = 10, .succeeded = 4, .failed = 3, .local_errors = 2, .delayed = 1});
  const std::string all = text.str();
  for (const char* line : {"steelyard_health_probes_started_total 10\n", "steelyard_health_probes_succeeded_total 4\n",
                           "steelyard_health_probes_failed_total 3\n", "steelyard_health_probes_local_errors_total 2\n",
                           "steelyard_health_probes_delayed_total 1\n"}) {
    EXPECT_THAT(all, HasSubstr(line));
  }
}

}  // namespace
}  // namespace steelyard::control::report
