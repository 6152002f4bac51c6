// Packets while somebody looks (tap.h): each is compared with the filters, and one that fits is handled as a burst of
// its own, so that the counters before and after say what became of it. So nothing on the packet path knows of taps but
// one question a burst, whether there are any; while there are, a packet is parsed and looked up twice. What is only
// copied stays in its burst.
#include <algorithm>
#include <cstring>

#include "dataplane/packet/fragment.h"
#include "dataplane/packet/icmp_error.h"
#include "dataplane/worker/worker.h"

namespace steelyard::worker {
namespace {

using packet::PacketKind;

packet::PacketView view_of(rte_mbuf* packet) {
  // What the parser finds wrong is what it will find wrong again: a checksum is looked at here, too.
  return packet::parse({rte_pktmbuf_mtod(packet, std::uint8_t*), packet->data_len}, packet->pkt_len, {});
}

template <class Visit>
auto by_family(const packet::PacketView& view, Visit&& visit) {
  return view.is_v6 ? visit.template operator()<packet::Ipv6>() : visit.template operator()<packet::Ipv4>();
}

std::optional<packet::Fragment> fragment_of(const packet::PacketView& view) {
  return by_family(view, [&]<class Family>() { return packet::fragment_of<Family>(view); });
}

// The packet behind the outer header of one that goes to a server through a tunnel, whole or the first piece of it.
std::optional<packet::PacketView> inside_of(packet::PacketView outer) {
  if (outer.kind == PacketKind::fragment) {
    const auto fragment = fragment_of(outer);
    if (!fragment || !fragment->first()) {
      return std::nullopt;
    }
    packet::turn_into_first(outer);
  }
  const bool v6 = outer.protocol == packet::protocol_ipv6;
  if (outer.kind != PacketKind::other_ip || (!v6 && outer.protocol != packet::protocol_ipv4)) {
    return std::nullopt;
  }
  const auto before = static_cast<std::size_t>(outer.l4 - outer.l3);
  const std::size_t available = outer.contiguous > before ? outer.contiguous - before : 0;
  const std::size_t header = v6 ? packet::Ipv6::header_size : available != 0 ? (outer.l4[0] & 0x0fU) * 4U : 0U;
  if (header < packet::Ipv4::header_size || available < header + packet::udp_header_size) {
    return std::nullopt;
  }
  packet::PacketView inner;
  inner.is_v6 = v6;
  inner.l3 = outer.l4;
  inner.l4 = inner.l3 + header;
  inner.protocol = inner.l3[v6 ? 6 : 9];
  const bool later_piece = !v6 && (packet::load<std::uint16_t>(inner.l3 + 6) & __builtin_bswap16(0x1fffU)) != 0;
  const bool has_ports = inner.protocol == packet::protocol_tcp || inner.protocol == packet::protocol_udp;
  inner.kind = has_ports && !later_piece ? PacketKind::l4 : PacketKind::other_ip;
  return inner;
}

// Counters that a packet moves, at one moment.
struct Tally {
  Tally(const PacketCounters& packets, const l4::BalancerCounters& flows, std::size_t waiting_now)
      : created(flows.flows_created.get()),
        adopted(flows.adopted.get()),
        resets(flows.resets_sent.get()),
        unreachables(flows.unreachables_sent.get() + packets.too_big_sent.get()),
        translated(flows.errors_translated.get()),
        forwarded(packets.forwarded.get()),
        handed_out(packets.handed_out.get()),
        to_kernel(packets.to_kernel.get()),
        echoed(packets.echo_replies.get()),
        split(packets.split.get()),
        consumed(packets.consumed.get()),
        waiting(waiting_now) {
    std::ranges::transform(packets.drops, drops.begin(), [](const service::Counter& drop) { return drop.get(); });
  }

