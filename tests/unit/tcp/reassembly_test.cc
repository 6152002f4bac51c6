// Pieces that come out of order.
#include "dataplane/tcp/reassembly.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "tests/unit/tcp/buffers.h"

namespace steelyard::tcp {
namespace {

class ReassemblyTest : public testing::TestWithParam<std::uint32_t> {
 protected:
  ~ReassemblyTest() override {
    queue_.clear(memory_);
    EXPECT_EQ(memory_.used(), 0U);
  }
  [[nodiscard]] Sequence at(std::uint32_t octet) const { return Sequence{GetParam()} + octet; }
  Reassembly::Added add(std::uint32_t octet, std::string_view bytes, std::size_t most = 100) {
    return queue_.add(memory_, at(octet), buffers_.slice(bytes), most);
  }
  std::string take() {
    std::string result;
    while (const auto slice = queue_.take(memory_, at(next_))) {
      next_ += slice->length;
      result += test::Buffers::consume(*slice);
    }
    return result;
  }
  std::vector<std::pair<std::uint32_t, std::uint32_t>> blocks() {
    std::array<SackBlock, max_sack_blocks> found{};
    std::vector<std::pair<std::uint32_t, std::uint32_t>> result;
    const std::uint8_t count = queue_.blocks(memory_, found);
    for (std::size_t block = 0; block < count; ++block) {
      result.emplace_back(packet::distance(at(0), found[block].begin), packet::distance(at(0), found[block].end));
    }
    return result;
  }

  test::Buffers buffers_;
  Memory memory_{64, test::Buffers::operations()};
  Reassembly queue_;
  std::uint32_t next_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Numbers, ReassemblyTest, testing::Values(1'000U, 0xfffffffaU));

TEST_P(ReassemblyTest, PiecesAreGivenOutInOrder) {
  add(5, "fgh");
  add(2, "cd");
  EXPECT_EQ(take(), "");
  add(0, "ab");
  EXPECT_EQ(take(), "abcd");
  add(4, "e");
  EXPECT_EQ(take(), "efgh");
  EXPECT_TRUE(queue_.empty());
}

TEST_P(ReassemblyTest, overlap_matrix_first_copy_wins) {
  // Two segments with all positions and lengths, the gap before them filled last: what came first stays.
  for (std::uint32_t first = 1; first <= 8; ++first) {
    for (std::uint32_t second = 1; second <= 8; ++second) {
      for (std::size_t first_size = 1; first_size <= 6; ++first_size) {
        for (std::size_t second_size = 1; second_size <= 6; ++second_size) {
          next_ = 0;
          std::map<std::uint32_t, char> expected;
          for (std::uint32_t octet = 0; octet < first_size; ++octet) {
            expected[first + octet] = 'A';
          }
          for (std::uint32_t octet = 0; octet < second_size; ++octet) {
            expected.try_emplace(second + octet, 'B');
          }
          add(first, std::string(first_size, 'A'));
          add(second, std::string(second_size, 'B'));
          add(0, std::string(20, '.'));
          std::string all;
          for (std::uint32_t octet = 0; octet < 20; ++octet) {
            all += expected.contains(octet) ? expected[octet] : '.';
          }
          ASSERT_EQ(take(), all) << first << ' ' << first_size << ' ' << second << ' ' << second_size;
        }
      }
    }
  }
}

TEST_P(ReassemblyTest, BlocksBeginWithTheLastTouchedAndGoOnByAge) {
  add(10, "aa");
  add(20, "bb");
  add(30, "cc");
  EXPECT_THAT(blocks(), testing::ElementsAre(testing::Pair(30, 32), testing::Pair(20, 22), testing::Pair(10, 12)));
  add(12, "aa");
  EXPECT_THAT(blocks(), testing::ElementsAre(testing::Pair(10, 14), testing::Pair(30, 32), testing::Pair(20, 22)));
  add(40, "dd");
  add(50, "ee");
  EXPECT_THAT(blocks(), testing::ElementsAre(testing::Pair(50, 52), testing::Pair(40, 42), testing::Pair(10, 14),
                                             testing::Pair(30, 32)));
}

TEST_P(ReassemblyTest, WhatWasHereAlreadyIsReported) {
  EXPECT_TRUE(add(10, "abcd").duplicate.empty());
  EXPECT_EQ(add(10, "abcd").duplicate, (SackBlock{at(10), at(14)}));
  EXPECT_EQ(add(12, "cdef").duplicate, (SackBlock{at(12), at(14)}));
}

TEST_P(ReassemblyTest, one_byte_ooo_memory_bound) {
  for (std::uint32_t octet = 0; octet < 50; ++octet) {
    add(2 + 2 * octet, "x", 16);
  }
  EXPECT_EQ(queue_.held(), 16U);
  EXPECT_EQ(buffers_.live(), 16);
  EXPECT_FALSE(add(200, "x", 16).complete);
  EXPECT_EQ(queue_.room_before(memory_, at(0)), 2U);
}

TEST_P(ReassemblyTest, WithoutNodesNothingIsTakenAndNothingLeaks) {
  Memory none{0, test::Buffers::operations()};
  EXPECT_FALSE(queue_.add(none, at(5), buffers_.slice("abc"), 10).complete);
  EXPECT_EQ(buffers_.live(), 0);
}

TEST_P(ReassemblyTest, AnyOrderGivesTheStream) {
  std::mt19937 random{GetParam()};
  std::string stream;
  for (int octet = 0; octet < 400; ++octet) {
    stream += static_cast<char>(random());
  }
  for (int round = 0; round < 200; ++round) {
    const std::uint32_t base = next_;
    std::string got;
    while (got.size() < stream.size()) {
      const std::size_t begin = std::min<std::size_t>(got.size() + random() % 60, stream.size() - 1);
      const std::size_t size = std::min<std::size_t>(1 + random() % 20, stream.size() - begin);
      add(base + static_cast<std::uint32_t>(begin), stream.substr(begin, size), 60);
      got += take();
    }
    ASSERT_EQ(got, stream);
    queue_.clear(memory_);
  }
}

}  // namespace
}  // namespace steelyard::tcp
