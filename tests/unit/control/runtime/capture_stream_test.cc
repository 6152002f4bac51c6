#include "control/runtime/capture_stream.h"

#include <boost/json/object.hpp>

#include "control/admin/base64.h"
#include "tests/unit/control/runtime/pcapng_reader.h"
#include "tests/unit/control/runtime/tap_fixture.h"

namespace steelyard::control {
namespace {

namespace json = boost::json;

class CaptureStreamTest : public testing::TapFixture {
 protected:
  static CaptureLimits unlimited() { return {never(), 1'000'000, 1'000'000'000}; }
  // Takes lines until there is none, and puts the file's bytes together.
  void drain(CaptureStream& stream) {
    while (const auto line = stream.next()) {
      const json::object& object = line->as_object();
      if (object.contains("end")) {
        end_ = object.at("end").as_object();
      } else {
        file_ += from_base64(std::string(object.at("pcapng").as_string())).value();
      }
    }
  }
  // Blocks of a kind.
  [[nodiscard]] std::size_t blocks(std::uint32_t type) const {
    std::size_t count = 0;
    for (const auto& block : test::pcapng_blocks(file_)) {
      count += block.type == type ? 1 : 0;
    }
    return count;
  }

  std::string file_;
  std::optional<json::object> end_;
};

TEST_F(CaptureStreamTest, MakesAWholeFile) {
  const auto tap = add(64, 4'096);
  CaptureStream stream(board_, tap, unlimited(), wall(), {"wan", "lan"});
  push(*tap, 1, worker::PacketCopy{2'000, 60, 1, true}, "second");
  push(*tap, 0, worker::PacketCopy{1'000, 60, 0, false}, "first");
  drain(stream);
  EXPECT_FALSE(end_);
  stream.stop();
  drain(stream);
  const auto read = test::pcapng_blocks(file_);
  ASSERT_EQ(read.size(), 7U);
  EXPECT_EQ(read[0].type, 0x0a0d0d0aU);
  EXPECT_EQ(read[1].options(8).at(2), "wan");
  EXPECT_EQ(read[2].options(8).at(2), "lan");
  EXPECT_EQ(read[3].body.substr(20, 5), "first");
  EXPECT_EQ(read[4].body.substr(20, 6), "second");
  EXPECT_EQ(read[4].at<std::uint32_t>(0), 1U);
  EXPECT_EQ(read[5].type, 5U);
  EXPECT_EQ(*end_, (json::object{{"packets", 2}, {"lost", 0}}));
  EXPECT_TRUE(stream.ended());
}

TEST_F(CaptureStreamTest, EndsAfterItsPackets) {
  const auto tap = add(64, 4'096);
  CaptureStream stream(board_, tap, {never(), 2, 1'000'000}, wall(), {"wan"});
  for (std::uint64_t time = 1; time <= 5; ++time) {
    push(*tap, 0, worker::PacketCopy{time, 60, 0, false}, "frame");
  }
  drain(stream);
  EXPECT_EQ(blocks(6), 2U);
  EXPECT_TRUE(stream.ended());
  EXPECT_EQ(published_, nullptr);
}

TEST_F(CaptureStreamTest, EndsAfterItsBytes) {
  const auto tap = add(64, 4'096);
  CaptureStream stream(board_, tap, {never(), 1'000, 100}, wall(), {"wan"});
  for (std::uint64_t time = 1; time <= 5; ++time) {
    push(*tap, 0, worker::PacketCopy{time, 60, 0, false}, std::string(60, 'x'));
  }
  drain(stream);
  EXPECT_EQ(blocks(6), 1U);
  EXPECT_TRUE(stream.ended());
}

TEST_F(CaptureStreamTest, EndsWithItsTimeAndIsAFileWithoutPackets) {
  CaptureStream stream(board_, add(64), {std::chrono::steady_clock::now() - std::chrono::seconds(1), 10, 1'000}, wall(),
                       {"wan"});
  drain(stream);
  EXPECT_EQ(blocks(6), 0U);
  EXPECT_EQ(blocks(0x0a0d0d0a), 1U);
  EXPECT_TRUE(end_);
}

TEST_F(CaptureStreamTest, CountsWhatIsLostInTheFileAndAtTheEnd) {
  const auto tap = add(64, 128);
  CaptureStream stream(board_, tap, unlimited(), wall(), {"wan", "lan"});
  for (std::uint64_t time = 1; time <= 5; ++time) {
    push(*tap, 0, worker::PacketCopy{time, 60, 0, false}, std::string(60, 'x'));
  }
  stream.stop();
  drain(stream);
  EXPECT_EQ(*end_, (json::object{{"packets", 1}, {"lost", 4}}));
  for (const auto& block : test::pcapng_blocks(file_)) {
    if (block.type == 5 && block.at<std::uint32_t>(0) == 0) {
      EXPECT_EQ(block.options(12).at(5), std::string("\x04\0\0\0\0\0\0\0", 8));
    }
  }
}

TEST_F(CaptureStreamTest, GivesALargeCaptureInPieces) {
  const auto tap = add(65'535, 1U << 22U);
  CaptureStream stream(board_, tap, unlimited(), wall(), {"wan"});
  for (std::uint64_t time = 1; time <= 200; ++time) {
    push(*tap, 0, worker::PacketCopy{time, 1'514, 0, false}, std::string(1'514, 'x'));
  }
  const auto first = stream.next();
  ASSERT_TRUE(first);
  EXPECT_LT(first->as_object().at("pcapng").as_string().size(), 80'000U);
  file_ += from_base64(std::string(first->as_object().at("pcapng").as_string())).value();
  drain(stream);
  EXPECT_EQ(blocks(6), 200U);
}

}  // namespace
}  // namespace steelyard::control
