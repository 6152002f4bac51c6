// What the process tells about itself: `status` and `stats` as JSON, metrics as Prometheus text. Reads, never changes.
// Control thread.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "control/runtime/overrides.h"

namespace steelyard::control {

class Runtime;

namespace report {

[[nodiscard]] boost::json::value status(const Runtime& runtime);
[[nodiscard]] boost::json::value stats(const Runtime& runtime);
[[nodiscard]] std::string metrics(const Runtime& runtime);

// "enabled", "disabled" or "draining".
[[nodiscard]] std::string_view admin_name(AdminState state);

}  // namespace report
}  // namespace steelyard::control
