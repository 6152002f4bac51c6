// What the fields of a message say about its framing and its connection. Here is the heart of what request smuggling is
// about: RFC 9112 section 6 and 11.2, RFC 9110 sections 7.6.1, 7.8, 8.6 and 10.1.1.
#pragma once

#include <cstddef>
#include <string_view>

#include <tl/expected.hpp>

#include "dataplane/http/collect.h"
#include "dataplane/http/head.h"
#include "dataplane/http/parse.h"

namespace steelyard::http {

using Verdict = tl::expected<void, Refusal>;

[[nodiscard]] inline tl::unexpected<Refusal> malformed(const char* fault) {
  return tl::unexpected(Refusal{.status = 400, .cause = Cause::bad_request, .fault = fault});
}

inline void worsen(Tier& tier, Tier to) {
  tier = tier < to ? to : tier;
}

// A field that should be there once.
struct Occurrence {
  std::string_view value;  // of the first one
  std::size_t count = 0;

  void note(std::string_view another) {
    value = count == 0 ? another : value;
    ++count;
  }
};

// The fields that the proxy itself acts upon.
struct KnownFields {
  Occurrence host;
  Occurrence length;  // Content-Length
  Occurrence coding;  // Transfer-Encoding
  Occurrence upgrade;
  Occurrence expect;
  std::size_t connections = 0;  // Connection: how many, and their octets together
  std::size_t connection_octets = 0;
  bool close = false;  // options of Connection
  bool keep_alive = false;
  bool names_upgrade = false;
};

// Finds them, and sets what `head` says of its connection. `head.version` and `head.fields` are known.
[[nodiscard]] tl::expected<KnownFields, Refusal> read_fields(MessageHead& head);

// Sets the framing; `collected` must have read it alike.
[[nodiscard]] Verdict frame_request(const KnownFields& known, const Collected& collected, RequestHead& head);
[[nodiscard]] Verdict frame_response(const KnownFields& known, const Collected& collected, Method method,
                                     ResponseHead& head);

}  // namespace steelyard::http
