// Time as TCP sees it: microseconds since the worker started, always passed in. There is no now() here, so that every
// test and every simulated world decides what time it is.
#pragma once

#include <chrono>
#include <cstdint>

namespace steelyard::tcp {

struct WorkerClock {
  using duration = std::chrono::microseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<WorkerClock, duration>;
  static constexpr bool is_steady = true;
};

using Duration = std::chrono::microseconds;
using Time = WorkerClock::time_point;

// The deadline of a timer that is off.
inline constexpr Time never = Time::max();

// Milliseconds, wrapping after 49 days: the unit of the timestamps option (RFC 7323 section 5.4) and of slots that have
// no room for more.
[[nodiscard]] constexpr std::uint32_t milliseconds_of(Time time) {
  return static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count());
}

}  // namespace steelyard::tcp
