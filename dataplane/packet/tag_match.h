// Which entries of a hash bucket of one cache line may be the wanted one: ten tags compared at once, without a branch
// that depends on where it lies.
#pragma once

#include <emmintrin.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/packet/family.h"

namespace steelyard::packet {

inline constexpr std::size_t bucket_slots = 10;
using BucketTags = std::array<std::uint16_t, bucket_slots>;

// Bit i of the result: does slot i carry the tag? `tags` is the beginning of an aligned bucket.
[[nodiscard]] inline std::uint32_t matching_slots(const BucketTags& tags, std::uint16_t tag) {
  const __m128i wanted = _mm_set1_epi16(static_cast<short>(tag));
  const __m128i eight = _mm_load_si128(reinterpret_cast<const __m128i*>(tags.data()));
  const __m128i two = _mm_cvtsi32_si128(load<int>(tags.data() + 8));
  const __m128i packed = _mm_packs_epi16(_mm_cmpeq_epi16(eight, wanted), _mm_cmpeq_epi16(two, wanted));
  return static_cast<std::uint32_t>(_mm_movemask_epi8(packed)) & ((1U << bucket_slots) - 1);
}

// From the low bits of a hash, whose high ones choose the bucket (hash.h, reduce()); 0 marks a free slot.
[[nodiscard]] inline std::uint16_t tag_of(std::uint64_t hash) {
  const auto low = static_cast<std::uint16_t>(hash);
  return low == 0 ? std::uint16_t{1} : low;
}

}  // namespace steelyard::packet