  std::uint64_t created;
  std::uint64_t adopted;
  std::uint64_t resets;
  std::uint64_t unreachables;
  std::uint64_t translated;
  std::uint64_t forwarded;
  std::uint64_t handed_out;
  std::uint64_t to_kernel;
  std::uint64_t echoed;
  std::uint64_t split;
  std::uint64_t consumed;
  std::size_t waiting;
  std::array<std::uint64_t, packet::drop_reasons> drops;
};

// Drops that handling a packet may bring upon others: those that share its transmit buffer when that is sent, and
// fragments that have waited for it or give way to it.
bool may_be_of_others(packet::DropReason reason) {
  using packet::DropReason;
  return reason == DropReason::fragment_first_dropped || reason == DropReason::fragment_replaced;
}

void tell_difference(const Tally& before, const Tally& after, PacketEvent& event) {
  const auto note = [&event](bool is, std::uint16_t what) { event.facts |= is ? what : std::uint16_t{0}; };
  note(after.created != before.created, fact::opened);
  note(after.adopted != before.adopted, fact::adopted);
  note(after.resets != before.resets, fact::reset);
  note(after.unreachables != before.unreachables, fact::unreachable);
  note(after.translated != before.translated, fact::translated);
  note(after.forwarded != before.forwarded, fact::forwarded);
  note(after.handed_out != before.handed_out, fact::handed_over);
  note(after.to_kernel != before.to_kernel, fact::to_kernel);
  note(after.echoed != before.echoed, fact::echoed);
  note(after.split != before.split, fact::split);
  // Of a packet that goes on in pieces the whole is consumed, too.
  note(after.consumed != before.consumed && after.split == before.split, fact::consumed);
  note(after.waiting > before.waiting, fact::waits);
  for (std::size_t place = 0; place < before.drops.size(); ++place) {
    const auto reason = static_cast<packet::DropReason>(place);
    // A full port is met when a buffer is sent, which may be now and mostly is others'.
    if (after.drops[place] == before.drops[place] || reason == packet::DropReason::tx_ring_full) {
      continue;
    }
    if ((event.facts & fact::dropped) == 0 || may_be_of_others(event.reason)) {
      event.facts |= fact::dropped;
      event.reason = reason;
    }
  }
}

// What the headers say; whose it is comes later.
PacketEvent describe(const packet::PacketView& view, const Passage& passage) {
  PacketEvent event;
  event.source = passage.source;
  event.destination = passage.destination;
  event.has_ports = passage.has_ports;
  event.length = view.l3_length;
  event.kind = view.kind;
  event.protocol = view.protocol;
  if (view.kind == PacketKind::icmp) {
    event.icmp_type = view.l4[0];
    event.icmp_code = view.l4[1];
  } else if (view.kind == PacketKind::fragment) {
    const auto fragment = fragment_of(view);
    event.fragment_offset = fragment ? fragment->offset : 0;
    event.payload = view.l4_length;
  } else if (view.kind == PacketKind::l4 && view.protocol == packet::protocol_tcp) {
    event.tcp_flags = view.tcp_flags;
    event.payload = view.tcp_payload;
    event.sequence = __builtin_bswap32(packet::load<std::uint32_t>(view.l4 + 4));
    event.acknowledgment = __builtin_bswap32(packet::load<std::uint32_t>(view.l4 + 8));
  } else if (view.kind == PacketKind::l4) {
    event.payload = static_cast<std::uint16_t>(view.l4_length - packet::udp_header_size);
  }
  return event;
}

template <class Record>
void push(RecordRing& ring, const Record& record) {
  if (const auto room = ring.reserve(sizeof record); !room.empty()) {
    std::memcpy(room.data(), &record, sizeof record);
    ring.commit();
  }
}

}  // namespace

// `sent`: the packet has been rewritten, so that a flow is found by the tuple of the answers to it.
template <class Family>
Passage Worker::passage_of(const packet::PacketView& view, bool sent) const {
  Passage passage;
  passage.source.address = l4::to_service(view.source<Family>());
  passage.destination.address = l4::to_service(view.destination<Family>());
  passage.protocol = view.protocol;
  const auto find = [&](const packet::Tuple<Family>& tuple) {
    if (const auto found = balancer_.find_flow<Family>(tuple)) {
      passage.flow = found->flow;
      passage.from = sent ? opposite(found->from) : found->from;
    }
  };
  packet::PacketView first = view;
  if (view.kind == PacketKind::fragment) {
    const auto fragment = packet::fragment_of<Family>(view);
    if (fragment && fragment->first()) {
      packet::turn_into_first(first);
    }
  }
  if (first.kind == PacketKind::l4) {
    const auto tuple = first.tuple<Family>();
    passage.source.port = __builtin_bswap16(tuple.source_port);
    passage.destination.port = __builtin_bswap16(tuple.destination_port);
    passage.has_ports = true;
    find(sent ? tuple.reversed() : tuple);
    if (!passage.flow) {
      find_terminated(passage, sent);
    }
  } else if (packet::is_icmp_error(view)) {
    if (const auto quote = packet::quote_in<Family>(view)) {
      const auto about = quote->template tuple<Family>();
      if constexpr (Family::is_v6) {
        passage.quoted_v6 = about;
      } else {
        passage.quoted_v4 = about;
      }
      // We have sent the quoted packet; an error that we have translated quotes it as its sender has.
      find(sent ? about : about.reversed());
    }
  }
  return passage;
}

// Of a packet that is to end here, or, when it is `sent`, that has begun here.
void Worker::find_terminated(Passage& passage, bool sent) const {
  const PacketEnd& remote = sent ? passage.destination : passage.source;
  const PacketEnd& local = sent ? passage.source : passage.destination;
  if (tcp_ == nullptr || passage.protocol != packet::protocol_tcp || !tcp_->is_ours(local.address, local.port)) {
    return;
  }
  const auto connection =
      tcp_->stack().connection_between({to_tcp(remote.address), to_tcp(local.address), remote.port, local.port});
  if (!connection) {
    return;
  }
  const ConnectionRecord record = record_of(*tcp_, *snapshot_, *connection);
  if (record.side == http::Side::none) {
    return;
  }
  const bool of_client = record.side == http::Side::client;
  const l4::Side other = of_client ? l4::Side::client : l4::Side::server;
  const auto known = [](const ConnectionEnd* end) { return end != nullptr ? *end : ConnectionEnd{}; };
  const ConnectionEnd client = known(record.client());
  const ConnectionEnd listener = record.listener.value_or(ConnectionEnd{});
  const ConnectionEnd server = known(record.server());
  passage.flow = l4::FlowRecord{.client = client.address,
                                .vip = listener.address,
                                .local = {},
                                .server = server.address,
                                .client_port = client.port,
                                .vip_port = listener.port,
                                .server_port = server.port,
                                .listener = {},
                                .state = l4::FlowState::established};
  passage.from = sent ? opposite(other) : other;
}

// The flow that a packet has made.
void Worker::find_opened(bool is_v6, Passage& passage) const {
  const auto find = [&]<class Family>() {
    const packet::Tuple<Family> tuple{
        l4::from_service<Family>(passage.source.address), l4::from_service<Family>(passage.destination.address),
        __builtin_bswap16(passage.source.port), __builtin_bswap16(passage.destination.port), passage.protocol};
    if (const auto found = balancer_.find_flow<Family>(tuple)) {
      passage.flow = found->flow;
      passage.from = found->from;
    }
  };
  is_v6 ? find.template operator()<packet::Ipv6>() : find.template operator()<packet::Ipv4>();
  if (!passage.flow) {
    find_terminated(passage, false);
  }
}

Passage Worker::passage_of(const packet::PacketView& view, bool sent) const {
  if (view.kind == PacketKind::arp || view.l3 == nullptr) {
    return {};  // the parser has found no IP header that says who sent it
  }
  const std::optional inner = sent ? inside_of(view) : std::nullopt;
  const packet::PacketView& packet = inner ? *inner : view;
  Passage passage = by_family(packet, [&]<class Family>() { return passage_of<Family>(packet, sent); });
  if (view.kind == PacketKind::fragment) {
    const auto fragment = fragment_of(view);
    passage.first_fragment = fragment && fragment->first();
    passage.datagram = by_family(
        view, [&]<class Family>() { return packet::hash(hash_key_, packet::datagram_of<Family>(view)) | 1U; });
  }
  return passage;
}

void Worker::copy_to(const Tap& tap, rte_mbuf* packet, std::uint16_t link, bool outbound) const {
  const std::uint32_t captured = std::min(packet->pkt_len, tap.snaplen);
  RecordRing& ring = *tap.rings[id_.value];
  const auto room = ring.reserve(sizeof(PacketCopy) + captured);
  if (room.empty()) {
    return;
  }
  const PacketCopy head{now_ns_, packet->pkt_len, link, outbound};
  std::memcpy(room.data(), &head, sizeof head);
  const void* bytes = rte_pktmbuf_read(packet, 0, captured, room.data() + sizeof head);
  if (bytes != room.data() + sizeof head && captured != 0) {
    std::memcpy(room.data() + sizeof head, bytes, captured);
  }
  ring.commit();
}

// Of the taps of `wanted` (bits), to those that ask for packets.
void Worker::copy_to_taps(unsigned wanted, rte_mbuf* packet, std::uint16_t link, bool outbound) const {
  for (std::size_t place = 0; place < taps_->taps.size(); ++place) {
    if ((wanted >> place & 1U) != 0 && taps_->taps[place]->snaplen != 0) {
      copy_to(*taps_->taps[place], packet, link, outbound);
    }
  }
}

// Handles one packet by `handle`, and tells the taps of `wanted` (bits) that ask for events what became of it.
template <class Handle>
void Worker::observe(const packet::PacketView& view, const Passage& passage, unsigned wanted, bool handed_in,
                     Handle&& handle) {
  PacketEvent event = describe(view, passage);
  event.time_ns = now_ns_;
  event.worker = id_.value;
  event.handed_in = handed_in;
  const auto waiting = [this] { return neighbors_.waiting() + fragments_v4_.held() + fragments_v6_.held(); };
  const Tally before(packets_, balancer_.counters(), waiting());
  handle();
  tell_difference(before, Tally(packets_, balancer_.counters(), waiting()), event);
  Passage now = passage;
  // The tuple may have been another flow's, that has ended.
  if (passage.has_ports && (!now.flow || (event.facts & fact::opened) != 0)) {
    find_opened(view.is_v6, now);
  }
  if (now.flow) {
    event.server = {now.flow->server, now.flow->server_port};
  }
  for (std::size_t place = 0; place < taps_->taps.size(); ++place) {
    const Tap& tap = *taps_->taps[place];
    if ((wanted >> place & 1U) != 0 && tap.snaplen == 0) {
      event.from_client = tap.filter.is_from_client(now);
      push(*tap.rings[id_.value], event);
    }
  }
}

// Bits of the taps that want the packet. Asked once a packet, in their order: fragments follow their first one.
unsigned Worker::wanted_by_taps(const Passage& passage) const {
  unsigned wanted = 0;
  for (std::size_t place = 0; place < taps_->taps.size(); ++place) {
    const Tap& tap = *taps_->taps[place];
    bool fits = tap.filter.matches(passage);
    if (passage.datagram != 0) {
      fits = tap.datagrams[id_.value]->follow(passage.datagram, passage.first_fragment, fits);
    }
    wanted |= fits ? 1U << place : 0U;
  }
  return wanted;
}

// Of those, the taps of events that have room for one. What finds none is not looked at any closer, so that a flood
// costs as much as is read of it.
unsigned Worker::told_to_taps(unsigned wanted) const {
  unsigned told = 0;
  for (std::size_t place = 0; place < taps_->taps.size(); ++place) {
    const Tap& tap = *taps_->taps[place];
    if ((wanted >> place & 1U) != 0 && tap.snaplen == 0 && tap.rings[id_.value]->has_room(sizeof(PacketEvent))) {
      told |= 1U << place;
    }
  }
  return told;
}

void Worker::receive_watched(std::span<rte_mbuf*> packets, std::uint16_t link) {
  std::size_t begin = 0;  // of those of which nothing is told and that have not been handled yet
  for (std::size_t place = 0; place < packets.size(); ++place) {
    const packet::PacketView view = view_of(packets[place]);
    Passage passage = passage_of(view, false);
    const unsigned wanted = wanted_by_taps(passage);
    note_of(packets[place]).copied = static_cast<std::uint8_t>(wanted);
    copy_to_taps(wanted, packets[place], link, false);
    const unsigned told = told_to_taps(wanted);
    if (told == 0) {
      continue;
    }
    if (place > begin) {
      receive_burst(packets.subspan(begin, place - begin), link);
      passage = passage_of(view, false);
    }
    begin = place + 1;
    observe(view, passage, told, false, [&] { receive_burst(packets.subspan(place, 1), link); });
  }
  if (begin < packets.size()) {
    receive_burst(packets.subspan(begin), link);
  }
}

void Worker::handle_handed_watched(rte_mbuf* packet) {
  PacketNote& note = note_of(packet);
  if (note.purpose == PacketNote::Purpose::neighbor_message) {
    return handle_handed(packet);
  }
  const packet::PacketView view = view_of(packet);
  const Passage passage = passage_of(view, false);
  const unsigned wanted = wanted_by_taps(passage);
  // What those who had it before could not tell to be wanted is copied here.
  copy_to_taps(wanted & ~unsigned{note.copied}, packet, note.port, false);
  note.copied |= static_cast<std::uint8_t>(wanted);
  const unsigned told = told_to_taps(wanted);
  if (told == 0) {
    return handle_handed(packet);
  }
  observe(view, passage, told, true, [&] { handle_handed(packet); });
}

// What is about to leave by a port, whoever made it.
void Worker::watch_sent(std::span<rte_mbuf*> packets, std::uint16_t link) const {
  if (std::ranges::all_of(taps_->taps, [](const auto& tap) { return tap->snaplen == 0; })) {
    return;
  }
  for (rte_mbuf* packet : packets) {
    copy_to_taps(wanted_by_taps(passage_of(view_of(packet), true)), packet, link, true);
  }
}

}  // namespace steelyard::worker
