// Limits of what clients of a listener are sent. Packets of such a listener's flows never take the fast path towards
// the client, since its next hop is not cached in them: others pay nothing for limits that they do not have.
#include "dataplane/l4/bandwidth.h"

#include "dataplane/l4/balancer.h"

namespace steelyard::l4 {

Balancer::Bandwidth Balancer::bandwidth_of(const service::Listener& listener) const {
  // Not divided yet, or by another rate: even parts, and never more than all.
  const std::uint64_t share = (*bandwidth_shares_)[listener.id.value].get();
  return {.rate = share == 0 ? listener.bandwidth / workers_ : std::min(share, listener.bandwidth),
          .burst = std::max<std::uint64_t>(listener.bandwidth / bursts_per_second / workers_, 1)};
}

bool Balancer::ask_meter(const service::Listener& listener, std::uint16_t bytes) {
  const Bandwidth own = bandwidth_of(listener);
  return (*meters_)[listener.id.value].allow(now_ns_, own.rate, own.burst, bytes);
}

std::uint64_t Balancer::bandwidth_credit(const service::Listener& listener) {
  const Bandwidth own = bandwidth_of(listener);
  return (*meters_)[listener.id.value].credit(now_ns_, own.rate, own.burst);
}

void Balancer::use_bandwidth(service::ListenerId listener, std::uint64_t bytes) {
  (*meters_)[listener.value].take(bytes);
}

// A limit is new: what the listener's flows have cached would lead their packets past it.
std::optional<std::uint64_t> Balancer::forget_hops_of_limited(std::uint64_t cursor, std::size_t budget) {
  const auto step = [&]<class Family>(std::uint64_t from, std::uint64_t base) -> std::optional<std::uint64_t> {
    FlowTable<Family>& flows = table<Family>();
    std::uint64_t at = from;
    for (; at < flows.walk_end() && budget > 0; ++at, --budget) {
      Flow<Family>& flow = flows[FlowIndex{static_cast<std::uint32_t>(at)}];
      if (flow.state() != FlowState::free && has_bandwidth_limit(flow.listener)) {
        flow.client_hop = 0;
      }
    }
    return at < flows.walk_end() ? std::optional(base + at) : std::nullopt;
  };
  if (cursor < second_table) {
    const auto next = step.template operator()<packet::Ipv4>(cursor, 0);
    if (next || budget == 0) {
      return next.value_or(second_table);
    }
    cursor = second_table;
  }
  return step.template operator()<packet::Ipv6>(cursor - second_table, second_table);
}

}  // namespace steelyard::l4
