// From octets to a message's head: llhttp in strict mode, and on top of it what it lets through and should not
// (request smuggling: RFC 9112 sections 2.2, 3, 5, 6, 7 and 11.2). Severe faults are refused here; what is merely odd
// gets a Tier. Pure, allocates nothing, keeps nothing between calls.
//
// A head is parsed when it has come as a whole: HeadScanner tells where it ends, whatever pieces it comes in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <tl/expected.hpp>

#include "dataplane/http/head.h"

namespace steelyard::http {

// Finds the end of a head: an empty line. Also that of the other notations of line ends, so that what breaks the rules
// is refused at once and not at a timeout. A value of two octets, so that every connection can have one.
class HeadScanner {
 public:
  // `octets` follow what was scanned before. Returns how many of them belong to the head, when it ends among them.
  [[nodiscard]] std::optional<std::size_t> scan(std::span<const std::uint8_t> octets);
  void reset() { *this = HeadScanner{}; }

 private:
  std::uint8_t state_ = 0;
};

struct ParseLimits {
  std::uint32_t fields = 128;
  std::uint32_t target_octets = 8'192;
};

// Why a head is not taken.
struct Refusal {
  std::uint16_t status = 400;  // what the client is told: 400, 405, 414, 417, 431, 501, 505; of answers: 502
  Cause cause = Cause::bad_request;
  const char* fault = "";  // a few words for logs and tests, "two lengths that differ"
};

// Could these be the first octets of a request? No: a TLS handshake, or garbage; there is no use in waiting for its
// end.
[[nodiscard]] bool may_begin_request(std::span<const std::uint8_t> octets);

// `octets` is a whole head, its empty line included; one empty line before it is allowed (RFC 9112 section 2.2).
// `head` is filled when it is taken, and, as far as it was read, when it is not (for the log).
[[nodiscard]] tl::expected<void, Refusal> parse_request(std::span<const std::uint8_t> octets, const ParseLimits& limits,
                                                        RequestHead& head);

// An answer to a request of `method`, on which its framing depends.
[[nodiscard]] tl::expected<void, Refusal> parse_response(std::span<const std::uint8_t> octets,
                                                         const ParseLimits& limits, Method method, ResponseHead& head);

// Is this one of the fields that concern a single connection (RFC 9110 section 7.6.1) or its framing, and not to be
// passed on as it is? Those that `head.connection` names, Connection, Keep-Alive, Proxy-Connection, TE, Trailer is
// passed on, Transfer-Encoding, Upgrade, Content-Length (written anew from the framing), Host (from `authority`),
// HTTP2-Settings.
[[nodiscard]] bool is_hop_by_hop(const MessageHead& head, std::string_view name);

// Of the same length.
[[nodiscard]] bool same_letters(std::string_view a, std::string_view b);
// Field names and tokens: without case, ASCII.
[[nodiscard]] inline bool same_name(std::string_view a, std::string_view b) {
  // Asked many times for each field: nearly always the length tells.
  return a.size() == b.size() && same_letters(a, b);
}
// How many may still pass the request on, if this field says so: OPTIONS has a Max-Forwards (RFC 9110 section 7.6.2; we
// refuse TRACE). A number that is none, or beyond 2^32, says nothing.
[[nodiscard]] std::optional<std::uint32_t> forwards_left(const RequestHead& head, const Field& field);

// Is `token` one of the comma-separated ones in `list`?
[[nodiscard]] bool has_token(std::string_view list, std::string_view token);

}  // namespace steelyard::http
