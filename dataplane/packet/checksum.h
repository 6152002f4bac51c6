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
class ChecksumDelta {
 public:
  void replace(std::uint16_t before, std::uint16_t after) {
    sum_ += static_cast<std::uint16_t>(~before);
    sum_ += after;
  }
  void replace(std::uint32_t before, std::uint32_t after) {
    sum_ += static_cast<std::uint32_t>(~before);
    sum_ += after;
  }
  void replace(const Ipv4Address& before, const Ipv4Address& after) { replace(before.raw, after.raw); }
  void replace(const Ipv6Address& before, const Ipv6Address& after) {
    for (std::size_t word = 0; word < 2; ++word) {
      replace(static_cast<std::uint32_t>(before.raw[word]), static_cast<std::uint32_t>(after.raw[word]));
      replace(static_cast<std::uint32_t>(before.raw[word] >> 32), static_cast<std::uint32_t>(after.raw[word] >> 32));
    }
  }
  void add(const ChecksumDelta& other) { sum_ += other.sum_; }

  // The checksum after the change. RFC 1624 section 3: HC' = ~(~HC + ~m + m').
  [[nodiscard]] std::uint16_t apply(std::uint16_t checksum) const {
    return static_cast<std::uint16_t>(~fold(sum_ + static_cast<std::uint16_t>(~checksum)));
  }

 private:
  std::uint64_t sum_ = 0;  // cannot overflow: a packet's worth of 32-bit words
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
