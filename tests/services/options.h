// Socket options of the control channel by name, and what they are in tcp::Settings.
#pragma once

#include <string>

#include "dataplane/tcp/settings.h"
#include "tests/services/call.h"

namespace steelyard::test {

// Takes options over into `settings`; all of them or none. Returns what is wrong, or nothing.
[[nodiscard]] std::string apply_options(const Call::Options& options, tcp::Settings& settings);

// All options as they stand.
[[nodiscard]] Call::Options options_of(const tcp::Settings& settings);

}  // namespace steelyard::test
