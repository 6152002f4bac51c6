// The short way through the parser for what nearly every packet is: TCP straight behind an IP header without options,
// whole and well-formed. It accepts only what parse() accepts and fills in the same view; whatever is unusual or wrong
// it leaves to parse(), which names the reason. It must never accept more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/view.h"

namespace steelyard::packet {

// Bit f: a segment with the flags f (FIN 1, SYN 2, RST 4, PSH 8, ACK 16) exists in RFC 9293: exactly one of none, SYN,
// FIN and RST, and ACK unless it is SYN or RST.
inline constexpr std::uint32_t possible_flags = [] {
  std::uint32_t possible = 0;
  for (std::uint32_t flags = 0; flags < 32; ++flags) {
    const std::uint32_t control = flags & (tcp_flag::syn | tcp_flag::fin | tcp_flag::rst);
    const bool at_most_one = (control & (control - 1)) == 0;
    const bool answers = (flags & (tcp_flag::syn | tcp_flag::rst | tcp_flag::ack)) != 0;
    possible |= at_most_one && answers ? 1U << flags : 0U;
  }
  return possible;
}();

// The checks of an IP header that parse() makes in more detail.
template <class Family>
[[nodiscard]] inline bool is_plain_header(const std::uint8_t* l3, ParseOptions options) {
  const auto source = load<typename Family::Address>(l3 + Family::source_offset);
  const auto destination = load<typename Family::Address>(l3 + Family::destination_offset);
  if constexpr (Family::is_v6) {
    // fe80::/10, fd00::/8 and 2000::/3 do not begin with zeros: what does (unspecified, loopback, mapped) goes the long
    // way, on either side.
    return l3[0] >> 4U == 6 && l3[6] == protocol_tcp && source.raw[0] != 0 && destination.raw[0] != 0 &&
           l3[Family::source_offset] != 0xff && !(source == destination);
  } else {
    const std::uint64_t first = load<std::uint64_t>(l3);
    const std::uint64_t second = load<std::uint64_t>(l3 + 8);
    constexpr std::uint64_t fragment_bits = std::uint64_t{0xff3f} << 48U;  // more fragments, offset
    const std::uint64_t sum = (first & 0xffffffffU) + (first >> 32U) + (second & 0xffffffffU) + (second >> 32U) +
                              load<std::uint32_t>(l3 + 16);
    const std::uint8_t top = l3[Family::source_offset];
    return l3[0] == 0x45 && (first & fragment_bits) == 0 && l3[9] == protocol_tcp &&
           (options.ip_checksum_verified || fold(sum) == 0xffff) && top != 0 && top != 127 && top < 0xe0 &&
           source.raw != destination.raw;
  }
}

// True: `view` is complete but for `contiguous`: what is said about a TCP packet needs no quote of it. False: nothing
// is known yet, and `view` is as it was.
template <class Family>
[[nodiscard]] inline bool parse_plain_tcp(std::span<std::uint8_t> first_segment, std::size_t frame_length,
                                          ParseOptions options, PacketView& view) {
  constexpr std::size_t headers = Family::header_size + tcp_header_size;
  std::uint8_t* l3 = first_segment.data() + ethernet_header_size;
  if (first_segment.size() < ethernet_header_size + headers || !is_plain_header<Family>(l3, options)) {
    return false;
  }
  std::uint8_t* l4 = l3 + Family::header_size;
  const std::size_t length = Family::is_v6 ? Family::header_size + __builtin_bswap16(load<std::uint16_t>(l3 + 4))
                                           : __builtin_bswap16(load<std::uint16_t>(l3 + 2));
  const std::size_t options_end = Family::header_size + (std::size_t{l4[12]} >> 4U << 2U);
  const std::uint32_t possible = possible_flags >> (l4[13] & 0x1fU) & 1U;
  if (length > frame_length - ethernet_header_size || options_end < headers || options_end > length ||
      options_end > first_segment.size() - ethernet_header_size || possible == 0 || load<std::uint16_t>(l4) == 0 ||
      load<std::uint16_t>(l4 + 2) == 0) {
    return false;
  }
  view.l3 = l3;
  view.l4 = l4;
  view.l4_length = static_cast<std::uint16_t>(length - Family::header_size);
  view.tcp_payload = static_cast<std::uint16_t>(length - options_end);
  view.l3_length = static_cast<std::uint16_t>(length);
  view.kind = PacketKind::l4;
  view.drop = PacketView{}.drop;
  view.is_v6 = Family::is_v6;
  view.protocol = protocol_tcp;
  view.tcp_flags = l4[13];
  return true;
}

}  // namespace steelyard::packet
