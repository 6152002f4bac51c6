// What a listener's scheduler needs: memory on each worker, and a table of its servers when it goes by hash. What
// control must know to build a snapshot.
#pragma once

#include <cstddef>
#include <span>

#include "dataplane/schedule/scheduler.h"
#include "dataplane/service/snapshot.h"

namespace steelyard::worker {

// 32-bit words, zeroed at first. Any thread.
[[nodiscard]] inline std::size_t scratch_words(service::Scheduler kind, std::size_t servers) {
  return schedule::scratch_words(kind, servers);
}

// For sch and tch. Any thread; milliseconds for tens of thousands of servers (schedule/maglev.h).
[[nodiscard]] inline service::HashTable build_hash_table(std::span<const service::Server> servers) {
  return schedule::build_hash_table(servers);
}

}  // namespace steelyard::worker
