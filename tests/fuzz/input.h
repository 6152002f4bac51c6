// What the fuzz targets share: their assertion, and the input read as a little program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace steelyard::fuzz {

// Unlike assert() in every build.
inline void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

// Hands out the input; zeros when it is used up.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
  [[nodiscard]] bool empty() const { return left_ == 0; }
  std::uint8_t byte() {
    if (left_ == 0) {
      return 0;
    }
    --left_;
    return *data_++;
  }
  std::uint16_t word() { return static_cast<std::uint16_t>(byte() << 8U | byte()); }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

}  // namespace steelyard::fuzz
