#include "control/runtime/traffic.h"

#include <algorithm>

namespace steelyard::control {
namespace {

Traffic counted(const worker::Dataplane& dataplane, service::BackendId id) {
  Traffic traffic;
  traffic.active = dataplane.active(id);
  for (std::size_t worker = 0; worker < dataplane.workers(); ++worker) {
    const l4::BackendCounters& counters = dataplane.backend(worker, id);
    traffic.connections += counters.connections.get();
    traffic.packets_in += counters.packets_in.get();
    traffic.bytes_in += counters.bytes_in.get();
    traffic.packets_out += counters.packets_out.get();
    traffic.bytes_out += counters.bytes_out.get();
    traffic.turned_away += counters.turned_away.get();
  }
  return traffic;
}

Excess counted(const worker::Dataplane& dataplane, service::ListenerId id) {
  Excess excess;
  for (std::size_t worker = 0; worker < dataplane.workers(); ++worker) {
    excess.packets += dataplane.meter(worker, id).dropped_packets.get();
    excess.bytes += dataplane.meter(worker, id).dropped_bytes.get();
  }
  return excess;
}

}  // namespace

void Traffic::add(const Traffic& other) {
  active += other.active;
  connections += other.connections;
  packets_in += other.packets_in;
  bytes_in += other.bytes_in;
  packets_out += other.packets_out;
  bytes_out += other.bytes_out;
  turned_away += other.turned_away;
}

Traffic Traffic::since(const Traffic& before) const {
  Traffic traffic = *this;
  traffic.connections -= before.connections;
  traffic.packets_in -= before.packets_in;
  traffic.bytes_in -= before.bytes_in;
  traffic.packets_out -= before.packets_out;
  traffic.bytes_out -= before.bytes_out;
  traffic.turned_away -= before.turned_away;
  return traffic;
}

void TrafficBook::open(const worker::Dataplane& dataplane, service::BackendId id, const BackendKey& owner) {
  const auto [page, is_new] = pages_.try_emplace(id.value, Page<BackendKey, Traffic>{owner, {}});
  if (!is_new && page->second.owner == owner) {
    return;
  }
  if (!is_new) {
    const Traffic now = counted(dataplane, id);
    Listener& former = listeners_[page->second.owner.listener];
    Traffic carried = now.since(page->second.before);
    carried.active = 0;
    former.former.add(carried);
    std::erase(former.servers, id);
    if (former.servers.empty()) {
      listeners_.erase(page->second.owner.listener);
    }
    page->second = {owner, now};
  }
  listeners_[owner.listener].servers.push_back(id);
}

void TrafficBook::open(const worker::Dataplane& dataplane, service::ListenerId id, const ListenerKey& owner) {
  const auto [page, is_new] = listener_pages_.try_emplace(id.value, Page<ListenerKey, Excess>{owner, {}});
  if (!is_new && page->second.owner != owner) {
    page->second = {owner, counted(dataplane, id)};
  }
}

Traffic TrafficBook::read(const worker::Dataplane& dataplane, service::BackendId id) const {
  const Traffic traffic = counted(dataplane, id);
  const auto page = pages_.find(id.value);
  return page == pages_.end() ? traffic : traffic.since(page->second.before);
}

Traffic TrafficBook::read(const worker::Dataplane& dataplane, const ListenerKey& listener) const {
  const bool all = listener.target.empty();
  Traffic total;
  // A listener's targets stand behind it.
  for (auto each = listeners_.lower_bound(listener);
       each != listeners_.end() && (all ? each->first.vip == listener.vip : each->first == listener); ++each) {
    total.add(each->second.former);
    for (const service::BackendId id : each->second.servers) {
      total.add(read(dataplane, id));
    }
  }
  return total;
}

Excess TrafficBook::excess(const worker::Dataplane& dataplane, service::ListenerId id) const {
  Excess excess = counted(dataplane, id);
  if (const auto page = listener_pages_.find(id.value); page != listener_pages_.end()) {
    excess.packets -= page->second.before.packets;
    excess.bytes -= page->second.before.bytes;
  }
  return excess;
}

}  // namespace steelyard::control
