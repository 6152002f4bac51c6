// The bounded buffer before an outlet that takes little, nothing, or fails.
#include "control/access_log/sink.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace steelyard::control::access_log {
namespace {

// What an outlet has got, and what it does next.
struct Play {
  std::string got;
  std::size_t takes = 1'000'000;  // octets that it takes before it makes one wait
  std::error_code fails;
  std::error_code reopening_fails;
  unsigned reopened = 0;
};

class PlayedOutlet final : public Outlet {
 public:
  explicit PlayedOutlet(Play& play) : play_(play) {}
  tl::expected<Taken, std::error_code> take(std::string_view lines) override {
    EXPECT_FALSE(lines.empty());
    if (play_.takes == 0 && play_.fails) {
      return tl::unexpected(play_.fails);
    }
    const std::size_t octets = std::min(lines.size(), play_.takes);
    play_.takes -= octets;
    play_.got += lines.substr(0, octets);
    return Taken{octets, 0};
  }
  std::error_code reopen() override {
    ++play_.reopened;
    if (!play_.reopening_fails) {
      play_.got += "|";
    }
    return play_.reopening_fails;
  }

 private:
  Play& play_;
};

const std::error_code full = std::make_error_code(std::errc::no_space_on_device);

class SinkTest : public ::testing::Test {
 protected:
  Play play_;
  Sink sink_{std::make_unique<PlayedOutlet>(play_), 20};
};

TEST_F(SinkTest, LinesArriveInTheirOrder) {
  sink_.add("one\n");
  sink_.add("two\n");
  EXPECT_EQ(play_.got, "");
  sink_.flush();
  EXPECT_EQ(play_.got, "one\ntwo\n");
  EXPECT_TRUE(sink_.empty());
  EXPECT_EQ(sink_.lost(), 0U);
}

TEST_F(SinkTest, WhatWouldWaitStaysAndWhatFindsNoRoomIsLost) {
  play_.takes = 6;
  sink_.add("one\n");
  sink_.add("two\n");
  sink_.flush();
  EXPECT_EQ(play_.got, "one\ntw");
  EXPECT_FALSE(sink_.empty());
  sink_.add("123456789012345678\n");  // 2 + 19
  EXPECT_EQ(sink_.lost(), 1U);
  sink_.add("12345678901234567\n");
  sink_.add("x\n");
  EXPECT_EQ(sink_.lost(), 2U);
  play_.takes = 100;
  sink_.flush();
  EXPECT_EQ(play_.got, "one\ntwo\n12345678901234567\n");
}

TEST_F(SinkTest, ALineLongerThanTheBufferIsLost) {
  sink_.add(std::string(30, 'x') + "\n");
  sink_.flush();
  EXPECT_EQ(sink_.lost(), 1U);
  EXPECT_EQ(play_.got, "");
}

TEST_F(SinkTest, AFailureCostsWhatIsBufferedAndTheNextLinesArrive) {
  play_.takes = 0;
  play_.fails = full;
  sink_.add("one\n");
  sink_.add("two\n");
  sink_.flush();
  EXPECT_EQ(sink_.lost(), 2U);
  EXPECT_TRUE(sink_.empty());
  EXPECT_EQ(sink_.take_error(), full);
  EXPECT_EQ(sink_.take_error(), std::error_code());
  play_.takes = 100;
  sink_.add("three\n");
  sink_.flush();
  EXPECT_EQ(play_.got, "three\n");
}

TEST_F(SinkTest, ATornLineIsEndedBeforeTheNextOneBegins) {
  play_.takes = 6;
  play_.fails = full;
  sink_.add("one\n");
  sink_.add("two\n");
  sink_.flush();
  EXPECT_EQ(play_.got, "one\ntw");
  EXPECT_EQ(sink_.lost(), 1U);
  sink_.add("three\n");
  sink_.flush();
  EXPECT_EQ(sink_.lost(), 2U) << "fails still";
  play_.takes = 100;
  sink_.add("four\n");
  sink_.flush();
  EXPECT_EQ(play_.got, "one\ntw\nfour\n");
  EXPECT_EQ(sink_.lost(), 2U);
}

TEST_F(SinkTest, ReopeningWritesTheOldLinesToTheOldFile) {
  sink_.add("one\n");
  sink_.reopen();
  sink_.add("two\n");
  sink_.flush();
  EXPECT_EQ(play_.got, "one\n|two\n");
}

TEST_F(SinkTest, HalfALineDoesNotGoOnInTheNewFile) {
  play_.takes = 6;
  sink_.add("one\n");
  sink_.add("two\n");
  sink_.add("three\n");
  sink_.reopen();
  play_.takes = 100;
  sink_.flush();
  EXPECT_EQ(play_.got, "one\ntw|three\n");
  EXPECT_EQ(sink_.lost(), 1U);
}

TEST_F(SinkTest, ATornLineNeedsNoEndInTheNewFile) {
  play_.takes = 2;
  play_.fails = full;
  sink_.add("one\n");
  sink_.flush();
  sink_.reopen();
  play_.takes = 100;
  sink_.add("two\n");
  sink_.flush();
  EXPECT_EQ(play_.got, "on|two\n");
}

TEST_F(SinkTest, AFailedReopeningIsToldAndTheOldFileGoesOn) {
  play_.reopening_fails = std::make_error_code(std::errc::permission_denied);
  sink_.add("one\n");
  sink_.reopen();
  sink_.add("two\n");
  sink_.flush();
  EXPECT_EQ(play_.got, "one\ntwo\n");
  EXPECT_EQ(sink_.take_error(), std::errc::permission_denied);
}

TEST_F(SinkTest, ABufferThatIsNeverEmptyDoesNotGrow) {
  std::string expected;
  for (int round = 0; round < 1'000; ++round) {
    const std::string line = std::to_string(10'000 + round) + "\n";  // 6 octets, and 3 are left each time
    play_.takes = round == 0 ? 3 : 6;
    sink_.add(line);
    sink_.flush();
    expected += line;
  }
  play_.takes = 100;
  sink_.flush();
  EXPECT_EQ(play_.got, expected);
  EXPECT_EQ(sink_.lost(), 0U);
}

}  // namespace
}  // namespace steelyard::control::access_log
