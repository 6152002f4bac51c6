// Session persistence by cookie: the values of cookies that we insert (`SERVERID`), the marks of those that servers
// set, and finding cookies in a request. What is decided by them stands in cookie_edit.h and the proxy. Everything that
// is read here comes from clients: any length, any octets.
//
// An inserted value is 24 octets as base64url (RFC 4648 section 5) without padding, 32 characters that leave no bit
// unused; a mark is 16 octets, 22 characters and four unused bits, and "~". Numbers are big-endian.
//
//   value | server 8 | last seen 4 | first seen 4 | MAC 8 |        mark | server 8 | MAC 8 | ~
//
// `server` is a keyed hash of the server's address and port, so that it is the same on every node with the same key,
// and tells nobody an address. The MAC, over what stands before it, keeps clients from choosing: whoever guesses
// succeeds once in 2^64 requests. All hashes are SipHash-2-4, each with a key of its own that is derived from the
// configured one: a mark is no value, and neither MAC is a server's hash. A mark says nothing about the value behind
// it: who moves one from a cookie to another reaches a server that he has been given anyhow.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <tl/expected.hpp>

#include "dataplane/service/snapshot.h"
#include "dataplane/tcp/siphash.h"

namespace steelyard::http {

// Shared by all nodes that are to understand each other's cookies. Never logged.
struct CookieKey {
  std::array<std::uint8_t, 32> octets{};
};

// What names a server in cookies.
struct ServerTag {
  std::uint64_t value = 0;
  friend auto operator<=>(ServerTag, ServerTag) = default;
};

// Immutable; any thread.
class SessionCookies {
 public:
  explicit SessionCookies(const CookieKey& key);

  [[nodiscard]] ServerTag tag_of(const service::Server& server) const;

  struct Stamp {
    ServerTag server;
    std::uint32_t last_seen = 0;  // seconds since 1970
    std::uint32_t first_seen = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  static constexpr std::size_t value_octets = 32;
  static constexpr std::size_t mark_octets = 23;  // "~" included
  template <std::size_t octets>
  struct Text {
    std::array<char, octets> text{};
    [[nodiscard]] std::string_view view() const { return {text.data(), text.size()}; }
  };
  using Value = Text<value_octets>;
  using Mark = Text<mark_octets>;

  [[nodiscard]] Value write(const Stamp& stamp) const;

  enum class Fault : std::uint8_t {
    invalid,  // no value of ours, or forged
    expired,  // the client was last seen longer ago than the timeout, or more than a day in the future
  };
  // `now`: seconds since 1970; `timeout`: seconds.
  [[nodiscard]] tl::expected<Stamp, Fault> read(std::string_view value, std::uint32_t now, std::uint32_t timeout) const;
  // Is it time for a new value that says that the client has been seen?
  [[nodiscard]] static bool needs_refresh(const Stamp& stamp, std::uint32_t now, std::uint32_t timeout);

  // A rewritten cookie: the server's mark stands in front of what it set.
  [[nodiscard]] Mark mark_of(ServerTag server) const;
  // The server of a value that begins with a mark, whose first mark_octets it is. Nothing: it has no mark of ours.
  [[nodiscard]] std::optional<ServerTag> read_mark(std::string_view value) const;

 private:
  [[nodiscard]] std::uint64_t mac_of(const Stamp& stamp) const;
  [[nodiscard]] std::uint64_t mac_of(ServerTag marked) const;

  tcp::SipKey tag_key_;
  tcp::SipKey value_key_;
  tcp::SipKey mark_key_;
};

// The cookies of a Cookie field, one after the other: names and values as they stand there, without the spaces and tabs
// around them. What stands between semicolons is a cookie (RFC 6265 section 5.4), quotes or not: browsers end a value
// at a semicolon whatever stands before it, so one with a single quote in it must not swallow the cookies behind it.
class CookieList {
 public:
  explicit CookieList(std::string_view field) : rest_(field) {}
  struct Cookie {
    std::string_view name;   // compared exactly; empty when there is no "="
    std::string_view value;  // quotes included
    std::string_view whole;  // as it stands in the field, for those who pass it on
  };
  // Empty ones are passed over.
  [[nodiscard]] std::optional<Cookie> next();

 private:
  std::string_view rest_;
};

// Without the spaces and tabs around it.
[[nodiscard]] std::string_view trimmed(std::string_view text);

}  // namespace steelyard::http
