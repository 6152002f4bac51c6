// A token bucket for the answers that a worker makes itself (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 f).
#pragma once

#include <algorithm>
#include <cstdint>

namespace steelyard::l4 {

class RateLimit {
 public:
  // `burst` answers at once, `per_second` in the long run.
  RateLimit(std::uint64_t per_second, std::uint64_t burst)
      : cost_(1'000'000'000U / per_second), depth_(burst * cost_), credit_(depth_) {}

  [[nodiscard]] bool allow(std::uint64_t now_ns) {
    credit_ = std::min(depth_, credit_ + (now_ns - last_));
    last_ = now_ns;
    if (credit_ < cost_) {
      return false;
    }
    credit_ -= cost_;
    return true;
  }

 private:
  std::uint64_t cost_;   // nanoseconds a token
  std::uint64_t depth_;  // nanoseconds' worth of tokens
  std::uint64_t credit_;
  std::uint64_t last_ = 0;
};

}  // namespace steelyard::l4
