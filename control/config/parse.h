// Text to model: reads the YAML of a configuration file and checks everything that can be judged value by value (keys,
// types, ranges, spellings). What objects say about each other is checked by validate.h. The text may be hostile:
// nothing here throws, and size, depth and number of findings are bounded (yaml_tree.h has the numbers).
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "control/config/diagnostic.h"
#include "control/config/model.h"

namespace steelyard::control::config {

struct ParseResult {
  std::optional<Config> config;  // set exactly when `diagnostics` has no error
  std::vector<Diagnostic> diagnostics;
};

// `file_name` is only used in messages. Any thread; allocates.
[[nodiscard]] ParseResult parse(std::string_view text, std::string_view file_name);

// What could be read of a file with errors, for checks that want to report as much as possible at once. An address or a
// port number that could not be read is unspecified or 0; a list that lost an entry is named in `incomplete`.
struct Incomplete {
  bool ports = false;
  bool routes = false;
  bool local_addresses = false;
  bool server_groups = false;
  bool access_control_lists = false;
  bool whole_file = false;  // there is no tree at all
};
struct Draft {
  Config config;
  Incomplete incomplete;
};
[[nodiscard]] Draft parse_draft(std::string_view text, Report& report);

}  // namespace steelyard::control::config
