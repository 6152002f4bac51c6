// Access control lists and the listeners that use them: what is read, and what is refused, where.
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
using testing::warnings;
using testing::with_listener;

// One listener in line 6 and a list `a` in line 1.
std::string with_list(std::string_view entries, std::string_view access = "{type: white, lists: [a]}") {
  // One line, so that the lines of with_listener() move by one.
  return "access_control_lists: [{name: a, entries: " + std::string(entries) + "}]\n" +
         with_listener("protocol: tcp, port: 80, server_group: g, access_control: " + std::string(access));
}

TEST(AccessControlLists, HoldNetworksAndAddressesOfBothFamiliesWithAndWithoutComments) {
  const auto read = load_text(with_list("[198.51.100.0/24, 203.0.113.7, '2001:db8:5::/48', '2001:db8::1', "
                                        "{entry: 10.0.0.0/8, comment: 'the old site'}]"),
                              "f");
  ASSERT_TRUE(read.config);
  const auto& list = read.config->access_control_lists.at(0);
  ASSERT_EQ(list.entries.size(), 5U);
  EXPECT_EQ(list.entries[0].network, *Prefix::parse("198.51.100.0/24"));
  EXPECT_EQ(list.entries[1].network, *Prefix::parse("203.0.113.7/32"));
  EXPECT_EQ(list.entries[3].network, *Prefix::parse("2001:db8::1/128"));
  EXPECT_EQ(list.entries[4].comment, "the old site");
  const auto& access = read.config->load_balancers[0].listeners[0].access_control;
  ASSERT_TRUE(access);
  EXPECT_EQ(access->type, AccessType::white);
  EXPECT_EQ(access->lists.at(0).name, "a");
  EXPECT_THAT(errors(with_list("[10.0.0.0/8]", "{type: black, lists: [a]}")), IsEmpty());
}

TEST(AccessControlLists, WithoutOneEverybodyMayComeIn) {
  const auto read = load_text(with_listener("protocol: tcp, port: 80, server_group: g"), "f");
  ASSERT_TRUE(read.config);
  EXPECT_FALSE(read.config->load_balancers[0].listeners[0].access_control);
}

TEST(AccessControlLists, AnEntryThatIsNoneIsRefusedWhereItStands) {
  EXPECT_THAT(
      errors(with_list("[10.0.0.1/8]")),
      ElementsAre("1:44: error: an entry of the list is `10.0.0.1/8`, which has host bits; allowed: the network "
                  "`10.0.0.0/8`, or an address"));
  for (const char* wrong : {"10.0.0.0/33", "10.0.0", "2001:db8::/129", "office", "10.0.0.0/08", "10.0.0.0/", "[]",
                            "'::ffff:10.0.0.1'", "''"}) {
    EXPECT_THAT(errors(with_list("[10.0.0.0/8, " + std::string(wrong) + "]")),
                ElementsAre(::testing::AllOf(::testing::StartsWith("1:56: error: an entry of the list is "),
                                             HasSubstr("allowed: a network such as"))))
        << wrong;
  }
  EXPECT_THAT(errors(with_list("[{entry: x, comment: y}]")), ElementsAre(HasSubstr("1:52: error: `entry` is `x`")));
  EXPECT_THAT(errors(with_list("[{comment: y}]")), ElementsAre(HasSubstr("`entry` is missing")));
  EXPECT_THAT(errors(with_list("[{entry: 10.0.0.1, coment: y}]")), ElementsAre(HasSubstr("unknown key `coment`")));
  EXPECT_THAT(errors(with_list("10.0.0.1")),
              ElementsAre(HasSubstr("1:43: error: `entries` is `10.0.0.1`; allowed: a list")));
}

TEST(AccessControlLists, HoldAThousandEntriesAndNoMore) {
  std::string entries = "[10.0.0.1";
  for (int entry = 1; entry < 1'000; ++entry) {
    entries += ",10.1." + std::to_string(entry / 250) + '.' + std::to_string(entry % 250);
  }
  EXPECT_THAT(errors(with_list(entries + "]")), IsEmpty());
  EXPECT_THAT(errors(with_list(entries + ",10.0.0.2]")),
              ElementsAre(HasSubstr("1:43: error: `entries` has 1001 entries; allowed: at most 1000")));
}

TEST(AccessControlLists, DifferInName) {
  EXPECT_THAT(errors("access_control_lists: [{name: a, entries: [10.0.0.1]}, {name: a, entries: []}]\n" +
                     with_listener("protocol: tcp, port: 80, server_group: g, access_control: {type: black, lists: "
                                   "[a]}")),
              ElementsAre("1:56: error: a second access control list is named `a`, after line 1; names must differ"));
}

TEST(AccessControl, NamesListsThatExist) {
  EXPECT_THAT(
      errors(with_list("[10.0.0.1]", "{type: white, lists: [a, b1]}")),
      ElementsAre("7:93: error: there is no access control list `b1`; allowed: a name of `access_control_lists`"));
  const std::string office = "access_control_lists: [{name: office, entries: [10.0.0.1]}]\n";
  EXPECT_THAT(errors(office + with_listener("protocol: tcp, port: 80, server_group: g, access_control: {type: white, "
                                            "lists: [ofice]}")),
              ElementsAre(HasSubstr("did you mean `office`?")));
}

TEST(AccessControl, AListThatCouldNotBeReadDoesNotMakeItsUsersWrong) {
  EXPECT_THAT(
      errors("access_control_lists: [{nam: a, entries: [10.0.0.1]}]\n" +
             with_listener("protocol: tcp, port: 80, server_group: g, access_control: {type: white, lists: [a]}")),
      ElementsAre(HasSubstr("`name` is missing"), HasSubstr("unknown key `nam`")));
}

TEST(AccessControl, NeedsATypeAndLists) {
  EXPECT_THAT(errors(with_list("[10.0.0.1]", "{lists: [a]}")), ElementsAre(HasSubstr("`type` is missing")));
  EXPECT_THAT(errors(with_list("[10.0.0.1]", "{type: grey, lists: [a]}")),
              ElementsAre(HasSubstr("`type` is `grey`; allowed: `white`, `black`")));
  EXPECT_THAT(errors(with_list("[10.0.0.1]", "{type: black}")), ElementsAre(HasSubstr("`lists` is missing")));
  EXPECT_THAT(errors(with_list("[10.0.0.1]", "{type: black, lists: []}")),
              ElementsAre(HasSubstr("`lists` is an empty list; allowed: a list of names")));
  EXPECT_THAT(errors(with_list("[10.0.0.1]", "{type: black, lists: a}")),
              ElementsAre(HasSubstr("`lists` is `a`; allowed: a list of names")));
}

TEST(AccessControl, AWhiteListThatLetsNobodyInIsWarnedOf) {
  const auto closed = ElementsAre(HasSubstr("the white list has no IPv4 entry: the listener lets nobody in"));
  EXPECT_THAT(findings(with_list("[]")), closed);
  EXPECT_THAT(findings(with_list("['2001:db8::/32']")), closed);
  EXPECT_THAT(findings(with_list("['2001:db8::/32', 10.0.0.0/8]")), IsEmpty());
  EXPECT_THAT(findings(with_list("[]", "{type: black, lists: [a]}")), IsEmpty());
}

TEST(AccessControl, AnUnusedListIsWarnedOf) {
  EXPECT_THAT(warnings("access_control_lists: [{name: a, entries: []}]\n" +
                       with_listener("protocol: tcp, port: 80, server_group: g")),
              ElementsAre("1:24: warning: access control list `a` is used by no listener"));
}

}  // namespace
}  // namespace steelyard::control::config
