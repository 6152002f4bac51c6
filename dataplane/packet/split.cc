#include "dataplane/packet/split.h"

#include <algorithm>

#include "dataplane/packet/checksum.h"

namespace steelyard::packet {
namespace {

constexpr std::uint16_t more_fragments_v4 = 0x2000;
constexpr std::uint16_t more_fragments_v6 = 1;

// Options that belong in the first piece alone become no-operations in the others (RFC 791 section 3.1).
void keep_copied_options(std::span<std::uint8_t> options) {
  constexpr std::uint8_t end = 0;
  constexpr std::uint8_t no_operation = 1;
  constexpr std::uint8_t copied = 0x80;
  while (!options.empty() && options[0] != end) {
    if (options[0] == no_operation) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) {
      return;
    }
    const auto option = options.first(options[1]);
    options = options.subspan(option.size());
    if ((option[0] & copied) == 0) {
      std::ranges::fill(option, no_operation);
    }
  }
}

}  // namespace

template <class Family>
void write_piece_header(std::span<std::uint8_t> room, std::span<const std::uint8_t> header, const Piece& piece,
                        std::uint32_t id) {
  std::ranges::copy(header, room.begin());
  if constexpr (Family::is_v6) {
    std::uint8_t* fragment = room.data() + header.size();
    fragment[0] = header[6];
    fragment[1] = 0;
    const auto more = piece.last ? std::uint16_t{0} : more_fragments_v6;
    store(fragment + 2, __builtin_bswap16(static_cast<std::uint16_t>(piece.offset | more)));
    store(fragment + 4, id);
    room[6] = protocol_fragment;
    store(room.data() + 4, __builtin_bswap16(static_cast<std::uint16_t>(fragment_header_size + piece.length)));
  } else {
    if (piece.offset != 0) {
      keep_copied_options(room.first(header.size()).subspan(Ipv4::header_size));
    }
    const std::uint16_t before = load_be16(header.data() + 6);
    const auto offset = static_cast<std::uint16_t>((before & 0x1fffU) + piece.offset / 8);
    const auto more = piece.last ? static_cast<std::uint16_t>(before & more_fragments_v4) : more_fragments_v4;
    store(room.data() + 2, __builtin_bswap16(static_cast<std::uint16_t>(header.size() + piece.length)));
    store(room.data() + 4, static_cast<std::uint16_t>(id));
    store(room.data() + 6, __builtin_bswap16(static_cast<std::uint16_t>(offset | more)));
    store(room.data() + 10, std::uint16_t{0});
    store(room.data() + 10, ipv4_header_checksum(room.first(header.size())));
  }
}

template void write_piece_header<Ipv4>(std::span<std::uint8_t>, std::span<const std::uint8_t>, const Piece&,
                                       std::uint32_t);
template void write_piece_header<Ipv6>(std::span<std::uint8_t>, std::span<const std::uint8_t>, const Piece&,
                                       std::uint32_t);

}  // namespace steelyard::packet
