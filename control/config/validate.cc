#include "control/config/validate.h"

#include <cerrno>
#include <cstddef>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

#include "control/config/checks.h"
#include "control/config/yaml_tree.h"

namespace steelyard::control::config {

namespace {

ParseResult failed_to_read(std::string_view file_name, std::string reason) {
  Report report(file_name);
  report.error({}, "the file cannot be read: " + std::move(reason));
  return {std::nullopt, report.take()};
}

// Layer 7 has the upper half of them, whoever uses it: what it is given later must not come from layer 4's connections.
void check_local_ports(const Config& config, Report& report) {
  const bool halved = config.memory.connections != 0;
  const std::size_t workers = config.workers.count;
  if (config.local_ports.size() >= workers * (halved ? 2 : 1)) {
    return;
  }
  report.error(
      config.local_ports_at,
      "`local_ports` has " + std::to_string(config.local_ports.size()) + " ports for " + std::to_string(workers) +
          " workers; allowed: at least " +
          (halved ? "two ports for each worker, one for layer 4 and one for layer 7 (without layer 7, `memory: "
                    "{connections: 0}`, one is enough)"
                  : "one port for each worker"));
}

}  // namespace

void validate(const Config& config, const Incomplete& incomplete, Report& report) {
  if (incomplete.whole_file) {
    return;
  }
  check_local_ports(config, report);
  check_network(config, incomplete, report);
  check_addresses(config, incomplete, report);
  check_services(config, incomplete, report);
  check_access(config, incomplete, report);
}

std::vector<Diagnostic> validate(const Config& config, std::string_view file_name) {
  Report report(file_name);
  validate(config, Incomplete{}, report);
  return report.take();
}

ParseResult load_text(std::string_view text, std::string_view file_name) {
  Report report(file_name);
  Draft draft = parse_draft(text, report);
  validate(draft.config, draft.incomplete, report);
  const bool good = report.errors() == 0;
  return {good ? std::optional(std::move(draft.config)) : std::nullopt, report.take()};
}

ParseResult load(const std::filesystem::path& path) {
  std::error_code status;
  if (std::filesystem::is_directory(path, status)) {
    return failed_to_read(path.native(), "it is a directory");
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return failed_to_read(path.native(), std::generic_category().message(errno));
  }
  // One byte above the limit is enough to be refused: a pipe or a device may never end.
  std::string text;
  constexpr std::size_t step = 65536;
  while (file && text.size() <= max_text_bytes) {
    const std::size_t before = text.size();
    text.resize(before + step);
    file.read(text.data() + before, static_cast<std::streamsize>(step));
    text.resize(before + static_cast<std::size_t>(file.gcount()));
  }
  if (file.bad()) {
    return failed_to_read(path.native(), std::generic_category().message(errno));
  }
  return load_text(text, path.native());
}

}  // namespace steelyard::control::config
