// Proportional rate reduction (RFC 6937): in fast recovery the window goes down to the threshold in step with what
// arrives, so that neither a burst nor a silence of half a round trip comes of a loss. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

namespace steelyard::tcp {

class RateReduction {
 public:
  // Recovery begins; `outstanding` is snd_nxt - snd_una (RFC 6937's RecoverFS).
  void begin(std::uint32_t outstanding) {
    outstanding_ = std::max(outstanding, 1U);
    delivered_ = 0;
    sent_ = 0;
  }

  // The window after an acknowledgment by which `delivered` octets have arrived (acknowledged or sacked for the first
  // time); `pipe` is what is still in flight. Section 3, with the slow start bound.
  [[nodiscard]] std::uint32_t window(std::uint32_t delivered, std::uint32_t pipe, std::uint32_t threshold,
                                     std::uint32_t segment) {
    delivered_ += delivered;
    std::int64_t allowed = 0;
    if (pipe > threshold) {
      const std::uint64_t part = (std::uint64_t{delivered_} * threshold + outstanding_ - 1) / outstanding_;
      allowed = static_cast<std::int64_t>(part) - sent_;
    } else {
      const std::int64_t limit =
          std::max<std::int64_t>(std::int64_t{delivered_} - sent_, delivered) + std::int64_t{segment};
      allowed = std::min<std::int64_t>(std::int64_t{threshold} - pipe, limit);
    }
    return pipe + static_cast<std::uint32_t>(std::max<std::int64_t>(allowed, 0));
  }

  void sent(std::uint32_t octets) { sent_ += octets; }

 private:
  std::uint32_t outstanding_ = 1;
  std::uint32_t delivered_ = 0;
  std::uint32_t sent_ = 0;
};
static_assert(sizeof(RateReduction) == 12);

}  // namespace steelyard::tcp
