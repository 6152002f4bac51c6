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

std::string text_of(double value) {
  constexpr double exact = 9'007'199'254'740'992;  // 2^53: integers below are written as such
  if (std::isnan(value)) {
    return "NaN";
  }
  if (std::isinf(value)) {
    return value > 0 ? "+Inf" : "-Inf";
  }
  if (std::abs(value) < exact && std::trunc(value) == value) {
    return std::to_string(static_cast<std::int64_t>(value));
  }
  std::array<char, 32> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return {digits.data(), end};
}

}  // namespace

PrometheusText::Family& PrometheusText::Family::add_text(const Labels& labels, std::string_view value,
                                                         std::string_view suffix) {
  text_ += name_;
  text_ += suffix;
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
  return add_text(labels, text_of(value));
}

PrometheusText::Family& PrometheusText::Family::add_histogram(const Labels& labels, std::span<const Bucket> buckets,
                                                              std::uint64_t count, double sum) {
  Labels with_limit = labels;
  with_limit.emplace_back("le", "");
  for (const Bucket& bucket : buckets) {
    const std::string limit = text_of(bucket.limit);
    with_limit.back().second = limit;
    add_text(with_limit, std::to_string(bucket.below), "_bucket");
  }
  with_limit.back().second = "+Inf";
  add_text(with_limit, std::to_string(count), "_bucket");
  add_text(labels, text_of(sum), "_sum");
  return add_text(labels, std::to_string(count), "_count");
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
