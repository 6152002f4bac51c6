// Pieces of a line of the access log. What clients have sent is escaped so that no line can hold another one, end a
// quoted text, or write control characters into the terminal of who reads it: everything that is written is printable
// ASCII. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace steelyard::control::access_log {

void append_number(std::string& line, std::uint64_t number);
// With as many digits, zeros in front; of a longer number its last ones.
void append_digits(std::string& line, std::uint64_t number, unsigned digits);
// Microseconds as seconds with three digits: "1.234".
void append_seconds(std::string& line, std::uint64_t microseconds);

// A JSON string (RFC 8259 section 7), quotes included. Characters beyond ASCII are written by their number; octets that
// are no UTF-8 become U+FFFD, one each.
void append_json(std::string& line, std::string_view text);
// As nginx does: quotes, backslashes and everything beyond printable ASCII octet by octet as "\xHH".
void append_escaped(std::string& line, std::string_view text);

// Times are microseconds since 1970, and written as UTC.
void append_iso8601(std::string& line, std::uint64_t time_us);          // 2026-11-26T12:00:00.123456Z
void append_iso8601_seconds(std::string& line, std::uint64_t time_us);  // 2026-11-26T12:00:00+00:00, nginx's
void append_common_log(std::string& line, std::uint64_t time_us);       // 26/Nov/2026:12:00:00 +0000, nginx's
void append_haproxy(std::string& line, std::uint64_t time_us);          // 26/Nov/2026:12:00:00.123, HAProxy's

}  // namespace steelyard::control::access_log
