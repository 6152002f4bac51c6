#include "control/runtime/traffic.h"

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
  }
  return traffic;
}

}  // namespace

void Traffic::add(const Traffic& other) {
  active += other.active;
  connections += other.connections;
  packets_in += other.packets_in;
  bytes_in += other.bytes_in;
  packets_out += other.packets_out;
  bytes_out += other.bytes_out;
}

void TrafficBook::open(const worker::Dataplane& dataplane, service::BackendId id, const BackendKey& owner) {
  const auto [page, is_new] = pages_.try_emplace(id.value, Page{owner, {}});
  if (is_new || page->second.owner == owner) {
    return;
  }
  page->second = {owner, counted(dataplane, id)};
}

Traffic TrafficBook::read(const worker::Dataplane& dataplane, service::BackendId id) const {
  Traffic traffic = counted(dataplane, id);
  if (const auto page = pages_.find(id.value); page != pages_.end()) {
    const Traffic& before = page->second.before;
    traffic.connections -= before.connections;
    traffic.packets_in -= before.packets_in;
    traffic.bytes_in -= before.bytes_in;
    traffic.packets_out -= before.packets_out;
    traffic.bytes_out -= before.bytes_out;
  }
  return traffic;
}

}  // namespace steelyard::control
