// The clock of the workers: nanoseconds since the data plane started, from the time stamp counter, the same on every
// core. Read once a burst; control reads it to write times that workers compare.
#pragma once

#include <cstdint>

#include <rte_cycles.h>

namespace steelyard::worker {

// Any thread. The counter must be constant and synchronised (`constant_tsc`), as on every machine DPDK supports.
class Clock {
 public:
  // After the EAL's start, which measures the counter's frequency.
  Clock()
      : start_(rte_rdtsc()),
        // 32.32 fixed point nanoseconds a cycle: exact to 2^-32 relative, no division when read.
        scale_(static_cast<std::uint64_t>((1'000'000'000.0 / static_cast<double>(rte_get_tsc_hz())) * 4294967296.0)) {}

  [[nodiscard]] std::uint64_t now_ns() const { return to_ns(rte_rdtsc() - start_); }
  [[nodiscard]] std::uint64_t to_ns(std::uint64_t cycles) const {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<Wide>(cycles) * scale_) >> 32U);
  }

 private:
  std::uint64_t start_;
  std::uint64_t scale_;
};

}  // namespace steelyard::worker
