// How findings are worded, ordered, limited and kept from harming a terminal.
#include "control/config/diagnostic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "control/config/scalars.h"

namespace steelyard::control::config {
namespace {

TEST(Diagnostic, IsPrintedAsFileLineColumnSeverityMessage) {
  EXPECT_EQ(to_string(Diagnostic{Severity::error, "a.yaml", 3, 7, "wrong"}), "a.yaml:3:7: error: wrong");
  EXPECT_EQ(to_string(Diagnostic{Severity::warning, "a.yaml", 0, 0, "odd"}), "a.yaml: warning: odd");
}

TEST(Diagnostic, QuotedTextHasNoControlCharactersAndIsCut) {
  EXPECT_EQ(in_quotes("a\x1b[31m\n"), "`a\\x1b[31m\\x0a`");
  EXPECT_EQ(in_quotes("\xe2\x80\xae"), "`\\xe2\\x80\\xae`");
  EXPECT_EQ(in_quotes(std::string(64, 'x')), '`' + std::string(64, 'x') + '`');
  EXPECT_EQ(in_quotes(std::string(65, 'x')), '`' + std::string(64, 'x') + "...`");
}

TEST(Report, GivesFindingsInTheOrderOfTheFile) {
  Report report("f");
  report.error({9, 1}, "c");
  report.warning({2, 5}, "b");
  report.error({2, 1}, "a");
  const auto findings = report.take();
  ASSERT_EQ(findings.size(), 3U);
  EXPECT_EQ(findings[0].message + findings[1].message + findings[2].message, "abc");
  EXPECT_TRUE(has_errors(findings));
}

TEST(Report, KeepsAThousandErrorsAndCountsTheOthers) {
  Report report("f");
  for (std::uint32_t line = 1; line <= 1500; ++line) {
    report.error({line, 1}, "wrong");
  }
  EXPECT_TRUE(report.is_full());
  const auto findings = report.take();
  ASSERT_EQ(findings.size(), Report::limit + 1);
  EXPECT_EQ(to_string(findings.back()), "f: error: 500 more errors not shown");
}

TEST(Report, WarningsDoNotCrowdOutErrors) {
  Report report("f");
  for (std::uint32_t line = 1; line <= 1500; ++line) {
    report.warning({line, 1}, "odd");
  }
  report.error({2000, 1}, "wrong");
  EXPECT_TRUE(has_errors(report.take()));
}

TEST(Suggestions, NameTheNearestWordOrNone) {
  constexpr std::array<std::string_view, 5> words{"name", "address", "health_check", "port", "server_group"};
  EXPECT_EQ(nearest_word("nmae", words), "name");
  EXPECT_EQ(nearest_word("adress", words), "address");
  EXPECT_EQ(nearest_word("server_groups", words), "server_group");
  EXPECT_EQ(nearest_word("health", words), "health_check");
  EXPECT_EQ(nearest_word("listener_port", words), "port");
  EXPECT_EQ(nearest_word("xyzzy", words), "");
  EXPECT_EQ(nearest_word("", words), "");
  EXPECT_EQ(nearest_word(std::string(100000, 'a'), words), "");
}

}  // namespace
}  // namespace steelyard::control::config
