#include "control/cli/commands.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <ostream>
#include <string_view>

#include "control/admin/admin_client.h"
#include "control/cli/fields.h"
#include "control/cli/render.h"
#include "control/cli/top.h"
#include "control/cli/trace.h"
#include "control/cli/watch.h"
#include "control/config/diagnostic.h"
#include "control/config/validate.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;

// Without the newlines at its end.
std::string_view trimmed(std::string_view text) {
  while (text.ends_with('\n')) {
    text.remove_suffix(1);
  }
  return text;
}

// Says what went wrong: in words on stderr, and for programs on stdout.
void print_error(std::string_view message, bool as_json, const Environment& environment) {
  environment.err << trimmed(message) << '\n';
  if (as_json) {
    environment.out << pretty(json::object{{"error", trimmed(message)}});
  }
}

json::object check_result(const std::string& file, const config::ParseResult& result) {
  json::array diagnostics;
  for (const config::Diagnostic& diagnostic : result.diagnostics) {
    diagnostics.push_back(
        json::object{{"severity", diagnostic.severity == config::Severity::error ? "error" : "warning"},
                     {"file", diagnostic.file},
                     {"line", diagnostic.line},
                     {"column", diagnostic.column},
                     {"message", diagnostic.message}});
  }
  return {{"file", file}, {"valid", result.config.has_value()}, {"diagnostics", std::move(diagnostics)}};
}

int execute(const CheckCommand& command, const Environment& environment) {
  const config::ParseResult result = config::load(command.file);
  const int code = result.config ? exit_done : exit_refused;
  if (command.json) {
    environment.out << pretty(check_result(command.file, result));
    return code;
  }
  for (const config::Diagnostic& diagnostic : result.diagnostics) {
    environment.err << config::to_string(diagnostic) << '\n';
  }
  if (result.config) {
    environment.out << command.file << ": configuration is valid\n";
  }
  return code;
}

int execute(const RequestCommand& command, const Environment& environment) {
  const auto result = AdminClient(command.socket_path).call(command.request);
  if (!result) {
    return print_error(result.error(), command.json, environment);
  }
  if (command.json) {
    environment.out << pretty(*result);
    return exit_done;
  }
  for (const json::value& warning : list(as_object(*result), "warnings")) {
    environment.err << text(warning) << '\n';
  }
  environment.out << render(command.request, *result);
  return exit_done;
}

int execute(const WatchCommand& command, const Environment& environment) {
  return watch_stats(command, environment);
}

int execute(const TopCommand& command, const Environment& environment) {
  return run_top(command, environment);
}

int execute(const TraceCommand& command, const Environment& environment) {
  return run_trace(command, environment);
}

int execute(const CaptureCommand& command, const Environment& environment) {
  return run_capture(command, environment);
}

int execute(const RunCommand& command, const Environment& environment) {
  return environment.run(command.options);
}

}  // namespace

int print_error(const AdminError& error, bool as_json, const Environment& environment) {
  print_error(error.message, as_json, environment);
  return error.kind == AdminError::Kind::refused ? exit_refused : exit_unusable;
}

int execute(const std::vector<std::string>& arguments, const Environment& environment) {
  const auto command = parse_command_line(arguments);
  if (!command) {
    const auto& [code, text] = command.error();
    if (code == exit_done) {
      environment.out << text;
    } else {
      print_error(text, std::ranges::find(arguments, "--json") != arguments.end(), environment);
    }
    return code;
  }
  const int code = std::visit([&](const auto& each) { return execute(each, environment); }, *command);
  environment.out.flush();
  if (!environment.out && code == exit_done) {
    environment.err << "the output could not be written\n";
    return exit_refused;
  }
  return code;
}

}  // namespace steelyard::control::cli
