#include "dataplane/http/writer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace steelyard::http {

void HeadWriter::text(std::string_view octets) {
  while (!octets.empty() && complete_) {
    if (room_.empty()) {
      room_ = rooms_.more();
      complete_ = !room_.empty();
      continue;
    }
    const std::size_t size = std::min(octets.size(), room_.size());
    std::memcpy(room_.data(), octets.data(), size);
    room_ = room_.subspan(size);
    octets.remove_prefix(size);
    written_ += size;
  }
}

void HeadWriter::number(std::uint64_t number) {
  std::array<char, 20> digits;  // 2^64 - 1 has 20
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  text({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

void HeadWriter::field(std::string_view name, std::string_view value) {
  text(name);
  text(": ");
  text(value);
  end_line();
}

}  // namespace steelyard::http
