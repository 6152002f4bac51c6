// When an acknowledgment goes out: at once on anything unusual, else with every second full segment, else after a delay
// or with data (RFC 5681 section 4.2, RFC 9293 section 3.8.6.3). Pure.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/tcp/time.h"

namespace steelyard::tcp {

class Acknowledging {
 public:
  [[nodiscard]] bool due_now() const { return now_; }
  [[nodiscard]] Time deadline() const { return deadline_; }

  // Octets have come in order. `announced`: the segment size that we have announced (RMSS).
  void data_received(std::uint32_t octets, std::uint16_t announced, Duration delay, Time now) {
    // What a full segment is the peer decides (path, options): the largest seen. Segments that were joined before they
    // came here are several.
    full_ = std::max(full_, static_cast<std::uint16_t>(std::min<std::uint32_t>(octets, announced)));
    pending_ += octets;
    if (pending_ >= 2U * full_) {
      now_ = true;
    } else if (deadline_ == never) {
      deadline_ = now + delay;
    }
  }
  // A gap, its filling, a duplicate, a FIN, or something that must be answered.
  void at_once() { now_ = true; }
  // A segment with the current acknowledgment has been sent.
  void sent() {
    now_ = false;
    pending_ = 0;
    deadline_ = never;
  }
  [[nodiscard]] std::uint32_t full_segment() const { return full_; }

 private:
  Time deadline_ = never;
  std::uint32_t pending_ = 0;  // octets not acknowledged yet
  std::uint16_t full_ = 536;   // RFC 9293 section 3.7.1: what any peer may send
  bool now_ = false;
};
static_assert(sizeof(Acknowledging) == 16);

}  // namespace steelyard::tcp
