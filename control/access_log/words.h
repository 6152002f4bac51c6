// Words for what a record has as numbers, shared by JSON and templates.
#pragma once

#include <string_view>

#include "control/access_log/format.h"

namespace steelyard::control::access_log {

[[nodiscard]] inline std::string_view version_word(const http::AccessRecord& record) {
  return record.http_1_0 ? "HTTP/1.0" : "HTTP/1.1";
}

[[nodiscard]] constexpr std::string_view cookie_word(http::CookieVerdict verdict) {
  switch (verdict) {
    case http::CookieVerdict::off:
      return "off";
    case http::CookieVerdict::absent:
      return "absent";
    case http::CookieVerdict::valid:
      return "valid";
    case http::CookieVerdict::invalid:
      return "invalid";
    case http::CookieVerdict::expired:
      return "expired";
    case http::CookieVerdict::down:
      return "down";
    case http::CookieVerdict::drained:
      return "drained";
  }
  return "off";
}

// Empty: no rule was asked, no server was chosen.
[[nodiscard]] inline std::string_view target_name(const Source& source) {
  return source.record.target.value == 0 ? std::string_view() : source.names.target(source.record.target);
}
[[nodiscard]] inline std::string_view server_name(const Source& source) {
  return source.record.backend.value == 0 ? std::string_view() : source.names.server(source.record.backend);
}

}  // namespace steelyard::control::access_log
