// `steelyard stats --watch`: counters and what they grow by in a second, again and again, until a signal, a number of
// pictures or the reader's end. On a terminal each picture takes the place of the one before.
#pragma once

#include "control/cli/command_line.h"
#include "control/cli/commands.h"

namespace steelyard::control::cli {

// Returns the exit code.
[[nodiscard]] int watch_stats(const WatchCommand& command, const Environment& environment);

}  // namespace steelyard::control::cli
