// A clock and timers as the health checks use them: real ones on Asio (asio_timers.h), virtual ones in tests.
// Both are built on one wheel for all timers, because 10,000 probes arm and cancel two timers each every two seconds.
#pragma once

#include "healthcheck/probe.h"
#include "healthcheck/timer_wheel.h"

namespace steelyard::healthcheck {

// Control thread only.
class Timers {
 public:
  Timers() = default;
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;
  virtual ~Timers() = default;

  [[nodiscard]] virtual TimePoint now() const = 0;
  // (Re)arms a timer. It fires once, never before `deadline`, never from inside arm(), and at most a wheel tick late
  // plus the time the thread was busy.
  virtual void arm(Timer& timer, TimePoint deadline) = 0;
};

}  // namespace steelyard::healthcheck
