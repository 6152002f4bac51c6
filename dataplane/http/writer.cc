#include "dataplane/http/writer.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace steelyard::http {

void HeadWriter::cut(std::string_view octets) {
  while (!octets.empty() && complete_) {
    if (unused() == 0) {
      const std::span<std::uint8_t> room = rooms_.more();
      at_ = room.data();
      end_ = at_ + room.size();
      given_ += room.size();
      complete_ = !room.empty();
      continue;
    }
    const std::size_t size = std::min(octets.size(), unused());
    append(octets.substr(0, size));
    octets.remove_prefix(size);
  }
}

void HeadWriter::cut_field(std::string_view name, std::string_view value) {
  text(name);
  text(": ");
  text(value);
  end_line();
}

void HeadWriter::number(std::uint64_t number) {
  std::array<char, 20> digits;  // 2^64 - 1 has 20
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  text({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

}  // namespace steelyard::http
