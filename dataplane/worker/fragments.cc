// Fragments on their way through the workers. A datagram's home, a worker that all compute alike, gets its fragments in
// whatever order and from whichever receiver; the first one tells the ports and so the flow's owner, and all follow it
// there through one ring, in order. Home and owner do the same here: what they know of the datagram is in their tables,
// and fragments that come before their first one wait.
#include "dataplane/packet/fragment.h"
#include "dataplane/worker/worker.h"

namespace steelyard::worker {
namespace {

using l4::FragmentWay;
using l4::Verdict;
using packet::DropReason;
using packet::PacketKind;

// TCP, UDP, and what may hide them: a later IPv6 fragment names only the first of the headers that it cannot see.
bool may_be_layer4(const packet::PacketView& view) {
  return view.protocol == packet::protocol_tcp || view.protocol == packet::protocol_udp ||
         (view.is_v6 && view.protocol == packet::protocol_destination_options);
}

packet::PacketView parse_again(rte_mbuf* packet) {
  // The header checksum was right when the packet came, and is still.
  return packet::parse({rte_pktmbuf_mtod(packet, std::uint8_t*), packet->data_len}, packet->pkt_len, {true});
}

}  // namespace

void Worker::handle_fragment(rte_mbuf* packet, packet::PacketView& view, std::uint16_t link) {
  note_of(packet).hops = 0;
  note_of(packet).port = link;
  view.is_v6 ? receive_fragment<packet::Ipv6>(packet, view) : receive_fragment<packet::Ipv4>(packet, view);
}

// From a port: to its datagram's home.
template <class Family>
void Worker::receive_fragment(rte_mbuf* packet, packet::PacketView& view) {
  const service::Address destination = l4::to_service(view.destination<Family>());
  const bool group = (rte_pktmbuf_mtod(packet, const std::uint8_t*)[0] & 1U) != 0;
  if (group || !may_be_layer4(view) || (is_own(destination) && !answers_for(destination))) {
    return handle_unclaimed(packet, view, note_of(packet).port);  // the kernel puts its own ones together
  }
  if (!packet::fragment_of<Family>(view)) {
    return drop(packet, DropReason::fragment_malformed);
  }
  const std::uint64_t hash = packet::hash(hash_key_, packet::datagram_of<Family>(view));
  const std::uint32_t home = packet::reduce(hash, static_cast<std::uint32_t>(hand_off_out_.size()));
  if (home != id_.value) {
    return hand_off(packet, service::WorkerId{static_cast<std::uint16_t>(home)}, PacketNote::Purpose::datagram_home);
  }
  pass_fragment<Family>(packet, view);
}

void Worker::handle_handed_fragment(rte_mbuf* packet, packet::PacketView& view) {
  view.is_v6 ? handle_handed_fragment<packet::Ipv6>(packet, view) : handle_handed_fragment<packet::Ipv4>(packet, view);
}

template <class Family>
void Worker::handle_handed_fragment(rte_mbuf* packet, packet::PacketView& view) {
  const PacketNote note = note_of(packet);
  switch (note.purpose) {
    case PacketNote::Purpose::datagram_home:
      note_of(packet).hops = 0;  // it comes so far but once
      return pass_fragment<Family>(packet, view);
    case PacketNote::Purpose::yours:
      return pass_fragment<Family>(packet, view);
    case PacketNote::Purpose::choose_server:
      packet::turn_into_first(view);
      return view.kind == PacketKind::l4
                 ? act(packet, view, balancer_.decide_for<Family>(view, service::WorkerId{note.from}))
                 : drop(packet, DropReason::reassigned);
    case PacketNote::Purpose::server_chosen:
      return resume_fragment<Family>(packet, view, service::BackendId{note.backend});
    case PacketNote::Purpose::neighbor_message:
      break;
  }
  drop(packet, DropReason::reassigned);
}

// At the datagram's home or at its flow's owner.
template <class Family>
void Worker::pass_fragment(rte_mbuf* packet, packet::PacketView& view) {
  auto& table = fragments<Family>();
  const auto fragment = packet::fragment_of<Family>(view);
  if (!fragment) {
    return drop(packet, DropReason::fragment_malformed);
  }
  const auto key = packet::datagram_of<Family>(view);
  const auto admission = table.admit(key, packet::hash(hash_key_, key), *fragment, now_ns_);
  if (admission.refused) {
    return drop(packet, *admission.refused);
  }
  if (table[admission.datagram].way != FragmentWay::waiting) {
    follow_first<Family>(packet, view, admission.datagram);
    table.forget_if_complete(admission.datagram);
  } else if (fragment->first()) {
    decide_first<Family>(packet, view, admission.datagram, std::nullopt);
  } else if (!table.hold(admission.datagram, packet, now_ns_)) {
    drop(packet, DropReason::fragment_queue_full);
  }
}

// A first fragment that comes back with the server that its client's home has chosen.
template <class Family>
void Worker::resume_fragment(rte_mbuf* packet, packet::PacketView& view, service::BackendId chosen) {
  const auto fragment = packet::fragment_of<Family>(view);
  if (!fragment || !fragment->first()) {
    return drop(packet, DropReason::fragment_malformed);
  }
  const auto key = packet::datagram_of<Family>(view);
  const auto admission = fragments<Family>().readmit(key, packet::hash(hash_key_, key), *fragment, now_ns_);
  if (admission.refused) {
    return drop(packet, *admission.refused);
  }
  decide_first<Family>(packet, view, admission.datagram, chosen);
}

// The first fragment opens or finds its flow like a whole packet; what becomes of it becomes of the others.
template <class Family>
void Worker::decide_first(rte_mbuf* packet, const packet::PacketView& fragment, l4::DatagramIndex datagram,
                          std::optional<service::BackendId> chosen) {
  auto& table = fragments<Family>();
  packet::PacketView view = fragment;
  packet::turn_into_first(view);
  Verdict verdict = Verdict::dropped(view.drop);
  packet::Tuple<Family> received;
  if (view.kind == PacketKind::l4) {
    received = view.tuple<Family>();
    verdict = chosen ? balancer_.open_decided<Family>(view, *chosen)
                     : balancer_.handle<Family>(view, balancer_.hash_of<Family>(view));
  } else if (view.kind == PacketKind::other_ip) {
    verdict.kind = Verdict::Kind::unclaimed;
  }
  auto& entry = table[datagram];
  switch (verdict.kind) {
    case Verdict::Kind::forward:
    case Verdict::Kind::split:
      entry.path = balancer_.path_of<Family>(received, view, verdict.hop);
      balancer_.renumber(fragment, entry.path);
      table.decide(datagram, FragmentWay::forward, now_ns_);
      packets_.fragments_forwarded.add();
      act(packet, view, verdict);
      break;
    case Verdict::Kind::hand_off:
      entry.owner = verdict.worker;
      table.decide(datagram, FragmentWay::hand_off, now_ns_);
      hand_off(packet, verdict.worker, PacketNote::Purpose::yours);
      break;
    case Verdict::Kind::ask_home:
      return act(packet, view, verdict);  // the others wait on
    case Verdict::Kind::unclaimed:
      table.decide(datagram, FragmentWay::unclaimed, now_ns_);
      act(packet, view, verdict);
      break;
    case Verdict::Kind::terminated:  // TCP that ends here is not put together
      verdict = Verdict::dropped(DropReason::fragment_first_dropped);
      [[fallthrough]];
    case Verdict::Kind::drop:
    case Verdict::Kind::too_big:
    case Verdict::Kind::consumed:
    case Verdict::Kind::opening:
    case Verdict::Kind::return_to:
      table.condemn(datagram, DropReason::fragment_first_dropped, now_ns_);
      return act(packet, view, verdict);
  }
  while (void* waited = table.next_held(datagram)) {
    auto* later = static_cast<rte_mbuf*>(waited);
    packet::PacketView later_view = parse_again(later);
    follow_first<Family>(later, later_view, datagram);
  }
  table.forget_if_complete(datagram);
}

template <class Family>
void Worker::follow_first(rte_mbuf* packet, packet::PacketView& view, l4::DatagramIndex datagram) {
  auto& entry = fragments<Family>()[datagram];
  switch (entry.way) {
    case FragmentWay::forward: {
      const Verdict verdict = balancer_.forward_later(view, entry.path);
      packets_.fragments_forwarded.add(
          verdict.kind == Verdict::Kind::forward || verdict.kind == Verdict::Kind::split ? 1 : 0);
      return act(packet, view, verdict);
    }
    case FragmentWay::hand_off:
      return hand_off(packet, entry.owner, PacketNote::Purpose::yours);
    case FragmentWay::unclaimed:
      return handle_unclaimed(packet, view, note_of(packet).port);
    case FragmentWay::waiting:
    case FragmentWay::condemned:
      break;
  }
  drop(packet, entry.reason);
}

void Worker::give_up_fragment(void* packet, DropReason reason) {
  drop(static_cast<rte_mbuf*>(packet), reason);
}

// Datagrams that have lost a fragment are let go; a few at a time, for each may have packets waiting.
std::size_t Worker::expire_fragments() {
  constexpr std::size_t budget = 16;
  const std::size_t forgotten = fragments_v4_.expire(now_ns_, budget) + fragments_v6_.expire(now_ns_, budget);
  packets_.datagrams_tracked.set(fragments_v4_.size() + fragments_v6_.size());
  return forgotten;
}

}  // namespace steelyard::worker
