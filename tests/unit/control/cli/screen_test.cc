#include "control/cli/screen.h"

#include <gtest/gtest.h>

namespace steelyard::control::cli {
namespace {

TEST(Screen, CutsLinesAtItsWidth) {
  EXPECT_EQ(fitted("abcdef\nab\n", {.columns = 3, .rows = 5}), "abc\nab");
}

TEST(Screen, SaysHowManyLinesItHasNoRoomFor) {
  EXPECT_EQ(fitted("1\n2\n3\n", {.columns = 80, .rows = 3}), "1\n2\n3");
  EXPECT_EQ(fitted("1\n2\n3\n4\n", {.columns = 80, .rows = 3}), "1\n2\n(2 more lines)");
  EXPECT_EQ(fitted("1\n2\n", {.columns = 6, .rows = 1}), "(2 mor");
}

TEST(Screen, KeepsEmptyLines) {
  EXPECT_EQ(fitted("1\n\n2\n", {.columns = 80, .rows = 3}), "1\n\n2");
}

TEST(Screen, ClearsWhatALongerPictureHasLeft) {
  EXPECT_EQ(redrawn("ab\n\ncd"), "\x1b[Hab\x1b[K\r\n\x1b[K\r\ncd\x1b[K\x1b[J");
}

TEST(Screen, IsOnlyWhatIsATerminal) {
  EXPECT_FALSE(screen_size(-1));
}

}  // namespace
}  // namespace steelyard::control::cli
