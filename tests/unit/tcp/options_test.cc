// Options read from hostile bytes and written back.
#include "dataplane/tcp/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace steelyard::tcp {
namespace {

using Bytes = std::vector<std::uint8_t>;

Options all_of_a_syn() {
  Options options;
  options.segment_size = 1'460;
  options.has_window_scale = true;
  options.window_scale = 7;
  options.sack_permitted = true;
  options.has_timestamps = true;
  options.timestamp = 0x01020304;
  options.timestamp_echo = 0x05060708;
  return options;
}

Bytes written(const Options& options) {
  std::array<std::uint8_t, max_options_size> bytes{};
  const std::size_t size = write_options(options, bytes);
  EXPECT_EQ(size, size_of(options));
  EXPECT_EQ(size % 4, 0U);
  return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)};
}

TEST(TcpOptions, ASynsOptionsComeBackAsTheyWereWritten) {
  const Options read = read_options(written(all_of_a_syn()));
  EXPECT_EQ(read.segment_size, 1'460);
  EXPECT_TRUE(read.has_window_scale);
  EXPECT_EQ(read.window_scale, 7);
  EXPECT_TRUE(read.sack_permitted);
  EXPECT_TRUE(read.has_timestamps);
  EXPECT_EQ(read.timestamp, 0x01020304U);
  EXPECT_EQ(read.timestamp_echo, 0x05060708U);
  EXPECT_EQ(read.sack_count, 0);
}

TEST(TcpOptions, TimestampsStandAsAppendixARecommends) {
  Options options;
  options.has_timestamps = true;
  options.timestamp = 1;
  options.timestamp_echo = 2;
  EXPECT_THAT(written(options), testing::ElementsAre(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2));
}

TEST(TcpOptions, ThreeSackBlocksFitBesideTimestampsAndFourWithout) {
  Options options;
  options.sack_count = 4;
  options.sacks = {{{{1}, {2}}, {{3}, {4}}, {{5}, {6}}, {{7}, {8}}}};
  EXPECT_EQ(read_options(written(options)).sack_count, 4);
  options.has_timestamps = true;
  const Options read = read_options(written(options));
  ASSERT_EQ(read.sack_count, 3);
  EXPECT_EQ(read.sacks[0], (SackBlock{{1}, {2}}));
  EXPECT_EQ(read.sacks[2], (SackBlock{{5}, {6}}));
}

TEST(TcpOptions, truncated_option_safe) {
  const Bytes whole = written(all_of_a_syn());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const Options read = read_options(cut);  // the sanitizer sees a byte too many
    EXPECT_EQ(read.segment_size, size >= 4 ? 1'460 : 0) << size;
  }
  EXPECT_EQ(read_options(Bytes{2, 0, 5, 0xb4}).segment_size, 0) << "a length of 0 must not loop";
  EXPECT_EQ(read_options(Bytes{2, 1, 5, 0xb4}).segment_size, 0);
  EXPECT_EQ(read_options(Bytes{2, 3, 5, 1}).segment_size, 0) << "a segment size of three bytes";
  EXPECT_EQ(read_options(Bytes{99, 2, 2, 4, 5, 0xb4}).segment_size, 1'460) << "unknown options are skipped";
  EXPECT_EQ(read_options(Bytes{0, 2, 4, 5, 0xb4}).segment_size, 0) << "nothing follows the end";
  EXPECT_EQ(read_options(Bytes{5, 9, 0, 0, 0, 1, 0, 0, 0}).sack_count, 0);
}

TEST(TcpOptions, wscale_over_14_clamped) {
  EXPECT_EQ(read_options(Bytes{3, 3, 14}).window_scale, 14);
  EXPECT_EQ(read_options(Bytes{3, 3, 15}).window_scale, 14);
  EXPECT_EQ(read_options(Bytes{3, 3, 255}).window_scale, 14);
}

TEST(TcpOptions, RandomBytesAreReadWithinBounds) {
  std::mt19937 random{7};
  for (int round = 0; round < 20'000; ++round) {
    Bytes bytes(random() % 41);
    for (std::uint8_t& byte : bytes) {
      byte = static_cast<std::uint8_t>(random() % 4 == 0 ? random() : random() % 11);
    }
    const Options options = read_options(bytes);
    ASSERT_LE(options.sack_count, max_sack_blocks);
    ASSERT_LE(options.window_scale, max_window_scale);
    ASSERT_LE(written(options).size(), max_options_size);
  }
}

}  // namespace
}  // namespace steelyard::tcp
