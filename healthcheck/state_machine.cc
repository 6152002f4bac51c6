// The up/down machine; see the header. Pure.
#include "healthcheck/state_machine.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace steelyard::healthcheck {
namespace {

void count_up(std::uint32_t& run) {
  if (run != std::numeric_limits<std::uint32_t>::max())
    ++run;
}

Thresholds at_least_one(Thresholds thresholds) {
  return {.healthy = std::max<std::uint8_t>(thresholds.healthy, 1),
          .unhealthy = std::max<std::uint8_t>(thresholds.unhealthy, 1)};
}

}  // namespace

StateMachine::StateMachine(Thresholds thresholds, Status initial, TimePoint now)
    : thresholds_(at_least_one(thresholds)), status_(initial), since_(now) {}

void StateMachine::set_thresholds(Thresholds thresholds) {
  thresholds_ = at_least_one(thresholds);
}

void StateMachine::restart() {
  successes_ = 0;
  failures_ = 0;
  proven_ = false;
  has_result_ = false;
  last_ = {};
}

bool StateMachine::record(ProbeResult result, TimePoint now) {
  const ProbeOutcome outcome = result.outcome;
  last_ = std::move(result);
  last_time_ = now;
  has_result_ = true;
  const Status before = status_;
  switch (outcome) {
    case ProbeOutcome::success:
      local_error_.reset();
      failures_ = 0;
      count_up(successes_);
      if (successes_ >= thresholds_.healthy)
        become(Status::up, now);
      break;
    case ProbeOutcome::failure:
      local_error_.reset();
      successes_ = 0;
      count_up(failures_);
      if (failures_ >= thresholds_.unhealthy)
        become(Status::down, now);
      break;
    case ProbeOutcome::local_error:
      ++local_errors_;
      local_error_ = LocalError{.reason = last_.reason, .since = local_error_ ? local_error_->since : now};
      break;
  }
  return status_ != before;
}

void StateMachine::become(Status status, TimePoint now) {
  proven_ = true;
  if (status_ == status)
    return;
  status_ = status;
  since_ = now;
  if (status == Status::down)
    down_because_ = last_;
  else
    down_because_.reset();
}

}  // namespace steelyard::healthcheck
