// Internet checksums: RFC 1071 in full, RFC 1624 (equation 3) incrementally. All values are taken and stored in the
// byte order of the packet; one's complement addition does not care which that is.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/packet/family.h"

namespace steelyard::packet {

// A number plus itself with its halves exchanged: the carry of the lower sum is the one that the upper sum owes itself.
[[nodiscard]] inline std::uint16_t fold(std::uint64_t sum) {
  const auto half = static_cast<std::uint32_t>((sum + std::rotl(sum, 32)) >> 32U);
  return static_cast<std::uint16_t>((half + std::rotl(half, 16)) >> 16U);
}

// One's complement sum of a byte range, not complemented; an odd last byte is padded with zero.
[[nodiscard]] inline std::uint64_t sum_of(std::span<const std::uint8_t> bytes) {
  std::uint64_t sum = 0;
  std::size_t at = 0;
  for (; at + 16 <= bytes.size(); at += 16) {
    const std::uint8_t* words = bytes.data() + at;
    sum += (std::uint64_t{load<std::uint32_t>(words)} + load<std::uint32_t>(words + 4)) +
           (std::uint64_t{load<std::uint32_t>(words + 8)} + load<std::uint32_t>(words + 12));
  }
  for (; at + 4 <= bytes.size(); at += 4) {
    sum += load<std::uint32_t>(bytes.data() + at);
  }
  for (; at + 2 <= bytes.size(); at += 2) {
    sum += load<std::uint16_t>(bytes.data() + at);
  }
  if (at < bytes.size()) {
    std::uint16_t last = 0;
    std::memcpy(&last, bytes.data() + at, 1);
    sum += last;
  }
  return sum;
}

// A pending change of a checksum: collects what leaves and what enters the covered words, and is applied once.
//
// RFC 1624 section 3: HC' = ~(~HC + ~m + m'). One's complement arithmetic is arithmetic modulo 65,535, in which ~m is
// -m and a word of 32 bits weighs what its two halves do; so it is counted as after - before, from a multiple of 65,535
// that keeps it positive.
class ChecksumDelta {
 public:
  void replace(std::uint16_t before, std::uint16_t after) { sum_ += std::uint64_t{after} - before; }
  void replace(std::uint32_t before, std::uint32_t after) { sum_ += std::uint64_t{after} - before; }
  void replace(std::uint64_t before, std::uint64_t after) {
    replace(static_cast<std::uint32_t>(before), static_cast<std::uint32_t>(after));
    replace(static_cast<std::uint32_t>(before >> 32U), static_cast<std::uint32_t>(after >> 32U));
  }
  template <class Family>
  void replace(const AddressPair<Family>& before, const AddressPair<Family>& after) {
    for (std::size_t word = 0; word < before.words.size(); ++word) {
      replace(before.words[word], after.words[word]);
    }
  }
  void add(const ChecksumDelta& other) { sum_ += other.sum_; }

  // The checksum after the change.
  [[nodiscard]] std::uint16_t apply(std::uint16_t checksum) const {
    return static_cast<std::uint16_t>(~fold(base + sum_ + static_cast<std::uint16_t>(~checksum)));
  }

 private:
  static constexpr std::uint64_t base = std::uint64_t{0xffff} << 32U;  // more than a packet's worth of 32-bit words
  std::uint64_t sum_ = 0;                                              // modulo 2^64: may be below zero
};

// The checksum of an IPv4 header, to be stored as it is. Over a header that carries a right one, the result is 0.
[[nodiscard]] inline std::uint16_t ipv4_header_checksum(std::span<const std::uint8_t> header) {
  return static_cast<std::uint16_t>(~fold(sum_of(header)));
}

// TCP, UDP or ICMPv6 checksum with its pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1).
template <class Family>
[[nodiscard]] inline std::uint16_t l4_checksum(const typename Family::Address& source,
                                               const typename Family::Address& destination, std::uint8_t protocol,
                                               std::span<const std::uint8_t> segment) {
  std::uint64_t sum = sum_of(source.bytes()) + sum_of(destination.bytes()) + sum_of(segment);
  sum += __builtin_bswap16(static_cast<std::uint16_t>(protocol));
  sum += __builtin_bswap32(static_cast<std::uint32_t>(segment.size()));
  return static_cast<std::uint16_t>(~fold(sum));
}

}  // namespace steelyard::packet
