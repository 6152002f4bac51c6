// The way of a datagram's later fragments, which have no ports: what the flow has made of the first one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/l4/flow.h"
#include "dataplane/neighbor/neighbor_table.h"
#include "dataplane/packet/hash.h"

namespace steelyard::l4 {

// It stands on its own: the flow may end while fragments are still under way.
template <class Family>
struct FragmentPath {
  packet::AddressPair<Family> addresses;  // as they are sent
  std::uint32_t id = 0;                   // network order, as write_identification() takes it
  bool renumbered = false;                // `id` replaces the sender's
  bool counted = false;                   // under `backend`
  Side from = Side::client;
  bool tunneled = false;     // to `backend`
  neighbor::HopIndex hop;    // 0: look it up; a hop that was never reachable may be forgotten meanwhile
  service::Address towards;  // by this
  service::BackendId backend;
  std::uint64_t variation = 0;  // of the flow's outer headers
  service::ListenerId listener;
};

// Identifications for datagrams whose addresses we have changed: their senders do not know of each other, or that they
// send to one server, and where two of their numbers met there it would put one datagram's pieces into the other (RFC
// 6864 section 4.3, RFC 8200 section 4.5). One counter for each of 1,024 groups of address pairs, begun at random (RFC
// 7739 section 5.3). Workers take turns in the numbers, so that they never give the same one to a pair. Worker only.
class FragmentIds {
 public:
  FragmentIds(const packet::HashKey& key, std::uint16_t worker, std::uint32_t workers)
      : key_(key), worker_(worker), workers_(workers) {}

  // The next number for datagrams from `source` to `destination`, in network order.
  template <class Family>
  [[nodiscard]] std::uint32_t next(const typename Family::Address& source,
                                   const typename Family::Address& destination) {
    const std::uint64_t hash = packet::hash(key_, packet::Tuple<Family>{source, destination, 0, 0, 0});
    const std::uint32_t turn = counters_[hash % counters_.size()]++ + start_of(hash % counters_.size());
    // Both families see a whole round of numbers: a 16-bit one wraps where the worker's numbers do.
    if constexpr (Family::is_v6) {
      const std::uint32_t rounds = UINT32_MAX / workers_;
      return __builtin_bswap32(turn % rounds * workers_ + worker_);
    } else {
      const std::uint32_t rounds = 65'536 / workers_;
      return __builtin_bswap16(static_cast<std::uint16_t>(turn % rounds * workers_ + worker_));
    }
  }

 private:
  [[nodiscard]] std::uint32_t start_of(std::size_t counter) const {
    return static_cast<std::uint32_t>(packet::folded_multiply(counter ^ key_.words[1], key_.words[3]));
  }

  packet::HashKey key_;
  std::uint32_t worker_;
  std::uint32_t workers_;
  std::array<std::uint32_t, 1'024> counters_{};
};

}  // namespace steelyard::l4
