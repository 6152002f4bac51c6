// Heads written into rooms of any size.
#include "dataplane/http/writer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace steelyard::http {
namespace {

// Rooms of one size each, as many as there are.
class Pieces final : public Rooms {
 public:
  Pieces(std::size_t size, std::size_t count) : size_(size), left_(count) {}

  std::span<std::uint8_t> more() override {
    if (left_ == 0) {
      return {};
    }
    --left_;
    return rooms_.emplace_back(size_);
  }
  [[nodiscard]] std::string written(std::size_t unused) const {
    std::string text;
    for (const auto& room : rooms_) {
      text.append(room.begin(), room.end());
    }
    return text.substr(0, text.size() - unused);
  }
  [[nodiscard]] std::size_t given() const { return rooms_.size(); }

 private:
  std::size_t size_;
  std::size_t left_;
  std::vector<std::vector<std::uint8_t>> rooms_;
};

void write_answer(HeadWriter& writer) {
  writer.text("HTTP/1.1 200 OK");
  writer.end_line();
  writer.field("Server", "s");
  writer.text("Content-Length: ");
  writer.number(1'234'567);
  writer.end_line();
  writer.field("Empty", "");
  writer.end_line();
}
constexpr const char* answer = "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 1234567\r\nEmpty: \r\n\r\n";

TEST(HeadWriter, WritesTheSameIntoRoomsOfAnySize) {
  for (std::size_t size = 1; size < 80; ++size) {
    Pieces pieces{size, 1'000};
    HeadWriter writer{pieces};
    write_answer(writer);
    EXPECT_TRUE(writer.complete());
    EXPECT_EQ(pieces.written(writer.unused()), answer) << size;
    EXPECT_EQ(writer.written(), std::string_view{answer}.size());
    EXPECT_LT(writer.unused(), size);
  }
}

TEST(HeadWriter, AsksForNoRoomBeforeItNeedsIt) {
  Pieces pieces{4, 10};
  HeadWriter writer{pieces};
  writer.text("");
  EXPECT_EQ(pieces.given(), 0U);
  writer.text("abcd");
  EXPECT_EQ(pieces.given(), 1U);
  EXPECT_EQ(writer.unused(), 0U);
  writer.text("e");
  EXPECT_EQ(pieces.given(), 2U);
}

TEST(HeadWriter, IsIncompleteWhenRoomIsMissing) {
  const std::size_t size = std::string_view{answer}.size();
  for (std::size_t room = 0; room < size; ++room) {
    Pieces pieces{1, room};
    HeadWriter writer{pieces};
    write_answer(writer);
    EXPECT_FALSE(writer.complete()) << room;
    EXPECT_EQ(pieces.given(), room);
  }
}

TEST(HeadWriter, WritesEveryNumber) {
  for (const std::uint64_t number :
       {std::uint64_t{0}, std::uint64_t{9}, std::uint64_t{10}, std::uint64_t{18'446'744'073'709'551'615U}}) {
    Pieces pieces{64, 1};
    HeadWriter writer{pieces};
    writer.number(number);
    EXPECT_EQ(pieces.written(writer.unused()), std::to_string(number));
  }
}

}  // namespace
}  // namespace steelyard::http
