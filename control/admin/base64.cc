#include "control/admin/base64.h"

#include <array>
#include <cstdint>

namespace steelyard::control {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t no_digit = 64;

constexpr std::array<std::uint8_t, 256> digits = [] {
  std::array<std::uint8_t, 256> values{};
  values.fill(no_digit);
  for (std::size_t place = 0; place < alphabet.size(); ++place) {
    values[static_cast<std::uint8_t>(alphabet[place])] = static_cast<std::uint8_t>(place);
  }
  return values;
}();

}  // namespace

std::string to_base64(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  while (!bytes.empty()) {
    const std::size_t taken = bytes.size() < 3 ? bytes.size() : 3;
    std::uint32_t group = 0;
    for (std::size_t place = 0; place < 3; ++place) {
      group = group << 8U | (place < taken ? std::to_integer<std::uint32_t>(bytes[place]) : 0U);
    }
    for (std::size_t digit = 0; digit < 4; ++digit) {
      text += digit <= taken ? alphabet[group >> (18 - 6 * digit) & 63U] : '=';
    }
    bytes = bytes.subspan(taken);
  }
  return text;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) {
    return std::nullopt;
  }
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (; !text.empty(); text.remove_prefix(4)) {
    const bool last = text.size() == 4;
    const std::size_t padding = !last ? 0 : text[2] == '=' && text[3] == '=' ? 2 : text[3] == '=' ? 1 : 0;
    std::uint32_t group = 0;
    for (std::size_t place = 0; place < 4; ++place) {
      const std::uint8_t digit = place < 4 - padding ? digits[static_cast<std::uint8_t>(text[place])] : 0;
      if (digit == no_digit) {
        return std::nullopt;
      }
      group = group << 6U | digit;
    }
    if ((group & ((1U << 8 * padding) - 1)) != 0) {
      return std::nullopt;
    }
    for (std::size_t place = 0; place < 3 - padding; ++place) {
      bytes += static_cast<char>(group >> (16 - 8 * place) & 0xffU);
    }
  }
  return bytes;
}

}  // namespace steelyard::control
