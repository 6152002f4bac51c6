// VLANs of a port (IEEE 802.1Q): each is a link of its own, whose frames are tagged on the wire and nowhere else. Tags
// are taken off before anybody looks at a packet and put on when it is sent, so that ports without VLANs pay nothing.
#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/worker/worker.h"

namespace steelyard::worker {
namespace {

using packet::DropReason;

constexpr std::size_t addresses = 12;  // of a frame, in front of the tag
constexpr std::uint16_t id_bits = 0x0fff;

}  // namespace

// The link that a frame belongs to, with its tag taken off. Nothing: it is for a VLAN that we are not in.
std::optional<std::uint16_t> Worker::take_tag_off(rte_mbuf* packet, std::uint16_t carrier) const {
  auto* frame = rte_pktmbuf_mtod(packet, std::uint8_t*);
  if (packet->data_len < packet::ethernet_header_size + packet::vlan_tag_size ||
      packet::load_be16(frame + addresses) != packet::ether_type_vlan) {
    return carrier;
  }
  const std::uint16_t id = packet::load_be16(frame + addresses + 2) & id_bits;
  std::uint16_t link = carrier;  // 0 is no VLAN, but a priority (section 6.9)
  if (id != 0) {
    const auto found = std::ranges::find(links_[carrier].vlans, id, &PortLink::Vlan::id);
    if (found == links_[carrier].vlans.end()) {
      return std::nullopt;
    }
    link = found->link;
  }
  std::memmove(frame + packet::vlan_tag_size, frame, addresses);
  rte_pktmbuf_adj(packet, packet::vlan_tag_size);
  return link;
}

// A burst of a port with VLANs: what belongs to one link is handled together, in the order of arrival.
void Worker::receive_tagged(std::span<rte_mbuf*> packets, std::uint16_t carrier) {
  std::array<std::uint16_t, burst_size> links;
  std::size_t left = 0;
  for (rte_mbuf* packet : packets) {
    if (const auto link = take_tag_off(packet, carrier)) {
      packets[left] = packet;
      links[left++] = *link;
    } else {
      drop(packet, DropReason::vlan_unknown);
    }
  }
  std::array<rte_mbuf*, burst_size> together;
  while (left > 0) {
    const std::uint16_t link = links[0];
    std::size_t count = 0;
    std::size_t others = 0;
    for (std::size_t place = 0; place < left; ++place) {
      if (links[place] == link) {
        together[count++] = packets[place];
      } else {
        links[others] = links[place];
        packets[others++] = packets[place];
      }
    }
    left = others;
    receive(std::span(together).first(count), link);
  }
}

// Frames of a VLAN go to the buffer of the link that carries it.
void Worker::send_tagged(std::span<rte_mbuf*> packets, std::uint16_t link) {
  for (rte_mbuf* packet : packets) {
    auto* frame = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_prepend(packet, packet::vlan_tag_size));
    if (frame == nullptr) {
      drop(packet, DropReason::no_buffer);  // all buffers have the room (nic/pools.h)
      continue;
    }
    std::memmove(frame, frame + packet::vlan_tag_size, addresses);
    packet::store(frame + addresses, __builtin_bswap16(packet::ether_type_vlan));
    packet::store(frame + addresses + 2, __builtin_bswap16(links_[link].vlan));
    transmit(packet, links_[link].carrier);
  }
}

}  // namespace steelyard::worker
