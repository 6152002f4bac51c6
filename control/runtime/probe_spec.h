// From a health check of the configuration and a server to what the checker does. Pure.
#pragma once

#include <cstdint>

#include "control/config/model.h"
#include "healthcheck/scheduler.h"

namespace steelyard::control {

// `config` is valid; `port` is the server's.
[[nodiscard]] healthcheck::ProbeSpec probe_of(const config::Config& config, const config::HealthCheck& check,
                                              const service::Address& address, std::uint16_t port);

}  // namespace steelyard::control
