// What the schedulers by hash know a client by, from its packets.
#pragma once

#include "dataplane/l4/flow_filter.h"
#include "dataplane/packet/family.h"
#include "dataplane/schedule/maglev.h"
#include "dataplane/service/snapshot.h"

namespace steelyard::l4 {

// `client_side` is the tuple of packets from the client.
template <class Family>
[[nodiscard]] inline schedule::ClientKey key_of(const service::Listener& listener,
                                                const packet::Tuple<Family>& client_side) {
  if (!service::by_hash(listener.scheduler)) {
    return {};
  }
  return schedule::client_key(listener.scheduler, to_service(client_side.source),
                              __builtin_bswap16(client_side.source_port), to_service(client_side.destination),
                              __builtin_bswap16(client_side.destination_port));
}

}  // namespace steelyard::l4
