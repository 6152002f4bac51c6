// The parts of the file format, one function each; only parse.cc puts them together. Each reads what it can, reports
// the rest and never stops at the first error.
#pragma once

#include <vector>

#include "control/config/map_reader.h"
#include "control/config/model.h"
#include "control/config/parse.h"

namespace steelyard::control::config {

// parse_network.cc: `ports`, `routes`, `gateway`, `local_addresses`, `local_ports`. Marks lists that lost an entry.
void read_network(MapReader& file, Config& config, Incomplete& incomplete);

// parse_services.cc: `load_balancers`, `server_groups`.
void read_services(MapReader& file, Config& config, Incomplete& incomplete);

}  // namespace steelyard::control::config
