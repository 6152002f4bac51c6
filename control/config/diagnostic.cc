#include "control/config/diagnostic.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace steelyard::control::config {

std::string to_string(const Diagnostic& diagnostic) {
  std::string text = diagnostic.file;
  if (diagnostic.line != 0) {
    text += ':' + std::to_string(diagnostic.line) + ':' + std::to_string(diagnostic.column);
  }
  text += diagnostic.severity == Severity::error ? ": error: " : ": warning: ";
  return text + diagnostic.message;
}

bool has_errors(const std::vector<Diagnostic>& diagnostics) {
  return std::ranges::any_of(diagnostics, [](const Diagnostic& each) { return each.severity == Severity::error; });
}

std::string printable(std::string_view text, std::size_t longest) {
  constexpr std::string_view hex = "0123456789abcdef";
  std::string out;
  for (const char character : text.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte < 0x20 || byte >= 0x7f) {
      // Bytes beyond ASCII, too: the cut may fall into a sequence, and a right-to-left mark hides text.
      out += "\\x";
      out += hex[byte >> 4];
      out += hex[byte & 15];
    } else {
      out += character;
    }
  }
  return text.size() > longest ? out + "..." : out;
}

std::string in_quotes(std::string_view text) {
  return '`' + printable(text, 64) + '`';
}

void Report::add(Severity severity, Position at, std::string message) {
  std::size_t& count = severity == Severity::error ? errors_ : warnings_;
  ++count;
  if (count <= limit) {
    diagnostics_.push_back({severity, file_, at.line, at.column, std::move(message)});
  }
}

std::vector<Diagnostic> Report::take() {
  std::ranges::stable_sort(diagnostics_, {}, [](const Diagnostic& each) {
    return std::tuple{each.line, each.column, each.severity};
  });
  const auto say_the_rest = [this](Severity severity, std::size_t count, const char* what) {
    if (count > limit) {
      diagnostics_.push_back({severity, file_, 0, 0, std::to_string(count - limit) + " more " + what + " not shown"});
    }
  };
  say_the_rest(Severity::error, errors_, "errors");
  say_the_rest(Severity::warning, warnings_, "warnings");
  errors_ = warnings_ = 0;
  return std::exchange(diagnostics_, {});
}

}  // namespace steelyard::control::config
