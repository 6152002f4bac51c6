// Single values of a configuration file: a YAML scalar to a number, a word, an address. Each function reports what is
// wrong with the value (`what` names it in the message, such as "`mtu`") and what is allowed, and returns nothing then.
// Spellings are strict: numbers are plain decimal digits, so that no 0x10, 1e3, "80" or 010 has a surprising meaning.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "control/config/diagnostic.h"
#include "control/config/model.h"
#include "control/config/yaml_tree.h"

namespace steelyard::control::config {

struct Range {
  std::uint64_t min = 0;
  std::uint64_t max = 0;
};
inline constexpr Range any_port{1, 65535};

template <class Value>
struct Choice {
  std::string_view word;
  Value value;
};

// "`text`" is what a message shows of a node: its value, or "a list" or "a mapping".
[[nodiscard]] std::string shown(const Node& node);

[[nodiscard]] std::optional<std::uint64_t> read_integer(const Node& node, std::string_view what, Range allowed,
                                                        Report& report);
// true, false, on, off, yes, no; without quotes.
[[nodiscard]] std::optional<bool> read_bool(const Node& node, std::string_view what, Report& report);
// 1..80 letters, digits and . _ - that start with a letter.
[[nodiscard]] std::optional<std::string> read_name(const Node& node, std::string_view what, Report& report);
// Between `allowed.min` and `allowed.max` bytes, each accepted by `accepted`; `rule` says in words which those are.
[[nodiscard]] std::optional<std::string> read_text(const Node& node, std::string_view what, Range allowed,
                                                   bool (*accepted)(char), std::string_view rule, Report& report);
// An address that a machine can have (address_rules.h).
[[nodiscard]] std::optional<Address> read_address(const Node& node, std::string_view what, Report& report);
// "192.0.2.0/24"; the length must be written.
[[nodiscard]] std::optional<Prefix> read_prefix(const Node& node, std::string_view what, Report& report);
// A network without host bits, or an address alone for itself.
[[nodiscard]] std::optional<Prefix> read_network_or_address(const Node& node, std::string_view what, Report& report);
// "80" or "2800-3300".
[[nodiscard]] std::optional<PortRange> read_port_range(const Node& node, std::string_view what, Report& report);
// "127.0.0.1:9464" or "[::1]:9464".
[[nodiscard]] std::optional<Metrics> read_endpoint(const Node& node, std::string_view what, Report& report);

// One word of a list. Words of `later` are refused as "not supported in this version". Returns an index into `words`.
[[nodiscard]] std::optional<std::size_t> read_word(const Node& node, std::string_view what,
                                                   std::span<const std::string_view> words,
                                                   std::span<const std::string_view> later, Report& report);

// The word of `words` that `text` is probably a misspelling of; empty: none is near.
[[nodiscard]] std::string_view nearest_word(std::string_view text, std::span<const std::string_view> words);
// "`a`, `b`, `c`".
[[nodiscard]] std::string word_list(std::span<const std::string_view> words);

[[nodiscard]] bool is_letter(char character);
[[nodiscard]] bool is_digit(char character);

}  // namespace steelyard::control::config
