// Heads as tests write them, parsed from memory that ends where they end, so that a sanitizer sees an octet too many.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/http/parse.h"

namespace steelyard::http {

template <typename Head>
struct Parsed {
  std::vector<std::uint8_t> octets;
  std::unique_ptr<Head> head = std::make_unique<Head>();
  std::optional<Refusal> refusal;

  [[nodiscard]] bool taken() const { return !refusal.has_value(); }
  // 0: taken.
  [[nodiscard]] int status() const { return taken() ? 0 : refusal->status; }
  [[nodiscard]] std::string_view fault() const { return taken() ? "" : refusal->fault; }
  // Value of the first field of that name, or "(none)".
  [[nodiscard]] std::string_view value_of(std::string_view name) const {
    for (const Field& field : head->fields.all()) {
      if (same_name(field.name, name)) {
        return field.value;
      }
    }
    return "(none)";
  }
};

inline Parsed<RequestHead> request(std::string_view text, const ParseLimits& limits = {}) {
  Parsed<RequestHead> parsed;
  parsed.octets.assign(text.begin(), text.end());
  parsed.octets.shrink_to_fit();
  if (const auto result = parse_request(parsed.octets, limits, *parsed.head); !result) {
    parsed.refusal = result.error();
  }
  return parsed;
}

inline Parsed<ResponseHead> response(std::string_view text, Method method = Method::get,
                                     const ParseLimits& limits = {}) {
  Parsed<ResponseHead> parsed;
  parsed.octets.assign(text.begin(), text.end());
  parsed.octets.shrink_to_fit();
  if (const auto result = parse_response(parsed.octets, limits, method, *parsed.head); !result) {
    parsed.refusal = result.error();
  }
  return parsed;
}

// `fields`: lines with their ends.
inline std::string get_with(std::string_view fields) {
  return "GET /path HTTP/1.1\r\nHost: example.com\r\n" + std::string(fields) + "\r\n";
}
inline std::string post_with(std::string_view fields) {
  return "POST /path HTTP/1.1\r\nHost: example.com\r\n" + std::string(fields) + "\r\n";
}
inline std::string ok_with(std::string_view fields) {
  return "HTTP/1.1 200 OK\r\n" + std::string(fields) + "\r\n";
}

}  // namespace steelyard::http
