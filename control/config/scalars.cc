#include "control/config/scalars.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <numeric>
#include <vector>

#include "control/config/address_rules.h"

namespace steelyard::control::config {

namespace {

// A plain decimal number, saturated: a value too long for 64 bits is merely out of range. Nothing: other text.
std::optional<std::uint64_t> decimal(std::string_view text) {
  const bool leading_zero = text.size() > 1 && text.front() == '0';
  if (text.empty() || leading_zero || !std::ranges::all_of(text, is_digit)) {
    return std::nullopt;
  }
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc{} ? value : UINT64_MAX;
}

std::string in_words(Range allowed) {
  return std::to_string(allowed.min) + ".." + std::to_string(allowed.max);
}

void refuse(const Node& node, std::string_view what, std::string_view allowed, Report& report) {
  report.error(node.at, std::string(what) + " is " + shown(node) + "; allowed: " + std::string(allowed));
}

// Optimal string alignment distance: insertions, deletions, replacements and swaps of neighbours. Inputs are short.
std::size_t distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> before_previous(right.size() + 1);
  std::vector<std::size_t> previous(right.size() + 1);
  std::vector<std::size_t> current(right.size() + 1);
  std::iota(previous.begin(), previous.end(), std::size_t{0});
  for (std::size_t row = 1; row <= left.size(); ++row) {
    current[0] = row;
    for (std::size_t column = 1; column <= right.size(); ++column) {
      const std::size_t replaced = previous[column - 1] + (left[row - 1] == right[column - 1] ? 0 : 1);
      current[column] = std::min({previous[column] + 1, current[column - 1] + 1, replaced});
      if (row > 1 && column > 1 && left[row - 1] == right[column - 2] && left[row - 2] == right[column - 1]) {
        current[column] = std::min(current[column], before_previous[column - 2] + 1);
      }
    }
    std::swap(before_previous, previous);
    std::swap(previous, current);
  }
  return previous[right.size()];
}

}  // namespace

bool is_letter(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z');
}

bool is_digit(char character) {
  return character >= '0' && character <= '9';
}

std::string shown(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null:
      return "empty";
    case Node::Kind::sequence:
      return "a list";
    case Node::Kind::map:
      return "a mapping";
    case Node::Kind::scalar:
      return in_quotes(node.scalar);
  }
  return {};
}

std::optional<std::uint64_t> read_integer(const Node& node, std::string_view what, Range allowed, Report& report) {
  const auto value = node.kind == Node::Kind::scalar && node.plain ? decimal(node.scalar) : std::nullopt;
  if (!value) {
    refuse(node, what, "a plain decimal number, " + in_words(allowed), report);
    return std::nullopt;
  }
  if (*value < allowed.min || *value > allowed.max) {
    refuse(node, what, in_words(allowed), report);
    return std::nullopt;
  }
  return value;
}

std::optional<bool> read_bool(const Node& node, std::string_view what, Report& report) {
  if (node.kind == Node::Kind::scalar && node.plain) {
    if (node.scalar == "true" || node.scalar == "on" || node.scalar == "yes") {
      return true;
    }
    if (node.scalar == "false" || node.scalar == "off" || node.scalar == "no") {
      return false;
    }
  }
  refuse(node, what, "`true` or `false` (also on/off, yes/no), without quotes", report);
  return std::nullopt;
}

std::optional<std::string> read_text(const Node& node, std::string_view what, Range allowed, bool (*accepted)(char),
                                     std::string_view rule, Report& report) {
  if (node.kind == Node::Kind::scalar && node.scalar.size() >= allowed.min && node.scalar.size() <= allowed.max &&
      std::ranges::all_of(node.scalar, accepted)) {
    return node.scalar;
  }
  refuse(node, what, in_words(allowed) + " characters: " + std::string(rule), report);
  return std::nullopt;
}

std::optional<std::string> read_name(const Node& node, std::string_view what, Report& report) {
  const auto accepted = [](char character) {
    return is_letter(character) || is_digit(character) || character == '.' || character == '_' || character == '-';
  };
  constexpr std::string_view rule = "letters, digits and . _ -, starting with a letter";
  if (node.kind == Node::Kind::scalar && !node.scalar.empty() && !is_letter(node.scalar.front())) {
    refuse(node, what, "1..80 characters: " + std::string(rule), report);
    return std::nullopt;
  }
  return read_text(node, what, {1, 80}, accepted, rule, report);
}

std::optional<Address> read_address(const Node& node, std::string_view what, Report& report) {
  // The text must not hold a zero byte: a quoted scalar can, and the C function behind the parser would stop there.
  const bool usable = node.kind == Node::Kind::scalar && node.scalar.find('\0') == std::string::npos;
  const auto address = usable ? Address::parse(node.scalar) : std::nullopt;
  if (!address) {
    refuse(node, what, "an IPv4 or IPv6 address without a prefix length", report);
    return std::nullopt;
  }
  if (!is_host_address(*address)) {
    refuse(node, what, host_address_rule, report);
    return std::nullopt;
  }
  return address;
}

