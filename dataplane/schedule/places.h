// Servers that take a limited number of connections (`max_connections`). Whether one has room is asked when a
// connection is decided and nowhere else: a limit is reached and left with every connection that opens or ends, so that
// a scheduler which left full servers out would be rebuilt each time. A full server's turn passes to the next one, and
// the rotation goes on from there: the others share what it cannot take by their weights.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>

#include "dataplane/service/counter.h"
#include "dataplane/service/snapshot.h"

namespace steelyard::schedule {

// What a worker knows about room, by BackendId::value; an id beyond the end of a span counts as 0.
struct PlaceView {
  std::span<const service::Gauge> own;      // this worker's connections
  std::span<const service::Gauge> others;   // all other workers', at most 10 ms old
  std::span<const service::Gauge> permits;  // connections that this worker may have

  // May this worker open one more? Never more than `permits`, whatever others do at the same time.
  [[nodiscard]] bool has_permit(const service::Server& server) const {
    return server.max_connections == 0 || at(own, server.id) < at(permits, server.id);
  }
  // As far as is known here, no worker can.
  [[nodiscard]] bool is_full(const service::Server& server) const {
    return server.max_connections != 0 &&
           std::uint64_t{at(own, server.id)} + at(others, server.id) >= server.max_connections;
  }

 private:
  [[nodiscard]] static std::uint32_t at(std::span<const service::Gauge> counts, service::BackendId id) {
    return id.value < counts.size() ? counts[id.value].get() : 0;
  }
};

// What a server needs to be given a connection: a permit of this worker, or, when another worker will open it, room.
enum class Need : std::uint8_t { permit, room };

}  // namespace steelyard::schedule
