// Buffers for tests (tests/simulation/buffers.h): what is left at the end is a leak.
#pragma once

#include <gtest/gtest.h>

#include "tests/simulation/buffers.h"

namespace steelyard::tcp::test {

class Buffers : public simulation::Buffers {
 public:
  Buffers() = default;
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;
  ~Buffers() { EXPECT_EQ(live(), 0) << "buffers are still held"; }
};

}  // namespace steelyard::tcp::test
