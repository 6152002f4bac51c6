// Whose connections may be adopted by a server's packet (l4/adoption.cc): part of a snapshot. Pure.
#pragma once

#include "dataplane/service/snapshot.h"

namespace steelyard::control {

// Fills in `hashed_servers` and `hashed_listeners` by the listeners that the snapshot has.
void find_hashed_servers(service::Snapshot& snapshot);

}  // namespace steelyard::control
