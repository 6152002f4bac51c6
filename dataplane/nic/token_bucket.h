// A token bucket: `rate` tokens a second, never more than `burst` saved. Time is passed in. One thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace steelyard::nic {

class TokenBucket {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  TokenBucket(std::uint32_t rate, std::uint32_t burst, TimePoint now)
      : rate_(rate), full_(std::uint64_t{burst} * unit), saved_(full_), last_(now) {}

  // How many of `wanted` tokens there are at `now`; they are taken.
  [[nodiscard]] std::uint32_t take(std::uint32_t wanted, TimePoint now) {
    refill(now);
    const auto taken = static_cast<std::uint32_t>(std::min<std::uint64_t>(wanted, saved_ / unit));
    saved_ -= std::uint64_t{taken} * unit;
    return taken;
  }

  // Gives back tokens that were not used.
  void give_back(std::uint32_t tokens) { saved_ = std::min(full_, saved_ + std::uint64_t{tokens} * unit); }

 private:
  static constexpr std::uint64_t unit = 1'000'000'000;  // a token; one nanosecond earns `rate` of these parts

  void refill(TimePoint now) {
    if (now <= last_) {
      return;
    }
    // Capped at a second, so that the product stays within 64 bits for every 32-bit rate.
    const auto elapsed = std::min<std::int64_t>(std::chrono::nanoseconds(now - last_).count(), 1'000'000'000);
    saved_ = std::min(full_, saved_ + static_cast<std::uint64_t>(elapsed) * rate_);
    last_ = now;
  }

  std::uint64_t rate_;
  std::uint64_t full_;
  std::uint64_t saved_;
  TimePoint last_;
};

}  // namespace steelyard::nic
