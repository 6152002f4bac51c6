// `steelyard top`: what the data plane does right now, redrawn; without a terminal one picture after the other.
#pragma once

#include "control/cli/command_line.h"
#include "control/cli/commands.h"

namespace steelyard::control::cli {

// Returns the exit code.
[[nodiscard]] int run_top(const TopCommand& command, const Environment& environment);

}  // namespace steelyard::control::cli
