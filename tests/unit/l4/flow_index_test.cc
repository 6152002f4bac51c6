// The index finds what is in it and nothing else, up to the load that it is built for and beyond.
#include "dataplane/l4/flow_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace steelyard::l4 {
namespace {

// An index whose entries are numbered; entry n was inserted with hashes[n].
class Index {
 public:
  explicit Index(std::size_t buckets) : buckets_(buckets), index(buckets_) {}

  bool insert(std::uint64_t hash) {
    hashes.push_back(hash);
    return index.insert(hash, static_cast<std::uint32_t>(hashes.size() - 1),
                        [this](std::uint32_t value) { return hashes.at(value); });
  }
  [[nodiscard]] bool contains(std::uint32_t value) const {
    return index.find(hashes.at(value), [value](std::uint32_t found) { return found == value; });
  }
  [[nodiscard]] FlowIndexTable::Candidate candidate(std::uint64_t hash) const {
    return index.candidate(index.line(hash), hash);
  }
  void erase(std::uint32_t value) { index.erase(hashes.at(value), value); }

  std::vector<std::uint64_t> hashes;

 private:
  std::vector<FlowIndexTable::Bucket> buckets_;

 public:
  FlowIndexTable index;
};

TEST(FlowIndex, AnEmptyIndexFindsNothing) {
  Index index(4);
  EXPECT_FALSE(index.index.find(7, [](std::uint32_t) { return true; }));
  EXPECT_EQ(index.candidate(7).value, FlowIndexTable::none);
  EXPECT_FALSE(index.candidate(7).ask_second);
}

TEST(FlowIndex, AnEntryIsFoundUntilItIsErased) {
  Index index(4);
  ASSERT_TRUE(index.insert(0x123456789abcdef0));
  EXPECT_TRUE(index.contains(0));
  EXPECT_EQ(index.candidate(index.hashes[0]).value, 0U);
  index.erase(0);
  EXPECT_FALSE(index.contains(0));
  EXPECT_EQ(index.candidate(index.hashes[0]).value, FlowIndexTable::none);
}

TEST(FlowIndex, AHashWithoutLowBitsIsNotMistakenForAnEmptySlot) {
  Index index(4);
  EXPECT_FALSE(index.index.find(0, [](std::uint32_t) { return true; }));
  ASSERT_TRUE(index.insert(0));
  EXPECT_TRUE(index.contains(0));
}

TEST(FlowIndex, EntriesOfOneHashAreAllOfferedUntilOneMatches) {
  Index index(4);
  for (int entry = 0; entry < 5; ++entry) {
    ASSERT_TRUE(index.insert(42));
  }
  for (std::uint32_t entry = 0; entry < 5; ++entry) {
    EXPECT_TRUE(index.contains(entry));
  }
  index.erase(2);
  EXPECT_FALSE(index.contains(2));
  EXPECT_TRUE(index.contains(4));
}

TEST(FlowIndex, WhenNoPlaceIsLeftAnInsertionFailsAndHarmsNobody) {
  Index index(1);
  for (std::uint64_t entry = 0; entry < FlowIndexTable::slots; ++entry) {
    ASSERT_TRUE(index.insert(entry * 0x9e3779b97f4a7c15));
  }
  EXPECT_FALSE(index.insert(99));
  EXPECT_FALSE(index.contains(10));
  for (std::uint32_t entry = 0; entry < FlowIndexTable::slots; ++entry) {
    EXPECT_TRUE(index.contains(entry));
  }
  index.erase(3);
  EXPECT_TRUE(index.insert(99));
  EXPECT_TRUE(index.contains(11));
}

// Two entries a flow, as many flows as the index was built for.
TEST(FlowIndex, AtItsFullLoadEveryEntryFindsAPlace) {
  std::mt19937_64 random(1);
  constexpr std::size_t flows = 50'000;
  Index index(FlowIndexTable::buckets_for(flows));
  for (std::size_t entry = 0; entry < 2 * flows; ++entry) {
    ASSERT_TRUE(index.insert(random())) << entry;
  }
  std::size_t in_second = 0;
  for (std::uint32_t entry = 0; entry < 2 * flows; ++entry) {
    ASSERT_TRUE(index.contains(entry));
    const auto candidate = index.candidate(index.hashes[entry]);
    // A candidate may be another entry with the same tag, but there is one.
    in_second += candidate.ask_second ? 1U : 0U;
    EXPECT_NE(candidate.ask_second ? index.index.candidate_in_second(index.hashes[entry]) : candidate.value,
              FlowIndexTable::none);
  }
  EXPECT_GT(in_second, 0U);
  EXPECT_LT(in_second, flows / 2);
}

TEST(FlowIndex, OverManyInsertionsAndRemovalsItAgreesWithAMap) {
  std::mt19937_64 random(2);
  Index index(12);
  std::vector<std::uint32_t> present;
  std::size_t refused = 0;
  for (int round = 0; round < 100'000; ++round) {
    if (present.empty() || random() % 100 < (round / 2'000 % 2 == 0 ? 60U : 40U)) {
      // Few different hashes: equal tags and full buckets are common.
      const std::uint64_t hash = (random() % 50) * 0x9e3779b97f4a7c15;
      index.insert(hash) ? present.push_back(static_cast<std::uint32_t>(index.hashes.size() - 1)) : void(++refused);
    } else {
      const std::size_t which = random() % present.size();
      index.erase(present[which]);
      EXPECT_FALSE(index.contains(present[which]));
      present[which] = present.back();
      present.pop_back();
    }
    if (round % 50 == 0) {
      for (const std::uint32_t value : present) {
        ASSERT_TRUE(index.contains(value)) << round;
      }
    }
  }
  EXPECT_GT(refused, 0U);
  for (const std::uint32_t value : present) {
    index.erase(value);
  }
  // Nothing is left over: no entry, and no first bucket that sends a lookup on to its second.
  for (const std::uint64_t hash : index.hashes) {
    const auto candidate = index.candidate(hash);
    ASSERT_EQ(candidate.value, FlowIndexTable::none);
    ASSERT_FALSE(candidate.ask_second);
  }
}

}  // namespace
}  // namespace steelyard::l4
