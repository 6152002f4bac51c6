// The up/down machine of one target: failures and successes in a row against their thresholds. Pure: results and times
// are passed in, nothing here reads a clock. A local error is remembered and counted but never moves the state: a
// problem of our own must not take every server out at once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "healthcheck/probe.h"

namespace steelyard::healthcheck {

enum class Status : std::uint8_t { up, down };

struct Thresholds {
  std::uint8_t healthy = 3;    // successes in a row that bring a target back, 1..10
  std::uint8_t unhealthy = 3;  // failures in a row that take it out, 1..10

  friend bool operator==(const Thresholds&, const Thresholds&) = default;
};

// Probes that cannot be made.
struct LocalError {
  std::string reason;  // of the latest one
  TimePoint since;     // no result has come from the server since then

  friend bool operator==(const LocalError&, const LocalError&) = default;
};

// A value type; one thread.
class StateMachine {
 public:
  // A zero threshold is taken as one.
  StateMachine(Thresholds thresholds, Status initial, TimePoint now);

  // Counts a finished probe. True when it changed the status.
  [[nodiscard]] bool record(ProbeResult result, TimePoint now);

  [[nodiscard]] Thresholds thresholds() const { return thresholds_; }
  // From the next result on; runs that are under way keep their counts.
  void set_thresholds(Thresholds thresholds);
  // Begins to count anew and doubts the status, but keeps it and what brought it about: for a target whose probe became
  // another one.
  void restart();

  [[nodiscard]] Status status() const { return status_; }
  // False until a whole run (successes of an up target, failures of a down one) has confirmed the status.
  [[nodiscard]] bool proven() const { return proven_; }
  // Since when the target has been what it is.
  [[nodiscard]] TimePoint since() const { return since_; }
  [[nodiscard]] std::uint32_t successes() const { return successes_; }  // in a row
  [[nodiscard]] std::uint32_t failures() const { return failures_; }    // in a row
  [[nodiscard]] std::uint64_t local_errors() const { return local_errors_; }
  // The latest result, a local error included; meaningful when has_result().
  [[nodiscard]] bool has_result() const { return has_result_; }
  [[nodiscard]] const ProbeResult& last_result() const { return last_; }
  [[nodiscard]] TimePoint last_time() const { return last_time_; }
  // The failure that took the target out, at since(); kept until it is up again. None for a target that is up and for
  // one that began as down.
  [[nodiscard]] const std::optional<ProbeResult>& down_because() const { return down_because_; }
  // Set while probes cannot be made: until the next result that comes from the server, over a restart() as well.
  [[nodiscard]] const std::optional<LocalError>& local_error() const { return local_error_; }

 private:
  void become(Status status, TimePoint now);

  Thresholds thresholds_;
  Status status_;
  bool proven_ = false;
  bool has_result_ = false;
  std::uint32_t successes_ = 0;
  std::uint32_t failures_ = 0;
  std::uint64_t local_errors_ = 0;
  TimePoint since_;
  TimePoint last_time_{};
  ProbeResult last_;
  std::optional<ProbeResult> down_because_;
  std::optional<LocalError> local_error_;
};

}  // namespace steelyard::healthcheck
