// Fragments of datagrams whose flow is known: the first one is a packet like others, since the checksum of its layer 4
// covers the whole datagram and is updated by what changes, wherever that stands; the later ones get its addresses.
#include "dataplane/l4/balancer.h"
#include "dataplane/l4/rewrite.h"
#include "dataplane/packet/fragment.h"

namespace steelyard::l4 {

using packet::DropReason;

template <class Family>
FragmentPath<Family> Balancer::path_of(const packet::Tuple<Family>& received, const packet::PacketView& first,
                                       neighbor::HopIndex hop) {
  FragmentPath<Family> path;
  path.addresses = packet::AddressPair<Family>::of(first.l3);
  path.hop = neighbors_[hop].reachable ? hop : neighbor::HopIndex{};
  path.towards = to_service(first.destination<Family>());
  if (const auto hit = table<Family>().find(received, table<Family>().hash_of(received))) {
    const Flow<Family>& flow = table<Family>()[hit->flow];
    path.counted = true;
    path.backend = flow.backend_id();
    path.listener = flow.listener;
    path.towards = way_to(flow, opposite(hit->side));
    path.from = hit->side;
    path.tunneled = flow.mode() == service::Mode::tunnel;
    path.variation = variation_of<Family>(flow.client, flow.client_port);
  }
  const auto source = first.source<Family>();
  if (!(source == received.source) || !(first.destination<Family>() == received.destination)) {
    path.renumbered = true;
    path.id = fragment_ids_.next<Family>(source, first.destination<Family>());
  }
  return path;
}

template <class Family>
void Balancer::renumber(const packet::PacketView& fragment, const FragmentPath<Family>& path) {
  if (!path.renumbered) {
    return;
  }
  packet::ChecksumDelta header;
  packet::write_identification<Family>(fragment, path.id, header);
  if constexpr (!Family::is_v6) {
    packet::store(fragment.l3 + 10, header.apply(packet::load<std::uint16_t>(fragment.l3 + 10)));
  }
}

template <class Family>
Verdict Balancer::forward_later(const packet::PacketView& fragment, FragmentPath<Family>& path) {
  std::uint8_t* l3 = fragment.l3;
  if (l3[Family::ttl_offset] <= 1) {
    return Verdict::dropped(DropReason::ttl_expired);
  }
  if (path.counted && path.from == Side::server && !within_bandwidth(path.listener, fragment.l3_length)) [[unlikely]] {
    return Verdict::dropped(DropReason::bandwidth_exceeded);
  }
  neighbor::HopIndex hop = path.hop;
  if (hop == neighbor::HopIndex{}) {
    const auto found = next_hop(path.towards);
    if (!found) {
      return Verdict::dropped(why_no_hop(path.towards));
    }
    hop = *found;
    path.hop = neighbors_[hop].reachable ? hop : neighbor::HopIndex{};
  }
  if (path.counted) {
    backends_[path.backend.value].count(path.from, fragment.l3_length);
  }
  if (path.tunneled) {
    return enter_tunnel<Family>(fragment, path.backend, path.variation, hop);
  }
  packet::ChecksumDelta header;
  header.replace(packet::AddressPair<Family>::of(l3), path.addresses);
  packet::store(l3 + Family::source_offset, path.addresses);
  age<Family>(l3, header);
  renumber(fragment, path);
  return Verdict::forwarded(hop);
}

template FragmentPath<packet::Ipv4> Balancer::path_of(const packet::Tuple<packet::Ipv4>&, const packet::PacketView&,
                                                      neighbor::HopIndex);
template FragmentPath<packet::Ipv6> Balancer::path_of(const packet::Tuple<packet::Ipv6>&, const packet::PacketView&,
                                                      neighbor::HopIndex);
template void Balancer::renumber(const packet::PacketView&, const FragmentPath<packet::Ipv4>&);
template void Balancer::renumber(const packet::PacketView&, const FragmentPath<packet::Ipv6>&);
template Verdict Balancer::forward_later(const packet::PacketView&, FragmentPath<packet::Ipv4>&);
template Verdict Balancer::forward_later(const packet::PacketView&, FragmentPath<packet::Ipv6>&);

}  // namespace steelyard::l4