std::optional<Prefix> read_prefix(const Node& node, std::string_view what, Report& report) {
  const std::string_view text = node.scalar;
  const auto slash = text.find('/');
  const bool usable = node.kind == Node::Kind::scalar && text.find('\0') == std::string_view::npos &&
                      slash != std::string_view::npos && decimal(text.substr(slash + 1));
  const auto prefix = usable ? Prefix::parse(text) : std::nullopt;
  if (!prefix) {
    refuse(node, what, "an address with a prefix length such as 192.0.2.1/24 or 2001:db8::1/64", report);
  }
  return prefix;
}

std::optional<Prefix> read_network_or_address(const Node& node, std::string_view what, Report& report) {
  const std::string_view text = node.scalar;
  const auto slash = text.find('/');
  const bool usable = node.kind == Node::Kind::scalar && text.find('\0') == std::string_view::npos &&
                      (slash == std::string_view::npos || decimal(text.substr(slash + 1)));
  const auto prefix = usable ? Prefix::parse(text) : std::nullopt;
  if (!prefix) {
    refuse(node, what, "a network such as 198.51.100.0/24 or 2001:db8::/32, or an address", report);
    return std::nullopt;
  }
  if (!(prefix->network() == *prefix)) {
    report.error(node.at, std::string(what) + " is " + shown(node) + ", which has host bits; allowed: the network " +
                              in_quotes(prefix->network().to_string()) + ", or an address");
    return std::nullopt;
  }
  return prefix;
}

std::optional<PortRange> read_port_range(const Node& node, std::string_view what, Report& report) {
  const std::string_view text = node.scalar;
  const auto dash = text.find('-');
  const auto first = decimal(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : decimal(text.substr(dash + 1));
  if (node.kind != Node::Kind::scalar || !first || !last || *first < 1 || *last > 65535 || *first > *last) {
    refuse(node, what, "a port or a range such as 2800-3300 within 1..65535", report);
    return std::nullopt;
  }
  return PortRange{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
}

std::optional<Metrics> read_endpoint(const Node& node, std::string_view what, Report& report) {
  const std::string_view text = node.scalar;
  const auto colon = text.rfind(':');
  if (node.kind == Node::Kind::scalar && colon != std::string_view::npos && text.find('\0') == std::string_view::npos) {
    std::string_view host = text.substr(0, colon);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) {
      host = host.substr(1, host.size() - 2);
    }
    const auto address = Address::parse(host);
    const auto port = decimal(text.substr(colon + 1));
    if (address && address->is_v4() != bracketed && port && *port >= 1 && *port <= 65535) {
      return Metrics{*address, static_cast<std::uint16_t>(*port)};
    }
  }
  refuse(node, what, "an address and a port such as 127.0.0.1:9464 or [::1]:9464", report);
  return std::nullopt;
}

std::optional<std::size_t> read_word(const Node& node, std::string_view what, std::span<const std::string_view> words,
                                     std::span<const std::string_view> later, Report& report) {
  if (node.kind != Node::Kind::scalar) {
    refuse(node, what, word_list(words), report);
    return std::nullopt;
  }
  const auto found = std::ranges::find(words, node.scalar);
  if (found != words.end()) {
    return static_cast<std::size_t>(found - words.begin());
  }
  if (std::ranges::find(later, node.scalar) != later.end()) {
    report.error(node.at, std::string(what) + ' ' + shown(node) +
                              " is not supported in this version; allowed: " + word_list(words));
    return std::nullopt;
  }
  const std::string_view near = nearest_word(node.scalar, words);
  const std::string hint = near.empty() ? "" : " (did you mean `" + std::string(near) + "`?)";
  refuse(node, what, word_list(words) + hint, report);
  return std::nullopt;
}

std::string_view nearest_word(std::string_view text, std::span<const std::string_view> words) {
  constexpr std::size_t longest_sensible = 64;
  if (text.empty() || text.size() > longest_sensible) {
    return {};
  }
  std::string_view nearest;
  std::size_t smallest = longest_sensible;
  for (const std::string_view word : words) {
    const std::size_t allowed = std::max<std::size_t>(1, std::max(word.size(), text.size()) / 3);
    const std::size_t edits = distance(text, word);
    if (edits <= allowed && edits < smallest && edits < word.size()) {
      smallest = edits;
      nearest = word;
    }
  }
  if (nearest.empty() && text.size() >= 4) {
    // `health` for `health_check`, `listener_port` for `port`.
    const auto part = std::ranges::find_if(words, [&](std::string_view word) {
      return word.find(text) != std::string_view::npos ||
             (word.size() >= 4 && text.find(word) != std::string_view::npos);
    });
    nearest = part == words.end() ? std::string_view{} : *part;
  }
  return nearest;
}

std::string word_list(std::span<const std::string_view> words) {
  std::string list;
  for (const std::string_view word : words) {
    list += list.empty() ? "`" : ", `";
    list += word;
    list += '`';
  }
  return list;
}

}  // namespace steelyard::control::config
