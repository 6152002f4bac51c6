// What routers have said about the paths to tunnel ends: the largest packet that comes through (RFC 1191, RFC 8201).
// One table for all workers, since the error comes to any of them; fixed in size, so that forged errors take no memory.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/packet/family.h"
#include "dataplane/packet/hash.h"
#include "dataplane/service/address.h"

namespace steelyard::l4 {

// An address has one place; of two that meet there the later one stays, and the other is heard of again by its next
// error. Any worker reads and writes: a place is one word.
class PathMtuTable {
 public:
  explicit PathMtuTable(const packet::HashKey& key) : key_(key) {}

  // Takes effect for ten minutes (RFC 1191 section 6.3, RFC 8201 section 4: not less than five).
  void learn(const service::Address& destination, std::uint16_t mtu, std::uint64_t now_ns) {
    const std::uint64_t hash = hash_of(destination);
    const std::uint64_t entry = tag_of(hash) | static_cast<std::uint64_t>(period_of(now_ns)) << 16U | mtu;
    if (places_[hash % places_.size()].exchange(entry, std::memory_order_relaxed) != entry) {
      version_.fetch_add(1, std::memory_order_release);
    }
  }

  [[nodiscard]] std::optional<std::uint16_t> find(const service::Address& destination, std::uint64_t now_ns) const {
    const std::uint64_t hash = hash_of(destination);
    const std::uint64_t entry = places_[hash % places_.size()].load(std::memory_order_relaxed);
    const auto age = static_cast<std::uint16_t>(period_of(now_ns) - static_cast<std::uint16_t>(entry >> 16U));
    if ((entry & tag_bits) != tag_of(hash) || age > most_periods || (entry & 0xffffU) == 0) {
      return std::nullopt;
    }
    return static_cast<std::uint16_t>(entry);
  }

  // Another one than before: something may have changed. New with each error that says something new, and with time.
  [[nodiscard]] std::uint32_t version(std::uint64_t now_ns) const {
    return version_.load(std::memory_order_acquire) + period_of(now_ns);
  }

 private:
  // 2^36 ns = 69 s.
  static constexpr std::uint16_t most_periods = 9;
  static constexpr std::uint64_t tag_bits = ~std::uint64_t{0} << 32U;

  [[nodiscard]] static std::uint16_t period_of(std::uint64_t now_ns) {
    return static_cast<std::uint16_t>(now_ns >> 36U);
  }
  [[nodiscard]] static std::uint64_t tag_of(std::uint64_t hash) { return hash & tag_bits; }
  [[nodiscard]] std::uint64_t hash_of(const service::Address& address) const {
    return packet::hash(key_, packet::load<packet::Ipv6Address>(address.v6().data()), 0);
  }

  packet::HashKey key_;
  alignas(64) std::atomic<std::uint32_t> version_{0};
  alignas(64) std::array<std::atomic<std::uint64_t>, 4'096> places_{};
};

}  // namespace steelyard::l4
