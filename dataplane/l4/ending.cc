// How flows end: idle timeouts, half-open and lingering queues, resets on command.
#include <algorithm>
#include <array>

#include "dataplane/l4/balancer.h"
#include "dataplane/l4/proxy_header.h"

namespace steelyard::l4 {
namespace {

constexpr std::uint32_t half_open_ticks = 10 * Tick::per_second;  // a handshake that takes longer is none
constexpr std::uint32_t lingering_ticks = 60 * Tick::per_second;  // TIME_WAIT of both kernels
constexpr std::uint32_t in_use_ticks = Tick::per_second;          // since a client that has closed was heard of
constexpr std::uint32_t half_closed_seconds = 120;                // as LVS: a half-closed transfer that stands still
constexpr std::uint32_t closing_seconds = 30;                     // the last acknowledgment and its retransmissions

// What ending a flow costs in entries looked at: two packets built and sent, four index lines.
constexpr std::size_t reset_cost = 15;

}  // namespace

template <class Family>
std::uint32_t Balancer::timeout_of(const Flow<Family>& flow) const {
  const service::Listener* listener = snapshot_->find(flow.listener);
  const auto seconds = [](std::chrono::seconds value) { return static_cast<std::uint32_t>(value.count()); };
  const std::uint32_t established =
      seconds(listener != nullptr ? listener->established_timeout : std::chrono::seconds{900});
  switch (flow.state()) {
    case FlowState::udp:
      return seconds(listener != nullptr ? listener->udp_timeout : std::chrono::seconds{90}) * Tick::per_second;
    case FlowState::half_closed:
    case FlowState::client_closed:
      return std::min(established, half_closed_seconds) * Tick::per_second;
    case FlowState::closing:
      return closing_seconds * Tick::per_second;
    case FlowState::header_sent:
      return first_repetition_ticks;
    case FlowState::free:
    case FlowState::syn_sent:
    case FlowState::syn_received:
    case FlowState::adopted_from_client:
    case FlowState::adopted_from_server:
    case FlowState::option_sent:
    case FlowState::established:
    case FlowState::lingering:
      break;
  }
  return established * Tick::per_second;
}

// The connection counts no more: for the scheduler, for its server, for the half-open limit.
template <class Family>
void Balancer::close_books(Flow<Family>& flow) {
  active_[flow.backend].subtract();
  if (const service::Listener* listener = snapshot_->find(flow.listener); listener != nullptr) {
    schedulers_[listener->id.value].load_changed(*listener, flow.backend_id(), load());
    count_for_source<Family>(*listener, flow, false);
  }
  if (flow.half_open()) {
    table<Family>().subtract_half_open();
  }
}

template <class Family>
void Balancer::remove(FlowIndex index) {
  Flow<Family>& flow = table<Family>()[index];
  if (flow.counts()) {
    close_books<Family>(flow);
    give_back_port<Family>(flow, PortHistory::no_flow);
  } else if (flow.state() == FlowState::client_closed) {
    backends_[flow.backend].client_closed.subtract();
  } else if (flow.mode() == service::Mode::fullnat) {
    if (const auto place = pool_.find(to_service(flow.local))) {
      PortHistory& history = pool_.ports(*place).history(__builtin_bswap16(flow.local_port));
      if (history.flow.value == index.value) {
        history.flow.value = PortHistory::no_flow;
      }
    }
  }
  table<Family>().remove(index);
}

template <class Family>
void Balancer::send_reset(const packet::TcpControl<Family>& reset, const service::Address& towards) {
  const auto hop = next_hop(towards);
  if (!hop) {
    return;
  }
  std::array<std::uint8_t, Family::header_size + 20> room{};
  const std::size_t length = packet::build_tcp_control<Family>(room, reset);
  if (output_.send_built(std::span(room).first(length), Family::is_v6, *hop)) {
    counters_.resets_sent.add();
  }
}

template <class Family>
void Balancer::send_reset_to_server(const packet::TcpControl<Family>& reset, const Flow<Family>& flow) {
  const service::Address towards = way_to(flow, Side::server);
  if (flow.mode() != service::Mode::tunnel) {
    return send_reset<Family>(reset, towards);
  }
  const auto hop = next_hop(towards);
  TunnelEnd& end = tunnels_[flow.backend];
  if (!hop || !update_tunnel_end(end)) {
    return;
  }
  constexpr std::size_t front = packet::ethernet_header_size + most_grown;
  std::array<std::uint8_t, front + Family::header_size + packet::tcp_header_size> room{};
  const std::span inner = std::span(room).subspan(front);
  const std::size_t length = packet::build_tcp_control<Family>(inner, reset);
  write_outer<Family>(inner.data(), length, end, variation_of<Family>(flow.client, flow.client_port));
  const auto whole = std::span(room).subspan(front - end.header_size, end.header_size + length);
  if (output_.send_built(whole, end.outer_v6, *hop)) {
    counters_.resets_sent.add();
  }
}

// Resets with the numbers that each side expects next: the end of what it was sent, or what it last acknowledged when
// that is later. A peer that is just receiving more answers with a challenge ACK (RFC 5961 section 3.2), finds no flow
// and gets the exact number back.
template <class Family>
void Balancer::reset_both(FlowIndex index) {
  const Flow<Family>& flow = table<Family>()[index];
  if (flow.state() == FlowState::udp || flow.state() == FlowState::lingering) {
    return;
  }
  const packet::Sequence client_numbers =
      later_of(flow.client_sequence_end + flow.sequence_delta, flow.server_acknowledgment);
  packet::TcpControl<Family> to_server{flow.one_sided() ? flow.client_side() : flow.server_side().reversed(),
                                       client_numbers, flow.server_sequence_end,
                                       packet::tcp_flag::rst | packet::tcp_flag::ack};
  if (flow.state() == FlowState::syn_sent) {
    to_server.flags = packet::tcp_flag::rst;
    to_server.acknowledgment = {};
    send_reset_to_server<Family>(to_server, flow);
    // The client has had no number of the server's yet: it takes a reset that acknowledges its SYN.
    send_reset<Family>(
        {flow.client_side().reversed(), {}, flow.client_sequence_end, packet::tcp_flag::rst | packet::tcp_flag::ack},
        to_service(flow.client));
    return;
  }
  send_reset_to_server<Family>(to_server, flow);
  send_reset<Family>({flow.client_side().reversed(), later_of(flow.server_sequence_end, flow.client_acknowledgment),
                      flow.client_sequence_end, packet::tcp_flag::rst | packet::tcp_flag::ack},
                     to_service(flow.client));
}

// The wheel has come to a flow: 0 when it was ended, else when to look again.
template <class Family>
std::uint32_t Balancer::on_timer(FlowIndex index) {
  const Flow<Family>& flow = table<Family>()[index];
  const std::uint32_t timeout = timeout_of<Family>(flow);
  const std::uint32_t idle = elapsed(tick_, flow.last_seen);
  if (idle < timeout) {
    return timeout - idle;
  }
  if (flow.state() == FlowState::header_sent) {
    if (const std::uint32_t again = repeat_header<Family>(index, idle); again != 0) {
      return again;
    }
  }
  if (flow.state() == FlowState::established || flow.state() == FlowState::half_closed || flow.told()) {
    reset_both<Family>(index);
  }
  counters_.flows_expired.add();
  remove<Family>(index);
  return 0;
}

// A client that has closed and still acknowledges is the last to lose its flow. True: there was one at the head.
template <class Family>
bool Balancer::keep_client_closed() {
  FlowTable<Family>& flows = table<Family>();
  const FlowIndex oldest{flows.timers().oldest_client_closed()};
  if (oldest.value == FlowTimers<Flow<Family>>::none || elapsed(tick_, flows[oldest].last_seen) >= in_use_ticks) {
    return false;
  }
  flows.timers().unlink(oldest);
  flows.timers().append_client_closed(oldest);
  return true;
}

template <class Family>
std::size_t Balancer::expire_queues(std::size_t budget) {
  const std::size_t before = table<Family>().size();
  FlowTable<Family>& flows = table<Family>();
  constexpr std::uint32_t none = FlowTimers<Flow<Family>>::none;
  for (std::size_t done = 0; done < budget; ++done) {
    const std::uint32_t oldest = flows.timers().oldest_half_open();
    if (oldest == none || elapsed(tick_, flows[FlowIndex{oldest}].last_seen) < half_open_ticks) {
      break;
    }
    if (flows[FlowIndex{oldest}].state() == FlowState::syn_received) {
      reset_both<Family>(FlowIndex{oldest});  // the server waits for an acknowledgment that will not come
    }
    // An adopted one goes without a word: one side alone has spoken, and the next packet adopts it again.
    counters_.half_open_expired.add();
    remove<Family>(FlowIndex{oldest});
  }
  for (std::size_t done = 0; done < budget; ++done) {
    const FlowIndex oldest{flows.timers().oldest_client_closed()};
    if (oldest.value == none || elapsed(tick_, flows[oldest].last_seen) < timeout_of<Family>(flows[oldest])) {
      break;
    }
    counters_.flows_expired.add();
    remove<Family>(oldest);
  }
  keep_client_closed<Family>();
  for (std::size_t done = 0; done < budget; ++done) {
    const std::uint32_t oldest = flows.timers().oldest_lingering();
    if (oldest == none || elapsed(tick_, flows[FlowIndex{oldest}].last_seen) < lingering_ticks) {
      break;
    }
    remove<Family>(FlowIndex{oldest});
  }
  return before - table<Family>().size();
}

std::size_t Balancer::expire(std::size_t budget) {
  std::size_t work =
      v4_.timers().advance(tick_, budget, [this](FlowIndex index) { return on_timer<packet::Ipv4>(index); });
  work += v6_.timers().advance(tick_, budget, [this](FlowIndex index) { return on_timer<packet::Ipv6>(index); });
  work += expire_queues<packet::Ipv4>(budget);
  work += expire_queues<packet::Ipv6>(budget);
  counters_.flows_ipv4.set(static_cast<std::uint32_t>(v4_.size()));
  counters_.flows_ipv6.set(static_cast<std::uint32_t>(v6_.size()));
  counters_.half_open.set(static_cast<std::uint32_t>(v4_.half_open() + v6_.half_open()));
  return work;
}

Balancer::ResetProgress Balancer::reset(const FlowFilter& filter, std::uint64_t cursor, std::size_t budget) {
  ResetProgress progress;
  const auto step = [&]<class Family>(std::uint64_t from, std::uint64_t base) -> std::optional<std::uint64_t> {
    FlowTable<Family>& flows = table<Family>();
    std::uint64_t at = from;
    for (; at < flows.walk_end() && budget > 0; ++at, --budget) {
      const FlowIndex index{static_cast<std::uint32_t>(at)};
      if (flows[index].state() == FlowState::free ||
          !filter.matches(flows[index], way_to(flows[index], Side::server))) {
        continue;
      }
      reset_both<Family>(index);
      counters_.flows_reset.add();
      remove<Family>(index);
      ++progress.ended;
      budget -= std::min(budget - 1, reset_cost);
    }
    return at < flows.walk_end() ? std::optional(base + at) : std::nullopt;
  };
  if (cursor < second_table) {
    progress.next = step.template operator()<packet::Ipv4>(cursor, 0);
    if (progress.next || budget == 0) {
      progress.next = progress.next.value_or(second_table);
      return progress;
    }
    cursor = second_table;
  }
  progress.next = step.template operator()<packet::Ipv6>(cursor - second_table, second_table);
  return progress;
}

template void Balancer::close_books<packet::Ipv4>(Flow<packet::Ipv4>&);
template void Balancer::close_books<packet::Ipv6>(Flow<packet::Ipv6>&);
template bool Balancer::keep_client_closed<packet::Ipv4>();
template bool Balancer::keep_client_closed<packet::Ipv6>();
template void Balancer::remove<packet::Ipv4>(FlowIndex);
template void Balancer::remove<packet::Ipv6>(FlowIndex);
template void Balancer::send_reset<packet::Ipv4>(const packet::TcpControl<packet::Ipv4>&, const service::Address&);
template void Balancer::send_reset<packet::Ipv6>(const packet::TcpControl<packet::Ipv6>&, const service::Address&);
template std::uint32_t Balancer::timeout_of<packet::Ipv4>(const Flow<packet::Ipv4>&) const;
template std::uint32_t Balancer::timeout_of<packet::Ipv6>(const Flow<packet::Ipv6>&) const;

}  // namespace steelyard::l4
