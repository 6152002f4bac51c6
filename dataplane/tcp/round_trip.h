// The round-trip estimate and the retransmission timeout (RFC 6298). Pure: samples in, a timeout out; who may take a
// sample (Karn's rule, section 3) is the sender's business.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/tcp/time.h"

namespace steelyard::tcp {

struct TimeoutLimits {
  // RFC 6298 section 2, rule 2.1: before the first sample.
  Duration initial = std::chrono::seconds{1};
  // Rule 2.4 says 1 s, "conservative"; all stacks in wide use have 200 ms or 300 ms, and a balancer that is slower
  // to repair than the kernels beside it would be the reason for its clients' stalls.
  Duration least = std::chrono::milliseconds{200};
  // Rule 2.5: at least 60 s.
  Duration most = std::chrono::seconds{60};
};

class RoundTrip {
 public:
  [[nodiscard]] bool measured() const { return smoothed_ != 0; }
  [[nodiscard]] Duration smoothed() const { return Duration{smoothed_}; }
  [[nodiscard]] Duration variation() const { return Duration{variation_}; }

  // Rules 2.2 and 2.3: alpha = 1/8, beta = 1/4, variation before the mean.
  void sample(Duration measured_trip) {
    const auto trip = static_cast<std::uint32_t>(std::clamp<Duration::rep>(measured_trip.count(), 1, max_sample));
    if (!measured()) {
      smoothed_ = trip;
      variation_ = trip / 2;
      return;
    }
    if (timeout_was_spurious_) {
      timeout_was_spurious_ = false;
      smoothed_ = std::max(smoothed_, trip);
      variation_ = std::max(variation_, trip / 2);
      return;
    }
    const std::uint32_t error = smoothed_ > trip ? smoothed_ - trip : trip - smoothed_;
    variation_ = variation_ - variation_ / 4 + error / 4;
    smoothed_ = std::max(smoothed_ - smoothed_ / 8 + trip / 8, 1U);
  }

  // Rule 5.7: a connection whose SYN had to be repeated, and that has no sample, begins its data with 3 s.
  void syn_was_repeated() { initial_is_three_seconds_ = true; }

  // RFC 4015 section 3.1, step 11: the next sample sets mean and variation, if it makes them larger.
  void timeout_was_spurious() {
    timeout_was_spurious_ = true;
    smoothed_ += 2 * static_cast<std::uint32_t>(granularity.count());
  }

  // The timeout, doubled `backoff` times (rule 5.5).
  [[nodiscard]] Duration timeout(const TimeoutLimits& limits, unsigned backoff) const {
    Duration base = limits.initial;
    if (measured()) {
      base = Duration{smoothed_} + std::max(granularity, Duration{4 * std::uint64_t{variation_}});
    } else if (initial_is_three_seconds_) {
      base = std::chrono::seconds{3};
    }
    base = std::clamp(base, limits.least, limits.most);
    return std::min(base * (std::int64_t{1} << std::min(backoff, 16U)), limits.most);
  }

 private:
  static constexpr Duration granularity = std::chrono::milliseconds{1};  // of the timer wheel: G of section 2
  static constexpr Duration::rep max_sample = 120'000'000;               // 2 min: 4 * variation stays in 32 bits

  std::uint32_t smoothed_ = 0;   // microseconds; 0: no sample yet
  std::uint32_t variation_ = 0;  // microseconds
  bool initial_is_three_seconds_ = false;
  bool timeout_was_spurious_ = false;
};
static_assert(sizeof(RoundTrip) == 12);

}  // namespace steelyard::tcp
