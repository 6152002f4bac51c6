// Session cookies in messages: which server a request's cookies name, what of its Cookie fields goes to the server, and
// what is added to an answer. Pure, and nothing here allocates: texts are views, or written piece by piece.
//
// A name is compared exactly. In `insert` mode every cookie of that name is ours and is kept from the server; in
// `rewrite` mode they are the application's, and what we have put in front of their values is taken away. A value in
// quotes has its mark inside of them, so that it stays a value in quotes (RFC 6265 section 4.1.1).
//
// Of cookies of the name so many are looked at as any browser may have, for different paths and domains; a head of 32
// KB has room for 700 forged ones, and to check them all would take 0.1 ms (bench/cookie_benchmark.cc). They are
// stripped all the same.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "dataplane/http/access_record.h"
#include "dataplane/http/cookie.h"
#include "dataplane/http/head.h"
#include "dataplane/service/http_settings.h"
#include "dataplane/service/server_tags.h"

namespace steelyard::http {

inline constexpr std::size_t most_checked = 16;

// Is it a Cookie field? Field names do not care for case.
[[nodiscard]] bool is_cookie_field(std::string_view field_name);

// What the cookies of a request say.
struct Session {
  // The first valid cookie, whose server is one of the target's, counts, if it is among most_checked. Without one: the
  // kind of the best of them
  // (`down`: its server is gone; expired; invalid), or absent.
  CookieVerdict verdict = CookieVerdict::absent;
  std::size_t server = 0;       // valid: its place in the target
  SessionCookies::Stamp stamp;  // valid and inserted
};

// `fields`: of the request, all of them. `now`, `timeout`: see SessionCookies::read().
[[nodiscard]] Session find_inserted(std::span<const Field> fields, std::string_view name, const SessionCookies& cookies,
                                    const service::ServerTags& tags, std::uint32_t now, std::uint32_t timeout);
[[nodiscard]] Session find_marked(std::span<const Field> fields, std::string_view name, const SessionCookies& cookies,
                                  const service::ServerTags& tags);

// A Cookie field's value without the cookies of a name, in pieces to be written one after the other. No piece at all:
// nothing is left, and the field is not to be written.
class StrippedCookies {
 public:
  StrippedCookies(std::string_view field, std::string_view name) : list_(field), name_(name) {}
  // Empty: that was all.
  [[nodiscard]] std::string_view next();

 private:
  [[nodiscard]] std::string_view next_run();

  CookieList list_;
  std::string_view name_;
  std::string_view waiting_;
  bool begun_ = false;
};

// A Cookie field's value in which the cookies of a name have lost our marks, in pieces likewise. Values that have no
// mark of ours stay as they are, and so does what comes after most_checked values.
class UnmarkedCookies {
 public:
  // `cookies` outlives it.
  UnmarkedCookies(std::string_view field, std::string_view name, const SessionCookies& cookies)
      : list_(field), rest_(field), name_(name), cookies_(cookies) {}
  [[nodiscard]] std::string_view next();

 private:
  CookieList list_;
  std::string_view rest_;
  std::string_view name_;
  const SessionCookies& cookies_;
  std::size_t checked_ = 0;
};

// Where the mark is to be put into the value of a Set-Cookie field. Nothing: it sets another cookie.
[[nodiscard]] std::optional<std::size_t> place_of_mark(std::string_view set_cookie, std::string_view name);

// The attribute, with what separates it from what stands before it.
[[nodiscard]] constexpr std::string_view attribute_of(service::SameSite same_site) {
  switch (same_site) {
    case service::SameSite::unset:
      return {};
    case service::SameSite::lax:
      return "; SameSite=Lax";
    case service::SameSite::strict:
      return "; SameSite=Strict";
    case service::SameSite::none:
      return "; SameSite=None";
  }
  return {};
}

// The Set-Cookie field of an inserted cookie, line end included. `secure`: the client has come by TLS.
template <class Writer>
requires requires(Writer& writer) {
  writer.text(std::string_view{});
}
void write_set_cookie(Writer& writer, const service::SessionCookie& settings, std::string_view value, bool secure) {
  writer.text("Set-Cookie: ");
  writer.text(settings.name);
  writer.text("=");
  writer.text(value);
  writer.text("; Path=/; HttpOnly");
  writer.text(secure ? "; Secure" : "");
  writer.text(attribute_of(settings.same_site));
  writer.text("\r\n");
}

}  // namespace steelyard::http
