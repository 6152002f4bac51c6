// One picture of `steelyard top`: a reading as text that fits a screen. Pure.
#pragma once

#include <optional>
#include <string>

#include "control/cli/readings.h"
#include "control/cli/screen.h"
#include "control/cli/sort_key.h"

namespace steelyard::control::cli {

struct TopSettings {
  SortKey sort = SortKey::bits;
  bool keys = false;                              // somebody can press keys: say which
  std::optional<ScreenSize> size = std::nullopt;  // none: as long and wide as it gets
};

[[nodiscard]] std::string render_top(const Reading& reading, const TopSettings& settings);

// "0", "0.3", "17", "1.2k", "345M": three digits at most.
[[nodiscard]] std::string scaled(double value);

}  // namespace steelyard::control::cli
