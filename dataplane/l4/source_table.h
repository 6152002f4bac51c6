// What single sources have open and open anew, for listeners with limits per source. One table for each worker, which
// alone writes it, about the flows that it owns; whoever decides about a new flow adds what the tables of all workers
// say of its source (rate_window.h has the reasons). A source is an IPv4 address, or the IPv6 network that one host has
// all addresses of (/64 unless configured otherwise; RFC 4291 section 2.5.1): else every packet would be from another.
//
// Bounded: 128-byte buckets of four entries, found by a keyed hash, and known by 64 bits of another one: nobody can
// choose a source that is taken for somebody else's. In a full bucket the entry gives way that has nothing open and was
// longest without a new connection; only when all have something open, the longest unused of those, whose connections
// are then forgotten. So an overflowing table makes limits too mild, never too strict; the same is true of connections
// that are older than their listener's limits.
//
// Costs nothing until commit(): address space is reserved, no memory.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "dataplane/l4/rate_window.h"
#include "dataplane/packet/family.h"
#include "dataplane/packet/hash.h"
#include "dataplane/service/address.h"
#include "dataplane/service/ids.h"
#include "dataplane/service/snapshot.h"
#include "dataplane/service/stable_array.h"

namespace steelyard::l4 {

// A source of a listener; the same for all workers.
struct SourceKey {
  std::uint64_t fingerprint = 1;  // never 0
  std::uint64_t place = 0;
};

[[nodiscard]] inline SourceKey source_key(const packet::HashKey& key, service::ListenerId listener,
                                          const service::SourceLimits& limits, const service::Address& source) {
  std::uint64_t high = packet::load<std::uint64_t>(source.v6().data());
  std::uint64_t low = packet::load<std::uint64_t>(source.v6().data() + 8);
  if (!source.is_v4()) {
    const auto leading = [](unsigned bits) {
      return bits == 0 ? 0 : __builtin_bswap64(~std::uint64_t{0} << (64U - bits));
    };
    high &= leading(std::min<unsigned>(limits.ipv6_prefix, 64));
    low &= leading(limits.ipv6_prefix < 64 ? 0U : limits.ipv6_prefix - 64U);
  }
  const std::uint64_t tail = std::uint64_t{limits.generation} << 16U | listener.value;
  const std::uint64_t first = packet::folded_multiply(high ^ key.words[0], low ^ key.words[1]);
  const std::uint64_t second = packet::folded_multiply(low ^ key.words[2], high ^ key.words[3]);
  return {packet::folded_multiply(first ^ key.words[2], tail ^ key.words[3]) | 1U,
          packet::folded_multiply(second ^ key.words[1], tail ^ key.words[0])};
}

class SourceTable {
 public:
  struct Use {
    std::uint64_t connections = 0;
    std::uint64_t recent = 0;    // new ones, as RateWindow::recent()
    std::uint64_t requests = 0;  // the same of requests
  };

  // Room for at least `capacity` sources. Throws std::bad_alloc when the address space cannot be had.
  explicit SourceTable(std::size_t capacity) : size_((capacity + ways - 1) / ways), buckets_(size_) {}

  // Makes the memory real. Control side, before a listener with such limits is published; again is nothing.
  void commit() { buckets_.commit(size_); }

  // Any worker.
  [[nodiscard]] Use find(const SourceKey& key, const WindowTime& now) const {
    for (const Entry& entry : buckets_[place_of(key)]) {
      if (entry.fingerprint.load(std::memory_order_acquire) != key.fingerprint) {
        continue;
      }
      const Use use{entry.connections.load(std::memory_order_acquire), entry.window.recent(now),
                    entry.requests.recent(now)};
      // The owner gives an entry to another source by way of 0.
      if (entry.fingerprint.load(std::memory_order_acquire) == key.fingerprint) {
        return use;
      }
    }
    return {};
  }

  // The owner alone: a new connection comes; a request does; a connection is open; one is open no more.
  void came(const SourceKey& key, const WindowTime& now) { entry_of(key, now).window.add(now); }
  void asked(const SourceKey& key, const WindowTime& now) { entry_of(key, now).requests.add(now); }
  void opened(const SourceKey& key, const WindowTime& now) { change(entry_of(key, now), 1); }
  void closed(const SourceKey& key) {
    for (Entry& entry : buckets_[place_of(key)]) {
      if (entry.fingerprint.load(std::memory_order_relaxed) == key.fingerprint &&
          entry.connections.load(std::memory_order_relaxed) != 0) {
        change(entry, -1);
      }
    }
  }

 private:
  static constexpr std::size_t ways = 4;

  struct Entry {
    std::atomic<std::uint64_t> fingerprint{0};  // 0: free
    RateWindow window;
    RateWindow requests;
    std::atomic<std::uint32_t> connections{0};
  };
  struct alignas(64) Bucket : std::array<Entry, ways> {};
  static_assert(sizeof(Bucket) == 128);

  [[nodiscard]] std::size_t place_of(const SourceKey& key) const {
    return packet::reduce(key.place, static_cast<std::uint32_t>(size_));
  }
  static void change(Entry& entry, std::int32_t by) {
    entry.connections.store(entry.connections.load(std::memory_order_relaxed) + static_cast<std::uint32_t>(by),
                            std::memory_order_release);
  }

  // The source's entry, made when there is none.
  [[nodiscard]] Entry& entry_of(const SourceKey& key, const WindowTime& now) {
    Entry* oldest = nullptr;
    std::uint64_t greatest = 0;
    for (Entry& entry : buckets_[place_of(key)]) {
      const std::uint64_t fingerprint = entry.fingerprint.load(std::memory_order_relaxed);
      if (fingerprint == key.fingerprint) {
        return entry;
      }
      // Free ones first, then those with nothing open, then the longest unused.
      const bool open = entry.connections.load(std::memory_order_relaxed) != 0;
      const std::uint64_t unused =
          std::min(now.seconds_since(entry.window.last_second()), now.seconds_since(entry.requests.last_second()));
      const std::uint64_t order = (fingerprint == 0 ? std::uint64_t{2} : open ? 0U : 1U) << 32U | unused;
      if (oldest == nullptr || order > greatest) {
        oldest = &entry;
        greatest = order;
      }
    }
    oldest->fingerprint.store(0, std::memory_order_release);
    oldest->connections.store(0, std::memory_order_release);
    oldest->window.clear();
    oldest->requests.clear();
    oldest->fingerprint.store(key.fingerprint, std::memory_order_release);
    return *oldest;
  }

  std::size_t size_;
  service::StableArray<Bucket> buckets_;
};

}  // namespace steelyard::l4
