// What is not layer 4: neighbour messages, echo requests, and everything that is the kernel's.
#include <algorithm>

#include "dataplane/packet/build.h"
#include "dataplane/packet/fragment.h"
#include "dataplane/packet/icmp_error.h"
#include "dataplane/worker/worker.h"

namespace steelyard::worker {
namespace {

using packet::DropReason;
using packet::PacketKind;

template <class Family>
service::Address destination_of(const packet::PacketView& view) {
  return l4::to_service(view.destination<Family>());
}

service::Address destination_of(const packet::PacketView& view) {
  return view.is_v6 ? destination_of<packet::Ipv6>(view) : destination_of<packet::Ipv4>(view);
}

service::Address address_of(const neighbor::IpKey& key) {
  return service::Address::from_v6(key.bytes());
}

}  // namespace

bool Worker::answers_for(const service::Address& address) const {
  return snapshot_->vips->contains(address) || local_addresses_.contains(address);
}

bool Worker::is_own(const service::Address& address) const {
  return own_addresses_.contains(address);
}

void Worker::handle_other(rte_mbuf* packet, packet::PacketView& view, std::uint16_t link) {
  if (view.kind == PacketKind::arp) {
    const auto message = neighbor::parse_arp({view.l3, view.l3_length});
    return message ? handle_neighbor_message(packet, *message, link) : drop(packet, DropReason::arp_malformed);
  }
  if (view.kind == PacketKind::icmp) {
    return handle_icmp(packet, view, link);
  }
  handle_unclaimed(packet, view, link);
}

void Worker::handle_icmp(rte_mbuf* packet, packet::PacketView& view, std::uint16_t link) {
  if (neighbor::is_neighbor_discovery(view)) {
    const auto message = neighbor::parse_ndp(view, packet->data_len - packet::ethernet_header_size);
    return message ? handle_neighbor_message(packet, *message, link) : drop(packet, DropReason::ndp_malformed);
  }
  if (packet::is_icmp_error(view)) {
    const l4::Verdict verdict = translate_error(view);
    if (verdict.kind != l4::Verdict::Kind::unclaimed) {
      act_on_received(packet, view, verdict, link);
      return;
    }
    note_of(packet).hops = 0;
    if (take_terminated_error(packet, view, link)) {
      return;
    }
  }
  const service::Address destination = destination_of(view);
  // What is said to an address that is the node's own as well, an error about a health probe for one, is the kernel's.
  if (!answers_for(destination) || (is_own(destination) && !packet::is_echo_request(view))) {
    return handle_unclaimed(packet, view, link);
  }
  if (!packet::is_echo_request(view)) {
    return drop(packet, DropReason::icmp_unsupported);
  }
  if (!echo_limit_.allow(now_ns_)) {
    return drop(packet, DropReason::answer_rate_limited);
  }
  if (view.is_v6) {
    packet::turn_into_echo_reply<packet::Ipv6>(view);
  } else {
    packet::turn_into_echo_reply<packet::Ipv4>(view);
  }
  // Back where it came from: an echo must work before any route does.
  auto* frame = rte_pktmbuf_mtod(packet, std::uint8_t*);
  std::memcpy(frame, frame + 6, 6);
  std::memcpy(frame + 6, links_[link].mac.data(), 6);
  packets_.echo_replies.add();
  transmit(packet, link);
}

l4::Verdict Worker::translate_error(packet::PacketView& view) {
  return view.is_v6 ? balancer_.translate_error<packet::Ipv6>(view) : balancer_.translate_error<packet::Ipv4>(view);
}

// Tells the sender of a packet that it does not fit the next link. The packet is as we have rewritten it: so the error
// is made as the next router would make it, and turned like one of those.
void Worker::tell_too_big(rte_mbuf* packet, std::uint16_t mtu) {
  packet::PacketView view =
      packet::parse({rte_pktmbuf_mtod(packet, std::uint8_t*), packet->data_len}, packet->pkt_len, {});
  if (view.kind == PacketKind::fragment && view.is_v6) {
    const auto fragment = packet::fragment_of<packet::Ipv6>(view);
    if (fragment && fragment->first()) {
      packet::turn_into_first(view);  // has the ports by which its sender is found
    }
  }
  if (view.kind != PacketKind::l4 || !too_big_limit_.allow(now_ns_)) {
    return;
  }
  std::array<std::uint8_t, packet::ethernet_header_size + packet::largest_built_packet> frame{};
  const std::span built = std::span(frame).subspan(packet::ethernet_header_size);
  const std::size_t length = view.is_v6 ? packet::build_too_big<packet::Ipv6>(built, view, mtu)
                                        : packet::build_too_big<packet::Ipv4>(built, view, mtu);
  packet::store(frame.data() + 12, __builtin_bswap16(view.is_v6 ? packet::Ipv6::ether_type : packet::Ipv4::ether_type));
  const std::size_t whole = packet::ethernet_header_size + length;
  packet::PacketView error = packet::parse(std::span(frame).first(whole), whole, {});
  if (!packet::is_icmp_error(error)) {
    return;
  }
  const l4::Verdict verdict = translate_error(error);
  if (verdict.kind == l4::Verdict::Kind::forward && send_built(built.first(length), view.is_v6, verdict.hop)) {
    packets_.too_big_sent.add();
  }
}

// Learns from the message, answers when it asks for one of ours, and passes it on: copies to the other workers, which
// have neighbour tables of their own, and the original to the kernel.
void Worker::handle_neighbor_message(rte_mbuf* packet, const neighbor::NeighborMessage& message, std::uint16_t link) {
  if (answers_for(address_of(message.sender))) {
    // What another port of ours has announced comes back where both are in one segment.
    const auto is_ours = [&message](const PortLink& own) { return own.mac == message.sender_mac; };
    if (std::ranges::none_of(links_, is_ours)) {
      packets_.address_conflicts.add();
    }
  } else {
    neighbors_.learn(message, link, now_ns_);
    for (std::size_t worker = 0; worker < hand_off_out_.size(); ++worker) {
      if (hand_off_out_[worker] == nullptr) {
        continue;
      }
      nic::Packet copy(rte_pktmbuf_copy(packet, generate_->raw(), 0, UINT32_MAX));
      if (!copy) {
        continue;
      }
      packets_.generated.add();
      note_of(copy.get()).hops = 0;
      note_of(copy.get()).port = link;
      hand_off(copy.release(), service::WorkerId{static_cast<std::uint16_t>(worker)},
               PacketNote::Purpose::neighbor_message);
    }
  }
  const service::Address target = address_of(message.target);
  const bool ours = answers_for(target) || (!links_[link].kernel.attached() && is_own(target));
  if (message.kind == neighbor::NeighborMessage::Kind::request && ours && message.sender != message.target) {
    neighbor::NeighborMessage asked = message;
    if (!asked.has_sender_mac && asked.sender != neighbor::IpKey{}) {
      // A unicast solicitation may leave its link address out (RFC 4861 section 4.3): the answer goes back to the
      // frame's.
      std::memcpy(asked.sender_mac.data(), rte_pktmbuf_mtod(packet, const std::uint8_t*) + 6, 6);
      asked.has_sender_mac = true;
    }
    std::array<std::uint8_t, neighbor::largest_message> frame{};
    const std::size_t length = neighbor::build_answer(frame, links_[link].mac, message.target, &asked);
    send_frame(link, std::span(frame).first(length));
  }
  if (links_[link].kernel.attached()) {
    to_kernel(packet, link);
    return;
  }
  packets_.consumed.add();
  rte_pktmbuf_free(packet);
}

// Nobody's packet: the kernel's when it is for one of its addresses or a group, else by the `unmatched` policy.
void Worker::handle_unclaimed(rte_mbuf* packet, const packet::PacketView& view, std::uint16_t link) {
  const service::Address destination = destination_of(view);
  if (is_terminated(view, destination)) {
    return handle_terminated(packet, view, link, {});
  }
  const bool group = (rte_pktmbuf_mtod(packet, const std::uint8_t*)[0] & 1U) != 0;
  if (is_own(destination) || group || snapshot_->pass_unmatched) {
    to_kernel(packet, link);
    return;
  }
  drop(packet, DropReason::unmatched);
}

void Worker::to_kernel(rte_mbuf* packet, std::uint16_t link) {
  if (!links_[link].kernel.attached()) {
    drop(packet, DropReason::kernel_absent);
    return;
  }
  if (!links_[link].kernel.send(packet)) {
    drop(packet, DropReason::kernel_ring_full);
    return;
  }
  packets_.to_kernel.add();
}

void Worker::send_frame(std::uint16_t port, std::span<const std::uint8_t> frame) {
  static_cast<void>(send_if_room(port, frame));  // who asks will ask again
}

bool Worker::send_if_room(std::uint16_t link, std::span<const std::uint8_t> frame) {
  nic::Packet packet = generate_->allocate();
  if (!packet) {
    return false;
  }
  char* room = rte_pktmbuf_append(packet.get(), static_cast<std::uint16_t>(frame.size()));
  if (room == nullptr) {
    return false;
  }
  std::memcpy(room, frame.data(), frame.size());
  packets_.generated.add();
  transmit(packet.release(), link);
  return true;
}

}  // namespace steelyard::worker
