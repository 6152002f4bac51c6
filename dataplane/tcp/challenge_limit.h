// How often a connection answers what it cannot believe (RFC 5961 section 7). The limit is the connection's own: one
// that connections share tells an attacker, who uses it up on his own connection, what happens on others
// (CVE-2016-5696).
#pragma once

#include <cstdint>

#include "dataplane/tcp/time.h"

namespace steelyard::tcp {

class ChallengeLimit {
 public:
  // RFC 5961 section 7 suggests 10 in 5 s.
  static constexpr std::uint8_t most = 10;
  static constexpr std::uint32_t period_ms = 5'000;

  // May one be sent now? If so, it counts.
  [[nodiscard]] bool allow(Time now) {
    const std::uint32_t at = milliseconds_of(now);
    if (at - begun_ms_ >= period_ms) {
      begun_ms_ = at;
      count_ = 0;
    }
    if (count_ == most) {
      return false;
    }
    ++count_;
    return true;
  }

 private:
  std::uint32_t begun_ms_ = 0;
  std::uint8_t count_ = 0;
};

}  // namespace steelyard::tcp
