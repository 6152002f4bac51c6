// The checks between objects of a configuration: names that lead nowhere, things that exist twice, addresses that can
// never work together (errors), and set-ups that work but surprise (warnings). Nothing outside the file is looked at:
// no device, interface or clock.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "control/config/diagnostic.h"
#include "control/config/model.h"
#include "control/config/parse.h"

namespace steelyard::control::config {

// Findings about a configuration that parse() accepted. Any thread; allocates.
[[nodiscard]] std::vector<Diagnostic> validate(const Config& config, std::string_view file_name);
// The same into `report`; checks that would only repeat a known error of an incomplete draft are left out.
void validate(const Config& config, const Incomplete& incomplete, Report& report);

// parse() and validate() together: every error of the text at once, then the warnings; `config` is set exactly when
// there is no error.
[[nodiscard]] ParseResult load_text(std::string_view text, std::string_view file_name);

// load_text() of a file. A file that cannot be read is an error without a place. Blocks on the disk.
[[nodiscard]] ParseResult load(const std::filesystem::path& path);

}  // namespace steelyard::control::config
