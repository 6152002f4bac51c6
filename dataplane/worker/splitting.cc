// Packets that do not fit the next link and may be split: IPv4 without "don't fragment", and the outer packets of
// tunnels. Each piece is a packet of ours; the whole has served its purpose.
#include <algorithm>

#include "dataplane/packet/split.h"
#include "dataplane/worker/worker.h"

namespace steelyard::worker {
namespace {

using packet::DropReason;

// Of a jumbo frame for the smallest link that IPv4 allows us to know of.
constexpr std::size_t most_pieces = 32;

template <class Family>
bool is_fragment(const std::uint8_t* l3) {
  return !Family::is_v6 && (packet::load_be16(l3 + 6) & 0x3fffU) != 0;
}

}  // namespace

void Worker::send_in_pieces(rte_mbuf* packet, neighbor::HopIndex hop, std::uint16_t mtu) {
  const bool v6 = rte_pktmbuf_mtod(packet, const std::uint8_t*)[packet::ethernet_header_size] >> 4U == 6;
  v6 ? send_in_pieces<packet::Ipv6>(packet, hop, mtu) : send_in_pieces<packet::Ipv4>(packet, hop, mtu);
}

template <class Family>
void Worker::send_in_pieces(rte_mbuf* packet, neighbor::HopIndex hop, std::uint16_t mtu) {
  const auto* frame = rte_pktmbuf_mtod(packet, const std::uint8_t*);
  const std::uint8_t* l3 = frame + packet::ethernet_header_size;
  const std::size_t header = packet::header_length<Family>(l3);
  const std::size_t data = Family::is_v6 ? packet::load_be16(l3 + 4) : std::size_t{packet::load_be16(l3 + 2)} - header;
  const std::size_t front = packet::ethernet_header_size + header + packet::piece_overhead<Family>;
  const std::size_t most = std::min<std::size_t>(mtu + packet::ethernet_header_size, nic::smallest_frame_room) - front;
  const std::size_t chunk = most & ~std::size_t{7};
  const std::size_t count = (data + chunk - 1) / chunk;
  std::array<rte_mbuf*, most_pieces> pieces;
  if (count > pieces.size() || !generate_->allocate(std::span(pieces).first(count))) {
    return drop(packet, DropReason::no_buffer);
  }
  // A fragment keeps its datagram's number: it was given by us where addresses have changed.
  const std::uint32_t id =
      is_fragment<Family>(l3)
          ? packet::load<std::uint16_t>(l3 + 4)
          : balancer_.fragment_id<Family>(packet::load<typename Family::Address>(l3 + Family::source_offset),
                                          packet::load<typename Family::Address>(l3 + Family::destination_offset));
  for (std::size_t place = 0; place < count; ++place) {
    packet::Piece piece;
    piece.offset = place * chunk;
    piece.length = std::min(chunk, data - piece.offset);
    piece.last = place + 1 == count;
    // The room is there: smallest_frame_room.
    auto* out = reinterpret_cast<std::uint8_t*>(
        rte_pktmbuf_append(pieces[place], static_cast<std::uint16_t>(front + piece.length)));
    std::memcpy(out, frame, packet::ethernet_header_size);
    packet::write_piece_header<Family>({out + packet::ethernet_header_size, front - packet::ethernet_header_size},
                                       {l3, header}, piece, id);
    std::uint8_t* to = out + front;
    const void* from =
        rte_pktmbuf_read(packet, static_cast<std::uint32_t>(packet::ethernet_header_size + header + piece.offset),
                         static_cast<std::uint32_t>(piece.length), to);
    if (from != to && from != nullptr) {
      std::memcpy(to, from, piece.length);
    }
  }
  packets_.generated.add(count);
  packets_.consumed.add();
  packets_.split.add();
  rte_pktmbuf_free(packet);
  for (rte_mbuf* piece : std::span(pieces).first(count)) {
    release(piece, hop);
  }
}

}  // namespace steelyard::worker
