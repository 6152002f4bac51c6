// `steelyard trace` and `steelyard capture`: what happens to packets, as lines; packets as a pcapng file. Both go on
// until their bounds, a signal or the reader's end.
#pragma once

#include "control/cli/command_line.h"
#include "control/cli/commands.h"

namespace steelyard::control::cli {

// Both return the exit code.
[[nodiscard]] int run_trace(const TraceCommand& command, const Environment& environment);
// The file is made by this program, for its user alone (0600): the process opens no file for anybody.
[[nodiscard]] int run_capture(const CaptureCommand& command, const Environment& environment);

}  // namespace steelyard::control::cli
