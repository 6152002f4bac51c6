// Which slot a segment belongs to: keyed hash of its endpoints -> value. One table for connections, half-open ones and
// those in TIME_WAIT, so that a segment costs one probe whatever it meets.
//
//   bucket, 64 bytes: 10 tags of 16 bits | 10 values of 32 bits | passed
//
// An entry lies in its bucket or, when that is full, in the next one with room; `passed` counts the entries that have
// gone by a bucket, so that a search, hit or miss, normally ends after one cache line and nothing is left behind by
// deletions. The hash is keyed (packet/hash.h): the NIC's own can be computed by everybody.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

#include "dataplane/packet/hash.h"
#include "dataplane/packet/tag_match.h"

namespace steelyard::tcp {

class Lookup {
 public:
  static constexpr std::uint32_t none = 0xffffffffU;

  // For at most `entries`: eight of ten slots used.
  explicit Lookup(std::size_t entries, std::pmr::memory_resource* resource = std::pmr::get_default_resource())
      : buckets_(entries / 8 + 1, resource) {}

  // Where a search begins, to be prefetched.
  [[nodiscard]] const void* line(std::uint64_t hash) const { return &buckets_[home(hash)]; }

  // What find() will look at first, to be prefetched: of the first bucket only, and by its tag alone. `none` when there
  // is nothing.
  [[nodiscard]] std::uint32_t candidate(std::uint64_t hash) const {
    const Bucket& bucket = buckets_[home(hash)];
    const std::uint32_t fitting = packet::matching_slots(bucket.tags, packet::tag_of(hash));
    return fitting == 0 ? none : bucket.values[static_cast<std::size_t>(std::countr_zero(fitting))];
  }

  // The value for which `match(value)` is true.
  template <class Match>
  [[nodiscard]] std::uint32_t find(std::uint64_t hash, Match&& match) const {
    std::uint32_t at = home(hash);
    for (std::size_t searched = 0; searched < buckets_.size(); ++searched) {
      const Bucket& bucket = buckets_[at];
      for (std::uint32_t fitting = packet::matching_slots(bucket.tags, packet::tag_of(hash)); fitting != 0;
           fitting &= fitting - 1) {
        if (const std::uint32_t value = bucket.values[static_cast<std::size_t>(std::countr_zero(fitting))];
            match(value)) {
          return value;
        }
      }
      if (bucket.passed == 0) {
        break;
      }
      at = next(at);
    }
    return none;
  }

  // There is room: the owner's tables hold no more than the table was made for.
  void insert(std::uint64_t hash, std::uint32_t value) {
    for (std::uint32_t at = home(hash);; at = next(at)) {
      Bucket& bucket = buckets_[at];
      if (const std::uint32_t free = packet::matching_slots(bucket.tags, 0); free != 0) {
        const auto slot = static_cast<std::size_t>(std::countr_zero(free));
        bucket.tags[slot] = packet::tag_of(hash);
        bucket.values[slot] = value;
        ++used_;
        return;
      }
      ++bucket.passed;
    }
  }

  // Of an entry that is there.
  void erase(std::uint64_t hash, std::uint32_t value) {
    for (std::uint32_t at = home(hash);; at = next(at)) {
      Bucket& bucket = buckets_[at];
      for (std::uint32_t fitting = packet::matching_slots(bucket.tags, packet::tag_of(hash)); fitting != 0;
           fitting &= fitting - 1) {
        if (const auto slot = static_cast<std::size_t>(std::countr_zero(fitting)); bucket.values[slot] == value) {
          bucket.tags[slot] = 0;
          --used_;
          return;
        }
      }
      --bucket.passed;
    }
  }

  [[nodiscard]] std::size_t used() const { return used_; }

 private:
  struct alignas(64) Bucket {
    packet::BucketTags tags{};  // 0: free
    std::array<std::uint32_t, packet::bucket_slots> values{};
    std::uint32_t passed = 0;
  };
  static_assert(sizeof(Bucket) == 64);

  [[nodiscard]] std::uint32_t home(std::uint64_t hash) const {
    return packet::reduce(hash, static_cast<std::uint32_t>(buckets_.size()));
  }
  [[nodiscard]] std::uint32_t next(std::uint32_t bucket) const {
    return bucket + 1 == buckets_.size() ? 0 : bucket + 1;
  }

  std::pmr::vector<Bucket> buckets_;
  std::size_t used_ = 0;
};

}  // namespace steelyard::tcp
