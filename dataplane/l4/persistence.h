// Persistence by source IP: which server a client was given, for how long. One table per worker, written by the
// client's home worker alone and read by all: each entry carries a sequence count that is odd while the writer is at
// it, and a reader that saw it change takes the entry as absent (it then asks the home worker); the order of the
// accesses is kept by acquire loads and release stores, which cost nothing on x86. Only the last-used stamp may be
// stored by any worker: a plain store of the present second, whose loss or reordering changes nothing.
//
// Bounded: buckets of four entries; in a full bucket the one unused for longest goes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/packet/hash.h"
#include "dataplane/service/address.h"
#include "dataplane/service/ids.h"

namespace steelyard::l4 {

class PersistenceTable {
 public:
  // Seconds of the workers' common clock.
  using Seconds = std::uint32_t;

  // Control side, before the workers start; room for at least `capacity` clients.
  PersistenceTable(std::size_t capacity, const packet::HashKey& key)
      : buckets_((capacity + ways - 1) / ways), key_(key) {}

  // The server that `client` has on `listener`, unless it was last used `timeout` or more seconds ago. Refreshes the
  // entry. Any worker.
  [[nodiscard]] std::optional<service::BackendId> find(service::ListenerId listener, const service::Address& client,
                                                       Seconds now, Seconds timeout) {
    const Words words = words_of(listener, client);
    for (Entry& entry : bucket_of(words)) {
      const std::uint32_t before = entry.sequence.load(std::memory_order_acquire);
      const std::uint64_t owner = entry.owner.load(std::memory_order_acquire);
      const bool same = (owner & listener_mask) == words.listener &&
                        entry.high.load(std::memory_order_acquire) == words.high &&
                        entry.low.load(std::memory_order_acquire) == words.low;
      const Seconds used = entry.used.load(std::memory_order_acquire);
      if (!same || (before & 1U) != 0 || entry.sequence.load(std::memory_order_relaxed) != before) {
        continue;
      }
      if (now - used >= timeout && now > used) {
        return std::nullopt;
      }
      if (used != now) {
        entry.used.store(now, std::memory_order_relaxed);
      }
      return service::BackendId{static_cast<std::uint32_t>(owner >> 16U)};
    }
    return std::nullopt;
  }

  // Home worker only.
  void put(service::ListenerId listener, const service::Address& client, service::BackendId backend, Seconds now) {
    const Words words = words_of(listener, client);
    Entry* chosen = nullptr;
    Seconds longest = 0;
    for (Entry& entry : bucket_of(words)) {
      const std::uint64_t owner = entry.owner.load(std::memory_order_relaxed);
      const bool same = (owner & listener_mask) == words.listener &&
                        entry.high.load(std::memory_order_relaxed) == words.high &&
                        entry.low.load(std::memory_order_relaxed) == words.low;
      if (same || owner == 0) {
        chosen = &entry;
        break;
      }
      const Seconds unused = now - entry.used.load(std::memory_order_relaxed);
      if (chosen == nullptr || unused > longest) {
        chosen = &entry;
        longest = unused;
      }
    }
    const std::uint32_t sequence = chosen->sequence.load(std::memory_order_relaxed);
    chosen->sequence.store(sequence + 1, std::memory_order_relaxed);
    chosen->high.store(words.high, std::memory_order_release);
    chosen->low.store(words.low, std::memory_order_release);
    chosen->owner.store((std::uint64_t{backend.value} << 16U) | words.listener, std::memory_order_release);
    chosen->used.store(now, std::memory_order_release);
    chosen->sequence.store(sequence + 2, std::memory_order_release);
  }

 private:
  static constexpr std::size_t ways = 4;
  static constexpr std::uint64_t listener_mask = 0xffff;

  // 32 bytes; `owner` is backend << 16 | listener, 0 when the entry was never used (no listener is 0).
  struct Entry {
    std::atomic<std::uint32_t> sequence{0};
    std::atomic<Seconds> used{0};
    std::atomic<std::uint64_t> high{0};
    std::atomic<std::uint64_t> low{0};
    std::atomic<std::uint64_t> owner{0};
  };
  static_assert(sizeof(Entry) == 32);
  using Bucket = std::array<Entry, ways>;

  struct Words {
    std::uint64_t high;
    std::uint64_t low;
    std::uint64_t listener;
  };
  [[nodiscard]] static Words words_of(service::ListenerId listener, const service::Address& client) {
    return {packet::load<std::uint64_t>(client.v6().data()), packet::load<std::uint64_t>(client.v6().data() + 8),
            listener.value};
  }
  [[nodiscard]] Bucket& bucket_of(const Words& words) {
    const std::uint64_t folded = packet::folded_multiply(words.high ^ key_.words[2], words.low ^ key_.words[0]);
    const std::uint64_t hash = packet::folded_multiply(folded ^ key_.words[3], words.listener ^ key_.words[1]);
    return buckets_[packet::reduce(hash, static_cast<std::uint32_t>(buckets_.size()))];
  }

  std::vector<Bucket> buckets_;
  packet::HashKey key_;
};

}  // namespace steelyard::l4
