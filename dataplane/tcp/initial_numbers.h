// The numbers that a connection begins with: a function of its endpoints, a secret and the time, so that they grow from
// one incarnation to the next and nobody foresees them.
#pragma once

#include "dataplane/tcp/memory.h"
#include "dataplane/tcp/siphash.h"
#include "dataplane/tcp/time.h"

namespace steelyard::tcp {

// RFC 9293 section 3.4.1 (RFC 6528): a clock of 4 microseconds plus a keyed hash.
[[nodiscard]] inline Sequence initial_sequence(const SipKey& key, const Endpoints& endpoints, Time now) {
  const auto clock = static_cast<std::uint32_t>(static_cast<std::uint64_t>(now.time_since_epoch().count()) / 4);
  return Sequence{static_cast<std::uint32_t>(siphash(key, endpoints, 0))} + clock;
}

// What is added to the clock of timestamps (RFC 7323 section 7.1 warns of one clock for all): it does not change while
// the process lives, so that timestamps grow over incarnations (RFC 6191).
[[nodiscard]] inline std::uint32_t timestamp_offset(const SipKey& key, const Endpoints& endpoints) {
  return static_cast<std::uint32_t>(siphash(key, endpoints, 1));
}

}  // namespace steelyard::tcp
