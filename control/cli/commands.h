// The program behind main(): reads the command line, does what it says, and prints. Exit codes: 0 done, 1 refused or
// invalid, 2 wrong usage or no process that answers (none runs, no permission, no answer in time). With --json stdout
// has one JSON value whatever happens: the result, {"error": "..."}, or for `check` the findings.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "control/cli/command_line.h"
#include "control/run.h"

namespace steelyard::control::cli {

inline constexpr int exit_done = 0;
inline constexpr int exit_refused = 1;
inline constexpr int exit_unusable = 2;

// Where output goes, and what `steelyard run` does; passed in for tests.
struct Environment {
  std::ostream& out;
  std::ostream& err;
  std::function<int(const RunOptions&)> run;
};

// `arguments`: without the program's name. Returns the exit code. May block for as long as the process takes to answer
// (30 s at most), or for as long as `run` runs.
[[nodiscard]] int execute(const std::vector<std::string>& arguments, const Environment& environment);

}  // namespace steelyard::control::cli
