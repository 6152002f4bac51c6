#include "control/cli/table.h"

#include <gtest/gtest.h>

namespace steelyard::control::cli {
namespace {

TEST(Table, AlignsColumnsAndLeavesNoTrailingBlanks) {
  Table table({{"NAME"}, {"COUNT", Table::Align::right}, {"NOTE"}}, 2);
  table.add({"a", "5", "long note"});
  table.add({"longer", "1234567", ""});
  EXPECT_EQ(table.str(),
            "  NAME      COUNT  NOTE\n"
            "  a             5  long note\n"
            "  longer  1234567\n");
}

TEST(Table, PutsNotesBelowTheirRowWithoutWideningColumns) {
  Table table({{"A"}, {"B"}});
  table.add({"1", "2"});
  table.note("a note that is longer than any cell");
  table.add({"3", "4"});
  EXPECT_EQ(table.str(),
            "A  B\n"
            "1  2\n"
            "    a note that is longer than any cell\n"
            "3  4\n");
}

TEST(Table, HasNoHeadLineWithoutTitles) {
  Table table({{""}, {""}});
  table.add({"1", "2"});
  EXPECT_EQ(table.str(), "1  2\n");
}

TEST(Table, FillsMissingCellsAndDropsSurplusOnes) {
  Table table({{"A"}, {"B"}});
  table.add({"1"});
  table.add({"1", "2", "3"});
  EXPECT_EQ(table.str(), "A  B\n1\n1  2\n");
}

TEST(Table, LetsNothingControlTheTerminal) {
  Table table({{"A"}});
  table.add({"\x1b[2J\n"});
  table.note("\r\xff");
  EXPECT_EQ(table.str(), "A\n\\x1b[2J\\x0a\n    \\x0d\\xff\n");
}

}  // namespace
}  // namespace steelyard::control::cli
