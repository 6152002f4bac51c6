// What one worker lets through to the clients of a listener with a limit (`bandwidth`): a token bucket over IP bytes.
// What layer 4 has no credit for is dropped; what layer 7 has none for waits (worker/http_application.h).
// The listener's rate is divided among workers by control (worker/bandwidth_divider.h); here is one worker's part.
//
// rte_meter, which does the same, takes its rate once, in cycles of a counter that it measures itself; here the rate is
// another one every 100 ms and time is given. A packet passes while there is any credit and may leave a debt, so that a
// rate too small for the bucket to hold a packet is kept as exactly as a large one.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/service/counter.h"

namespace steelyard::l4 {

// Worker only, but for the counters, which control reads. All zero is a bucket that was never used.
class alignas(64) BandwidthMeter {
 public:
  service::Counter passed_bytes;
  service::Counter dropped_packets;
  service::Counter dropped_bytes;

  // May a packet of so many bytes pass? `rate` and `burst` are this worker's: bytes a second, and bytes at once after
  // silence; rate is at most 6 Gbit/s.
  [[nodiscard]] bool allow(std::uint64_t now_ns, std::uint64_t rate, std::uint64_t burst, std::uint32_t bytes) {
    if (credit(now_ns, rate, burst) == 0) {
      dropped_packets.add();
      dropped_bytes.add(bytes);
      return false;
    }
    take(bytes);
    return true;
  }
  // Bytes that may pass now, in whole ones; what passes while there are any may be more.
  [[nodiscard]] std::uint64_t credit(std::uint64_t now_ns, std::uint64_t rate, std::uint64_t burst) {
    const std::uint64_t elapsed = std::min(now_ns - last_ns_, longest_ns);
    last_ns_ = now_ns;
    credit_ = std::min(credit_ + static_cast<std::int64_t>(elapsed * rate), static_cast<std::int64_t>(burst * unit));
    return credit_ <= 0 ? 0 : (static_cast<std::uint64_t>(credit_) + unit - 1) / unit;
  }
  void take(std::uint64_t bytes) {
    credit_ -= static_cast<std::int64_t>(bytes * unit);
    passed_bytes.add(bytes);
  }

 private:
  static constexpr std::uint64_t unit = 1'000'000'000;
  // Longer silences earn nothing more: it pays any debt but that of a starved worker, and its product with the rate
  // takes 63 bits.
  static constexpr std::uint64_t longest_ns = 10'000'000'000;

  std::int64_t credit_ = 0;  // bytes * 10^-9
  std::uint64_t last_ns_ = 0;
};
static_assert(sizeof(BandwidthMeter) == 64);

// What a worker may send at once after silence: so long at the listener's rate, divided by workers. Senders that are
// cut off by a bucket need room for a round trip's worth of packets (Flach et al., "An Internet-Wide Analysis of
// Traffic Policing", SIGCOMM 2016); it is 1% of what passes in ten seconds.
inline constexpr std::uint64_t bursts_per_second = 10;

}  // namespace steelyard::l4
