// The admin socket's reader and parser against arbitrary bytes in arbitrary pieces. What must hold besides "no crash,
// no undefined behaviour": the lines do not depend on the pieces, none is longer than allowed, a refusal is printable,
// and a request that is accepted is the same after it has been written and read again.
#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/admin/request_line.h"
#include "tests/fuzz/input.h"

namespace {

using namespace steelyard::control;
using steelyard::fuzz::require;

constexpr std::size_t longest_line = 64;  // small, so that short inputs reach it

// All lines up to the end of the bytes or the first line that is too long, which stands as "<too long>".
std::vector<std::string> lines_of(std::string_view bytes, std::size_t piece) {
  LineReader reader(longest_line);
  std::vector<std::string> lines;
  while (!bytes.empty()) {
    reader.append(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    for (;;) {
      const auto line = reader.next();
      if (!line) {
        lines.emplace_back("<too long>");
        return lines;
      }
      if (!*line) {
        break;
      }
      require((*line)->size() <= longest_line && (*line)->find('\n') == std::string::npos);
      lines.push_back(**line);
    }
  }
  return lines;
}

void check_request(std::string_view line) {
  const auto request = parse_request(line);
  if (!request) {
    require(!request.error().empty() &&
            std::ranges::all_of(request.error(), [](char character) { return character >= 0x20 && character < 0x7f; }));
    return;
  }
  const std::string written = boost::json::serialize(*request);
  require(written.find('\n') == std::string::npos);
  // Numbers beyond a double's range are written in a form that need not be read; all else comes back.
  if (const auto again = parse_request(written)) {
    require(boost::json::serialize(*again) == written);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::size_t piece = 1 + data[0];
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::vector<std::string> lines = lines_of(bytes, piece);
  require(lines == lines_of(bytes, 1) && lines == lines_of(bytes, size));
  for (const std::string& line : lines) {
    check_request(line);
  }
  check_request(bytes);
  return 0;
}
