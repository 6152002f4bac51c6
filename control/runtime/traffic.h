// What servers have carried. The workers' counters of an id only grow, and an id is given to another server some time
// after its owner is gone: the book remembers where each owner began.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "control/runtime/builder.h"
#include "dataplane/worker/dataplane.h"

namespace steelyard::control {

// Over all workers.
struct Traffic {
  std::uint64_t active = 0;  // connections now
  std::uint64_t connections = 0;
  std::uint64_t packets_in = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t packets_out = 0;
  std::uint64_t bytes_out = 0;

  void add(const Traffic& other);
};

// Control thread.
class TrafficBook {
 public:
  // `id` belongs to `owner` from now on; a former owner that is back goes on where it stopped.
  void open(const worker::Dataplane& dataplane, service::BackendId id, const BackendKey& owner);
  // What the owner of `id` has carried.
  [[nodiscard]] Traffic read(const worker::Dataplane& dataplane, service::BackendId id) const;

 private:
  struct Page {
    BackendKey owner;
    Traffic before;  // the counters when the owner came
  };
  std::unordered_map<std::uint32_t, Page> pages_;  // one an id that was ever used
};

}  // namespace steelyard::control
