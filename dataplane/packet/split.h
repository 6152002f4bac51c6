// Splitting an IP packet for a link that it does not fit (RFC 791 section 3.2; for IPv6 only a packet that is our own,
// RFC 8200 section 4.5). Pure: writes one piece's header; who has the buffers copies the data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/packet/view.h"

namespace steelyard::packet {

// A piece of a packet's data, which follow its header.
struct Piece {
  std::size_t offset = 0;  // a multiple of eight
  std::size_t length = 0;
  bool last = false;
};

// The whole header of the packet at `l3`: that of IPv4 with its options, of IPv6 without extension headers.
template <class Family>
[[nodiscard]] inline std::size_t header_length(const std::uint8_t* l3) {
  return Family::is_v6 ? Family::header_size : std::size_t{l3[0] & 0x0fU} << 2U;
}

// Bytes by which a piece's header is longer.
template <class Family>
inline constexpr std::size_t piece_overhead = Family::is_v6 ? fragment_header_size : 0;

// Writes the header of a piece of the packet whose header is `header`, and its fragment header. The packet may be a
// fragment itself. `id` is the identification in network order, as write_identification() of fragment.h takes it.
template <class Family>
void write_piece_header(std::span<std::uint8_t> room, std::span<const std::uint8_t> header, const Piece& piece,
                        std::uint32_t id);

}  // namespace steelyard::packet
