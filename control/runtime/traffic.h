// What servers and listeners have carried. The workers' counters of an id only grow, and an id is given to another
// server or listener some time after its owner is gone: the book remembers where each owner began, and what servers
// that are gone have carried for their listener.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "control/runtime/builder.h"
#include "dataplane/worker/dataplane.h"

namespace steelyard::control {

// Over all workers. Bytes are those of IP packets.
struct Traffic {
  std::uint64_t active = 0;  // connections now
  std::uint64_t connections = 0;
  std::uint64_t packets_in = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t packets_out = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t turned_away = 0;  // that it had no room for: others got them, or nobody

  void add(const Traffic& other);
  // What came after `before`, when the same was counted.
  [[nodiscard]] Traffic since(const Traffic& before) const;
};

// What a listener's `bandwidth` has cost, over all workers.
struct Excess {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

// Control thread.
class TrafficBook {
 public:
  // `id` belongs to `owner` from now on; a former owner that is back goes on where it stopped.
  void open(const worker::Dataplane& dataplane, service::BackendId id, const BackendKey& owner);
  void open(const worker::Dataplane& dataplane, service::ListenerId id, const ListenerKey& owner);
  // What the owner of `id` has carried.
  [[nodiscard]] Traffic read(const worker::Dataplane& dataplane, service::BackendId id) const;
  // What a listener has carried by all servers that it ever had, those of its rules' targets included; or what a target
  // has. It never falls, but for `active`.
  [[nodiscard]] Traffic read(const worker::Dataplane& dataplane, const ListenerKey& listener) const;
  [[nodiscard]] Excess excess(const worker::Dataplane& dataplane, service::ListenerId id) const;

 private:
  template <class Owner, class Counted>
  struct Page {
    Owner owner;
    Counted before;  // the counters when the owner came
  };
  struct Listener {
    Traffic former;  // of servers whose ids have other owners now
    std::vector<service::BackendId> servers;
  };
  std::unordered_map<std::uint32_t, Page<BackendKey, Traffic>> pages_;  // one an id that was ever used
  std::unordered_map<std::uint16_t, Page<ListenerKey, Excess>> listener_pages_;
  std::map<ListenerKey, Listener> listeners_;
};

}  // namespace steelyard::control
