// A burst of packets through its stages - parse, look up, act, finish the flows that open - and the ways on: a port,
// another worker, a drop.
#include <algorithm>
#include <utility>

#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include "dataplane/l4/forward_known.h"
#include "dataplane/packet/icmp_error.h"
#include "dataplane/packet/plain_tcp.h"
#include "dataplane/packet/prefetch.h"
#include "dataplane/tcp/wire.h"
#include "dataplane/worker/worker.h"

namespace steelyard::worker {
namespace {

using packet::DropReason;
using packet::PacketKind;

// A packet changes hands at most thrice: to its owner, to the client's home, back to the owner.
constexpr std::uint8_t max_hand_offs = 3;

bool is_group_address(const std::uint8_t* mac) {
  return (mac[0] & 1U) != 0;
}

// memcmp of six bytes is a call, once a packet.
bool is_addressed_to(const std::uint8_t* frame, const neighbor::MacAddress& mac) {
  return ((packet::load<std::uint32_t>(frame) ^ packet::load<std::uint32_t>(mac.data())) |
          static_cast<std::uint32_t>(packet::load<std::uint16_t>(frame + 4) ^
                                     packet::load<std::uint16_t>(mac.data() + 4))) == 0;
}

}  // namespace

// Inlined, as what follows: a call and its saved registers cost a tenth of an established packet's time.
[[gnu::always_inline]] inline void Worker::parse(rte_mbuf* packet, packet::PacketView& view) {
  const bool verified = (packet->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
  const std::span frame(rte_pktmbuf_mtod(packet, std::uint8_t*), packet->data_len);
  // Too short a frame is no worry here: the buffer is longer, and parse() looks again.
  const auto ether_type = packet::load<std::uint16_t>(frame.data() + 12);
  if (ether_type == __builtin_bswap16(packet::Ipv4::ether_type)
          ? packet::parse_plain_tcp<packet::Ipv4>(frame, packet->pkt_len, {verified}, view)
          : ether_type == __builtin_bswap16(packet::Ipv6::ether_type) &&
                packet::parse_plain_tcp<packet::Ipv6>(frame, packet->pkt_len, {verified}, view)) [[likely]] {
    return;
  }
  packet::parse(frame, packet->pkt_len, {verified}, view);
}

// First stage: what sort of packet it is; for layer 4 its hash.
[[gnu::always_inline]] inline Worker::Mix Worker::classify(rte_mbuf* packet, Pending& pending, std::uint16_t link) {
  packet::PacketView& view = pending.view;
  parse(packet, view);
  const auto* frame = rte_pktmbuf_mtod(packet, const std::uint8_t*);
  const bool to_us = is_addressed_to(frame, links_[link].mac);
  if (view.kind == PacketKind::l4 && to_us) [[likely]] {
    const auto hash = [&]<class Family>() {
      pending.hash = balancer_.hash_of<Family>(view);
      pending.line = balancer_.index_line<Family>(pending.hash);
      return Family::is_v6 ? Mix::v6 : Mix::v4;
    };
    return view.is_v6 ? hash.template operator()<packet::Ipv6>() : hash.template operator()<packet::Ipv4>();
  }
  pending.line = &pending;
  if (view.kind == PacketKind::dropped || to_us) {
    return Mix::any;
  }
  if (!is_group_address(frame)) {
    view.kind = PacketKind::dropped;
    view.drop = DropReason::not_for_us;
  } else if (view.kind == PacketKind::l4) {
    // Layer 4 answers nobody who called everybody (RFC 1122 section 3.2.2): that may be the kernel's.
    view.kind = PacketKind::other_ip;
  }
  return Mix::any;
}

// Calls visit<Family>() for a layer-4 packet. Packets mostly come in bursts of one family, which are not asked.
template <Worker::Mix mix, class Visit>
[[gnu::always_inline]] inline void Worker::if_layer4(const packet::PacketView& view, Visit&& visit) {
  if (mix == Mix::any && view.kind != PacketKind::l4) [[unlikely]] {
    return;
  }
  mix == Mix::v6 || (mix == Mix::any && view.is_v6) ? visit.template operator()<packet::Ipv6>()
                                                    : visit.template operator()<packet::Ipv4>();
}

template <Worker::Mix mix>
[[gnu::always_inline]] inline void Worker::prefetch_entries(std::span<const Pending> burst) {
#pragma GCC unroll 8
  for (const Pending& pending : burst) {
    packet::prefetch_to_write(pending.line);
  }
  for (const Pending& pending : mix == Mix::v4 ? std::span<const Pending>{} : burst) {
    packet::prefetch_to_write(static_cast<const std::byte*>(pending.line) + 64);  // an IPv6 entry has two lines
  }
}

// Second stage: which flow it may be.
template <Worker::Mix mix>
[[gnu::always_inline]] inline void Worker::look_up(std::span<Pending> burst) {
#pragma GCC unroll 8
  for (const Pending& pending : burst) {
    packet::prefetch_to_read(pending.line);
  }
  bool ask_second = false;
  for (Pending& pending : burst) {
    pending.ask_second = false;
    if_layer4<mix>(pending.view, [&]<class Family>() {
      const l4::FlowIndexTable::Candidate found = balancer_.candidate<Family>(pending.line, pending.hash);
      pending.candidate = found.value;
      pending.ask_second = found.ask_second;
      pending.line = balancer_.entry_line<Family>(found.value);
    });
    ask_second |= pending.ask_second;
  }
  prefetch_entries<mix>(burst);
  if (!ask_second) {
    return;
  }
  for (Pending& pending : burst) {
    if (pending.ask_second) {
      if_layer4<mix>(pending.view, [&]<class Family>() {
        pending.candidate = balancer_.candidate_in_second<Family>(pending.hash);
        pending.line = balancer_.entry_line<Family>(pending.candidate);
      });
    }
  }
  prefetch_entries<mix>(burst);
}

// Sends a packet, complete from its IP header on, to a next hop; queues it while that is not resolved.
[[gnu::always_inline]] inline void Worker::forward(rte_mbuf* packet, neighbor::HopIndex index) {
  neighbor::Hop& hop = neighbors_[index];
  hop.used = true;
  if (!hop.reachable) [[unlikely]] {
    if (!neighbors_.wait(index, packet)) {
      drop(packet, DropReason::neighbor_queue_full);
    }
    return;
  }
  if (packet->pkt_len > std::size_t{links_[hop.port].mtu} + packet::ethernet_header_size) [[unlikely]] {
    return forward_large(packet, index, links_[hop.port].mtu);
  }
  // Destination and source stand side by side in both, twelve bytes.
  std::memcpy(rte_pktmbuf_mtod(packet, std::uint8_t*), hop.destination.data(), 12);
  transmit(packet, hop.port);
}

// One that does not fit the next link.
void Worker::forward_large(rte_mbuf* packet, neighbor::HopIndex hop, std::uint16_t mtu) {
  const auto* l3 = rte_pktmbuf_mtod_offset(packet, const std::uint8_t*, packet::ethernet_header_size);
  if (l3[0] >> 4U == 4 && (l3[6] & 0x40U) == 0) {
    return send_in_pieces(packet, hop, mtu);
  }
  tell_too_big(packet, mtu);
  drop(packet, DropReason::frame_exceeds_mtu);
}

// Third stage of a packet that is not in the middle of a known flow.
void Worker::finish(rte_mbuf* packet, std::size_t place, std::uint16_t link) {
  packet::PacketView& view = pending_[place].view;
  if (view.kind == PacketKind::l4) {
    view.is_v6 ? begin<packet::Ipv6>(packet, place, link) : begin<packet::Ipv4>(packet, place, link);
  } else if (view.kind == PacketKind::dropped) {
    drop(packet, view.drop);
  } else if (view.kind == PacketKind::fragment) {
    openings_.entries[openings_.count++] = {0, 0, static_cast<std::uint8_t>(place), true};
  } else {
    handle_other(packet, view, link);
  }
}

template <class Family>
void Worker::begin(rte_mbuf* packet, std::size_t place, std::uint16_t link) {
  const std::uint64_t hash = pending_[place].hash;
  const std::span others = std::span(openings_.entries).first(openings_.count);
  auto& entry = openings_.entries[openings_.count];
  entry = {hash, hash, static_cast<std::uint8_t>(place), std::ranges::any_of(others, [&](const auto& other) {
             return other.hash == hash || other.answer_hash == hash;
           })};
  if (entry.waits) {
    ++openings_.count;
    return;
  }
  packet::PacketView& view = pending_[place].view;
  l4::Opening<Family>& opening = openings_.opening<Family>(openings_.count);
  const l4::Verdict verdict = balancer_.begin<Family>(view, hash, opening);
  if (verdict.kind == l4::Verdict::Kind::opening) {
    entry.answer_hash = opening.answer_hash();
    ++openings_.count;
    return;
  }
  act_on_received(packet, view, verdict, link);
}

// Fourth stage, of the packets that open flows: the second place of each in the index is asked for, as above.
void Worker::finish_openings(std::span<rte_mbuf*> packets, std::uint16_t link) {
  stages_.enter(Stage::slow_path);
  const std::span entries = std::span(openings_.entries).first(std::exchange(openings_.count, 0));
  std::array<const void*, burst_size> lines;
  for (std::size_t at = 0; at < entries.size(); ++at) {
    lines[at] = entries[at].waits                        ? &openings_
                : pending_[entries[at].place].view.is_v6 ? balancer_.opening_line(openings_.v6[at])
                                                         : balancer_.opening_line(openings_.v4[at]);
  }
  for (std::size_t at = 0; at < entries.size(); ++at) {
    packet::prefetch_to_write(lines[at]);
  }
  for (std::size_t at = 0; at < entries.size(); ++at) {
    packet::PacketView& view = pending_[entries[at].place].view;
    if (view.kind == PacketKind::fragment) [[unlikely]] {
      continue;
    }
    const auto finish = [&]<class Family>() {
      return entries[at].waits ? balancer_.handle<Family>(view, entries[at].hash)
                               : balancer_.finish<Family>(view, openings_.opening<Family>(at));
    };
    act_on_received(
        packets[entries[at].place], view,
        view.is_v6 ? finish.template operator()<packet::Ipv6>() : finish.template operator()<packet::Ipv4>(), link);
  }
  // A first fragment is handled in one step: there must be no flow that has begun and is not in the table.
  for (const auto& entry : entries) {
    if (pending_[entry.place].view.kind == PacketKind::fragment) [[unlikely]] {
      handle_fragment(packets[entry.place], pending_[entry.place].view, link);
    }
  }
}

// The stages after the first.
template <Worker::Mix mix>
void Worker::look_up_and_forward(std::span<rte_mbuf*> packets, std::uint16_t link) {
  look_up<mix>(std::span(pending_).first(packets.size()));
  if (tcp_ != nullptr) [[unlikely]] {
    expect_terminated(std::span(pending_).first(packets.size()));
  }
  std::uint64_t forwarded = 0;
  for (std::size_t place = 0; place < packets.size(); ++place) {
    packet::PacketView& view = pending_[place].view;
    l4::Forwarded known;
    if_layer4<mix>(view,
                   [&]<class Family>() { known = balancer_.forward_known<Family>(view, pending_[place].candidate); });
    if (known.hop.value != 0) [[likely]] {
      ++forwarded;
      grow(packets[place], known.grown);
      forward(packets[place], known.hop);
    } else {
      finish(packets[place], place, link);
    }
  }
  packets_.forwarded.add(forwarded);
  if (openings_.count > 0) {
    finish_openings(packets, link);
  }
}

void Worker::receive(std::span<rte_mbuf*> packets, std::uint16_t link) {
  if (taps_ != nullptr) [[unlikely]] {
    return receive_watched(packets, link);
  }
  receive_burst(packets, link);
}

void Worker::receive_burst(std::span<rte_mbuf*> packets, std::uint16_t link) {
  stages_.enter(Stage::parse);
  const bool before = balancer_.enters_tunnels();  // an outer header goes where nothing has been received to
  for (rte_mbuf* packet : packets) {
    rte_prefetch0(rte_pktmbuf_mtod(packet, void*));
    rte_prefetch0(rte_pktmbuf_mtod_offset(packet, void*, 64));
    if (before) {
      rte_prefetch0(rte_pktmbuf_mtod_offset(packet, void*, -64));
    }
  }
  unsigned seen = 0;
  for (std::size_t place = 0; place < packets.size(); ++place) {
    seen |= static_cast<unsigned>(classify(packets[place], pending_[place], link));
  }
  stages_.enter(Stage::forward);
  switch (static_cast<Mix>(seen)) {
    case Mix::v4:
      return look_up_and_forward<Mix::v4>(packets, link);
    case Mix::v6:
      return look_up_and_forward<Mix::v6>(packets, link);
    case Mix::any:
      return look_up_and_forward<Mix::any>(packets, link);
  }
  look_up_and_forward<Mix::any>(packets, link);
}

// The note is a cache line of its own: only a packet that may go to somebody else gets one.
void Worker::act_on_received(rte_mbuf* packet, packet::PacketView& view, const l4::Verdict& verdict,
                             std::uint16_t link) {
  using Kind = l4::Verdict::Kind;
  if (verdict.kind == Kind::terminated && tcp_ != nullptr && tcp_->owner_of(tcp::endpoints_of(view)) == id_) {
    return take_terminated(packet, view, verdict.listener);
  }
  if (verdict.kind != Kind::forward && verdict.kind != Kind::drop) {
    note_of(packet).hops = 0;
    note_of(packet).port = link;
  }
  act(packet, view, verdict);
}

void Worker::act(rte_mbuf* packet, packet::PacketView& view, const l4::Verdict& verdict) {
  using Kind = l4::Verdict::Kind;
  switch (verdict.kind) {
    case Kind::forward:
      packets_.forwarded.add();
      grow(packet, verdict.grown);
      forward(packet, verdict.hop);
      return;
    case Kind::split:
      packets_.forwarded.add();
      grow(packet, verdict.grown);
      send_in_pieces(packet, verdict.hop, verdict.mtu);
      return;
    case Kind::too_big:
      tell_too_big(packet, verdict.mtu);
      drop(packet, DropReason::frame_exceeds_mtu);
      return;
    case Kind::consumed:
      packets_.consumed.add();
      rte_pktmbuf_free(packet);
      return;
    case Kind::drop:
      drop(packet, verdict.reason);
      return;
    case Kind::opening:
      drop(packet, DropReason::unmatched);  // never seen here: who began it finished it
      return;
    case Kind::hand_off:
      hand_off(packet, verdict.worker, PacketNote::Purpose::yours);
      return;
    case Kind::ask_home:
      hand_off(packet, verdict.worker, PacketNote::Purpose::choose_server);
      return;
    case Kind::return_to:
      hand_off(packet, verdict.worker, PacketNote::Purpose::server_chosen, verdict.backend.value);
      return;
    case Kind::unclaimed:
      handle_unclaimed(packet, view, note_of(packet).port);
      return;
    case Kind::terminated:
      handle_terminated(packet, view, note_of(packet).port, verdict.listener);
      return;
  }
}

void Worker::hand_off(rte_mbuf* packet, service::WorkerId to, PacketNote::Purpose purpose, std::uint32_t backend) {
  PacketNote& note = note_of(packet);
  if (note.hops >= max_hand_offs || to == id_) {
    drop(packet, DropReason::reassigned);
    return;
  }
  note.purpose = purpose;
  ++note.hops;
  note.from = id_.value;
  note.backend = backend;
  if (!hand_off_out_[to.value]->push(packet)) {
    drop(packet, DropReason::handoff_ring_full);
    return;
  }
  packets_.handed_out.add();
}

void Worker::handle_handed(rte_mbuf* packet) {
  const PacketNote note = note_of(packet);
  packet::PacketView view;
  parse(packet, view);
  if (note.purpose == PacketNote::Purpose::neighbor_message) {
    const std::size_t available = packet->data_len - packet::ethernet_header_size;
    // A copy may have lost its shape: only what still parses as such a message is read as one.
    std::optional<neighbor::NeighborMessage> message;
    if (view.kind == PacketKind::arp) {
      message = neighbor::parse_arp({view.l3, view.l3_length});
    } else if (neighbor::is_neighbor_discovery(view)) {
      message = neighbor::parse_ndp(view, available);
    }
    if (message) {
      neighbors_.learn(*message, note.port, now_ns_);
    }
    packets_.consumed.add();
    rte_pktmbuf_free(packet);
    return;
  }
  if (packet::is_icmp_error(view)) {
    const l4::Verdict verdict = translate_error(view);
    if (verdict.kind != l4::Verdict::Kind::unclaimed || !take_terminated_error(packet, view, note.port)) {
      act(packet, view, verdict);
    }
    return;
  }
  if (view.kind == PacketKind::fragment) {
    return handle_handed_fragment(packet, view);
  }
  if (view.kind != PacketKind::l4) {
    drop(packet, view.kind == PacketKind::dropped ? view.drop : DropReason::reassigned);
    return;
  }
  const auto decide = [&]<class Family>() {
    switch (note.purpose) {
      case PacketNote::Purpose::choose_server:
        return balancer_.decide_for<Family>(view, service::WorkerId{note.from});
      case PacketNote::Purpose::server_chosen:
        return balancer_.open_decided<Family>(view, service::BackendId{note.backend});
      case PacketNote::Purpose::yours:
      case PacketNote::Purpose::datagram_home:
      case PacketNote::Purpose::neighbor_message:
        break;
    }
    return balancer_.handle<Family>(view, balancer_.hash_of<Family>(view));
  };
  act(packet, view,
      view.is_v6 ? decide.template operator()<packet::Ipv6>() : decide.template operator()<packet::Ipv4>());
}

void Worker::flush(std::uint16_t link) {
  TransmitBuffer& buffer = transmit_[link];
  if (buffer.count == 0) {
    return;
  }
  const Stage before = stages_.enter(Stage::transmit);
  const std::span packets = std::span(buffer.packets).first(buffer.count);
  buffer.count = 0;
  if (taps_ != nullptr && !relaying_) [[unlikely]] {
    watch_sent(packets, link);
  }
  if (links_[link].vlan != 0) {
    send_tagged(packets, link);
    stages_.enter(before);
    return;
  }
  if (!links_[link].has_queue) {
    for (rte_mbuf* packet : packets) {
      if (links_[link].relay->push(packet)) {
        packets_.relayed_out.add();
      } else {
        drop(packet, DropReason::tx_ring_full);
      }
    }
    stages_.enter(before);
    return;
  }
  const std::uint16_t sent = links_[link].port->send(id_.value, packets);
  packets_.transmitted.add(sent);
  for (rte_mbuf* packet : packets.subspan(sent)) {
    drop(packet, DropReason::tx_ring_full);
  }
  stages_.enter(before);
}

void Worker::drop(rte_mbuf* packet, DropReason reason) {
  packets_.drops[static_cast<std::size_t>(reason)].add();
  rte_pktmbuf_free(packet);
}

void Worker::release(rte_mbuf* packet, neighbor::HopIndex hop) {
  forward(packet, hop);
}

void Worker::give_up(rte_mbuf* packet, DropReason reason) {
  drop(packet, reason);
}

bool Worker::send_built(std::span<const std::uint8_t> ip_packet, bool is_v6, neighbor::HopIndex hop) {
  nic::Packet packet = generate_->allocate();
  if (!packet) {
    return false;
  }
  auto* frame = reinterpret_cast<std::uint8_t*>(
      rte_pktmbuf_append(packet.get(), static_cast<std::uint16_t>(packet::ethernet_header_size + ip_packet.size())));
  if (frame == nullptr) {
    return false;
  }
  packet::store(frame + 12, __builtin_bswap16(is_v6 ? packet::Ipv6::ether_type : packet::Ipv4::ether_type));
  std::memcpy(frame + packet::ethernet_header_size, ip_packet.data(), ip_packet.size());
  packets_.generated.add();
  forward(packet.release(), hop);
  return true;
}

}  // namespace steelyard::worker
