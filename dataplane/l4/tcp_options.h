// TCP options in place (RFC 9293 section 3.1): found, overwritten and lowered, with the checksum kept by what changes.
// Nothing here moves a byte: an option that must go becomes no-operations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/packet/checksum.h"

namespace steelyard::l4 {

// RFC 9293 section 3.2, RFC 7323 section 3.2, RFC 2018 section 3, RFC 8684 section 3, RFC 7413 section 4.1.1, RFC 4727
// section 7.
namespace tcp_option {
inline constexpr std::uint8_t end = 0;
inline constexpr std::uint8_t no_operation = 1;
inline constexpr std::uint8_t maximum_segment_size = 2;
inline constexpr std::uint8_t sack = 5;
inline constexpr std::uint8_t timestamps = 8;
inline constexpr std::uint8_t multipath = 30;
inline constexpr std::uint8_t fast_open = 34;
inline constexpr std::uint8_t experiment = 254;  // the second of two; TOA is one of those who use it
}  // namespace tcp_option

// Calls `visit(kind, option)` for every well-formed option, `option` covering kind and length bytes too. Stops at the
// first malformed one: what cannot be read is passed on as it is.
template <class Visit>
inline void for_each_option(std::uint8_t* tcp, Visit&& visit) {
  std::span<std::uint8_t> rest{tcp + 20, (std::size_t{tcp[12]} >> 4U << 2U) - 20};
  while (!rest.empty() && rest[0] != tcp_option::end) {
    if (rest[0] == tcp_option::no_operation) {
      rest = rest.subspan(1);
      continue;
    }
    if (rest.size() < 2 || rest[1] < 2 || rest[1] > rest.size()) {
      return;
    }
    visit(rest[0], rest.first(rest[1]));
    rest = rest.subspan(rest[1]);
  }
}

// One byte of the header, wherever it stands in the word that the checksum covers.
inline void replace_byte(std::uint8_t* tcp, std::uint8_t* at, std::uint8_t value, packet::ChecksumDelta& checksum) {
  std::uint8_t* word = tcp + (static_cast<std::size_t>(at - tcp) & ~std::size_t{1});
  const auto before = packet::load<std::uint16_t>(word);
  *at = value;
  checksum.replace(before, packet::load<std::uint16_t>(word));
}

// Makes no-operations of an option.
inline void erase_option(std::uint8_t* tcp, std::span<std::uint8_t> option, packet::ChecksumDelta& checksum) {
  for (std::uint8_t& byte : option) {
    replace_byte(tcp, &byte, tcp_option::no_operation, checksum);
  }
}

// Has the header no options but what nearly every established segment has: none, or timestamps laid out as RFC 7323
// appendix A recommends?
[[nodiscard]] inline bool has_common_options(const std::uint8_t* tcp) {
  constexpr std::uint8_t without = 5 << 4;
  constexpr std::uint8_t with_timestamps = 8 << 4;
  constexpr std::uint32_t timestamps_alone =
      0x0a080101;  // no-operation, no-operation, timestamps, as a packet has them
  const unsigned length = tcp[12] & 0xf0U;
  return length == without || (length == with_timestamps && packet::load<std::uint32_t>(tcp + 20) == timestamps_alone);
}

// What a client says in the option by which balancers tell servers who their client is (client_option.h), overwritten.
// Not inlined: hardly a segment has options that must be looked at one by one. Returns the change of the checksum.
[[nodiscard, gnu::noinline]] inline packet::ChecksumDelta erase_claims(std::uint8_t* tcp) {
  packet::ChecksumDelta checksum;
  for_each_option(tcp, [&](std::uint8_t kind, std::span<std::uint8_t> option) {
    if (kind == tcp_option::experiment) {
      erase_option(tcp, option, checksum);
    }
  });
  return checksum;
}

// Takes the timestamps option out of a SYN: without it the server judges a reused local port by sequence numbers alone,
// and those we keep growing.
inline void strip_timestamps(std::uint8_t* tcp, packet::ChecksumDelta& checksum) {
  for_each_option(tcp, [&](std::uint8_t kind, std::span<std::uint8_t> option) {
    if (kind == tcp_option::timestamps) {
      erase_option(tcp, option, checksum);
    }
  });
}

// Makes the maximum segment size of a SYN or SYN-ACK at most `most`. One without the option stays: its sender gets the
// default (RFC 9293 section 3.7.1), 536 or 1,220, and so small a packet is not grown beyond a link by us.
inline void lower_segment_size(std::uint8_t* tcp, std::uint16_t most, packet::ChecksumDelta& checksum) {
  for_each_option(tcp, [&](std::uint8_t kind, std::span<std::uint8_t> option) {
    if (kind == tcp_option::maximum_segment_size && option.size() == 4 && packet::load_be16(&option[2]) > most) {
      replace_byte(tcp, &option[2], static_cast<std::uint8_t>(most >> 8U), checksum);
      replace_byte(tcp, &option[3], static_cast<std::uint8_t>(most), checksum);
    }
  });
}

// Makes the maximum segment size of a SYN or SYN-ACK smaller by the bytes that its receiver's segments grow by on their
// way; one that is hardly larger than that stays.
inline void reduce_segment_size(std::uint8_t* tcp, std::uint16_t by, packet::ChecksumDelta& checksum) {
  std::uint16_t size = 0;
  for_each_option(tcp, [&](std::uint8_t kind, std::span<std::uint8_t> option) {
    if (kind == tcp_option::maximum_segment_size && option.size() == 4) {
      size = packet::load_be16(&option[2]);
    }
  });
  if (size > 2 * by) {
    lower_segment_size(tcp, static_cast<std::uint16_t>(size - by), checksum);
  }
}

}  // namespace steelyard::l4
