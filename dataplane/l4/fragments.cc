// Fragments of datagrams whose flow is known: the first one is a packet like others, since the checksum of its layer 4
// covers the whole datagram and is updated by what changes, wherever that stands; the later ones get its addresses.
#include "dataplane/l4/balancer.h"
#include "dataplane/packet/fragment.h"

namespace steelyard::l4 {

using packet::DropReason;

template <class Family>
FragmentPath<Family> Balancer::path_of(const packet::Tuple<Family>& received, const packet::PacketView& first,
                                       neighbor::HopIndex hop) {
  FragmentPath<Family> path;
  path.addresses = packet::AddressPair<Family>::of(first.l3);
  path.hop = neighbors_[hop].reachable ? hop : neighbor::HopIndex{};
  if (const auto hit = table<Family>().find(received, table<Family>().hash_of(received))) {
    path.counted = true;
    path.backend = table<Family>()[hit->flow].backend_id();
    path.from = hit->side;
  }
  const auto source = first.source<Family>();
  if (!(source == received.source)) {
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
  neighbor::HopIndex hop = path.hop;
  if (hop == neighbor::HopIndex{}) {
    const auto destination = packet::load<typename Family::Address>(
        reinterpret_cast<const std::uint8_t*>(&path.addresses) + sizeof(typename Family::Address));
    const auto found = next_hop(destination);
    if (!found) {
      return Verdict::dropped(why_no_hop(destination));
    }
    hop = *found;
    path.hop = neighbors_[hop].reachable ? hop : neighbor::HopIndex{};
  }
  if (path.counted) {
    backends_[path.backend.value].count(path.from, fragment.l3_length);
  }
  packet::ChecksumDelta header;
  header.replace(packet::AddressPair<Family>::of(l3), path.addresses);
  packet::store(l3 + Family::source_offset, path.addresses);
  if constexpr (Family::is_v6) {
    --l3[Family::ttl_offset];
  } else {
    const auto word = packet::load<std::uint16_t>(l3 + Family::ttl_offset);
    const auto aged = static_cast<std::uint16_t>(word - 1);
    packet::store(l3 + Family::ttl_offset, aged);
    header.replace(word, aged);
    packet::store(l3 + 10, header.apply(packet::load<std::uint16_t>(l3 + 10)));
  }
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
