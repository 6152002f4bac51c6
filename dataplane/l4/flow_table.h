// A worker's flows of one family: entries, index, timers. No allocation after construction: the caller gives the
// memory (hugepages in production, anything in a test) and the capacity is the limit. Worker only.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "dataplane/l4/flow.h"
#include "dataplane/l4/flow_index.h"
#include "dataplane/l4/flow_timers.h"
#include "dataplane/packet/hash.h"

namespace steelyard::l4 {

template <class Family>
class FlowTable {
 public:
  using Entry = Flow<Family>;
  using Bucket = FlowIndexTable::Bucket;
  using PacketTuple = packet::Tuple<Family>;

  struct Hit {
    FlowIndex flow;
    Side side;
  };

  // An index value keeps a bit for the side, a list link one for its mark.
  static constexpr std::size_t max_capacity = std::size_t{1} << 30U;

  // Bytes of zeroed, 64-byte-aligned memory that `capacity` flows need.
  [[nodiscard]] static constexpr std::size_t memory_needed(std::size_t capacity) {
    return capacity * sizeof(Entry) + FlowIndexTable::buckets_for(capacity) * sizeof(Bucket);
  }

  // `memory` outlives the table.
  FlowTable(std::span<std::byte> memory, std::size_t capacity, const packet::HashKey& key)
      : entries_(reinterpret_cast<Entry*>(memory.data())),
        capacity_(static_cast<std::uint32_t>(capacity)),
        index_({reinterpret_cast<Bucket*>(memory.data() + capacity * sizeof(Entry)),
                FlowIndexTable::buckets_for(capacity)}),
        timers_(entries_),
        key_(key) {}

  [[nodiscard]] std::uint64_t hash_of(const PacketTuple& tuple) const { return packet::hash(key_, tuple); }
  // The line of the index that a lookup begins with.
  [[nodiscard]] const void* index_line(std::uint64_t hash) const { return index_.line(hash); }

  // The first entry whose tag fits, in the line that index_line() named: the second stage of a burst. It is verified by
  // who uses it later.
  using Candidate = FlowIndexTable::Candidate;
  static constexpr std::uint32_t no_candidate = FlowIndexTable::none;
  [[nodiscard]] Candidate candidate(const void* line, std::uint64_t hash) const { return index_.candidate(line, hash); }
  [[nodiscard]] std::uint32_t candidate_in_second(std::uint64_t hash) const { return index_.candidate_in_second(hash); }
  // Where a candidate's entry begins; of no candidate: some line that may be asked for as well.
  [[nodiscard]] const void* entry_line(std::uint32_t candidate) const {
    return &entries_[candidate == no_candidate ? 0 : candidate >> 1U];
  }

  // What an index value says. The flow may be gone, or be another one, since the value was found.
  [[nodiscard]] static Side side_of(std::uint32_t value) { return static_cast<Side>(value & 1U); }
  [[nodiscard]] static FlowIndex flow_of(std::uint32_t value) { return {value >> 1U}; }

  [[nodiscard]] std::optional<Hit> find(const PacketTuple& tuple, std::uint64_t hash) const {
    std::uint32_t found = 0;
    const bool hit = index_.find(hash, [&](std::uint32_t value) {
      found = value;
      return entries_[value >> 1U].tuple_from(side_of(value)) == tuple;
    });
    if (!hit) {
      return std::nullopt;
    }
    return Hit{FlowIndex{found >> 1U}, side_of(found)};
  }

  [[nodiscard]] Entry& operator[](FlowIndex flow) { return entries_[flow.value]; }
  [[nodiscard]] const Entry& operator[](FlowIndex flow) const { return entries_[flow.value]; }
  [[nodiscard]] FlowTimers<Entry>& timers() { return timers_; }

  // Sets room for one flow aside: it counts in size() from now on. False: the table is full.
  [[nodiscard]] bool reserve() {
    if (size_ == capacity_) {
      return false;
    }
    ++size_;
    return true;
  }
  void release_reserved() { --size_; }

  // Stores a copy of `flow` in room that was reserved, found from both directions afterwards (a one-sided flow from the
  // client's) and in no timer list yet. The tuples must be new to the table; the hashes are hash_of() them. Nothing
  // when both buckets of one of the tuples are full; the room stays reserved then.
  [[nodiscard]] std::optional<FlowIndex> insert_reserved(const Entry& flow, std::uint64_t client_hash,
                                                         std::uint64_t server_hash) {
    const std::uint32_t slot = free_ != no_slot ? free_ : used_;
    const std::uint32_t next_free = free_ != no_slot ? entries_[slot].next : no_slot;
    const auto hash_of_value = [this](std::uint32_t value) {
      return hash_of(entries_[value >> 1U].tuple_from(side_of(value)));
    };
    // The entry is in place before its tuples are indexed: the second insertion may move the first one's.
    entries_[slot] = flow;
    if (!index_.insert(client_hash, slot << 1U, hash_of_value)) {
      entries_[slot].set_state(FlowState::free);
      entries_[slot].next = next_free;
      return std::nullopt;
    }
    if (!flow.one_sided() && !index_.insert(server_hash, slot << 1U | 1U, hash_of_value)) {
      index_.erase(client_hash, slot << 1U);
      entries_[slot].set_state(FlowState::free);
      entries_[slot].next = next_free;
      return std::nullopt;
    }
    if (slot == used_) {
      ++used_;
    }
    free_ = next_free;
    return FlowIndex{slot};
  }

  // Takes the flow out of index and timers. Its index becomes free for another one.
  void remove(FlowIndex index) {
    Entry& flow = entries_[index.value];
    index_.erase(hash_of(flow.client_side()), index.value << 1U);
    if (!flow.one_sided()) {
      index_.erase(hash_of(flow.server_side()), index.value << 1U | 1U);
    }
    timers_.unlink(index);
    flow.set_state(FlowState::free);
    flow.next = free_;
    free_ = index.value;
    --size_;
  }

  // Flows, and room reserved for some.
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  // Half-open flows: at most a quarter of the table (a SYN flood must leave room for those who complete). The balancer
  // counts them as their states change, from the reservation on.
  [[nodiscard]] std::size_t half_open() const { return half_open_; }
  [[nodiscard]] std::size_t half_open_limit() const { return std::max<std::size_t>(1, capacity_ / 4); }
  void add_half_open() { ++half_open_; }
  void subtract_half_open() { --half_open_; }
  // Entries with a smaller index may hold flows: the end of a walk over the table.
  [[nodiscard]] std::uint32_t walk_end() const { return used_; }

 private:
  static constexpr std::uint32_t no_slot = 0xffffffffU;

  Entry* entries_;
  std::uint32_t capacity_;
  std::uint32_t size_ = 0;
  std::size_t half_open_ = 0;
  std::uint32_t used_ = 0;        // entries from here on were never used
  std::uint32_t free_ = no_slot;  // returned entries, linked by `next`
  FlowIndexTable index_;
  FlowTimers<Entry> timers_;
  packet::HashKey key_;
};

}  // namespace steelyard::l4
