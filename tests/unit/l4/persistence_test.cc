// The table of clients and their servers: what was put is found until it times out, and a full bucket gives up the
// client that has stayed away for longest.
#include "dataplane/l4/persistence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace steelyard::l4 {
namespace {

constexpr packet::HashKey key{{0x0123456789abcdef, 0xfedcba9876543210, 0x0f1e2d3c4b5a6978, 0x8796a5b4c3d2e1f0}};
constexpr service::ListenerId web{1};
constexpr service::ListenerId mail{2};
constexpr std::uint32_t timeout = 60;

service::Address client(int number) {
  return service::Address::parse("192.0.2." + std::to_string(number)).value();
}

TEST(Persistence, AnUnknownClientHasNoServer) {
  PersistenceTable table(64, key);
  EXPECT_FALSE(table.find(web, client(1), 1'000, timeout));
}

TEST(Persistence, AClientKeepsItsServerOnEachListener) {
  PersistenceTable table(64, key);
  table.put(web, client(1), {11}, 1'000);
  table.put(mail, client(1), {12}, 1'000);
  table.put(web, client(2), {0xffffff}, 1'000);
  EXPECT_EQ(table.find(web, client(1), 1'001, timeout), service::BackendId{11});
  EXPECT_EQ(table.find(mail, client(1), 1'001, timeout), service::BackendId{12});
  EXPECT_EQ(table.find(web, client(2), 1'001, timeout), service::BackendId{0xffffff});
  EXPECT_FALSE(table.find(mail, client(2), 1'001, timeout));
}

TEST(Persistence, FamiliesDoNotMeet) {
  PersistenceTable table(4, key);
  table.put(web, client(1), {11}, 1'000);
  EXPECT_FALSE(table.find(web, service::Address::parse("2001:db8::c000:201").value(), 1'000, timeout));
}

TEST(Persistence, ItEndsWhenTheTimeoutHasPassedSinceTheLastUse) {
  PersistenceTable table(64, key);
  table.put(web, client(1), {11}, 1'000);
  EXPECT_TRUE(table.find(web, client(1), 1'059, timeout));
  EXPECT_TRUE(table.find(web, client(1), 1'118, timeout));
  EXPECT_FALSE(table.find(web, client(1), 1'178, timeout));
}

// Workers' seconds differ by the length of a turn.
TEST(Persistence, AWorkerThatIsASecondBehindFindsItToo) {
  PersistenceTable table(64, key);
  table.put(web, client(1), {11}, 1'000);
  EXPECT_TRUE(table.find(web, client(1), 999, timeout));
}

TEST(Persistence, ANewDecisionReplacesTheOldOne) {
  PersistenceTable table(4, key);
  for (std::uint32_t backend = 1; backend < 10; ++backend) {
    table.put(web, client(1), {backend}, 1'000);
  }
  EXPECT_EQ(table.find(web, client(1), 1'000, timeout), service::BackendId{9});
  // All of that in one place: three others fit beside it.
  for (int other = 2; other <= 4; ++other) {
    table.put(web, client(other), {1}, 1'001);
  }
  EXPECT_TRUE(table.find(web, client(1), 1'001, timeout));
}

TEST(Persistence, InAFullBucketTheClientThatStayedAwayForLongestGoes) {
  PersistenceTable table(4, key);
  for (int number = 1; number <= 4; ++number) {
    table.put(web, client(number), {static_cast<std::uint32_t>(number)}, 1'000 + static_cast<std::uint32_t>(number));
  }
  EXPECT_TRUE(table.find(web, client(1), 1'010, timeout));
  table.put(web, client(5), {5}, 1'011);
  EXPECT_FALSE(table.find(web, client(2), 1'011, timeout));
  for (const int number : {1, 3, 4, 5}) {
    EXPECT_EQ(table.find(web, client(number), 1'011, timeout), service::BackendId{static_cast<std::uint32_t>(number)});
  }
}

TEST(Persistence, ManyClientsAreRemembered) {
  PersistenceTable table(4'096, key);
  std::size_t found = 0;
  const auto address = [](std::uint32_t number) {
    const std::array<std::uint8_t, 4> bytes{10, 0, static_cast<std::uint8_t>(number >> 8U),
                                            static_cast<std::uint8_t>(number)};
    return service::Address::from_v4(bytes);
  };
  for (std::uint32_t number = 0; number < 2'048; ++number) {
    table.put(web, address(number), {number}, 1'000);
  }
  for (std::uint32_t number = 0; number < 2'048; ++number) {
    const auto backend = table.find(web, address(number), 1'000, timeout);
    EXPECT_EQ(backend.value_or(service::BackendId{number}), service::BackendId{number});
    found += backend ? 1U : 0U;
  }
  EXPECT_GT(found, 1'900U);  // at half the capacity few buckets run over
}

// Readers on other workers meet entries that the home worker is just replacing.
TEST(Persistence, AReaderNeverGetsAnotherClientsServer) {
  PersistenceTable table(4, key);
  std::atomic<bool> done{false};
  std::thread home([&] {
    for (std::uint32_t round = 0; round < 50'000; ++round) {
      const int number = 1 + static_cast<int>(round % 8);
      table.put(web, client(number), {static_cast<std::uint32_t>(number)}, 1'000 + round);
    }
    done = true;
  });
  std::size_t wrong = 0;
  do {
    for (int number = 1; number <= 8; ++number) {
      const auto backend = table.find(web, client(number), 51'000, 100'000);
      wrong += backend && backend->value != static_cast<std::uint32_t>(number) ? 1U : 0U;
    }
  } while (!done);
  home.join();
  EXPECT_EQ(wrong, 0U);
}

}  // namespace
}  // namespace steelyard::l4
