// Layer 4's part in connections that end here: which packets they are of, who may open one, and the servers of their
// requests. Schedulers, permits, limits and counters are the same as for flows, so that wlc, `max_connections`, drains
// and reports need not know the difference.
#include <algorithm>
#include <array>

#include "dataplane/l4/balancer.h"
#include "dataplane/l4/client_key.h"

namespace steelyard::l4 {
namespace {

using packet::DropReason;

// Servers that have been tried, and those that are met on the way to one with a place.
constexpr std::size_t most_tried = 7;
constexpr std::size_t most_passed_over = 16;

}  // namespace

// A connection to an HTTP listener that there is no more. (One that there is has been found by its index.)
template <class Family>
bool Balancer::ends_at_former_listener(const packet::Tuple<Family>& tuple) const {
  return tuple.protocol == packet::protocol_tcp &&
         snapshot_->terminated->contains(
             {to_service(tuple.destination), __builtin_bswap16(tuple.destination_port), service::Protocol::tcp});
}

// A connection to a server that was opened here.
template <class Family>
bool Balancer::ends_at_local_port(const packet::Tuple<Family>& tuple) const {
  const std::uint16_t port = __builtin_bswap16(tuple.destination_port);
  return tuple.protocol == packet::protocol_tcp && port >= terminated_ports_.first && port <= terminated_ports_.last &&
         pool_.find(to_service(tuple.destination)).has_value();
}

// `listener`: of the tuple, if there is one. Nothing: layer 4's packet. A listener of layer 4 is there for what opens a
// connection; what does not may be of one that has ended here since before it was layer 4's.
template <class Family>
std::optional<Verdict> Balancer::terminated(const packet::PacketView& view, const packet::Tuple<Family>& tuple,
                                            const service::Listener* listener) {
  if (listener != nullptr && listener->http != nullptr) {
    return Verdict{.kind = Verdict::Kind::terminated, .listener = listener->id};
  }
  if (ends_at_local_port<Family>(tuple)) {
    return Verdict{.kind = Verdict::Kind::terminated};
  }
  if (ends_at_former_listener<Family>(tuple)) {
    // Connections go on, and no new ones come.
    return opens_connection(view) ? without_flow<Family>(view) : Verdict{.kind = Verdict::Kind::terminated};
  }
  return std::nullopt;
}

// As open() does for a flow.
template <class Family>
std::optional<DropReason> Balancer::refuse_client(const packet::PacketView& syn, const service::Listener& listener) {
  const service::Address source = to_service(syn.source<Family>());
  if (is_shut_out(listener, source)) {
    return DropReason::access_denied;
  }
  if (pool_.find(source) || own_addresses_.contains(source) || snapshot_->vips->contains(source)) {
    return DropReason::ip_source_bad;
  }
  if (!listener.running) {
    return refuse<Family>(syn, DropReason::listener_stopped).reason;
  }
  return listener.limits_clients() ? over_limit(listener, source) : std::nullopt;
}

// A flow counts from its SYN on; here a source may have had several SYNs answered before the first connection counted.
bool Balancer::client_comes(const service::Listener& listener, const service::Address& source) {
  if (has_too_many(listener, source)) {
    return false;
  }
  counters_of(listener).terminated.add();
  if (listener.per_source.any()) {
    count_source(listener, source, true);
  }
  return true;
}

void Balancer::client_goes(service::ListenerId id, const service::Address& source) {
  (*listeners_[worker_.value])[id.value].terminated.subtract();
  if (const service::Listener* listener = snapshot_->find(id); listener != nullptr && listener->per_source.any()) {
    count_source(*listener, source, false);
  }
}

ServerChoice Balancer::choose(const service::Listener& target, schedule::ClientKey key,
                              std::span<const std::size_t> without) {
  if (without.empty()) {
    return choose_server(target, key, schedule::Need::permit);
  }
  std::array<std::size_t, most_tried + most_passed_over> passed{};
  std::size_t count = std::min(without.size(), most_tried);
  std::ranges::copy(without.first(count), passed.begin());
  DropReason refused = DropReason::no_usable_server;
  while (count < passed.size()) {
    const auto other = scheduler_of(target).pick_other(target, std::span(passed).first(count), key);
    if (!other) {
      break;
    }
    const auto lacking = lacks_place(target.servers[*other]);
    if (!lacking) {
      return {other, {}};
    }
    refused = *lacking;
    passed[count++] = *other;
  }
  return {std::nullopt, refused};
}

void Balancer::begin_request(const service::Listener& target, service::BackendId server) {
  active_[server.value].add();
  backends_[server.value].connections.add();
  scheduler_of(target).load_changed(target, server, load());
}

void Balancer::end_request(service::ListenerId target, service::BackendId server) {
  active_[server.value].subtract();
  if (const service::Listener* listener = snapshot_->find(target); listener != nullptr) {
    schedulers_[target.value].load_changed(*listener, server, load());
  }
}

template std::optional<Verdict> Balancer::terminated<packet::Ipv4>(const packet::PacketView&,
                                                                   const packet::Tuple<packet::Ipv4>&,
                                                                   const service::Listener*);
template std::optional<Verdict> Balancer::terminated<packet::Ipv6>(const packet::PacketView&,
                                                                   const packet::Tuple<packet::Ipv6>&,
                                                                   const service::Listener*);
template bool Balancer::ends_at_former_listener<packet::Ipv4>(const packet::Tuple<packet::Ipv4>&) const;
template bool Balancer::ends_at_former_listener<packet::Ipv6>(const packet::Tuple<packet::Ipv6>&) const;
template bool Balancer::ends_at_local_port<packet::Ipv4>(const packet::Tuple<packet::Ipv4>&) const;
template bool Balancer::ends_at_local_port<packet::Ipv6>(const packet::Tuple<packet::Ipv6>&) const;
template std::optional<DropReason> Balancer::refuse_client<packet::Ipv4>(const packet::PacketView&,
                                                                         const service::Listener&);
template std::optional<DropReason> Balancer::refuse_client<packet::Ipv6>(const packet::PacketView&,
                                                                         const service::Listener&);

}  // namespace steelyard::l4
