// How much memory a listener's scheduler needs on each worker: what control must know to build a snapshot.
#pragma once

#include <cstddef>

#include "dataplane/schedule/scheduler.h"
#include "dataplane/service/snapshot.h"

namespace steelyard::worker {

// 32-bit words, zeroed at first. Any thread.
[[nodiscard]] inline std::size_t scratch_words(service::Scheduler kind, std::size_t servers) {
  return schedule::scratch_words(kind, servers);
}

}  // namespace steelyard::worker
