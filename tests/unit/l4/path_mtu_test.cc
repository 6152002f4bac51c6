#include "dataplane/l4/path_mtu.h"

#include <gtest/gtest.h>

namespace steelyard::l4 {
namespace {

constexpr std::uint64_t minute = 60'000'000'000;

service::Address address(const char* text) {
  return service::Address::parse(text).value();
}

class PathMtus : public testing::Test {
 protected:
  PathMtuTable table_{{{1, 2, 3, 4}}};
};

TEST_F(PathMtus, AreRememberedForTenMinutes) {
  EXPECT_FALSE(table_.find(address("10.0.0.1"), 0));
  table_.learn(address("10.0.0.1"), 1'400, 5 * minute);
  table_.learn(address("2001:db8::1"), 1'280, 5 * minute);
  EXPECT_EQ(table_.find(address("10.0.0.1"), 14 * minute), 1'400);
  EXPECT_EQ(table_.find(address("2001:db8::1"), 14 * minute), 1'280);
  EXPECT_FALSE(table_.find(address("10.0.0.2"), 14 * minute));
  EXPECT_FALSE(table_.find(address("10.0.0.1"), 18 * minute));
}

TEST_F(PathMtus, ALaterWordReplacesTheEarlierOne) {
  table_.learn(address("10.0.0.1"), 1'400, 0);
  table_.learn(address("10.0.0.1"), 1'300, 0);
  EXPECT_EQ(table_.find(address("10.0.0.1"), 0), 1'300);
}

TEST_F(PathMtus, WhatMayHaveChangedHasAnotherVersion) {
  const std::uint32_t before = table_.version(0);
  table_.learn(address("10.0.0.1"), 1'400, 0);
  const std::uint32_t after = table_.version(0);
  EXPECT_NE(after, before);
  table_.learn(address("10.0.0.1"), 1'400, 0);
  EXPECT_EQ(table_.version(0), after) << "nothing new";
  EXPECT_NE(table_.version(2 * minute), after) << "what is known grows old";
}

TEST_F(PathMtus, AFloodOfThemTakesNoMoreRoom) {
  for (int number = 0; number < 100'000; ++number) {
    const std::string text = "10." + std::to_string(number / 65'536) + '.' + std::to_string(number / 256 % 256) + '.' +
                             std::to_string(number % 256);
    table_.learn(address(text.c_str()), 1'400, 0);
  }
  table_.learn(address("192.0.2.1"), 1'300, 0);
  EXPECT_EQ(table_.find(address("192.0.2.1"), 0), 1'300);
}

}  // namespace
}  // namespace steelyard::l4
