// A head's fields as llhttp reads them. llhttp is one of two readers: what it collects must lie in the octets exactly
// as lines.h and the checks below expect, and what it makes of the body's length must be what framing.h makes of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/http/head.h"

namespace steelyard::http {

// What llhttp has understood.
struct Collected {
  const char* fault = nullptr;  // null: none
  bool too_many = false;        // fields
  bool chunked = false;
  std::uint64_t length = 0;  // of Content-Length; 0 without
};

// `head`: lines that check_lines() has found in order; `lines`: how many of them are fields. At most `limit` are taken.
[[nodiscard]] Collected collect_request_fields(std::string_view head, std::size_t lines, std::size_t limit,
                                               Fields& fields);
[[nodiscard]] Collected collect_response_fields(std::string_view head, std::size_t lines, std::size_t limit,
                                                Fields& fields);

}  // namespace steelyard::http
