// The program behind main(): reads the command line, does what it says, and prints. Exit codes: 0 done, 1 refused or
// invalid, 2 wrong usage or no process that answers (none runs, no permission, no answer in time). With --json stdout
// has one JSON value whatever happens: the result, {"error": "..."}, or for `check` the findings; live views print one
// a line.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "control/admin/admin_client.h"
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
  int terminal = -1;  // the descriptor of `out`, when that may be a terminal
  int keyboard = -1;  // where keys come from, when that may be one
};

// Says what went wrong: in words on stderr, and for programs on stdout. Returns the exit code for it.
int print_error(const AdminError& error, bool as_json, const Environment& environment);

// `arguments`: without the program's name. Returns the exit code. May block for as long as the process takes to answer
// (30 s at most), or for as long as `run` or a live view runs.
[[nodiscard]] int execute(const std::vector<std::string>& arguments, const Environment& environment);

}  // namespace steelyard::control::cli
