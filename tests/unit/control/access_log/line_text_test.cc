// Escaping and times: nothing but printable ASCII leaves here.
#include "control/access_log/line_text.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <random>
#include <string>

namespace steelyard::control::access_log {
namespace {

std::string json(std::string_view text) {
  std::string line;
  append_json(line, text);
  return line;
}
std::string escaped(std::string_view text) {
  std::string line;
  append_escaped(line, text);
  return line;
}
template <class Append>
std::string written(Append append, std::uint64_t number) {
  std::string line;
  append(line, number);
  return line;
}
bool is_printable_ascii(std::string_view text) {
  return text.find_first_of(std::string_view("\"", 0)) == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [](char octet) { return octet >= ' ' && octet < 0x7f; });
}

TEST(JsonText, WhatIsPlainStaysPlain) {
  EXPECT_EQ(json("/a/b?c=d&e <'>"), "\"/a/b?c=d&e <'>\"");
  EXPECT_EQ(json(""), "\"\"");
}

TEST(JsonText, QuotesBackslashesAndControlCharactersAreEscaped) {
  EXPECT_EQ(json("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(json(std::string_view("\r\n\0\x1b\x7f\t", 6)), R"("\u000d\u000a\u0000\u001b\u007f\u0009")");
}

TEST(JsonText, CharactersBeyondAsciiAreWrittenByTheirNumbers) {
  EXPECT_EQ(json("\xc3\xbc"), R"("\u00fc")");
  EXPECT_EQ(json("\xe2\x80\xae"), R"("\u202e")") << "turns the direction of what follows";
  EXPECT_EQ(json("\xc2\x9b"), R"("\u009b")") << "begins a sequence of a terminal";
  EXPECT_EQ(json("\xf0\x9f\x98\x80"), R"("\ud83d\ude00")");
  EXPECT_EQ(json("\xf4\x8f\xbf\xbf"), R"("\udbff\udfff")");
}

TEST(JsonText, WhatIsNoUtf8IsReplacedOctetByOctet) {
  for (const char* invalid : {"\xff", "\x80", "\xc3", "\xf8", "\xfe"}) {
    EXPECT_EQ(json(invalid), R"("\ufffd")");
  }
  EXPECT_EQ(json("\xc3\"x"), R"("\ufffd\"x")") << "a lead takes no quote with it";
  EXPECT_EQ(json("\xe2\x80"), R"("\ufffd\ufffd")") << "cut";
  EXPECT_EQ(json("\xc0\xaf"), R"("\ufffd\ufffd")") << "overlong";
  EXPECT_EQ(json("\xe0\x80\xaf"), R"("\ufffd\ufffd\ufffd")");
  EXPECT_EQ(json("\xed\xa0\x80"), R"("\ufffd\ufffd\ufffd")") << "a surrogate";
  EXPECT_EQ(json("\xf4\x90\x80\x80"), R"("\ufffd\ufffd\ufffd\ufffd")") << "above U+10FFFF";
}

TEST(JsonText, AnyOctetsMakeAStringThatParsers) {
  std::mt19937 random(4);
  for (int round = 0; round < 5'000; ++round) {
    std::string text;
    for (auto count = random() % 30; count > 0; --count) {
      text += static_cast<char>(round % 2 == 0 ? random() : 0x80 + random() % 0x80);
    }
    const std::string made = json(text);
    ASSERT_TRUE(is_printable_ascii(made));
    ASSERT_TRUE(boost::json::parse(made).is_string()) << made;
    ASSERT_TRUE(is_printable_ascii(escaped(text)));
    ASSERT_EQ(escaped(text).find('"'), std::string::npos);
  }
}

TEST(EscapedText, IsNginxs) {
  EXPECT_EQ(escaped("/a b~!"), "/a b~!");
  EXPECT_EQ(escaped("a\"b\\c\n\xc3\xbc\x7f"), "a\\x22b\\x5cc\\x0a\\xc3\\xbc\\x7f");
}

TEST(Numbers, HaveTheDigitsThatAreAskedFor) {
  EXPECT_EQ(written(append_number, 0), "0");
  EXPECT_EQ(written(append_number, 18'446'744'073'709'551'615U), "18446744073709551615");
  EXPECT_EQ(written(append_seconds, 0), "0.000");
  EXPECT_EQ(written(append_seconds, 61'002'999), "61.002");
  std::string line = "x";
  append_digits(line, 1'234, 3);
  append_digits(line, 5, 2);
  EXPECT_EQ(line, "x23405");
}

TEST(Times, AreOfUtcInTheFormsOfTheirPrograms) {
  constexpr std::uint64_t time = 1'795'694'400'123'456;
  EXPECT_EQ(written(append_iso8601, time), "2026-11-26T12:00:00.123456Z");
  EXPECT_EQ(written(append_iso8601_seconds, time), "2026-11-26T12:00:00+00:00");
  EXPECT_EQ(written(append_common_log, time), "26/Nov/2026:12:00:00 +0000");
  EXPECT_EQ(written(append_haproxy, time), "26/Nov/2026:12:00:00.123");
  EXPECT_EQ(written(append_iso8601, 0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(written(append_iso8601, 951'868'799'999'999), "2000-02-29T23:59:59.999999Z");
}

}  // namespace
}  // namespace steelyard::control::access_log
