// Sequence numbers wrap, and the later one is found across the wrap.
#include "dataplane/packet/sequence.h"

#include <gtest/gtest.h>

namespace steelyard::packet {
namespace {

TEST(SequenceNumbers, AreOrderedAcrossTheWrap) {
  EXPECT_TRUE(after({1}, {0}));
  EXPECT_FALSE(after({0}, {0}));
  EXPECT_FALSE(after({0}, {1}));
  EXPECT_TRUE(after({5}, {0xffff'fff0}));
  EXPECT_FALSE(after({0xffff'fff0}, {5}));
  EXPECT_EQ(later_of({5}, {0xffff'fff0}), Sequence{5});
  EXPECT_TRUE(after({0x7fff'ffff}, {0}));
  EXPECT_FALSE(after({0x8000'0001}, {0}));
}

TEST(SequenceNumbers, AddAndSubtractModuloTheirSpace) {
  EXPECT_EQ(Sequence{0xffff'ffff} + 2, Sequence{1});
  EXPECT_EQ(Sequence{1} - 2, Sequence{0xffff'ffff});
  EXPECT_EQ(distance({0xffff'ffff}, {1}), 2U);
  EXPECT_EQ(Sequence{7} + distance({7}, {3}), Sequence{3});
}

}  // namespace
}  // namespace steelyard::packet
