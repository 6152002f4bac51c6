// Packets to servers behind a tunnel: what is known of its other end, what fits, and what becomes of the rest.
#include "dataplane/l4/balancer.h"
#include "dataplane/l4/rewrite.h"
#include "dataplane/packet/icmp_error.h"

namespace steelyard::l4 {
namespace {

using packet::DropReason;

// May a router, or we, send the packet on in pieces?
template <class Family>
bool may_be_split(const packet::PacketView& view) {
  return !Family::is_v6 && (view.l3[6] & 0x40U) == 0;
}

// The server's own announcement, which passes us by, is what keeps the client's segments small; but a server whose
// segment size follows what it is offered is offered what fits.
template <class Family>
void limit_segment_size(const packet::PacketView& view, const TunnelEnd& end) {
  constexpr std::size_t headers = Family::header_size + packet::tcp_header_size;
  if (view.protocol != packet::protocol_tcp || (view.tcp_flags & packet::tcp_flag::syn) == 0 || end.mtu <= headers) {
    return;
  }
  packet::ChecksumDelta segment;
  lower_segment_size(view.l4, static_cast<std::uint16_t>(end.mtu - headers), segment);
  packet::store(view.l4 + 16, segment.apply(packet::load<std::uint16_t>(view.l4 + 16)));
}

}  // namespace

template <class Family>
service::Address Balancer::way_to(const Flow<Family>& flow, Side side) const {
  if (side == Side::client) {
    return to_service(flow.client);
  }
  return flow.mode() == service::Mode::tunnel ? tunnels_[flow.backend].address() : to_service(flow.server);
}

// An id has one address for as long as it is used.
template <class Family>
void Balancer::set_tunnel_end(service::BackendId backend, const service::Address& server) {
  enters_tunnels_ = true;
  TunnelEnd& end = tunnels_[backend.value];
  if (end.header_size == 0 || end.address() != server) {
    end = tunnel_end<Family>(server);
  }
}

// False: nothing leads there, or we have no address to send from.
bool Balancer::update_tunnel_end(TunnelEnd& end) {
  if (end.version == tunnels_version_) [[likely]] {
    return !end.sources.empty();
  }
  const service::Address address = end.address();
  const auto hop = next_hop(address);
  if (!hop) {
    return false;
  }
  const std::size_t port = neighbors_[*hop].port;
  const auto& pool = tunnel_sources_[end.outer_v6 ? 1 : 0];
  end.sources = pool.empty() ? port_sources_[port][end.outer_v6 ? 1 : 0] : pool;
  const std::uint16_t path = path_mtus_.find(address, now_ns_).value_or(UINT16_MAX);
  end.mtu = static_cast<std::uint16_t>(std::min(port_mtus_[port], path) - end.header_size);
  end.version = tunnels_version_;
  return !end.sources.empty();
}

template <class Family>
Verdict Balancer::send_on(const packet::PacketView& view, const Flow<Family>& flow, Side from, neighbor::HopIndex hop,
                          packet::ChecksumDelta extra) {
  if (from == Side::client && flow.mode() == service::Mode::tunnel) {
    if (TunnelEnd& end = tunnels_[flow.backend]; update_tunnel_end(end)) {
      limit_segment_size<Family>(view, end);
    }
    return enter_tunnel<Family>(view, flow.backend_id(), variation_of<Family>(flow.client, flow.client_port), hop);
  }
  pass_on(view, flow, from, extra);
  return Verdict::forwarded(hop);
}

template <class Family>
Verdict Balancer::enter_tunnel(const packet::PacketView& view, service::BackendId backend, std::uint64_t variation,
                               neighbor::HopIndex hop) {
  TunnelEnd& end = tunnels_[backend.value];
  if (!update_tunnel_end(end)) {
    // Without an address of the outer family `check` refuses the file.
    return Verdict::dropped(end.version == tunnels_version_ ? DropReason::no_route : why_no_hop(end.address()));
  }
  if (view.l3_length > end.mtu) {
    return split_or_refuse<Family>(view, end, variation, hop);
  }
  age<Family>(view.l3);
  write_outer<Family>(view.l3, view.l3_length, end, variation);
  return {.kind = Verdict::Kind::forward, .hop = hop, .grown = end.header_size};
}

// The sender is told when it can send less; what may be split, or is as small as IPv6 allows it to be, goes on in
// pieces of the outer packet, which the other end puts together (RFC 2003 section 3.1, RFC 2473 section 7, RFC 4213
// section 3.2).
template <class Family>
Verdict Balancer::split_or_refuse(const packet::PacketView& view, const TunnelEnd& end, std::uint64_t variation,
                                  neighbor::HopIndex hop) {
  const auto least = static_cast<std::uint16_t>(Family::is_v6 ? Family::minimum_mtu : 68);  // RFC 791 section 3.2
  if (!may_be_split<Family>(view) && view.l3_length > std::max(end.mtu, least)) {
    return {.kind = Verdict::Kind::too_big, .mtu = std::max(end.mtu, least)};
  }
  age<Family>(view.l3);
  write_outer<Family>(view.l3, view.l3_length, end, variation);
  return {.kind = Verdict::Kind::split,
          .hop = hop,
          .mtu = static_cast<std::uint16_t>(end.mtu + end.header_size),
          .grown = end.header_size};
}

// True: it was about a packet in a tunnel, and nobody else's. Less than the smallest that all links take is not
// believed (RFC 1191 section 3, RFC 8201 section 4): it would only serve who forges it.
template <class Outer>
bool Balancer::learn_path_mtu(const packet::PacketView& error) {
  const auto quote = packet::quoted_tunnel<Outer>(error);
  if (!quote || !(error.destination<Outer>() == quote->source)) {
    return false;
  }
  const service::Address source = to_service(quote->source);
  if (!pool_.find(source) && !own_addresses_.contains(source)) {
    return false;
  }
  if (quote->mtu != 0) {
    path_mtus_.learn(to_service(quote->destination),
                     std::max(quote->mtu, static_cast<std::uint16_t>(Outer::minimum_mtu)), now_ns_);
  }
  counters_.tunnel_errors.add();
  return !own_addresses_.contains(source);  // what is the node's own as well, the kernel may have sent
}

template service::Address Balancer::way_to<packet::Ipv4>(const Flow<packet::Ipv4>&, Side) const;
template service::Address Balancer::way_to<packet::Ipv6>(const Flow<packet::Ipv6>&, Side) const;
template void Balancer::set_tunnel_end<packet::Ipv4>(service::BackendId, const service::Address&);
template void Balancer::set_tunnel_end<packet::Ipv6>(service::BackendId, const service::Address&);
template Verdict Balancer::send_on(const packet::PacketView&, const Flow<packet::Ipv4>&, Side, neighbor::HopIndex,
                                   packet::ChecksumDelta);
template Verdict Balancer::send_on(const packet::PacketView&, const Flow<packet::Ipv6>&, Side, neighbor::HopIndex,
                                   packet::ChecksumDelta);
template Verdict Balancer::enter_tunnel<packet::Ipv4>(const packet::PacketView&, service::BackendId, std::uint64_t,
                                                      neighbor::HopIndex);
template Verdict Balancer::enter_tunnel<packet::Ipv6>(const packet::PacketView&, service::BackendId, std::uint64_t,
                                                      neighbor::HopIndex);
template bool Balancer::learn_path_mtu<packet::Ipv4>(const packet::PacketView&);
template bool Balancer::learn_path_mtu<packet::Ipv6>(const packet::PacketView&);

}  // namespace steelyard::l4
