// How much of its weight a recovered server has: a pure function of time. It never gives a server less than 1 or more
// than its weight.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>

namespace steelyard::schedule {

struct SlowStartStep {
  std::uint32_t weight = 0;      // now
  std::uint64_t next_at_ns = 0;  // when it will be greater; `no_step`: it is the full weight
};
inline constexpr std::uint64_t no_step = std::numeric_limits<std::uint64_t>::max();

// The weight grows linearly from a tenth to all of `weight` (1..100) over `slow_start`, counted from `recovered_at_ns`
// (0: no slow start is running), rounded down to a whole number and at least 1. A recovery after `now_ns` has just
// happened: the caller's clock may be a burst old.
[[nodiscard]] inline SlowStartStep slow_start_step(std::uint32_t weight, std::chrono::seconds slow_start,
                                                   std::uint64_t recovered_at_ns, std::uint64_t now_ns) {
  // The bound keeps the products below far from 2^64 whatever the configuration allows.
  const auto bounded = std::clamp(slow_start, std::chrono::seconds{0}, std::chrono::seconds{std::chrono::hours{24}});
  const auto duration = static_cast<std::uint64_t>(std::chrono::nanoseconds{bounded}.count());
  const std::uint64_t elapsed = now_ns > recovered_at_ns ? now_ns - recovered_at_ns : 0;
  if (recovered_at_ns == 0 || elapsed >= duration) {
    return {weight, no_step};
  }
  const std::uint64_t tenths = 10 * duration;
  const auto grown = static_cast<std::uint32_t>(weight * (duration + 9 * elapsed) / tenths);
  const std::uint32_t current = std::max(grown, 1U);
  if (current >= weight) {
    return {weight, no_step};
  }
  // The smallest elapsed time with weight * (duration + 9 * elapsed) >= (current + 1) * tenths.
  const std::uint64_t missing = (current + 1) * tenths - weight * duration;
  const std::uint64_t step_after = (missing + 9 * std::uint64_t{weight} - 1) / (9 * std::uint64_t{weight});
  return {current, recovered_at_ns + step_after};
}

}  // namespace steelyard::schedule
