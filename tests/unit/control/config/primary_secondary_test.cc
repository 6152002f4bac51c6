// Primary/secondary groups: one server of each role, no weights, and used like any other group.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control/config/config_text.h"

namespace steelyard::control::config {
namespace {

using ::testing::ElementsAre;
using testing::errors;
using testing::findings;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::with_ports;

constexpr std::string_view both =
    "primary: {name: p, address: 10.0.0.7, port: 80}, secondary: {address: 10.0.0.8, port: 81}";

std::string with_group(std::string_view keys,
                       std::string_view listeners = "{protocol: tcp, port: 80, server_group: g}") {
  return with_ports("load_balancers: [{name: a, address: 192.0.2.10, listeners: [" + std::string(listeners) +
                    "]}]\nprimary_secondary_groups: [{name: g, " + std::string(keys) + "}]\n");
}

TEST(PrimarySecondaryGroup, IsAServerGroupWithThePrimaryFirst) {
  for (const std::string& keys :
       {std::string(both),
        std::string("secondary: {address: 10.0.0.8, port: 81}, primary: {name: p, address: 10.0.0.7, port: 80}")}) {
    EXPECT_THAT(findings(with_group(keys)), IsEmpty());
    const auto read = load_text(with_group(keys), "f").config;
    ASSERT_TRUE(read);
    const ServerGroup* group = find_server_group(*read, "g");
    ASSERT_NE(group, nullptr);
    EXPECT_TRUE(group->primary_secondary);
    ASSERT_EQ(group->servers.size(), 2U);
    EXPECT_EQ(group->servers[0].name, "p");
    EXPECT_EQ(group->servers[0].address, *Address::parse("10.0.0.7"));
    EXPECT_EQ(group->servers[1].port, 81);
  }
}

TEST(PrimarySecondaryGroup, HasExactlyOneServerOfEachRole) {
  EXPECT_THAT(errors(with_group("primary: {address: 10.0.0.7, port: 80}")),
              ElementsAre(HasSubstr("2:28: error: `secondary` is missing in a primary/secondary group")));
  EXPECT_THAT(errors(with_group("secondary: {address: 10.0.0.7, port: 80}")),
              ElementsAre(HasSubstr("`primary` is missing in a primary/secondary group")));
  EXPECT_THAT(errors(with_group(std::string(both) + ", servers: []")), ElementsAre(HasSubstr("unknown key `servers`")));
  EXPECT_THAT(errors(with_group(std::string(both) + ", primary: {address: 10.0.0.9, port: 80}")),
              ElementsAre(HasSubstr("`primary`")));
  EXPECT_THAT(errors(with_group("primary: {address: 10.0.0.7, port: 80}, secondary: {address: 10.0.0.7, port: 80}")),
              ElementsAre(HasSubstr("already stands in line 2")));
}

TEST(PrimarySecondaryGroup, HasNoWeights) {
  EXPECT_THAT(
      errors(with_group("primary: {address: 10.0.0.7, port: 80, weight: 5}, secondary: {address: 10.0.0.8, port: 81}")),
      ElementsAre(HasSubstr("unknown key `weight` in a server; allowed: `name`, `address`, `port`")));
}

TEST(PrimarySecondaryGroup, SharesItsNamesWithServerGroups) {
  EXPECT_THAT(errors(with_group(both) + "server_groups: [{name: g, servers: []}]\n"),
              ElementsAre(HasSubstr("a second server group is named `g`")));
}

// Only one of its servers takes connections at a time: a client port that uses both listeners could not have another.
TEST(PrimarySecondaryGroup, CannotServeTwoListenersInModeNat) {
  const std::string_view two = "{protocol: tcp, port: 80, server_group: g}, {protocol: tcp, port: 81, server_group: g}";
  EXPECT_THAT(errors(with_group(both, two)), ElementsAre(HasSubstr("shares group `g` as a whole with")));
}

TEST(PrimarySecondaryGroup, MakesSlowStartPointless) {
  EXPECT_THAT(findings(with_group(both, "{protocol: tcp, port: 80, server_group: g, slow_start: 5}")),
              ElementsAre(HasSubstr("warning: `slow_start` has no effect with a primary/secondary group")));
}

}  // namespace
}  // namespace steelyard::control::config
