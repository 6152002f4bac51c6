// The head of a message as it was read: views into the octets that it was read from, which outlive it. Made by
// parse_request() and parse_response() (parse.h); nothing here owns anything.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "dataplane/http/cause.h"

namespace steelyard::http {

struct Field {
  std::string_view name;   // as it came; compared without case
  std::string_view value;  // without the white space around it
};

// Fields in their order.
class Fields {
 public:
  static constexpr std::size_t capacity = 256;

  [[nodiscard]] std::span<const Field> all() const { return std::span(fields_).first(count_); }
  [[nodiscard]] std::size_t size() const { return count_; }
  // False: full.
  [[nodiscard]] bool add(const Field& field) {
    if (count_ == capacity) {
      return false;
    }
    fields_[count_++] = field;
    return true;
  }
  void clear() { count_ = 0; }

 private:
  std::array<Field, capacity> fields_;
  std::size_t count_ = 0;
};

enum class Method : std::uint8_t { get, head, post, put, del, options, patch, connect, trace, other };
[[nodiscard]] constexpr bool is_idempotent(Method method) {  // RFC 9110 section 9.2.2, as far as the name tells
  return method == Method::get || method == Method::head || method == Method::put || method == Method::del ||
         method == Method::options;
}

enum class Version : std::uint8_t { http_1_0, http_1_1 };

// How sure it is that everybody between client and server reads a message alike. Severe ones are not read at all.
enum class Tier : std::uint8_t {
  compliant,
  acceptable,  // odd, but normalised by writing it anew
  ambiguous,   // passed on; then both connections are closed
};

// How a message's body ends.
enum class BodyKind : std::uint8_t {
  none,
  length,       // so many octets
  chunked,      // RFC 9112 section 7.1
  until_close,  // of answers
};

struct Framing {
  BodyKind kind = BodyKind::none;
  std::uint64_t length = 0;  // BodyKind::length
};

// What requests and answers share.
struct MessageHead {
  Version version = Version::http_1_1;
  Tier tier = Tier::compliant;
  Framing framing;
  bool keep_alive = true;       // the sender wants to go on after this message
  std::string_view connection;  // the tokens of Connection, when there is one such field; with several the last one
  bool several_connections = false;  // there are fields of that name beside the one in `connection`
  // Value of Upgrade, when Connection names it; else empty. Empty as well when nobody should act on it: in HTTP/1.0,
  // and when it asks for HTTP/2, whose requests nobody would look at.
  std::string_view upgrade;
  Fields fields;
};

struct RequestHead : MessageHead {
  Method method = Method::get;
  std::string_view method_name;
  // The target in origin form ("/path?query", or "*"): what goes to the server, absolute-form turned into it. "?query"
  // alone when that had no path, which is "/" then.
  std::string_view target;
  std::string_view path;       // of the target, without query
  std::string_view host;       // without port, an IPv6 address in its brackets; empty: HTTP/1.0 without Host
  std::string_view authority;  // what the server's Host field says: host and port as they came
  bool expects_continue = false;
};

struct ResponseHead : MessageHead {
  std::uint16_t status = 200;
  std::string_view reason;
  // Content-Length of an answer that has no body for another reason (to HEAD, or a 304: RFC 9110 section 8.6). Passed
  // on; the framing has nothing to do with it.
  std::optional<std::uint64_t> announced_length;

  [[nodiscard]] bool is_interim() const { return status < 200 && status != 101; }
};

}  // namespace steelyard::http
