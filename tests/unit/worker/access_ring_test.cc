#include "dataplane/worker/access_ring.h"

#include <gtest/gtest.h>

#include <thread>

namespace steelyard::worker {
namespace {

http::AccessRecord record_number(std::uint64_t number) {
  http::AccessRecord record;
  record.octets_in = number;
  record.host.assign("www.example.org");
  return record;
}

TEST(AccessRing, GivesRecordsBackAsTheyWere) {
  AccessRing ring(4'096);
  http::AccessRecord got;
  EXPECT_FALSE(ring.pop(got));
  for (std::uint64_t number = 0; number < 1'000; ++number) {
    ASSERT_TRUE(ring.push(record_number(number)));
    ASSERT_TRUE(ring.push(record_number(number + 1)));
    ASSERT_TRUE(ring.pop(got));
    ASSERT_EQ(got.octets_in, number);
    ASSERT_EQ(got.host.view(), "www.example.org");
    ASSERT_TRUE(ring.pop(got));
    ASSERT_FALSE(ring.pop(got));
  }
  EXPECT_EQ(ring.lost(), 0U);
}

TEST(AccessRing, LosesAndCountsWhatHasNoRoom) {
  AccessRing ring(4'096);
  std::uint64_t kept = 0;
  while (ring.push(record_number(kept))) {
    ++kept;
  }
  EXPECT_FALSE(ring.push(record_number(99)));
  EXPECT_EQ(ring.lost(), 2U);
  http::AccessRecord got;
  for (std::uint64_t number = 0; number < kept; ++number) {
    ASSERT_TRUE(ring.pop(got));
    EXPECT_EQ(got.octets_in, number);
  }
  EXPECT_FALSE(ring.pop(got));
}

TEST(AccessRing, CarriesRecordsBetweenThreads) {
  constexpr std::uint64_t all = 50'000;
  AccessRing ring(8'192);
  std::thread producer([&ring] {
    for (std::uint64_t number = 0; number < all; ++number) {
      while (!ring.push(record_number(number))) {
        std::this_thread::yield();
      }
    }
  });
  http::AccessRecord got;
  std::uint64_t wrong = 0;
  for (std::uint64_t number = 0; number < all; ++number) {
    while (!ring.pop(got)) {
      std::this_thread::yield();
    }
    wrong += got.octets_in == number ? 0U : 1U;
  }
  producer.join();
  EXPECT_EQ(wrong, 0U);
}

}  // namespace
}  // namespace steelyard::worker
