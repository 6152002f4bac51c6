// What one worker counts of requests that are over: how they ended and how long their parts took. Written by the
// worker, read by any thread; grows only.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/http/access_record.h"
#include "dataplane/service/counter.h"

namespace steelyard::http {

// How often something took how long: buckets whose limits double, from 128 microseconds to 67 seconds, and one above.
class Durations {
 public:
  static constexpr std::size_t limits = 20;
  static constexpr std::size_t buckets = limits + 1;
  // Exclusive, in microseconds.
  [[nodiscard]] static constexpr std::uint64_t limit(std::size_t bucket) { return std::uint64_t{128} << bucket; }

  void add(std::uint32_t microseconds) {
    counts_[std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(microseconds >> 7U)), limits)].add();
    sum_us_.add(microseconds);
  }
  [[nodiscard]] std::uint64_t count(std::size_t bucket) const { return counts_[bucket].get(); }
  [[nodiscard]] std::uint64_t sum_us() const { return sum_us_.get(); }

 private:
  std::array<service::Counter, buckets> counts_;
  service::Counter sum_us_;
};

// "1xx" to "5xx"; "none": no answer was begun.
inline constexpr std::array<std::string_view, 6> status_classes{"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
[[nodiscard]] constexpr std::size_t class_of(std::uint16_t status) {
  return std::min<std::size_t>(status / 100U, status_classes.size() - 1);
}

// Parts of a request's time, as an access record has them. Those that were not reached are not counted.
struct TimedPart {
  std::string_view name;
  std::uint32_t AccessRecord::*microseconds;
};
inline constexpr std::array timed_parts{
    TimedPart{"head", &AccessRecord::head_us}, TimedPart{"queue", &AccessRecord::queue_us},
    TimedPart{"connect", &AccessRecord::connect_us}, TimedPart{"first_byte", &AccessRecord::first_octet_us},
    TimedPart{"total", &AccessRecord::total_us}};

// Of a listener that clients have come to.
struct ListenerRequests {
  std::array<service::Counter, status_classes.size()> by_class;
  std::array<service::Counter, cause_count> by_cause;
  std::array<Durations, timed_parts.size()> times;

  void add(const AccessRecord& record) {
    by_class[class_of(record.status)].add();
    by_cause[static_cast<std::size_t>(record.cause)].add();
    for (std::size_t part = 0; part < timed_parts.size(); ++part) {
      if (const std::uint32_t time = record.*timed_parts[part].microseconds; time != AccessRecord::never) {
        times[part].add(time);
      }
    }
  }
};

// Of a server of a target: the last one that a request was sent to.
struct ServerRequests {
  std::array<service::Counter, status_classes.size()> by_class;  // of what clients got
  Durations first_octet;

  void add(const AccessRecord& record) {
    by_class[class_of(record.status)].add();
    if (record.first_octet_us != AccessRecord::never) {
      first_octet.add(record.first_octet_us);
    }
  }
};

}  // namespace steelyard::http
