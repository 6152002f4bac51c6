// Chance for simulated worlds: a seed decides everything, on every machine and with every library (the distributions of
// <random> may differ). SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#pragma once

#include <cstdint>

#include "dataplane/tcp/time.h"

namespace steelyard::simulation {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
    return mixed ^ (mixed >> 31U);
  }
  // 0 to `limit` - 1; 0 when `limit` is 0.
  std::uint64_t below(std::uint64_t limit) { return limit == 0 ? 0 : next() % limit; }
  std::uint32_t below32(std::uint32_t limit) { return static_cast<std::uint32_t>(below(limit)); }
  tcp::Duration up_to(tcp::Duration most) {
    return tcp::Duration{static_cast<tcp::Duration::rep>(below(static_cast<std::uint64_t>(most.count()) + 1))};
  }
  bool happens(unsigned of_thousand) { return of_thousand != 0 && below(1'000) < of_thousand; }
  bool one_in(unsigned cases) { return below(cases) == 0; }
  template <class Choices>
  auto one_of(const Choices& choices) {
    return choices[below(choices.size())];
  }

 private:
  std::uint64_t state_;
};

}  // namespace steelyard::simulation
