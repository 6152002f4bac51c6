#include "control/runtime/pcapng.h"

#include "tests/unit/control/runtime/pcapng_reader.h"

namespace steelyard::control {
namespace {

using test::pcapng_blocks;

std::vector<test::PcapngBlock> taken(PcapngBlocks& blocks) {
  const auto bytes = blocks.take();
  return pcapng_blocks({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

TEST(Pcapng, BeginsWithItsSectionAndItsInterfaces) {
  PcapngBlocks blocks;
  blocks.begin("steelyard 1");
  blocks.add_interface("wan", 128);
  const auto read = taken(blocks);
  ASSERT_EQ(read.size(), 2U);
  EXPECT_EQ(read[0].type, 0x0a0d0d0aU);
  EXPECT_EQ(read[0].at<std::uint32_t>(0), 0x1a2b3c4dU);
  EXPECT_EQ(read[0].at<std::uint16_t>(4), 1);
  EXPECT_EQ(read[0].at<std::uint16_t>(6), 0);
  EXPECT_EQ(read[0].at<std::int64_t>(8), -1);
  EXPECT_EQ(read[0].options(16).at(4), "steelyard 1");
  EXPECT_EQ(read[1].type, 1U);
  EXPECT_EQ(read[1].at<std::uint16_t>(0), 1) << "Ethernet";
  EXPECT_EQ(read[1].at<std::uint32_t>(4), 128U);
  EXPECT_EQ(read[1].options(8).at(2), "wan");
  EXPECT_EQ(read[1].options(8).at(9), "\x09") << "nanoseconds";
}

TEST(Pcapng, HoldsPacketsWithTimeLengthsAndDirection) {
  PcapngBlocks blocks;
  const std::string frame = "12345";  // is padded
  blocks.add({0x123456789abcdefU, 1, 1'500, true, std::as_bytes(std::span(frame))});
  blocks.add({1, 0, 5, false, std::as_bytes(std::span(frame))});
  const auto read = taken(blocks);
  ASSERT_EQ(read.size(), 2U);
  EXPECT_EQ(read[0].type, 6U);
  EXPECT_EQ(read[0].at<std::uint32_t>(0), 1U);
  EXPECT_EQ(read[0].at<std::uint32_t>(4), 0x1234567U);
  EXPECT_EQ(read[0].at<std::uint32_t>(8), 0x89abcdefU);
  EXPECT_EQ(read[0].at<std::uint32_t>(12), 5U);
  EXPECT_EQ(read[0].at<std::uint32_t>(16), 1'500U);
  EXPECT_EQ(read[0].body.substr(20, 5), frame);
  EXPECT_EQ(read[0].options(28).at(2), std::string("\x02\0\0\0", 4)) << "outbound";
  EXPECT_EQ(read[1].options(28).at(2), std::string("\x01\0\0\0", 4)) << "inbound";
}

TEST(Pcapng, SaysAtTheEndWhatIsMissing) {
  PcapngBlocks blocks;
  blocks.add_statistics(1, 7, 10, 3);
  const auto read = taken(blocks);
  ASSERT_EQ(read.size(), 1U);
  EXPECT_EQ(read[0].type, 5U);
  EXPECT_EQ(read[0].at<std::uint32_t>(0), 1U);
  EXPECT_EQ(read[0].options(12).at(4), std::string("\x0a\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(read[0].options(12).at(5), std::string("\x03\0\0\0\0\0\0\0", 8));
}

TEST(Pcapng, GivesEveryByteOnce) {
  PcapngBlocks blocks;
  blocks.begin("x");
  EXPECT_EQ(blocks.take().size() % 4, 0U);
  EXPECT_EQ(blocks.size(), 0U);
  EXPECT_TRUE(blocks.take().empty());
}

}  // namespace
}  // namespace steelyard::control
