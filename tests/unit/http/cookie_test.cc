// Values and marks of session cookies, and how a Cookie field is taken apart.
#include "dataplane/http/cookie.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace steelyard::http {
namespace {

using Fault = SessionCookies::Fault;
using Stamp = SessionCookies::Stamp;

constexpr std::uint32_t now = 1'800'000'000;
constexpr std::uint32_t timeout = 500;
constexpr std::uint32_t day = 24 * 60 * 60;
constexpr std::string_view characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

CookieKey key_of(std::uint8_t first) {
  CookieKey key;
  for (std::size_t place = 0; place < key.octets.size(); ++place) {
    key.octets[place] = static_cast<std::uint8_t>(first + place);
  }
  return key;
}
service::Server server_at(std::string_view address, std::uint16_t port) {
  service::Server server;
  server.address = service::Address::parse(address).value();
  server.port = port;
  return server;
}

class SessionCookiesTest : public testing::Test {
 protected:
  [[nodiscard]] std::string value_seen(std::uint32_t last_seen) const {
    return std::string(cookies_.write({tag_, last_seen, now - 1'000}).view());
  }
  [[nodiscard]] bool is(std::string_view value, Fault fault) const {
    const auto read = cookies_.read(value, now, timeout);
    return !read && read.error() == fault;
  }
  [[nodiscard]] bool is_valid(std::string_view value) const { return cookies_.read(value, now, timeout).has_value(); }

  SessionCookies cookies_{key_of(1)};
  ServerTag tag_ = cookies_.tag_of(server_at("192.0.2.1", 80));
};

TEST_F(SessionCookiesTest, WhatIsWrittenIsRead) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 1'000; ++round) {
    const Stamp stamp{
        {random()}, now - static_cast<std::uint32_t>(random() % timeout), static_cast<std::uint32_t>(random())};
    const auto value = cookies_.write(stamp);
    EXPECT_EQ(cookies_.read(value.view(), now, timeout), stamp);
    EXPECT_EQ(value.view().size(), 32U);
    EXPECT_EQ(value.view().find_first_not_of(characters), std::string_view::npos);
    const auto mark = cookies_.mark_of(stamp.server);
    EXPECT_EQ(cookies_.read_mark(std::string(mark.view()) + "original"), stamp.server);
    EXPECT_EQ(mark.view().find_first_not_of(characters), 22U);
  }
}

// Every node understands every node's cookies: whoever changes these ends all sessions of a cluster that is updated
// node by node.
TEST_F(SessionCookiesTest, TheFormatIsTheSameEverywhereAndStays) {
  EXPECT_EQ(tag_.value, 0xa0b502fcb7239e6aU);
  EXPECT_EQ(cookies_.write({tag_, now, now - 1}).view(), "oLUC_LcjnmprSdIAa0nR_4tqsM0HWElx");
  EXPECT_EQ(cookies_.mark_of(tag_).view(), "oLUC_LcjnmqwunYhHoixUw~");
}

TEST_F(SessionCookiesTest, AServersTagDependsOnAddressPortAndKeyAndOnNothingElse) {
  std::set<std::uint64_t> tags{tag_.value, cookies_.tag_of(server_at("192.0.2.1", 81)).value,
                               cookies_.tag_of(server_at("192.0.2.2", 80)).value,
                               cookies_.tag_of(server_at("2001:db8::1", 80)).value,
                               SessionCookies(key_of(2)).tag_of(server_at("192.0.2.1", 80)).value};
  EXPECT_EQ(tags.size(), 5U);
  service::Server same = server_at("192.0.2.1", 80);
  same.weight = 0;
  same.id.value = 77;
  EXPECT_EQ(SessionCookies(key_of(1)).tag_of(same), tag_);
}

TEST_F(SessionCookiesTest, EachOctetOfTheKeyCounts) {
  for (std::size_t place = 0; place < 32; ++place) {
    CookieKey other = key_of(1);
    other.octets[place] ^= 1U;
    const SessionCookies others(other);
    EXPECT_NE(others.tag_of(server_at("192.0.2.1", 80)), tag_);
    EXPECT_EQ(others.read(value_seen(now), now, timeout), tl::unexpected(Fault::invalid));
    EXPECT_EQ(others.read_mark(cookies_.mark_of(tag_).view()), std::nullopt);
  }
}

TEST_F(SessionCookiesTest, AKeyWhoseHalvesAreEqualIsAKeyLikeAnyOther) {
  std::set<std::uint64_t> tags{tag_.value};
  for (const unsigned octet : {0U, 1U, 255U}) {
    CookieKey key;
    key.octets.fill(static_cast<std::uint8_t>(octet));
    tags.insert(SessionCookies(key).tag_of(server_at("192.0.2.1", 80)).value);
  }
  EXPECT_EQ(tags.size(), 4U);
}

TEST_F(SessionCookiesTest, EveryOtherTextThanTheOneWrittenIsInvalid) {
  const std::string value = value_seen(now);
  for (std::size_t place = 0; place < value.size(); ++place) {
    for (int octet = 0; octet < 256; ++octet) {
      std::string changed = value;
      changed[place] = static_cast<char>(octet);
      if (changed != value) {
        ASSERT_TRUE(is(changed, Fault::invalid)) << changed;
      }
    }
  }
}

TEST_F(SessionCookiesTest, EveryOtherMarkThanTheOneWrittenIsNone) {
  const std::string marked = std::string(cookies_.mark_of(tag_).view()) + "x";
  for (std::size_t place = 0; place < SessionCookies::mark_octets; ++place) {
    for (int octet = 0; octet < 256; ++octet) {
      std::string changed = marked;
      changed[place] = static_cast<char>(octet);
      if (changed != marked) {
        ASSERT_EQ(cookies_.read_mark(changed), std::nullopt) << changed;
      }
    }
  }
}

TEST_F(SessionCookiesTest, OtherSpellingsOfTheSameOctetsAreInvalid) {
  const std::string value = value_seen(now);
  for (const std::string& other : {std::string(), value + "=", value + "A", " " + value, value + " ",
                                   "\"" + value + "\"", value.substr(0, 31), value.substr(1), value + value}) {
    EXPECT_TRUE(is(other, Fault::invalid)) << other;
  }
  // The last character of a mark has four bits that say nothing.
  const std::string mark(cookies_.mark_of(tag_).view());
  const std::size_t last = characters.find(mark[21]);
  ASSERT_EQ(last % 16, 0U);
  for (std::size_t unused = 1; unused < 16; ++unused) {
    std::string changed = mark;
    changed[21] = characters[last + unused];
    EXPECT_EQ(cookies_.read_mark(changed), std::nullopt);
  }
}

TEST_F(SessionCookiesTest, AnyLengthAndAnyOctetsMayCome) {
  std::mt19937 random(2);
  for (std::size_t length = 0; length < 200; ++length) {
    for (int round = 0; round < 20; ++round) {
      std::string text;
      while (text.size() < length) {
        text += round % 2 == 0 ? static_cast<char>(random()) : characters[random() % 64];
      }
      EXPECT_TRUE(is(text, Fault::invalid));
      EXPECT_EQ(cookies_.read_mark(text), std::nullopt);
      if (length > 22) {
        text[22] = '~';
        EXPECT_EQ(cookies_.read_mark(text), std::nullopt);
      }
    }
  }
  EXPECT_TRUE(is(std::string(1'000'000, 'A'), Fault::invalid));
}

TEST_F(SessionCookiesTest, ACookieExpiresWhenItsClientWasLastSeenLongerAgoThanTheTimeout) {
  EXPECT_TRUE(is_valid(value_seen(now)));
  EXPECT_TRUE(is_valid(value_seen(now - timeout)));
  EXPECT_TRUE(is(value_seen(now - timeout - 1), Fault::expired));
  EXPECT_TRUE(is(value_seen(0), Fault::expired));
}

TEST_F(SessionCookiesTest, ACookieFromMoreThanADayInTheFutureIsNone) {
  EXPECT_TRUE(is_valid(value_seen(now + day)));
  EXPECT_TRUE(is(value_seen(now + day + 1), Fault::expired));
  EXPECT_TRUE(is(value_seen(std::numeric_limits<std::uint32_t>::max()), Fault::expired));
}

TEST_F(SessionCookiesTest, TimesAtTheEndsOfTheirRangeDoNotWrapRound) {
  constexpr std::uint32_t end = std::numeric_limits<std::uint32_t>::max();
  const std::string first(cookies_.write({tag_, 0, 0}).view());
  const std::string last(cookies_.write({tag_, end, 0}).view());
  EXPECT_TRUE(cookies_.read(first, 0, 0));
  EXPECT_FALSE(cookies_.read(last, 0, end));
  EXPECT_TRUE(cookies_.read(last, end - day, 0));
  EXPECT_TRUE(cookies_.read(first, end, end));
  EXPECT_FALSE(cookies_.read(first, end, end - 1));
}

TEST_F(SessionCookiesTest, AValueIsWrittenAnewAfterAnEighthOfTheTimeoutOrAMinute) {
  const auto needs = [](std::uint32_t last_seen, std::uint32_t some_timeout) {
    return SessionCookies::needs_refresh({{}, last_seen, 0}, now, some_timeout);
  };
  EXPECT_FALSE(needs(now, 80));
  EXPECT_FALSE(needs(now - 10, 80));
  EXPECT_TRUE(needs(now - 11, 80));
  EXPECT_FALSE(needs(now - 60, 86'400));
  EXPECT_TRUE(needs(now - 61, 86'400));
  EXPECT_TRUE(needs(now - 1, 1));
  EXPECT_FALSE(needs(now + 60, 86'400)) << "clocks of nodes differ a little";
  EXPECT_TRUE(needs(now + 61, 86'400));
}

TEST_F(SessionCookiesTest, AMarkIsNoValueAndNeitherMacIsTheOthers) {
  const std::string mark(cookies_.mark_of(tag_).view());
  EXPECT_TRUE(is(mark, Fault::invalid));
  EXPECT_TRUE(is(mark + "123456789", Fault::invalid)) << "as long as a value";
  std::string value = value_seen(now);
  EXPECT_EQ(cookies_.read_mark(value), std::nullopt);
  value[22] = '~';
  EXPECT_EQ(cookies_.read_mark(value), std::nullopt);
}

std::vector<std::pair<std::string, std::string>> cookies_in(std::string_view field) {
  std::vector<std::pair<std::string, std::string>> found;
  CookieList list(field);
  while (const auto cookie = list.next()) {
    found.emplace_back(cookie->name, cookie->value);
  }
  EXPECT_FALSE(list.next());
  return found;
}
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

TEST(CookieList, NamesAndValuesAreWhatStandsBetweenSemicolons) {
  EXPECT_THAT(cookies_in("a=1; b=2;c=3"), ElementsAre(Pair("a", "1"), Pair("b", "2"), Pair("c", "3")));
  EXPECT_THAT(cookies_in(""), IsEmpty());
}

TEST(CookieList, WhiteSpaceAroundNamesAndValuesIsNoPartOfThem) {
  EXPECT_THAT(cookies_in("  a =\t1 ;\tb\t= 2  3\t"), ElementsAre(Pair("a", "1"), Pair("b", "2  3")));
}

TEST(CookieList, EmptyCookiesArePassedOverAndEmptyNamesAndValuesAreNot) {
  EXPECT_THAT(cookies_in(";; ; \t;a=;;=b;=; c;"),
              ElementsAre(Pair("a", ""), Pair("", "b"), Pair("", ""), Pair("", "c")));
}

TEST(CookieList, QuotesArePartOfAValueAndHideNothing) {
  EXPECT_THAT(cookies_in(R"(a="1; b=2"; c="3")"), ElementsAre(Pair("a", "\"1"), Pair("b", "2\""), Pair("c", "\"3\"")));
}

TEST(CookieList, AValueGoesOnAfterItsFirstEqualsSign) {
  EXPECT_THAT(cookies_in("a=b=c==; ==d"), ElementsAre(Pair("a", "b=c=="), Pair("", "=d")));
}

TEST(CookieList, TheWholeCookieIsTheFieldsOwnText) {
  const std::string_view field = " a = 1 ;b";
  CookieList list(field);
  const auto first = list.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->whole, "a = 1");
  EXPECT_EQ(first->whole.data(), field.data() + 1);
  EXPECT_EQ(list.next()->whole, "b");
}

}  // namespace
}  // namespace steelyard::http
