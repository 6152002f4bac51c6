#include "control/admin/request_line.h"

#include <gmock/gmock.h>

namespace steelyard::control {
namespace {

using ::testing::HasSubstr;

TEST(LineReader, GivesALineOnlyWhenItIsComplete) {
  LineReader lines(100);
  lines.append("{\"a\"");
  EXPECT_EQ(lines.next().value(), std::nullopt);
  lines.append(":1}\nrest");
  EXPECT_EQ(lines.next().value(), "{\"a\":1}");
  EXPECT_EQ(lines.next().value(), std::nullopt);
}

TEST(LineReader, GivesSeveralLinesOfOneReadOneAfterTheOther) {
  LineReader lines(100);
  lines.append("one\r\n\ntwo\n");
  EXPECT_EQ(lines.next().value(), "one");
  EXPECT_EQ(lines.next().value(), "");
  EXPECT_EQ(lines.next().value(), "two");
  EXPECT_EQ(lines.next().value(), std::nullopt);
}

TEST(LineReader, TakesTheLongestLineAndRefusesOneByteMore) {
  LineReader exact(4);
  exact.append("abcd\n");
  EXPECT_EQ(exact.next().value(), "abcd");
  LineReader longer(4);
  longer.append("abcde\n");
  EXPECT_FALSE(longer.next());
}

TEST(LineReader, RefusesALongLineBeforeItsEndHasCome) {
  LineReader lines(4);
  lines.append("abcd");
  EXPECT_EQ(lines.next().value(), std::nullopt);
  lines.append("e");
  EXPECT_FALSE(lines.next());
}

TEST(ParseRequest, GivesTheObject) {
  EXPECT_EQ(parse_request(R"({"command":"status"})").value().at("command"), "status");
}

TEST(ParseRequest, SaysWhatIsWrongAndWhatARequestLooksLike) {
  for (const char* line : {"", "status", "{", "{\"a\":}", "{} {}", "[1]", "7", "null", "{\"a\":\"\xff\"}"}) {
    const auto request = parse_request(line);
    ASSERT_FALSE(request) << line;
    EXPECT_THAT(request.error(), HasSubstr("the request is not")) << line;
    EXPECT_THAT(request.error(), HasSubstr(R"({"command":"status"})")) << line;
  }
}

TEST(ParseRequest, RefusesDeepNesting) {
  EXPECT_FALSE(parse_request("{\"a\":" + std::string(1000, '[') + std::string(1000, ']') + "}"));
}

}  // namespace
}  // namespace steelyard::control
