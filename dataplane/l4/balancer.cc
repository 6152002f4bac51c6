// Packets of known flows: the fast path, and the TCP segments that change a flow's state.
#include "dataplane/l4/balancer.h"

#include <algorithm>

#include "dataplane/l4/rewrite.h"

namespace steelyard::l4 {
namespace {

using packet::DropReason;

// Resets and unreachables that one worker sends at most: enough for a restart's worth of stray connections, too few to
// make us a weapon.
constexpr std::uint64_t resets_per_second = 50'000;
constexpr std::uint64_t unreachables_per_second = 1'000;

// After so long without a packet a SYN may begin a new connection in a one-sided flow.
constexpr std::uint32_t silent_ticks = 2 * Tick::per_second;

}  // namespace

Balancer::Balancer(const BalancerSetup& setup)
    : worker_(setup.worker),
      workers_(static_cast<std::uint32_t>(setup.workers)),
      key_(setup.key),
      sequence_key_(setup.sequence_key),
      sequence_clock_ns_(setup.sequence_clock_ns),
      random_(setup.seed | 1U),
      v4_(setup.memory_v4, setup.flows_v4, setup.key),
      v6_(setup.memory_v6, setup.flows_v6, setup.key),
      own_addresses_(setup.own_addresses),
      pool_(setup.local_addresses, setup.local_ports, setup.worker, setup.workers, setup.seed),
      terminated_ports_(setup.terminated_ports),
      schedulers_(*setup.schedulers),
      persistence_(setup.persistence),
      backends_(*setup.backends),
      tunnels_(*setup.tunnels),
      path_mtus_(*setup.path_mtus),
      listeners_(setup.listeners),
      sources_(setup.sources),
      active_(*setup.active),
      others_(*setup.others),
      others_version_(*setup.others_version),
      permits_(setup.permits),
      meters_(setup.meters),
      bandwidth_shares_(setup.bandwidth_shares),
      neighbors_(*setup.neighbors),
      output_(*setup.output),
      fragment_ids_(setup.key, setup.worker.value, static_cast<std::uint32_t>(setup.workers)),
      reset_limit_(resets_per_second, resets_per_second / 10),
      unreachable_limit_(unreachables_per_second, unreachables_per_second / 10) {
  const auto add = [](auto& lists, const service::Address& address) {
    lists[address.is_v4() ? 0 : 1].push_back(address);
  };
  for (const service::Address& address : setup.local_addresses) {
    add(tunnel_sources_, address);
  }
  for (const TunnelPort& port : setup.tunnel_ports) {
    port_mtus_.push_back(port.mtu);
    port_sources_.emplace_back();
    for (const service::Address& address : port.addresses) {
      add(port_sources_.back(), address);
    }
  }
}

template <class Family>
Verdict Balancer::begin(packet::PacketView& view, std::uint64_t hash, Opening<Family>& opening) {
  if (const auto hit = table<Family>().find(view.tuple<Family>(), hash)) [[likely]] {
    return on_hit<Family>(view, hit->flow, hit->side, opening);
  }
  return on_miss<Family>(view, opening);
}

template <class Family>
Verdict Balancer::handle(packet::PacketView& view, std::uint64_t hash) {
  Opening<Family> opening;
  const Verdict verdict = begin<Family>(view, hash, opening);
  return verdict.kind == Verdict::Kind::opening ? finish<Family>(view, opening) : verdict;
}

template <class Family>
Verdict Balancer::on_hit(packet::PacketView& view, FlowIndex index, Side from, Opening<Family>& opening) {
  Flow<Family>& flow = table<Family>()[index];
  if (view.l3[Family::ttl_offset] <= 1) {
    return Verdict::dropped(DropReason::ttl_expired);
  }
  if (from == Side::server && !within_bandwidth(flow.listener, view.l3_length)) [[unlikely]] {
    return Verdict::dropped(DropReason::bandwidth_exceeded);
  }
  packet::ChecksumDelta extra;
  if (view.protocol == packet::protocol_tcp) {
    const Segment segment = flow.tells_client() ? read_told(view, flow, from, extra) : Segment::of(view);
    using namespace packet::tcp_flag;
    const bool plain = (segment.flags & (syn | fin | rst)) == 0 && flow.state() == FlowState::established;
    if (!plain) [[unlikely]] {
      if (const auto verdict = on_tcp_event<Family>(view, index, from, segment, opening)) {
        return *verdict;
      }
      if (from == Side::client && precedes_header(flow, segment)) {
        return Verdict::dropped(DropReason::precedes_proxy_header);
      }
      if (from == Side::client && segment.has(syn) && flow.mode() == service::Mode::fullnat) {
        const service::Listener* listener = snapshot_->find(flow.listener);
        const bool bare = flow.owed_address() == service::ClientAddress::proxy_v2;
        if (bare || (listener != nullptr && listener->strip_timestamps)) {
          strip_timestamps(view.l4, extra);
        }
      }
    } else {
      remember(flow, from, segment);
      flow.last_seen = tick_.low();
    }
  } else {
    flow.last_seen = tick_.low();
  }
  const neighbor::HopIndex hop = hop_of<Family>(flow, opposite(from));
  if (hop == neighbor::HopIndex{}) [[unlikely]] {
    return Verdict::dropped(why_no_hop(way_to(flow, opposite(from))));
  }
  backends_[flow.backend].count(from, view.l3_length);
  Verdict verdict = send_on(view, flow, from, hop, extra);
  if (flow.state() == FlowState::option_sent && from == Side::client) [[unlikely]] {
    verdict.grown = tell_by_option(view, flow, hop);
  }
  return verdict;
}

// The cached next hop towards one side, looked up when there is none yet. A hop that is cached was reachable once, so
// its index stays valid. None (0): no route, or no room for one more neighbour.
template <class Family>
neighbor::HopIndex Balancer::hop_of(Flow<Family>& flow, Side towards) {
  if (const std::uint16_t cached = flow.hop_towards(towards); cached != 0) [[likely]] {
    return {cached};
  }
  const auto hop = next_hop(way_to(flow, towards));
  if (hop) {
    cache_hop<Family>(flow, towards, *hop);
  }
  return hop.value_or(neighbor::HopIndex{});
}

// Is the flow's server down, or no server of its listener any more?
template <class Family>
bool Balancer::server_is_lost(const Flow<Family>& flow) {
  const service::Listener* listener = snapshot_->find(flow.listener);
  if (listener == nullptr) {
    return false;  // there is no other one
  }
  const auto place = scheduler_of(*listener).find(*listener, flow.backend_id());
  return !place || !listener->state->states[*place].up.load(std::memory_order_relaxed);
}

// A segment with SYN, FIN or RST, or any segment of a flow that is not established. Nothing: forward it.
template <class Family>
std::optional<Verdict> Balancer::on_tcp_event(packet::PacketView& view, FlowIndex index, Side from,
                                              const Segment& segment, Opening<Family>& opening) {
  Flow<Family>& flow = table<Family>()[index];
  const bool opens = from == Side::client && segment.has(packet::tcp_flag::syn) && !segment.has(packet::tcp_flag::ack);
  if (opens && (flow.state() == FlowState::lingering || flow.adopted())) {
    // The client uses its port again: a new connection, decided anew. Or it is not the client: a connection that there
    // is will be adopted again.
    remove<Family>(index);
    return on_miss<Family>(view, opening);
  }
  if (opens && flow.state() == FlowState::syn_sent && server_is_lost<Family>(flow)) {
    // The server went down before it answered: the retransmitted SYN goes to another one.
    counters_.redispatched.add();
    remove<Family>(index);
    return on_miss<Family>(view, opening);
  }
  if (opens && flow.one_sided() && !flow.half_open()) {
    // How it ended nobody here has seen. But a SYN is easily forged: what was heard of just now is alive.
    const bool silent = elapsed(tick_, flow.last_seen) >= silent_ticks;
    if (silent && (flow.state() == FlowState::client_closed || server_is_lost<Family>(flow))) {
      remove<Family>(index);
      return on_miss<Family>(view, opening);
    }
    return std::nullopt;
  }
  if (!flow.half_open() && !is_plausible(flow, from, segment)) {
    return std::nullopt;  // forged or stray: its receiver judges it, our view of the connection stays
  }
  const FlowState next = next_state(flow, from, segment);
  remember(flow, from, segment);
  if (flow.half_open() && (next == FlowState::header_sent || next == FlowState::option_sent)) {
    begin_telling<Family>(index, next, view, segment);
    return std::nullopt;
  }
  if (next == FlowState::header_sent) {
    return std::nullopt;  // its clock runs from the header's first sending on
  }
  if (flow.state() == FlowState::header_sent && next == FlowState::lingering && from == Side::client) {
    reset_headless<Family>(flow);
  }
  if (next != flow.state()) {
    change_state<Family>(index, next, from);
  } else if (!flow.half_open() && next != FlowState::lingering) {
    flow.last_seen = tick_.low();
  }
  return std::nullopt;
}

template <class Family>
void Balancer::change_state(FlowIndex index, FlowState next, Side from) {
  FlowTable<Family>& flows = table<Family>();
  Flow<Family>& flow = flows[index];
  const bool was_half_open = flow.half_open();
  if (next == FlowState::syn_received) {
    flow.set_state(next);  // still in the half-open queue, still at the age it had
    return;
  }
  if (next == FlowState::half_closed && flow.first_fin() == 0) {
    flow.set_first_fin(first_fin_of(from));
  }
  if (next == FlowState::lingering || next == FlowState::client_closed) {
    if (flow.counts()) {
      close_books<Family>(flow);
      give_back_port<Family>(flow, index.value);
    }
  } else if (was_half_open) {
    flows.subtract_half_open();
  }
  if (flow.state() == FlowState::client_closed) {
    backends_[flow.backend].client_closed.subtract();
  }
  flow.set_state(next);
  flow.last_seen = tick_.low();
  flows.timers().unlink(index);
  if (next == FlowState::lingering) {
    flows.timers().append_lingering(index);
  } else if (next == FlowState::client_closed) {
    flows.timers().append_client_closed(index);
    backends_[flow.backend].client_closed.add();
  } else {
    flows.timers().schedule(index, tick_, timeout_of<Family>(flow));
  }
}

std::optional<neighbor::HopIndex> Balancer::next_hop(const service::Address& destination) {
  for (const service::Route& route : snapshot_->routes) {
    if (route.destination.contains(destination)) {
      const service::Address& via = route.on_link ? destination : route.gateway;
      return neighbors_.find(packet::load<neighbor::IpKey>(via.v6().data()), route.port.value, now_ns_);
    }
  }
  return std::nullopt;
}

DropReason Balancer::why_no_hop(const service::Address& destination) const {
  const bool routed = std::ranges::any_of(
      snapshot_->routes, [&](const service::Route& route) { return route.destination.contains(destination); });
  return routed ? DropReason::neighbor_table_full : DropReason::no_route;
}

template Verdict Balancer::begin<packet::Ipv4>(packet::PacketView&, std::uint64_t, Opening<packet::Ipv4>&);
template Verdict Balancer::begin<packet::Ipv6>(packet::PacketView&, std::uint64_t, Opening<packet::Ipv6>&);
template Verdict Balancer::handle<packet::Ipv4>(packet::PacketView&, std::uint64_t);
template Verdict Balancer::handle<packet::Ipv6>(packet::PacketView&, std::uint64_t);
template Verdict Balancer::on_hit<packet::Ipv4>(packet::PacketView&, FlowIndex, Side, Opening<packet::Ipv4>&);
template Verdict Balancer::on_hit<packet::Ipv6>(packet::PacketView&, FlowIndex, Side, Opening<packet::Ipv6>&);
template neighbor::HopIndex Balancer::hop_of<packet::Ipv4>(Flow<packet::Ipv4>&, Side);
template neighbor::HopIndex Balancer::hop_of<packet::Ipv6>(Flow<packet::Ipv6>&, Side);

}  // namespace steelyard::l4
