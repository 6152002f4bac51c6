// Segments as they stand in packets: headers read and written, checksums over payload that lies in pieces. The IP
// header is packet/build.h's, the parsing of frames packet/view.h's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/view.h"
#include "dataplane/tcp/endpoints.h"
#include "dataplane/tcp/segment.h"

namespace steelyard::tcp {

inline constexpr std::size_t largest_tcp_header = packet::tcp_header_size + max_options_size;

// The one's complement sum of pieces that follow each other, whatever their lengths: a piece that begins at an odd
// place counts with its bytes exchanged (RFC 1071 section 2 B).
class PiecewiseSum {
 public:
  void add(std::span<const std::uint8_t> piece) {
    const std::uint16_t sum = packet::fold(packet::sum_of(piece));
    sum_ += odd_ ? __builtin_bswap16(sum) : sum;
    odd_ = odd_ != (piece.size() % 2 != 0);
  }
  [[nodiscard]] std::uint64_t value() const { return sum_; }

 private:
  std::uint64_t sum_ = 0;
  bool odd_ = false;
};

// Reads a header that the parser has found whole: `tcp` covers it and its options, at least 20 octets.
// `header` has been made anew. (A copy of it would wait for what has just been written piece by piece.)
void read_header(std::span<const std::uint8_t> tcp, SegmentHeader& header);
[[nodiscard]] inline SegmentHeader read_header(std::span<const std::uint8_t> tcp) {
  SegmentHeader header;
  read_header(tcp, header);
  return header;
}

// The endpoints of a packet that has come, its sender being the remote one. Of kind l4 only.
[[nodiscard]] Endpoints endpoints_of(const packet::PacketView& view);

// Writes header and options of a segment to the remote end; returns their length. The checksum is left 0.
[[nodiscard]] std::size_t write_header(std::span<std::uint8_t, largest_tcp_header> to, const Endpoints& endpoints,
                                       const SegmentHeader& segment);

// Stores the checksum of a segment whose header is `header` and whose payload has this length and sum.
void store_checksum(std::span<std::uint8_t> header, const Endpoints& endpoints, std::size_t payload_length,
                    std::uint64_t payload_sum);

// Stores what hardware that computes the checksum wants to find there: the sum over the pseudo header.
void store_pseudo_header_sum(std::span<std::uint8_t> header, const Endpoints& endpoints, std::size_t payload_length);

// Is the checksum of a segment that has come right? It is `length` octets long and sums up to `sum`.
[[nodiscard]] bool checksum_is_right(std::uint64_t sum, std::size_t length, const Endpoints& endpoints);
[[nodiscard]] inline bool checksum_is_right(std::span<const std::uint8_t> segment, const Endpoints& endpoints) {
  return checksum_is_right(packet::sum_of(segment), segment.size(), endpoints);
}

}  // namespace steelyard::tcp
