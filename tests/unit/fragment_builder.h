// Packets cut into fragments, and put together again as a receiver does, for tests and fuzz targets. What puts them
// together is strict: it takes no overlap, no gap, and pieces of one datagram alone.
#pragma once

#include <optional>
#include <vector>

#include "tests/unit/packet_builder.h"

namespace steelyard::test {

struct FragmentFields {
  std::uint32_t id = 0x1234;
  std::size_t offset = 0;  // bytes
  bool more = false;
  std::uint8_t ttl = 64;
};

// One fragment with these data of layer 4.
template <class Family>
[[nodiscard]] Frame fragment(const typename Family::Address& source, const typename Family::Address& destination,
                             std::uint8_t protocol, const Bytes& data, const FragmentFields& fields) {
  const auto flags = static_cast<std::uint16_t>(fields.offset);
  if constexpr (Family::is_v6) {
    Bytes header(8);
    header[0] = protocol;
    put16(header, 2, flags | (fields.more ? 1U : 0U));
    put32(header, 4, fields.id);
    return ip<Family>(source, destination, protocol, data,
                      {.ttl = fields.ttl, .options = header, .first_next = packet::protocol_fragment});
  } else {
    Frame frame = ip<Family>(source, destination, protocol, data, {.ttl = fields.ttl});
    put16(frame.bytes, 18, fields.id);
    put16(frame.bytes, 20, flags / 8U | (fields.more ? 0x2000U : 0U));
    put16(frame.bytes, 24, 0);
    put16(frame.bytes, 24, slow_checksum(frame.l3().first(20)));
    return frame;
  }
}

// A whole packet without options, cut after every `piece` bytes, a multiple of eight.
template <class Family>
[[nodiscard]] std::vector<Frame> cut(Frame whole, std::size_t piece, std::uint32_t id = 0x1234) {
  const auto view = whole.parse();
  const auto data = whole.l4();
  std::vector<Frame> pieces;
  for (std::size_t at = 0; at < data.size(); at += piece) {
    const auto part = data.subspan(at, std::min(piece, data.size() - at));
    pieces.push_back(fragment<Family>(view.template source<Family>(), view.template destination<Family>(),
                                      whole.protocol(), {part.begin(), part.end()},
                                      {.id = id, .offset = at, .more = at + piece < data.size(), .ttl = whole.ttl()}));
  }
  return pieces;
}

// What a receiver looks at; of a fragment as cut() makes them.
template <class Family>
struct Piece {
  typename Family::Address source;
  typename Family::Address destination;
  std::uint32_t id = 0;
  std::size_t offset = 0;
  bool more = false;
  Bytes data{};

  [[nodiscard]] static Piece of(Frame frame) {
    const auto l3 = frame.l3();
    Piece piece{packet::load<typename Family::Address>(l3.data() + Family::source_offset),
                packet::load<typename Family::Address>(l3.data() + Family::destination_offset)};
    const std::size_t field = get16(l3, Family::is_v6 ? 42 : 6);
    piece.id = Family::is_v6 ? get32(l3, 44) : get16(l3, 4);
    piece.offset = Family::is_v6 ? field & 0xfff8U : (field & 0x1fffU) * 8;
    piece.more = (field & (Family::is_v6 ? 1U : 0x2000U)) != 0;
    const auto data = l3.subspan(Family::is_v6 ? 48 : 20);
    piece.data = {data.begin(), data.end()};
    return piece;
  }
};

// The datagram that these fragments make, in a frame, or nothing when a receiver would not take them. Headers of
// fragments have right checksums; whether the datagram has is asked of the result.
template <class Family>
[[nodiscard]] std::optional<Frame> join(std::vector<Frame> frames) {
  if (frames.empty()) {
    return std::nullopt;
  }
  std::ranges::sort(frames, {}, [](const Frame& frame) { return Piece<Family>::of(frame).offset; });
  const auto first = Piece<Family>::of(frames[0]);
  Bytes datagram;
  for (Frame& frame : frames) {
    const auto piece = Piece<Family>::of(frame);
    const bool right_header = Family::is_v6 || slow_checksum(frame.l3().first(20)) == 0;
    const bool same = piece.id == first.id && piece.source == first.source && piece.destination == first.destination;
    if (!right_header || !same || piece.offset != datagram.size() || piece.more == (&frame == &frames.back())) {
      return std::nullopt;
    }
    append(datagram, piece.data);
  }
  const std::uint8_t protocol = Family::is_v6 ? frames[0].bytes[54] : frames[0].protocol();
  return ip<Family>(first.source, first.destination, protocol, datagram, {.ttl = frames[0].ttl()});
}

}  // namespace steelyard::test
