#include "control/metrics/prometheus_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace steelyard::control {
namespace {

// In HELP: backslash and newline; in a label's value the quote as well.
void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (const char character : text) {
    if (character == '\\') {
      out += "\\\\";
    } else if (character == '\n') {
      out += "\\n";
    } else if (character == '"' && quotes) {
      out += "\\\"";
    } else {
      out += character;
    }
  }
}

}  // namespace

PrometheusText::Family& PrometheusText::Family::add_text(const Labels& labels, std::string_view value) {
  text_ += name_;
  char before = '{';
  for (const auto& [name, content] : labels) {
    text_ += before;
    text_ += name;
    text_ += "=\"";
    append_escaped(text_, content, true);
    text_ += '"';
    before = ',';
  }
  if (!labels.empty()) {
    text_ += '}';
  }
  text_ += ' ';
  text_ += value;
  text_ += '\n';
  return *this;
}

PrometheusText::Family& PrometheusText::Family::add(const Labels& labels, double value) {
  constexpr double exact = 9'007'199'254'740'992;  // 2^53: integers below are written as such
  if (std::isnan(value)) {
    return add_text(labels, "NaN");
  }
  if (std::isinf(value)) {
    return add_text(labels, value > 0 ? "+Inf" : "-Inf");
  }
  if (std::abs(value) < exact && std::trunc(value) == value) {
    return add_text(labels, std::to_string(static_cast<std::int64_t>(value)));
  }
  std::array<char, 32> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return add_text(labels, {digits.data(), static_cast<std::size_t>(end - digits.data())});
}

PrometheusText::Family& PrometheusText::family(std::string_view name, std::string_view help, std::string_view type) {
  if (const auto known = by_name_.find(name); known != by_name_.end()) {
    return *known->second;
  }
  Family& made = families_.emplace_back(Family(name));
  made.text_ = "# HELP " + made.name_ + ' ';
  append_escaped(made.text_, help, false);
  made.text_ += "\n# TYPE " + made.name_ + ' ';
  made.text_ += type;
  made.text_ += '\n';
  by_name_.emplace(made.name_, &made);
  return made;
}

std::string PrometheusText::str() const {
  std::size_t length = 0;
  for (const Family& each : families_) {
    length += each.text_.size();
  }
  std::string text;
  text.reserve(length);
  for (const Family& each : families_) {
    text += each.text_;
  }
  return text;
}

}  // namespace steelyard::control
