#include "dataplane/worker/record_ring.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace steelyard::worker {
namespace {

bool push(RecordRing& ring, const std::string& text) {
  const auto room = ring.reserve(text.size());
  if (room.empty()) {
    return false;
  }
  std::memcpy(room.data(), text.data(), text.size());
  ring.commit();
  return true;
}

std::string pop(RecordRing& ring) {
  const auto record = ring.front();
  if (record.empty()) {
    return "<empty>";
  }
  const std::string text(reinterpret_cast<const char*>(record.data()), record.size());
  ring.pop();
  return text;
}

TEST(RecordRing, GivesRecordsBackInOrderWhateverTheirSizes) {
  RecordRing ring(1'024);
  for (int round = 0; round < 1'000; ++round) {  // round and round the end
    const std::string one(static_cast<std::size_t>(1 + round % 97), 'a');
    const std::string other(static_cast<std::size_t>(1 + round % 61), 'b');
    ASSERT_TRUE(push(ring, one));
    ASSERT_TRUE(push(ring, other));
    ASSERT_EQ(pop(ring), one);
    ASSERT_EQ(pop(ring), other);
    ASSERT_EQ(pop(ring), "<empty>");
  }
  EXPECT_EQ(ring.lost(), 0u);
}

TEST(RecordRing, LosesAndCountsWhatHasNoRoomAndKeepsTheRest) {
  RecordRing ring(128);
  std::size_t kept = 0;
  while (push(ring, "12345678")) {  // 16 bytes each
    ++kept;
  }
  EXPECT_EQ(kept, 8u);
  EXPECT_FALSE(push(ring, "1"));
  EXPECT_EQ(ring.lost(), 2u);
  for (; kept > 0; --kept) {
    EXPECT_EQ(pop(ring), "12345678");
  }
  EXPECT_EQ(pop(ring), "<empty>");
  EXPECT_TRUE(push(ring, "again"));
  EXPECT_EQ(pop(ring), "again");
}

TEST(RecordRing, NeverHoldsARecordLargerThanItself) {
  RecordRing ring(128);
  EXPECT_FALSE(push(ring, std::string(121, 'x')));
  EXPECT_TRUE(push(ring, std::string(120, 'x')));
}

TEST(RecordRing, WrapsOnlyWhereTheFrontHasRoom) {
  RecordRing ring(128);
  ASSERT_TRUE(push(ring, std::string(40, 'a')));  // 0 to 48
  ASSERT_TRUE(push(ring, std::string(40, 'b')));  // 48 to 96
  EXPECT_FALSE(push(ring, std::string(40, 'c'))) << "32 bytes are left at the end, none at the front";
  EXPECT_EQ(pop(ring), std::string(40, 'a'));
  EXPECT_TRUE(push(ring, std::string(40, 'd')));
  EXPECT_EQ(pop(ring), std::string(40, 'b'));
  EXPECT_EQ(pop(ring), std::string(40, 'd'));
  EXPECT_EQ(pop(ring), "<empty>");
}

TEST(RecordRing, CarriesRecordsBetweenThreads) {
  constexpr std::uint64_t all = 200'000;
  RecordRing ring(4'096);
  std::thread producer([&ring] {
    for (std::uint64_t number = 1; number <= all; ++number) {
      const std::size_t size = 8 * (1 + number % 40);
      auto room = ring.reserve(size);
      while (room.empty()) {
        std::this_thread::yield();
        room = ring.reserve(size);
      }
      std::memcpy(room.data(), &number, sizeof number);
      std::memcpy(room.data() + size - 8, &number, sizeof number);
      ring.commit();
    }
  });
  for (std::uint64_t number = 1; number <= all; ++number) {
    auto record = ring.front();
    while (record.empty()) {
      std::this_thread::yield();
      record = ring.front();
    }
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::memcpy(&first, record.data(), sizeof first);
    std::memcpy(&last, record.data() + record.size() - 8, sizeof last);
    if (first != number || last != number || record.size() != 8 * (1 + number % 40)) {
      ADD_FAILURE() << "record " << number << " is " << first << " of " << record.size() << " bytes";
      ring.pop();
      break;
    }
    ring.pop();
  }
  // A failure must not leave the producer waiting.
  while (!ring.front().empty()) {
    ring.pop();
  }
  producer.join();
}

}  // namespace
}  // namespace steelyard::worker
