// Stable ids: small dense numbers that the control side gives to what workers keep runtime state for. An id stays with
// its object over reloads and is not given to another one while any worker still counts something under it.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace steelyard::service {

// A listener. 0 is never given out: a flow of listener 0 belongs to nobody.
struct ListenerId {
  std::uint16_t value = 0;
  friend auto operator<=>(ListenerId, ListenerId) = default;
};

// One server of one listener: the pair that health, connection counts and counters belong to.
struct BackendId {
  std::uint32_t value = 0;
  friend auto operator<=>(BackendId, BackendId) = default;
};

// A worker, counted from 0.
struct WorkerId {
  std::uint16_t value = 0;
  friend auto operator<=>(WorkerId, WorkerId) = default;
};

// A configured port, in the order of the configuration file.
struct PortIndex {
  std::uint16_t value = 0;
  friend auto operator<=>(PortIndex, PortIndex) = default;
};

inline constexpr std::size_t max_listeners = std::numeric_limits<std::uint16_t>::max();
// A flow entry keeps 24 bits of it.
inline constexpr std::size_t max_backends = std::size_t{1} << 24;
// Of one server group: the scheduler packs a place in the cycle, twice a hundred times as long, into 25 bits.
inline constexpr std::size_t max_servers = 100'000;
inline constexpr std::size_t max_workers = 64;

}  // namespace steelyard::service
