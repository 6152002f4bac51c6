// The server of a new connection where servers take a limited number of them: one that has a place, and what is said
// when none has. A place is a permit that control has leased to this worker (worker/permit_ledger.h).
#include "dataplane/l4/balancer.h"
#include "dataplane/l4/client_key.h"

namespace steelyard::l4 {

using packet::DropReason;

schedule::PlaceView Balancer::places() const {
  return {active_.all(), others_.all(), permits_ == nullptr ? std::span<const service::Gauge>{} : permits_->all()};
}

// Of a listener with limits.
ServerChoice Balancer::choose_limited(const service::Listener& listener, schedule::ClientKey client,
                                      schedule::Need need) {
  const schedule::Scheduler::Choice choice =
      scheduler_of(listener).pick_with_room(listener, load(), places(), need, client, now_ns_);
  if (choice.turned_away) {
    backends_[listener.servers[*choice.turned_away].id.value].turned_away.add();
  }
  if (choice.missing) {
    backends_[listener.servers[*choice.missing].id.value].permit_missing.add();
  }
  if (choice.server) {
    return {choice.server, {}};
  }
  if (!choice.any_usable) {
    return {std::nullopt, DropReason::no_usable_server};
  }
  return {std::nullopt, choice.missing ? DropReason::connection_permit_missing : DropReason::connection_limit_reached};
}

// A server that was chosen for another reason than its turn. Nothing: it has a place here.
std::optional<DropReason> Balancer::lacks_place(const service::Server& server) {
  const schedule::PlaceView view = places();
  if (view.has_permit(server)) {
    return std::nullopt;
  }
  BackendCounters& counters = backends_[server.id.value];
  if (view.is_full(server)) {
    counters.turned_away.add();
    return DropReason::connection_limit_reached;
  }
  counters.permit_missing.add();
  return DropReason::connection_permit_missing;
}

// Nobody has a place for a new connection: the client is told as the listener's settings say. Nothing is said when a
// permit is only on its way: the client's next try finds it.
template <class Family>
Verdict Balancer::turn_away(const packet::PacketView& view, const service::Listener& listener, DropReason reason) {
  const bool silent = reason == DropReason::connection_permit_missing ||
                      (reason == DropReason::connection_limit_reached && listener.when_full == service::WhenFull::drop);
  return silent ? Verdict::dropped(reason) : refuse<Family>(view, reason);
}

template Verdict Balancer::turn_away<packet::Ipv4>(const packet::PacketView&, const service::Listener&, DropReason);
template Verdict Balancer::turn_away<packet::Ipv6>(const packet::PacketView&, const service::Listener&, DropReason);

}  // namespace steelyard::l4
