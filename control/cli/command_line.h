// The command line as a value: what was asked for, or what is wrong with it. Pure; nothing is done here.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <variant>
#include <vector>

#include "control/cli/sort_key.h"
#include "control/run.h"

namespace steelyard::control::cli {

struct RunCommand {
  RunOptions options;
};

struct CheckCommand {
  std::string file;
  bool json = false;
};

// A request to the running process.
struct RequestCommand {
  boost::json::object request;
  std::string socket_path;
  bool json = false;
};

// Counters with their rates, again and again.
struct WatchCommand {
  std::string socket_path;
  bool json = false;
  std::chrono::seconds interval{1};
  std::optional<std::uint64_t> count = std::nullopt;  // of pictures; none: until told to stop
};

struct TopCommand {
  std::string socket_path;
  std::chrono::seconds interval{1};
  std::optional<std::uint64_t> count = std::nullopt;  // of pictures; none: until told to stop
  SortKey sort = SortKey::bits;
};

struct TraceCommand {
  boost::json::object request;
  std::string socket_path;
  bool json = false;
};

struct CaptureCommand {
  boost::json::object request;
  std::string socket_path;
  std::string file;  // "-": stdout
};

using Command =
    std::variant<RunCommand, CheckCommand, RequestCommand, WatchCommand, TopCommand, TraceCommand, CaptureCommand>;

// There is nothing to do but to print: help or the version (code 0, to stdout), or what is wrong (code 2, to stderr).
struct Message {
  int code = 0;
  std::string text;
};

// `arguments`: without the program's name.
[[nodiscard]] tl::expected<Command, Message> parse_command_line(const std::vector<std::string>& arguments);

}  // namespace steelyard::control::cli
