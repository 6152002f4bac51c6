// Where a head ends, and that its lines end in CR LF and in nothing else.
#include "dataplane/http/lines.h"

#include <gtest/gtest.h>
#include <llhttp.h>

#include <random>
#include <string>

#include "tests/unit/http/messages.h"

namespace steelyard::http {
namespace {

using namespace std::literals;

std::optional<std::size_t> end_of(std::string_view text) {
  const std::vector<std::uint8_t> octets(text.begin(), text.end());
  HeadScanner scanner;
  return scanner.scan(octets);
}

TEST(HeadScanner, FindsTheEmptyLineInEveryNotation) {
  for (const auto* const text :
       {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\n", "GET / HTTP/1.1\rHost: a\r\r", "\r\nGET / HTTP/1.1\r\n\r\n", "\r\n\r\n",
        "\n\n", "\r\r", "\r\n\n"}) {
    EXPECT_EQ(end_of(std::string(text) + "body\r\n\r\n"), std::string_view{text}.size()) << text;
  }
}

TEST(HeadScanner, WaitsAsLongAsNoEmptyLineHasCome) {
  for (const std::string_view text : {""sv, "\r"sv, "\r\n"sv, "\n"sv, "GET"sv, "GET / HTTP/1.1\r\nHost: a\r\n"sv,
                                      "a\r\n\r"sv, "a\rb\rc\nd\ne"sv, "a\r\nb\r\n"sv}) {
    EXPECT_EQ(end_of(text), std::nullopt) << text;
  }
}

TEST(HeadScanner, ACrAloneInAnEmptyLineEndsTheHeadBeforeWhatFollows) {
  EXPECT_EQ(end_of("a\r\n\rb"), 4U);
  HeadScanner scanner;
  const std::vector<std::uint8_t> first{'a', '\r', '\n', '\r'};
  EXPECT_EQ(scanner.scan(first), std::nullopt);
  EXPECT_EQ(scanner.scan(std::vector<std::uint8_t>{'b'}), 0U);
}

TEST(HeadScanner, FindsTheSameEndInAnySplit) {
  std::mt19937 random{11};
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::uint8_t> octets(1 + random() % 80);
    for (auto& octet : octets) {
      octet = static_cast<std::uint8_t>("\r\n\rab: c"[random() % (random() % 4 == 0 ? 3 : 8)]);
    }
    HeadScanner whole;
    const auto expected = whole.scan(octets);
    HeadScanner pieces;
    std::optional<std::size_t> found;
    std::size_t at = 0;
    while (at < octets.size() && !found) {
      const std::size_t size = std::min<std::size_t>(random() % 7, octets.size() - at);
      found = pieces.scan(std::span(octets).subspan(at, size));
      if (found) {
        *found += at;
      }
      at += size;
    }
    ASSERT_EQ(found, expected) << std::string(octets.begin(), octets.end());
  }
}

TEST(HeadScanner, StartsAnewAfterReset) {
  HeadScanner scanner;
  const std::string_view text = "a\r\n\r\n";
  const std::vector<std::uint8_t> octets(text.begin(), text.end());
  EXPECT_EQ(scanner.scan(octets), 5U);
  EXPECT_EQ(scanner.scan(octets), 0U) << "it has ended";
  scanner.reset();
  EXPECT_EQ(scanner.scan(octets), 5U);
}

// A head of that many octets before the last field's line, so that faults fall on every place of a vector.
std::string padded(std::size_t padding, std::string_view last_line) {
  return "GET / HTTP/1.1\r\nP: " + std::string(padding, 'p') + "\r\n" + std::string(last_line) + "\r\n\r\n";
}

TEST(Lines, FaultsAreFoundAtEveryPlace) {
  for (std::size_t padding = 0; padding < 40; ++padding) {
    EXPECT_EQ(check_lines(padded(padding, "A: b")).fault, nullptr);
    EXPECT_EQ(check_lines(padded(padding, "A: b")).fields, 2U);
    EXPECT_STREQ(check_lines(padded(padding, "A: \nb")).fault, "a LF without CR");
    EXPECT_STREQ(check_lines(padded(padding, "A: \rb")).fault, "a CR without LF");
    EXPECT_STREQ(check_lines(padded(padding, "A: b\r")).fault, "a CR without LF");
    EXPECT_STREQ(check_lines(padded(padding, "A: \0b"sv)).fault, "a NUL");
    EXPECT_STREQ(check_lines(padded(padding, "A: b\r\n c")).fault, "a folded line");
    EXPECT_STREQ(check_lines(padded(padding, "A: b\r\n\tc")).fault, "a folded line");
    EXPECT_STREQ(check_lines(padded(padding, "A: b\r\n\r\nc")).fault, "an empty line before the end");
    const std::string whole = padded(padding, "A: b");
    for (std::size_t cut = 1; cut <= 4; ++cut) {
      EXPECT_NE(check_lines(std::string_view{whole}.substr(0, whole.size() - cut)).fault, nullptr) << cut;
    }
  }
}

TEST(Lines, NoControlCharacterButATabIsAllowed) {
  for (int octet = 0; octet < 256; ++octet) {
    const bool control = (octet < 0x20 && octet != '\t') || octet == 0x7f;
    EXPECT_EQ(check_lines(padded(3, std::string("A: b") + static_cast<char>(octet) + "c")).fault != nullptr, control)
        << octet;
  }
}

// The proof that llhttp is built strictly: what it lets through otherwise, it refuses by itself.
TEST(Llhttp, IsStrict) {
  static_assert(LLHTTP_STRICT_MODE == 1);
  for (const std::string_view loose :
       {"GET / HTTP/1.1\r\nna me: b\r\n\r\n"sv, "GET /\x80 HTTP/1.1\r\n\r\n"sv, "GET /\f HTTP/1.1\r\n\r\n"sv}) {
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    llhttp_t parser;
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    EXPECT_NE(llhttp_execute(&parser, loose.data(), loose.size()), HPE_OK) << loose;
    EXPECT_EQ(parser.lenient_flags, 0);
  }
}

}  // namespace
}  // namespace steelyard::http
