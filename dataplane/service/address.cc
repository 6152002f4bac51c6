#include "dataplane/service/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace steelyard::service {

std::optional<Address> Address::parse(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  if (text.size() >= buffer.size() || text.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  std::copy(text.begin(), text.end(), buffer.begin());
  std::array<std::uint8_t, 16> bytes{};
  if (inet_pton(AF_INET, buffer.data(), bytes.data()) == 1) {
    return from_v4(std::span<const std::uint8_t, 16>(bytes).first<4>());
  }
  if (inet_pton(AF_INET6, buffer.data(), bytes.data()) == 1) {
    const Address address = from_v6(bytes);
    if (!address.is_v4()) {
      return address;
    }
  }
  return std::nullopt;
}

bool Address::is_unspecified() const {
  const std::size_t skip = is_v4() ? 12 : 0;
  return std::all_of(bytes_.begin() + static_cast<std::ptrdiff_t>(skip), bytes_.end(),
                     [](std::uint8_t byte) { return byte == 0; });
}

bool Address::is_multicast() const {
  return is_v4() ? (bytes_[12] & 0xf0) == 0xe0 : bytes_[0] == 0xff;
}

bool Address::is_loopback() const {
  if (is_v4()) {
    return bytes_[12] == 127;
  }
  return bytes_[15] == 1 && std::all_of(bytes_.begin(), bytes_.end() - 1, [](std::uint8_t byte) { return byte == 0; });
}

bool Address::is_link_local() const {
  return is_v4() ? bytes_[12] == 169 && bytes_[13] == 254 : bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

std::size_t Address::write(std::span<char, most_text> text) const {
  if (!is_v4()) {
    inet_ntop(AF_INET6, bytes_.data(), text.data(), static_cast<socklen_t>(text.size()));
    return std::char_traits<char>::length(text.data());
  }
  // inet_ntop() takes five times as long: it formats.
  char* end = text.data();
  for (std::size_t place = 12; place < bytes_.size(); ++place) {
    end = std::to_chars(end, text.data() + text.size(), static_cast<unsigned>(bytes_[place])).ptr;
    *end++ = '.';
  }
  return static_cast<std::size_t>(end - 1 - text.data());
}

std::string Address::to_string() const {
  std::array<char, most_text> text{};
  return {text.data(), write(text)};
}

std::optional<Prefix> Prefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = Address::parse(text.substr(0, slash));
  if (!address) {
    return std::nullopt;
  }
  const unsigned longest = address->is_v4() ? 32 : 128;
  unsigned length = longest;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (error != std::errc{} || end != digits.data() + digits.size() || length > longest) {
      return std::nullopt;
    }
  }
  return Prefix{*address, static_cast<std::uint8_t>(length)};
}

Prefix Prefix::network() const {
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(address.v6(), bytes.begin());
  const std::size_t first_bit = address.is_v4() ? 96 : 0;
  for (std::size_t bit = first_bit + length; bit < 128; ++bit) {
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] & ~(0x80U >> (bit % 8)));
  }
  return {Address::from_v6(bytes), length};
}

std::string Prefix::to_string() const {
  return address.to_string() + '/' + std::to_string(length);
}

}  // namespace steelyard::service
