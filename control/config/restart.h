// Which settings a reload cannot change: what the start fixes once and for all (threads, memory, devices, addresses of
// the kernel side, the port partition of the full NAT pool, the metrics socket).
#pragma once

#include <string>
#include <vector>

#include "control/config/model.h"

namespace steelyard::control::config {

// Names of the settings that differ and need a restart, such as `workers.count`, `ports[wan].device` or
// `memory.flows_ipv4`; empty when a reload can apply `wanted`. In the order of the file format.
[[nodiscard]] std::vector<std::string> settings_that_need_restart(const Config& running, const Config& wanted);

}  // namespace steelyard::control::config
