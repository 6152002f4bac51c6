// What is said about a configuration file: one line per finding, with its place, what is wrong and what is allowed.
// Values of the file are quoted only through in_quotes(): a hostile file must not be able to write control characters
// into a terminal or fill a log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/config/model.h"

namespace steelyard::control::config {

enum class Severity : std::uint8_t { error, warning };

struct Diagnostic {
  Severity severity = Severity::error;
  std::string file;
  std::uint32_t line = 0;    // from 1; 0: about the file as a whole
  std::uint32_t column = 0;  // from 1, in bytes
  std::string message;       // "what was wrong; what is allowed"
};

// "file:line:column: error: message"; without a place "file: error: message".
[[nodiscard]] std::string to_string(const Diagnostic& diagnostic);

[[nodiscard]] bool has_errors(const std::vector<Diagnostic>& diagnostics);

// `text` cut after `longest` bytes, with everything beyond printable ASCII escaped.
[[nodiscard]] std::string printable(std::string_view text, std::size_t longest);
// The first 64 bytes of `text` between backquotes, printable.
[[nodiscard]] std::string in_quotes(std::string_view text);

// Collects findings about one file. Keeps at most `limit` of them and says that there were more. One thread.
class Report {
 public:
  static constexpr std::size_t limit = 1000;

  explicit Report(std::string_view file) : file_(file) {}

  void error(Position at, std::string message) { add(Severity::error, at, std::move(message)); }
  void warning(Position at, std::string message) { add(Severity::warning, at, std::move(message)); }

  [[nodiscard]] std::size_t errors() const { return errors_; }
  // Further errors are only counted: their messages need not be composed.
  [[nodiscard]] bool is_full() const { return errors_ >= limit; }
  // All findings in the order of the file. Leaves the report empty.
  [[nodiscard]] std::vector<Diagnostic> take();

 private:
  void add(Severity severity, Position at, std::string message);

  std::string file_;
  std::vector<Diagnostic> diagnostics_;
  std::size_t errors_ = 0;
  std::size_t warnings_ = 0;
};

}  // namespace steelyard::control::config
