#include "dataplane/http/cookie.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <span>

namespace steelyard::http {
namespace {

constexpr std::int64_t furthest_future = 86'400;  // clocks of nodes differ, but not by more
constexpr std::uint32_t longest_unrefreshed = 60;

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::uint8_t no_digit = 0xff;
constexpr auto digits = [] {
  std::array<std::uint8_t, 256> values{};
  values.fill(no_digit);
  for (std::size_t place = 0; place < alphabet.size(); ++place) {
    values[static_cast<std::uint8_t>(alphabet[place])] = static_cast<std::uint8_t>(place);
  }
  return values;
}();

constexpr std::size_t characters_for(std::size_t words) {
  return (words * 64 + 5) / 6;
}

// Words as base64url; the unused bits of the last character are zeros.
template <std::size_t count>
void encode(const std::array<std::uint64_t, count>& words, std::span<char> text) {
  for (std::size_t place = 0; place < characters_for(count); ++place) {
    const std::size_t word = place * 6 / 64;
    const unsigned at = place * 6 % 64;
    const std::uint64_t next = word + 1 < count ? words[word + 1] : 0;
    const std::uint64_t value = at <= 58 ? words[word] >> (58 - at) : words[word] << (at - 58) | next >> (122 - at);
    text[place] = alphabet[value & 63U];
  }
}

// Every array of words has one text, and no other text is read. `text` has characters_for(count) octets.
template <std::size_t count>
std::optional<std::array<std::uint64_t, count>> decode(std::string_view text) {
  std::array<std::uint64_t, count> words{};
  std::uint64_t gathered = 0;
  unsigned bits = 0;
  std::size_t word = 0;
  for (const char character : text) {
    const std::uint8_t digit = digits[static_cast<std::uint8_t>(character)];
    if (digit == no_digit) {
      return std::nullopt;
    }
    if (bits + 6 < 64) {
      gathered = gathered << 6U | digit;
      bits += 6;
      continue;
    }
    const unsigned over = bits + 6 - 64;
    words[word++] = gathered << (64 - bits) | digit >> over;
    gathered = digit & ((1U << over) - 1);
    bits = over;
  }
  if (gathered != 0) {
    return std::nullopt;
  }
  return words;
}
static_assert(characters_for(3) == SessionCookies::value_octets &&
              characters_for(2) + 1 == SessionCookies::mark_octets);

// In as many steps wherever the difference is.
bool same(std::uint64_t one, std::uint64_t other) {
  return (one ^ other) == 0;
}

// A key for one purpose. Both halves of the configured key are asked, and who knows one of them knows nothing. They are
// asked different things: equal halves would cancel each other out, and leave a key that everybody knows.
tcp::SipKey derive(const CookieKey& key, std::uint64_t purpose) {
  const auto halves = std::bit_cast<std::array<tcp::SipKey, 2>>(key.octets);
  tcp::SipKey derived;
  for (std::uint64_t place = 0; place < derived.words.size(); ++place) {
    const std::array<std::uint64_t, 2> first{purpose, place};
    const std::array<std::uint64_t, 2> second{purpose, place + derived.words.size()};
    derived.words[place] = tcp::siphash(halves[0], first) ^ tcp::siphash(halves[1], second);
  }
  return derived;
}

std::uint64_t stamps_of(const SessionCookies::Stamp& stamp) {
  return std::uint64_t{stamp.last_seen} << 32U | stamp.first_seen;
}

}  // namespace

SessionCookies::SessionCookies(const CookieKey& key)
    : tag_key_(derive(key, 1)), value_key_(derive(key, 2)), mark_key_(derive(key, 3)) {}

ServerTag SessionCookies::tag_of(const service::Server& server) const {
  std::array<std::uint64_t, 3> words{};
  const auto address = server.address.v6();
  std::memcpy(words.data(), address.data(), address.size());
  words[2] = server.port;
  return {tcp::siphash(tag_key_, words)};
}

std::uint64_t SessionCookies::mac_of(const Stamp& stamp) const {
  return tcp::siphash(value_key_, std::array{stamp.server.value, stamps_of(stamp)});
}

std::uint64_t SessionCookies::mac_of(ServerTag marked) const {
  return tcp::siphash(mark_key_, std::array{marked.value});
}

SessionCookies::Value SessionCookies::write(const Stamp& stamp) const {
  Value value;
  encode(std::array{stamp.server.value, stamps_of(stamp), mac_of(stamp)}, value.text);
  return value;
}

tl::expected<SessionCookies::Stamp, SessionCookies::Fault> SessionCookies::read(std::string_view value,
                                                                                std::uint32_t now,
                                                                                std::uint32_t timeout) const {
  if (value.size() != value_octets) {
    return tl::unexpected(Fault::invalid);
  }
  const auto words = decode<3>(value);
  if (!words) {
    return tl::unexpected(Fault::invalid);
  }
  const Stamp stamp{
      {(*words)[0]}, static_cast<std::uint32_t>((*words)[1] >> 32U), static_cast<std::uint32_t>((*words)[1])};
  if (!same((*words)[2], mac_of(stamp))) {
    return tl::unexpected(Fault::invalid);
  }
  const std::int64_t age = std::int64_t{now} - stamp.last_seen;
  if (age > timeout || age < -furthest_future) {
    return tl::unexpected(Fault::expired);
  }
  return stamp;
}

// A session ends early by as much as its stamp may lag behind: an eighth of the timeout, a minute at most. Stamps from
// the future are written anew likewise, but not for every difference between the clocks of two nodes.
bool SessionCookies::needs_refresh(const Stamp& stamp, std::uint32_t now, std::uint32_t timeout) {
  const std::int64_t age = std::int64_t{now} - stamp.last_seen;
  const std::int64_t allowed = std::min(timeout / 8, longest_unrefreshed);
  return age > allowed || age < -allowed;
}

SessionCookies::Mark SessionCookies::mark_of(ServerTag server) const {
  Mark mark;
  encode(std::array{server.value, mac_of(server)}, mark.text);
  mark.text.back() = '~';
  return mark;
}

std::optional<ServerTag> SessionCookies::read_mark(std::string_view value) const {
  if (value.size() < mark_octets || value[mark_octets - 1] != '~') {
    return std::nullopt;
  }
  const auto words = decode<2>(value.substr(0, mark_octets - 1));
  if (!words || !same((*words)[1], mac_of(ServerTag{(*words)[0]}))) {
    return std::nullopt;
  }
  return ServerTag{(*words)[0]};
}

std::string_view trimmed(std::string_view text) {
  const auto is_white = [](char octet) { return octet == ' ' || octet == '\t'; };
  while (!text.empty() && is_white(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && is_white(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

std::optional<CookieList::Cookie> CookieList::next() {
  while (!rest_.empty()) {
    const std::size_t end = std::min(rest_.find(';'), rest_.size());
    const std::string_view whole = trimmed(rest_.substr(0, end));
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    if (whole.empty()) {
      continue;
    }
    const std::size_t equals = whole.find('=');
    if (equals == std::string_view::npos) {
      return Cookie{{}, whole, whole};
    }
    return Cookie{trimmed(whole.substr(0, equals)), trimmed(whole.substr(equals + 1)), whole};
  }
  return std::nullopt;
}

}  // namespace steelyard::http
