// The parts of the file format, one function each; only parse.cc puts them together. Each reads what it can, reports
// the rest and never stops at the first error.
#pragma once

#include <optional>
#include <vector>

#include "control/config/map_reader.h"
#include "control/config/model.h"
#include "control/config/parse.h"

namespace steelyard::control::config {

// parse_network.cc: `ports`, `routes`, `gateway`, `local_addresses`, `local_ports`. Marks lists that lost an entry.
void read_network(MapReader& file, Config& config, Incomplete& incomplete);

// parse_services.cc: `load_balancers`, `server_groups`.
void read_services(MapReader& file, Config& config, Incomplete& incomplete);

// parse_access.cc: `access_control_lists`, and `access_control` of a listener.
void read_access_control_lists(MapReader& file, Config& config, Incomplete& incomplete);
[[nodiscard]] std::optional<ListenerAccess> read_access_control(const Node& node, Report& report);
// parse_access.cc: limits of a listener for its clients.
void read_client_limits(MapReader& map, Listener& listener);

}  // namespace steelyard::control::config
