// Requests of the admin socket as text: bytes to lines, a line to a JSON object, an answer to its two shapes. Pure; the
// bytes may be hostile: memory, nesting and what is quoted back are bounded.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace steelyard::control {

// Cuts a byte stream into lines. After a line that is too long there is no way back: the stream is to be closed.
class LineReader {
 public:
  struct TooLong {};

  // `longest`: bytes of a line, without its newline.
  explicit LineReader(std::size_t longest) : longest_(longest) {}

  // Keeps at most `longest` + bytes.size() bytes, provided that next() has returned nothing before.
  void append(std::string_view bytes) { buffer_ += bytes; }

  // The next complete line without its "\n" or "\r\n"; nothing when it is not complete yet.
  [[nodiscard]] tl::expected<std::optional<std::string>, TooLong> next();

 private:
  std::size_t longest_;
  std::string buffer_;
  std::size_t searched_ = 0;  // no newline before this place
};

// The object in a line, or words for whoever sent it (printable ASCII).
[[nodiscard]] tl::expected<boost::json::object, std::string> parse_request(std::string_view line);

// {"ok": false, "error": message}
[[nodiscard]] boost::json::value refusal(std::string_view message);

}  // namespace steelyard::control
