// The index of a flow table: hash of a tuple -> flow and side. Two entries a flow, one for each direction.
//
//   bucket, 64 bytes: 10 tags of 16 bits | 10 values of 32 bits | overflow count
//   value = flow index * 2 + side
//
// A tuple has a first and a second bucket; an entry goes to its second one only when the first is full, and the first
// then counts it in `overflow`, so that a lookup, hit or miss, normally ends after one cache line. Ten slots a bucket
// and 0.8 mean load give 16 bytes a flow. At that load one insertion in ten finds both buckets full; then one of their
// twenty entries moves to its own other bucket (cuckoo hashing, one step), which fails less than once in a million
// million times and is reported like a full table. Only insertions move entries, so a worker may prefetch a bucket and
// read it later in the burst; what it remembers meanwhile must be flows, never slots.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/l4/flow.h"
#include "dataplane/packet/hash.h"
#include "dataplane/packet/prefetch.h"
#include "dataplane/packet/tag_match.h"

namespace steelyard::l4 {

class FlowIndexTable {
 public:
  static constexpr std::size_t slots = packet::bucket_slots;

  struct alignas(64) Bucket {
    packet::BucketTags tags;  // 0: the slot is empty
    std::array<std::uint32_t, slots> values;
    std::uint32_t overflow;  // entries that have this as their first bucket and live in their second
  };
  static_assert(sizeof(Bucket) == 64);

  // Buckets for `flows` flows: two entries each, eight of ten slots used.
  [[nodiscard]] static constexpr std::size_t buckets_for(std::size_t flows) { return (flows * 2 + 7) / 8 + 1; }

  // `buckets` must be zeroed memory; the caller owns it.
  explicit FlowIndexTable(std::span<Bucket> buckets)
      : buckets_(buckets.data()), count_(static_cast<std::uint32_t>(buckets.size())) {}

  // Where a lookup begins, to be prefetched.
  [[nodiscard]] const void* line(std::uint64_t hash) const { return &buckets_[first(hash)]; }

  // The value of the first entry whose tag fits; `none` when there is no such entry, or when it could only be in the
  // second bucket: that is then prefetched, and candidate_in_second() may be asked some time later.
  static constexpr std::uint32_t none = 0xffffffffU;
  struct Candidate {
    std::uint32_t value = none;
    bool ask_second = false;
  };
  // `line` is line(hash).
  [[nodiscard]] Candidate candidate(const void* line, std::uint64_t hash) const {
    const Bucket& bucket = *static_cast<const Bucket*>(line);
    if (const std::uint32_t mask = packet::matching_slots(bucket.tags, packet::tag_of(hash)); mask != 0) [[likely]] {
      return {bucket.values[static_cast<std::size_t>(std::countr_zero(mask))], false};
    }
    if (bucket.overflow == 0) {
      return {};
    }
    packet::prefetch_to_read(&buckets_[second(hash)]);
    return {none, true};
  }
  [[nodiscard]] std::uint32_t candidate_in_second(std::uint64_t hash) const {
    const Bucket& bucket = buckets_[second(hash)];
    const std::uint32_t mask = packet::matching_slots(bucket.tags, packet::tag_of(hash));
    return mask != 0 ? bucket.values[static_cast<std::size_t>(std::countr_zero(mask))] : none;
  }

  // Calls `matches(value)` for every entry whose tag fits, until it returns true; returns whether it did.
  template <class Matches>
  [[nodiscard]] bool find(std::uint64_t hash, Matches&& matches) const {
    const Bucket& bucket = buckets_[first(hash)];
    if (probe(bucket, packet::tag_of(hash), matches)) {
      return true;
    }
    return bucket.overflow != 0 && probe(buckets_[second(hash)], packet::tag_of(hash), matches);
  }

  // False when both buckets are full and nothing in them can move. `hash_of(value)` is the hash that an entry was
  // inserted with.
  template <class HashOf>
  [[nodiscard]] bool insert(std::uint64_t hash, std::uint32_t value, HashOf&& hash_of) {
    Bucket& bucket = buckets_[first(hash)];
    if (place(bucket, packet::tag_of(hash), value)) {
      return true;
    }
    Bucket& other = buckets_[second(hash)];
    if (place(other, packet::tag_of(hash), value)) {
      ++bucket.overflow;
      return true;
    }
    if (move_one_out_of(bucket, hash_of)) {
      return place(bucket, packet::tag_of(hash), value);
    }
    if (move_one_out_of(other, hash_of) && place(other, packet::tag_of(hash), value)) {
      ++bucket.overflow;
      return true;
    }
    return false;
  }

  // Removes an entry that was inserted with the same hash.
  void erase(std::uint64_t hash, std::uint32_t value) {
    Bucket& bucket = buckets_[first(hash)];
    if (!take(bucket, packet::tag_of(hash), value) && take(buckets_[second(hash)], packet::tag_of(hash), value)) {
      --bucket.overflow;
    }
  }

 private:
  [[nodiscard]] std::uint32_t first(std::uint64_t hash) const { return packet::reduce(hash, count_); }
  [[nodiscard]] std::uint32_t second(std::uint64_t hash) const {
    return packet::reduce(hash * 0x9e3779b97f4a7c15U, count_);
  }

  template <class Matches>
  [[nodiscard]] static bool probe(const Bucket& bucket, std::uint16_t tag, Matches& matches) {
    for (std::uint32_t mask = packet::matching_slots(bucket.tags, tag); mask != 0; mask &= mask - 1) {
      if (matches(bucket.values[static_cast<std::size_t>(std::countr_zero(mask))])) {
        return true;
      }
    }
    return false;
  }

  // Makes room in a full bucket: the first entry whose other bucket has a free slot goes there.
  template <class HashOf>
  [[nodiscard]] bool move_one_out_of(Bucket& bucket, HashOf& hash_of) {
    for (std::size_t slot = 0; slot < slots; ++slot) {
      const std::uint64_t hash = hash_of(bucket.values[slot]);
      Bucket& home = buckets_[first(hash)];
      const bool leaves_home = &home == &bucket;
      if (!place(leaves_home ? buckets_[second(hash)] : home, bucket.tags[slot], bucket.values[slot])) {
        continue;
      }
      home.overflow += leaves_home ? 1U : ~0U;
      bucket.tags[slot] = 0;
      return true;
    }
    return false;
  }

  [[nodiscard]] static bool place(Bucket& bucket, std::uint16_t tag, std::uint32_t value) {
    const std::uint32_t empty = packet::matching_slots(bucket.tags, 0);
    if (empty == 0) {
      return false;
    }
    const auto slot = static_cast<std::size_t>(std::countr_zero(empty));
    bucket.tags[slot] = tag;
    bucket.values[slot] = value;
    return true;
  }

  [[nodiscard]] static bool take(Bucket& bucket, std::uint16_t tag, std::uint32_t value) {
    for (std::uint32_t mask = packet::matching_slots(bucket.tags, tag); mask != 0; mask &= mask - 1) {
      const auto slot = static_cast<std::size_t>(std::countr_zero(mask));
      if (bucket.values[slot] == value) {
        bucket.tags[slot] = 0;
        return true;
      }
    }
    return false;
  }

  Bucket* buckets_;
  std::uint32_t count_;
};

}  // namespace steelyard::l4
