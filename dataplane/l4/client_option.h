// The client's address in a TCP option, as the kernel modules `toa` of LVS and DPVS read it: kind 254, length, port,
// address, in network order. Pure: no table, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/l4/flow.h"
#include "dataplane/l4/tcp_options.h"
#include "dataplane/packet/checksum.h"
#include "dataplane/packet/view.h"

namespace steelyard::l4 {

template <class Family>
inline constexpr std::uint8_t client_option_size = 4 + sizeof(typename Family::Address);
static_assert(client_option_size<packet::Ipv4> == 8 && client_option_size<packet::Ipv6> == 20);

// Has the header room for the option (RFC 9293 section 3.1: 60 bytes in all), and is the packet a whole one? A
// fragment's length says where the next one begins; what is behind an IPv6 extension header may be one.
template <class Family>
[[nodiscard]] inline bool has_option_room(const packet::PacketView& view) {
  constexpr std::size_t largest_header = 60;
  const std::size_t header = std::size_t{view.l4[12]} >> 4U << 2U;
  if constexpr (Family::is_v6) {
    if (view.l3 + Family::header_size != view.l4) {
      return false;
    }
  } else {
    constexpr std::uint16_t fragment_bits = 0xff3f;  // more fragments, offset, as they stand in the packet
    if ((packet::load<std::uint16_t>(view.l3 + 6) & fragment_bits) != 0) {
      return false;
    }
  }
  return header + client_option_size<Family> <= largest_header;
}

// Writes the option behind the fixed part of the TCP header, so that nothing that ends a list of options stands before
// it. What is in front moves forward: the frame begins client_option_size bytes earlier, which must be there. The
// packet has room for it (has_option_room()).
template <class Family>
inline void insert_client_option(packet::PacketView& view, const Flow<Family>& flow) {
  constexpr std::uint16_t size = client_option_size<Family>;
  const std::size_t front = packet::ethernet_header_size + static_cast<std::size_t>(view.l4 - view.l3) + 20;
  std::uint8_t* frame = view.l3 - packet::ethernet_header_size;
  std::memmove(frame - size, frame, front);
  view.l3 -= size;
  view.l4 -= size;
  std::uint8_t* option = view.l4 + 20;
  option[0] = tcp_option::experiment;
  option[1] = size;
  packet::store(option + 2, flow.client_port);
  packet::store(option + 4, flow.client);

  packet::ChecksumDelta segment;
  for (std::size_t at = 0; at < size; at += 4) {
    segment.replace(std::uint32_t{0}, packet::load<std::uint32_t>(option + at));
  }
  // The option is of whole words, so that no byte behind it changes its half of one.
  replace_byte(view.l4, view.l4 + 12, static_cast<std::uint8_t>(view.l4[12] + (size / 4 << 4U)), segment);
  segment.replace(__builtin_bswap16(view.l4_length),
                  __builtin_bswap16(static_cast<std::uint16_t>(view.l4_length + size)));
  packet::store(view.l4 + 16, segment.apply(packet::load<std::uint16_t>(view.l4 + 16)));
  view.l4_length = static_cast<std::uint16_t>(view.l4_length + size);
  view.l3_length = static_cast<std::uint16_t>(view.l3_length + size);

  constexpr std::size_t length_offset = Family::is_v6 ? 4 : 2;
  const auto before = packet::load<std::uint16_t>(view.l3 + length_offset);
  const auto after = __builtin_bswap16(static_cast<std::uint16_t>(__builtin_bswap16(before) + size));
  packet::store(view.l3 + length_offset, after);
  if constexpr (!Family::is_v6) {
    packet::ChecksumDelta header;
    header.replace(before, after);
    packet::store(view.l3 + 10, header.apply(packet::load<std::uint16_t>(view.l3 + 10)));
  }
}

}  // namespace steelyard::l4
