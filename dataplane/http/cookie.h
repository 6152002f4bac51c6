// Session persistence by cookie: the values of cookies that we insert (`SERVERID`), the marks of those that servers
// set, and finding cookies in a request. http.md's table says what is decided by them (session.h does).
//
// An inserted value is base64url of 28 octets without padding, 38 characters:
//
//   server 8 | last seen 4 | first seen 4 | tag 8 | ... a MAC over what stands before
//
// `server` is a keyed hash of the server's address and port, so that it is the same on every node with the same key,
// and tells nobody an address; the MAC keeps clients from choosing. Pure; the clock is passed in.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "dataplane/service/snapshot.h"

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

class SessionCookies {
 public:
  explicit SessionCookies(const CookieKey& key);

  [[nodiscard]] ServerTag tag_of(const service::Server& server) const;

  struct Stamp {
    ServerTag server;
    std::uint32_t last_seen = 0;  // seconds since 1970
    std::uint32_t first_seen = 0;
  };
  static constexpr std::size_t value_octets = 44;  // at most
  struct Value {
    std::array<char, value_octets> text{};
    std::size_t length = 0;
    [[nodiscard]] std::string_view view() const { return {text.data(), length}; }
  };
  [[nodiscard]] Value write(const Stamp& stamp) const;
  // Nothing: no value of ours, forged, older than `timeout` or more than 24 h in the future.
  [[nodiscard]] std::optional<Stamp> read(std::string_view value, std::uint32_t now, std::uint32_t timeout) const;

  // A rewritten cookie: the server's mark and "~" in front of what it set.
  static constexpr std::size_t mark_octets = 23;  // at most, "~" included
  [[nodiscard]] Value mark_of(ServerTag server) const;
  // The server of a marked value, and where the original begins. Nothing: it has no mark of ours.
  struct Marked {
    ServerTag server;
    std::size_t original = 0;  // place in the value
  };
  [[nodiscard]] std::optional<Marked> read_mark(std::string_view value) const;

 private:
  CookieKey key_;
};

// The cookies of a Cookie field, one after the other: names and values as they stand there. Names are compared exactly.
class CookieList {
 public:
  explicit CookieList(std::string_view field) : rest_(field) {}
  struct Cookie {
    std::string_view name;
    std::string_view value;
    std::string_view whole;  // as it stands in the field, for those who pass it on
  };
  [[nodiscard]] std::optional<Cookie> next();

 private:
  std::string_view rest_;
};

}  // namespace steelyard::http
