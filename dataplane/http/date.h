// What the Date field says (RFC 9110 sections 5.6.7 and 6.6.1): an answer of ours has one, and one that a server has
// sent without gets the time at which it came.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace steelyard::http {

// Written once a second. The worker's.
class Date {
 public:
  // "Sun, 06 Nov 1994 08:49:37 GMT"; `seconds` since 1970, up to the year 9999. Valid until the next call.
  [[nodiscard]] std::string_view at(std::uint64_t seconds) {
    if (seconds != seconds_) [[unlikely]] {
      write(seconds);
    }
    return {text_.data(), text_.size()};
  }

 private:
  void write(std::uint64_t seconds);

  std::uint64_t seconds_ = ~std::uint64_t{0};
  std::array<char, 29> text_{};
};

}  // namespace steelyard::http
