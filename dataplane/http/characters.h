// Which octets may stand where, as tables: tokens (RFC 9110 section 5.6.2), authorities and targets (RFC 3986), white
// space (RFC 9110 section 5.6.3). ASCII only: neither the locale nor Latin-1's white space (0x85, 0xa0) has a say,
// since others would not agree with it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace steelyard::http {

class Characters {
 public:
  constexpr explicit Characters(std::string_view members) {
    for (const char member : members) {
      has_[static_cast<std::uint8_t>(member)] = true;
    }
  }
  constexpr Characters(char first, char last) {
    const std::size_t end = static_cast<std::uint8_t>(last);
    for (std::size_t member = static_cast<std::uint8_t>(first); member <= end; ++member) {
      has_[member] = true;
    }
  }
  [[nodiscard]] constexpr Characters operator|(const Characters& more) const {
    Characters both = *this;
    for (std::size_t i = 0; i < has_.size(); ++i) {
      both.has_[i] = has_[i] || more.has_[i];
    }
    return both;
  }
  [[nodiscard]] constexpr Characters without(const Characters& less) const {
    Characters rest = *this;
    for (std::size_t i = 0; i < has_.size(); ++i) {
      rest.has_[i] = has_[i] && !less.has_[i];
    }
    return rest;
  }

  [[nodiscard]] constexpr bool has(char octet) const { return has_[static_cast<std::uint8_t>(octet)]; }
  // Does `text` consist of these alone?
  [[nodiscard]] constexpr bool make_up(std::string_view text) const {
    return std::all_of(text.begin(), text.end(), [this](char octet) { return has(octet); });
  }

 private:
  std::array<bool, 256> has_{};
};

inline constexpr Characters digits{'0', '9'};
inline constexpr Characters lower_case{'a', 'z'};
inline constexpr Characters letters = lower_case | Characters{'A', 'Z'};
inline constexpr Characters hex_digits = digits | Characters{'a', 'f'} | Characters{'A', 'F'};
inline constexpr Characters visible{'!', '~'};
inline constexpr Characters token_characters = letters | digits | Characters{"!#$%&'*+-.^_`|~"};

[[nodiscard]] constexpr bool is_token(std::string_view text) {
  return !text.empty() && token_characters.make_up(text);
}

[[nodiscard]] constexpr char lower(char octet) {
  return octet >= 'A' && octet <= 'Z' ? static_cast<char>(octet | 0x20) : octet;
}

[[nodiscard]] constexpr bool is_blank(char octet) {
  return octet == ' ' || octet == '\t';
}

[[nodiscard]] constexpr std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && is_blank(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

// Calls `each` with every element of a comma-separated list, without the white space around it; empty ones too.
template <typename Each>
constexpr void for_each_element(std::string_view list, Each&& each) {
  while (true) {
    const std::size_t comma = list.find(',');
    each(trimmed(list.substr(0, comma)));
    if (comma == std::string_view::npos) {
      return;
    }
    list.remove_prefix(comma + 1);
  }
}

}  // namespace steelyard::http
