// Numbers in no order, so that a benchmark of many connections touches memory as many clients do.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

namespace steelyard::bench {

class Shuffled {
 public:
  // 0 to `count` - 1.
  explicit Shuffled(std::size_t count) : all_(count) {
    std::iota(all_.begin(), all_.end(), 0U);
    std::ranges::shuffle(all_, random_);
  }

  [[nodiscard]] const std::vector<std::uint32_t>& all() const { return all_; }
  // `count` different ones, drawn anew; all of them when there are no more.
  [[nodiscard]] std::vector<std::uint32_t> draw(std::size_t count) {
    count = std::min(count, all_.size());
    for (std::size_t place = 0; place < count; ++place) {
      std::swap(all_[place], all_[place + random_() % (all_.size() - place)]);
    }
    return {all_.begin(), all_.begin() + static_cast<std::ptrdiff_t>(count)};
  }

 private:
  std::vector<std::uint32_t> all_;
  std::mt19937_64 random_{1};
};

}  // namespace steelyard::bench
