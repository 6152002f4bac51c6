// A listener's bandwidth over several workers: control looks ten times a second at what each had to send, and divides
// the rate by that. Who had little gets that and some room to grow, the others the rest in equal parts (max-min
// fairness), so that the sum is the rate wherever the traffic is, and a worker without traffic keeps enough to begin.
//
// Control thread. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/l4/bandwidth.h"
#include "dataplane/service/counter.h"
#include "dataplane/service/ids.h"
#include "dataplane/service/stable_array.h"

namespace steelyard::worker {

struct BandwidthLimit {
  service::ListenerId listener;
  std::uint64_t rate = 0;  // bytes a second
};

// Parts of `rate` for workers that had so much to send, in the same unit; their sum is `rate`, but for rounding.
void divide_rate(std::uint64_t rate, std::span<const std::uint64_t> offered, std::span<std::uint64_t> parts);

class BandwidthDivider {
 public:
  static constexpr std::uint64_t interval_ns = 100'000'000;

  // One worker's cells, by ListenerId; `shares` (bytes a second, 0: not divided yet) is written here.
  struct Cells {
    service::StableArray<service::Counter>* shares = nullptr;
    const service::StableArray<l4::BandwidthMeter>* meters = nullptr;
  };
  explicit BandwidthDivider(std::vector<Cells> workers) : workers_(std::move(workers)) {}

  // The limits of a configuration, in ascending order of ids. Those that stay keep their shares.
  void set_limits(std::span<const BandwidthLimit> limits);
  // Divides anew when it is time; call it at least every 10 ms.
  void divide(std::uint64_t now_ns);

 private:
  struct Entry {
    BandwidthLimit limit;
    std::vector<std::uint64_t> seen;  // by worker, bytes that it had to send
  };
  [[nodiscard]] std::uint64_t offered(std::size_t worker, service::ListenerId listener) const;

  std::vector<Cells> workers_;
  std::vector<Entry> entries_;
  std::uint64_t last_ns_ = 0;
};

}  // namespace steelyard::worker
