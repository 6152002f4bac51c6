// The fast path of layer 4, for the worker's loop and nobody else: everything that happens to a packet in the middle of
// a flow. About 250 instructions, of which a call and its saved registers would be a tenth.
#pragma once

#include "dataplane/l4/balancer.h"
#include "dataplane/l4/rewrite.h"

namespace steelyard::l4 {

// Is it a packet in the middle of a one-sided flow? Then its numbers are remembered and it is counted.
template <class Family>
[[gnu::always_inline]] inline bool Balancer::follow_one_sided(const packet::PacketView& view, Flow<Family>& flow) {
  if (view.protocol == packet::protocol_tcp) {
    using namespace packet::tcp_flag;
    if ((view.tcp_flags & (syn | fin | rst)) != 0 || flow.state() != FlowState::established) {
      return false;
    }
    remember_one_sided_plain(flow, Segment::of(view));
  } else if (flow.state() != FlowState::udp) {
    return false;
  }
  flow.last_seen = tick_.low();
  backends_[flow.backend].count(Side::client, view.l3_length);
  age<Family>(view.l3);
  return true;
}

// The same for a packet of a one-sided flow, which stays as it is but for its age. Not inlined: it is short already,
// and the others' code stays together.
template <class Family>
[[gnu::noinline]] inline Forwarded Balancer::pass_known(const packet::PacketView& view, Flow<Family>& flow,
                                                        std::uint16_t hop) {
  if (flow.mode() == service::Mode::tunnel) {
    return tunnel_known<Family>(view, flow, hop);
  }
  if (!flow.one_sided() || !follow_one_sided<Family>(view, flow)) {
    return {};
  }
  return {{hop}};
}

// And into a tunnel.
template <class Family>
[[gnu::noinline]] inline Forwarded Balancer::tunnel_known(const packet::PacketView& view, Flow<Family>& flow,
                                                          std::uint16_t hop) {
  const TunnelEnd& end = tunnels_[flow.backend];
  if (end.version != tunnels_version_ || view.l3_length > end.mtu || !follow_one_sided<Family>(view, flow)) {
    return {};
  }
  write_outer<Family>(view.l3, view.l3_length, end, variation_of<Family>(flow.client, flow.client_port));
  return {{hop}, end.header_size};
}

template <class Family>
[[gnu::always_inline]] inline Forwarded Balancer::forward_known(packet::PacketView& view, std::uint32_t candidate) {
  if (candidate == no_candidate) [[unlikely]] {
    return {};
  }
  using Table = FlowTable<Family>;
  Flow<Family>& flow = table<Family>()[Table::flow_of(candidate)];
  const Side from = Table::side_of(candidate);
  const std::uint16_t hop = flow.hop_towards(opposite(from));
  // That the protocols are the same, too, shows in the state below.
  const std::uint64_t difference =
      packet::difference(flow.addresses_from(from), packet::AddressPair<Family>::of(view.l3)) |
      (flow.ports_from(from) ^ packet::load<std::uint32_t>(view.l4));
  if (difference != 0 || hop == 0 || view.l3[Family::ttl_offset] <= 1) [[unlikely]] {
    return {};
  }
  if (view.protocol == packet::protocol_tcp) {
    using namespace packet::tcp_flag;
    if ((view.tcp_flags & (syn | fin | rst)) != 0 || !flow.is_two_sided(FlowState::established)) [[unlikely]] {
      return pass_known<Family>(view, flow, hop);
    }
    remember_plain(flow, from, Segment::of(view));
  } else if (!flow.is_two_sided(FlowState::udp)) [[unlikely]] {
    return pass_known<Family>(view, flow, hop);
  }
  flow.last_seen = tick_.low();
  backends_[flow.backend].count(from, view.l3_length);
  rewrite(view, flow, from);
  return {{hop}};
}

}  // namespace steelyard::l4
