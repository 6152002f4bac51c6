// The lines of a head: RFC 9112 section 2.2 lets a recipient take a single LF for a line's end, and has it treat a CR
// alone as an error or a blank. Recipients that use that freedom differently are what smuggling lives on, so here a
// line ends in CR LF and in nothing else.
#pragma once

#include <cstddef>
#include <string_view>

namespace steelyard::http {

struct Lines {
  const char* fault = nullptr;  // null: none
  std::size_t fields = 0;       // lines between the first one and the empty one
};

// `head` begins with its first line. No control characters but tabs (RFC 9110 section 5.5), no folded lines (RFC 9112
// section 5.2), exactly one empty line, at the end.
[[nodiscard]] Lines check_lines(std::string_view head);

}  // namespace steelyard::http
