// Access records between two threads: in order, none twice, and lost ones counted.
#include "dataplane/worker/access_ring.h"

#include <gtest/gtest.h>

#include <thread>

namespace steelyard::worker {
namespace {

http::AccessRecord record(std::uint64_t number) {
  http::AccessRecord made;
  made.accepted_at = number;
  made.octets_out = ~number;
  return made;
}

TEST(AccessRing, GivesRecordsInTheirOrderAndLosesWhatFindsNoRoom) {
  AccessRing ring(4);
  EXPECT_EQ(ring.front(), nullptr);
  for (std::uint64_t round = 0; round < 3; ++round) {
    for (std::uint64_t number = 0; number < 6; ++number) {
      EXPECT_EQ(ring.push(record(number)), number < 4);
    }
    for (std::uint64_t number = 0; number < 4; ++number) {
      ASSERT_NE(ring.front(), nullptr);
      EXPECT_EQ(ring.front()->accepted_at, number);
      ring.pop();
    }
    EXPECT_EQ(ring.front(), nullptr);
    EXPECT_EQ(ring.lost(), 2 * (round + 1));
  }
}

TEST(AccessRing, BetweenThreadsEveryRecordIsWhole) {
  constexpr std::uint64_t many = 20'000;
  AccessRing ring(64);
  std::thread producer([&] {
    for (std::uint64_t number = 1; number <= many; ++number) {
      ring.push(record(number));
    }
  });
  std::uint64_t last = 0;
  std::uint64_t got = 0;
  for (bool finished = false; !finished;) {
    finished = got + ring.lost() == many;
    for (; ring.front() != nullptr; ring.pop(), ++got) {
      EXPECT_GT(ring.front()->accepted_at, last);
      last = ring.front()->accepted_at;
      EXPECT_EQ(ring.front()->octets_out, ~last);
    }
  }
  producer.join();
  EXPECT_EQ(got + ring.lost(), many);
}

}  // namespace
}  // namespace steelyard::worker
