// TCP sequence numbers: 32-bit, wrapping (RFC 9293 section 3.4). The comparison lives here and nowhere else.
#pragma once

#include <cstdint>

namespace steelyard::packet {

struct Sequence {
  std::uint32_t value = 0;  // host order

  friend constexpr bool operator==(Sequence, Sequence) = default;
  friend constexpr Sequence operator+(Sequence sequence, std::uint32_t octets) { return {sequence.value + octets}; }
  friend constexpr Sequence operator-(Sequence sequence, std::uint32_t octets) { return {sequence.value - octets}; }
};

// The octets from `from` to `to`, modulo 2^32.
[[nodiscard]] constexpr std::uint32_t distance(Sequence from, Sequence to) {
  return to.value - from.value;
}

// Is `left` later than `right`, given that they are less than 2^31 apart?
[[nodiscard]] constexpr bool after(Sequence left, Sequence right) {
  return static_cast<std::int32_t>(left.value - right.value) > 0;
}
[[nodiscard]] constexpr Sequence later_of(Sequence left, Sequence right) {
  return after(left, right) ? left : right;
}

}  // namespace steelyard::packet
