// What single sources have open: who is one source, counting, and who is forgotten when there are too many.
#include "dataplane/l4/source_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace steelyard::l4 {
namespace {

constexpr packet::HashKey hash_key{{0x0123456789abcdef, 0xfedcba9876543210, 0x0f1e2d3c4b5a6978, 0x8796a5b4c3d2e1f0}};
constexpr std::uint64_t second = 1'000'000'000;

service::Address address(std::string_view text) {
  return service::Address::parse(text).value();
}
SourceKey key_of(std::string_view source, std::uint8_t prefix = 64, std::uint16_t listener = 1,
                 std::uint32_t generation = 1) {
  return source_key(hash_key, {listener}, {1, 0, prefix, generation}, address(source));
}
bool same(const SourceKey& left, const SourceKey& right) {
  return left.fingerprint == right.fingerprint && left.place == right.place;
}

TEST(SourceKey, AnIpv4AddressIsOneSourceAndAnIpv6NetworkIs) {
  EXPECT_FALSE(same(key_of("198.51.100.1"), key_of("198.51.100.2")));
  EXPECT_TRUE(same(key_of("198.51.100.1", 32), key_of("198.51.100.1", 128)));
  EXPECT_TRUE(same(key_of("2001:db8:1:2::1"), key_of("2001:db8:1:2:ffff:ffff:ffff:ffff")));
  EXPECT_FALSE(same(key_of("2001:db8:1:2::1"), key_of("2001:db8:1:3::1")));
  EXPECT_TRUE(same(key_of("2001:db8:1:2::1", 48), key_of("2001:db8:1:3::1", 48)));
  EXPECT_FALSE(same(key_of("2001:db8:1:2::1", 48), key_of("2001:db8:2:2::1", 48)));
  EXPECT_FALSE(same(key_of("2001:db8::1", 128), key_of("2001:db8::2", 128)));
  EXPECT_TRUE(same(key_of("2001:db8::1:0:1", 96), key_of("2001:db8::1:0:2", 96)));
  EXPECT_FALSE(same(key_of("2001:db8::1:0:1", 80), key_of("2001:db8::1:1:0:2", 80)));
}

TEST(SourceKey, EachListenerAndEachCountBegunAnewHasItsOwn) {
  EXPECT_FALSE(same(key_of("198.51.100.1", 64, 1), key_of("198.51.100.1", 64, 2)));
  EXPECT_FALSE(same(key_of("198.51.100.1", 64, 1, 1), key_of("198.51.100.1", 64, 1, 2)));
}

TEST(SourceTable, CountsWhatIsOpenAndWhatCame) {
  SourceTable table(64);
  table.commit();
  const SourceKey key = key_of("198.51.100.1");
  const WindowTime now = WindowTime::at(10 * second);
  EXPECT_EQ(table.find(key, now).connections, 0U);
  for (int count = 0; count < 3; ++count) {
    table.came(key, now);
    table.opened(key, now);
  }
  EXPECT_EQ(table.find(key, now).connections, 3U);
  EXPECT_EQ(table.find(key, now).recent, 3 * WindowTime::parts);
  table.closed(key);
  EXPECT_EQ(table.find(key, now).connections, 2U);
  EXPECT_EQ(table.find(key, WindowTime::at(12 * second)).recent, 0U);
  EXPECT_EQ(table.find(key, WindowTime::at(12 * second)).connections, 2U);
}

TEST(SourceTable, EndsOfConnectionsThatItNeverCountedChangeNothing) {
  SourceTable table(64);
  table.commit();
  const SourceKey key = key_of("198.51.100.1");
  table.closed(key);
  EXPECT_EQ(table.find(key, {}).connections, 0U);
  table.opened(key, {});
  table.closed(key);
  table.closed(key);
  EXPECT_EQ(table.find(key, {}).connections, 0U);
}

TEST(SourceTable, AgreesWithAMapAsLongAsThereIsRoom) {
  SourceTable table(4'096);
  table.commit();
  std::mt19937 random(3);
  std::map<std::uint32_t, std::uint64_t> open;
  const auto key = [](std::uint32_t source) {
    return key_of("10.0." + std::to_string(source / 250) + '.' + std::to_string(source % 250));
  };
  for (int step = 0; step < 20'000; ++step) {
    const auto source = static_cast<std::uint32_t>(random() % 500);
    if (random() % 2 == 0) {
      table.opened(key(source), {});
      ++open[source];
    } else if (open[source] > 0) {
      table.closed(key(source));
      --open[source];
    }
  }
  for (const auto& [source, connections] : open) {
    EXPECT_EQ(table.find(key(source), {}).connections, connections) << source;
  }
}

TEST(SourceTable, InAFullBucketTheLongestUnusedWithoutConnectionsGivesWayFirst) {
  SourceTable table(4);  // one bucket
  table.commit();
  const auto at = [](std::uint64_t seconds) { return WindowTime::at(seconds * second); };
  const SourceKey holder = key_of("10.0.0.1");
  table.came(holder, at(1));
  table.opened(holder, at(1));
  const std::array others{key_of("10.0.0.2"), key_of("10.0.0.3"), key_of("10.0.0.4")};
  for (std::uint64_t number = 0; number < others.size(); ++number) {
    table.came(others.at(number), at(10 + number));
  }
  table.came(key_of("10.0.0.5"), at(13));
  EXPECT_EQ(table.find(holder, at(13)).connections, 1U) << "who has something open stays, however long unused";
  EXPECT_EQ(table.find(others[0], at(10)).recent, 0U) << "the oldest of the others is gone";
  EXPECT_EQ(table.find(others[1], at(11)).recent, WindowTime::parts);
}

TEST(SourceTable, WhenAllHaveSomethingOpenTheLongestUnusedIsForgotten) {
  SourceTable table(4);
  table.commit();
  const auto at = [](std::uint64_t seconds) { return WindowTime::at(seconds * second); };
  for (std::uint64_t number = 1; number <= 5; ++number) {
    const SourceKey key = key_of("10.0.0." + std::to_string(number));
    table.came(key, at(number));
    table.opened(key, at(number));
  }
  EXPECT_EQ(table.find(key_of("10.0.0.1"), at(5)).connections, 0U);
  for (std::uint64_t number = 2; number <= 5; ++number) {
    EXPECT_EQ(table.find(key_of("10.0.0." + std::to_string(number)), at(5)).connections, 1U);
  }
  table.closed(key_of("10.0.0.1"));
  EXPECT_EQ(table.find(key_of("10.0.0.2"), at(5)).connections, 1U);
}

}  // namespace
}  // namespace steelyard::l4
