#include "control/access_log/line_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

namespace steelyard::control::access_log {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

bool is_printable(unsigned char octet) {
  return octet >= ' ' && octet < 0x7f;
}

bool is_plain(char octet) {
  return is_printable(static_cast<unsigned char>(octet)) && octet != '"' && octet != '\\';
}
// Appends what stands for itself; the rest begins with an octet that does not.
std::string_view append_plain(std::string& line, std::string_view text) {
  const auto plain = static_cast<std::size_t>(std::ranges::find_if_not(text, is_plain) - text.begin());
  line += text.substr(0, plain);
  return text.substr(plain);
}

// A character of UTF-8 (RFC 3629: no overlong forms, surrogates, or above U+10FFFF). Length 0: it is none.
struct Character {
  char32_t number = 0;
  std::size_t length = 0;
};
Character first_character(std::string_view text) {
  struct Kind {
    unsigned char lead_mask, lead;
    std::size_t length;
    char32_t least;
  };
  static constexpr std::array<Kind, 3> kinds{{{0xe0, 0xc0, 2, 0x80}, {0xf0, 0xe0, 3, 0x800}, {0xf8, 0xf0, 4, 0x10000}}};
  const auto lead = static_cast<unsigned char>(text[0]);
  for (const Kind& kind : kinds) {
    if ((lead & kind.lead_mask) != kind.lead || text.size() < kind.length) {
      continue;
    }
    char32_t number = lead & static_cast<unsigned char>(~kind.lead_mask);
    for (const char octet : text.substr(1, kind.length - 1)) {
      if ((static_cast<unsigned char>(octet) & 0xc0U) != 0x80) {
        return {};
      }
      number = number << 6U | (static_cast<unsigned char>(octet) & 0x3fU);
    }
    const bool surrogate = number >= 0xd800 && number < 0xe000;
    return number < kind.least || surrogate || number > 0x10ffff ? Character{} : Character{number, kind.length};
  }
  return {};
}

void append_unicode(std::string& line, char32_t unit) {
  line += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) {
    line += hex_digits[unit >> static_cast<unsigned>(shift) & 0xfU];
  }
}

// A day and the time of that day.
struct Civil {
  std::chrono::year_month_day day;
  std::uint64_t second = 0;
  std::uint64_t microsecond = 0;
};
Civil civil_of(std::uint64_t time_us) {
  constexpr std::uint64_t day_seconds = 86'400;
  const std::uint64_t seconds = time_us / 1'000'000;
  const std::chrono::sys_days day{std::chrono::days{static_cast<int>(seconds / day_seconds)}};
  return {std::chrono::year_month_day{day}, seconds % day_seconds, time_us % 1'000'000};
}

void append_clock(std::string& line, std::uint64_t second) {
  append_digits(line, second / 3'600, 2);
  line += ':';
  append_digits(line, second / 60 % 60, 2);
  line += ':';
  append_digits(line, second % 60, 2);
}

void append_iso_without_zone(std::string& line, const Civil& civil) {
  append_digits(line, static_cast<std::uint64_t>(int{civil.day.year()}), 4);
  line += '-';
  append_digits(line, unsigned{civil.day.month()}, 2);
  line += '-';
  append_digits(line, unsigned{civil.day.day()}, 2);
  line += 'T';
  append_clock(line, civil.second);
}

void append_day_first(std::string& line, const Civil& civil) {
  constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  append_digits(line, unsigned{civil.day.day()}, 2);
  line += '/';
  line += months[unsigned{civil.day.month()} - 1];
  line += '/';
  append_digits(line, static_cast<std::uint64_t>(int{civil.day.year()}), 4);
  line += ':';
  append_clock(line, civil.second);
}

}  // namespace

void append_number(std::string& line, std::uint64_t number) {
  std::array<char, 20> digits;
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  line.append(digits.data(), written.ptr);
}

void append_digits(std::string& line, std::uint64_t number, unsigned digits) {
  const std::size_t begin = line.size();
  line.append(digits, '0');
  for (std::size_t place = line.size(); place > begin; number /= 10) {
    line[--place] = static_cast<char>('0' + number % 10);
  }
}

void append_seconds(std::string& line, std::uint64_t microseconds) {
  append_number(line, microseconds / 1'000'000);
  line += '.';
  append_digits(line, microseconds / 1'000, 3);
}

void append_json(std::string& line, std::string_view text) {
  line += '"';
  for (text = append_plain(line, text); !text.empty(); text = append_plain(line, text)) {
    const auto octet = static_cast<unsigned char>(text[0]);
    if (octet < 0x80) {
      if (is_printable(octet)) {
        line += {'\\', text[0]};
      } else {
        append_unicode(line, octet);
      }
      text.remove_prefix(1);
      continue;
    }
    const Character character = first_character(text);
    if (character.length == 0) {
      append_unicode(line, 0xfffd);
      text.remove_prefix(1);
      continue;
    }
    if (character.number < 0x10000) {
      append_unicode(line, character.number);
    } else {
      append_unicode(line, 0xd800 + ((character.number - 0x10000) >> 10U));
      append_unicode(line, 0xdc00 + (character.number & 0x3ffU));
    }
    text.remove_prefix(character.length);
  }
  line += '"';
}

void append_escaped(std::string& line, std::string_view text) {
  for (text = append_plain(line, text); !text.empty(); text = append_plain(line, text)) {
    const auto octet = static_cast<unsigned char>(text[0]);
    line += {'\\', 'x', hex_digits[octet >> 4U], hex_digits[octet & 0xfU]};
    text.remove_prefix(1);
  }
}

void append_iso8601(std::string& line, std::uint64_t time_us) {
  const Civil civil = civil_of(time_us);
  append_iso_without_zone(line, civil);
  line += '.';
  append_digits(line, civil.microsecond, 6);
  line += 'Z';
}

void append_iso8601_seconds(std::string& line, std::uint64_t time_us) {
  append_iso_without_zone(line, civil_of(time_us));
  line += "+00:00";
}

void append_common_log(std::string& line, std::uint64_t time_us) {
  append_day_first(line, civil_of(time_us));
  line += " +0000";
}

void append_haproxy(std::string& line, std::uint64_t time_us) {
  const Civil civil = civil_of(time_us);
  append_day_first(line, civil);
  line += '.';
  append_digits(line, civil.microsecond / 1'000, 3);
}

}  // namespace steelyard::control::access_log
