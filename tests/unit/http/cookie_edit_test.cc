// What session cookies do to requests and answers: http.md's table, as far as cookies alone decide it.
#include "dataplane/http/cookie_edit.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace steelyard::http {
namespace {

constexpr std::uint32_t now = 1'800'000'000;
constexpr std::uint32_t timeout = 500;

class CookieEditTest : public testing::Test {
 protected:
  CookieEditTest() {
    CookieKey key;
    key.octets.fill(7);
    cookies_ = SessionCookies(key);
    std::vector<std::uint64_t> tags;
    for (std::uint16_t place = 0; place < 4; ++place) {
      tags_of_.push_back(tag_at(static_cast<std::uint16_t>(8'080 + place)));
      tags.push_back(tags_of_.back().value);
    }
    tags_ = service::ServerTags(tags);
  }
  ServerTag tag_at(std::uint16_t port) {
    service::Server server;
    server.address = service::Address::parse("192.0.2.1").value();
    server.port = port;
    return cookies_.tag_of(server);
  }
  // The value for the server at that place, or for one that is not there.
  std::string value_of(std::size_t place, std::uint32_t last_seen = now) {
    const ServerTag tag = place < tags_of_.size() ? tags_of_[place] : tag_at(9'999);
    return std::string(cookies_.write({tag, last_seen, now - 5'000}).view());
  }
  std::string mark_of(std::size_t place) {
    return std::string(cookies_.mark_of(place < tags_of_.size() ? tags_of_[place] : tag_at(9'999)).view());
  }
  Session inserted(const std::vector<Field>& fields) {
    return find_inserted(fields, "SERVERID", cookies_, tags_, now, timeout);
  }
  Session inserted(const std::string& cookie_field) {
    return inserted(std::vector<Field>{{"Host", "example.org"}, {"Cookie", cookie_field}});
  }
  Session marked(const std::string& cookie_field) {
    return find_marked(std::vector<Field>{{"cookie", cookie_field}}, "JSESSIONID", cookies_, tags_);
  }
  // What a server gets of a field.
  static std::string stripped(const std::string& field) {
    StrippedCookies pieces(field, "SERVERID");
    return joined(pieces);
  }
  std::string unmarked(const std::string& field) {
    UnmarkedCookies pieces(field, "JSESSIONID", cookies_);
    return joined(pieces);
  }
  template <class Pieces>
  static std::string joined(Pieces& pieces) {
    std::string text;
    for (std::string_view piece = pieces.next(); !piece.empty(); piece = pieces.next()) {
      text += piece;
    }
    EXPECT_TRUE(pieces.next().empty());
    return text;
  }

  SessionCookies cookies_{CookieKey{}};
  std::vector<ServerTag> tags_of_;
  service::ServerTags tags_;
};

// --- insert: the table -------------------------------------------------------------------------------------------

TEST_F(CookieEditTest, NoCookie) {
  EXPECT_EQ(inserted(std::vector<Field>{{"Host", "example.org"}}).verdict, CookieVerdict::absent);
  EXPECT_EQ(inserted("").verdict, CookieVerdict::absent);
  EXPECT_EQ(inserted("a=1; b=2").verdict, CookieVerdict::absent);
}

TEST_F(CookieEditTest, AForgedOrUnknownValue) {
  std::string forged = value_of(1);
  forged[0] = forged[0] == 'A' ? 'B' : 'A';
  for (const std::string& value : {forged, std::string("1234567890"), std::string(), value_of(1) + "A"}) {
    EXPECT_EQ(inserted("SERVERID=" + value).verdict, CookieVerdict::invalid) << value;
  }
}

TEST_F(CookieEditTest, ARemovedServersValue) {
  EXPECT_EQ(inserted("SERVERID=" + value_of(99)).verdict, CookieVerdict::down);
}

TEST_F(CookieEditTest, AValidValueTellsItsServer) {
  for (std::size_t place = 0; place < 4; ++place) {
    const Session session = inserted("a=1; SERVERID=" + value_of(place, now - 70) + "; b=2");
    EXPECT_EQ(session.verdict, CookieVerdict::valid);
    EXPECT_EQ(session.server, place);
    EXPECT_EQ(session.stamp.last_seen, now - 70);
    EXPECT_EQ(session.stamp.first_seen, now - 5'000);
  }
}

TEST_F(CookieEditTest, ASetCookieIsDueWhenTheStampNeedsRefreshing) {
  EXPECT_FALSE(SessionCookies::needs_refresh(inserted("SERVERID=" + value_of(1, now - 60)).stamp, now, timeout));
  EXPECT_TRUE(SessionCookies::needs_refresh(inserted("SERVERID=" + value_of(1, now - 63)).stamp, now, timeout));
}

TEST_F(CookieEditTest, AnExpiredValueOrOneFromTheFuture) {
  EXPECT_EQ(inserted("SERVERID=" + value_of(1, now - timeout)).verdict, CookieVerdict::valid);
  EXPECT_EQ(inserted("SERVERID=" + value_of(1, now - timeout - 1)).verdict, CookieVerdict::expired);
  EXPECT_EQ(inserted("SERVERID=" + value_of(1, now + 86'400)).verdict, CookieVerdict::valid);
  EXPECT_EQ(inserted("SERVERID=" + value_of(1, now + 86'401)).verdict, CookieVerdict::expired);
}

TEST_F(CookieEditTest, OfSeveralCookiesOfThatNameTheFirstValidOneCounts) {
  const std::string list = "SERVERID=forged; SERVERID=" + value_of(2, 0) + "; SERVERID=" + value_of(99) +
                           "; SERVERID=" + value_of(3) + "; SERVERID=" + value_of(1);
  const Session session = inserted(list);
  EXPECT_EQ(session.verdict, CookieVerdict::valid);
  EXPECT_EQ(session.server, 3U);
}

TEST_F(CookieEditTest, OfSeveralFieldsTheFirstValidCookieCounts) {
  const std::string first = "SERVERID=x";
  const std::string second = "SERVERID=" + value_of(2);
  const std::string third = "SERVERID=" + value_of(1);
  const Session session = inserted({{"Cookies", third},
                                    {"Cookie2", third},
                                    {"X-Cookie", third},
                                    {"cookie", first},
                                    {"COOKIE", second},
                                    {"Cookie", third}});
  EXPECT_EQ(session.verdict, CookieVerdict::valid);
  EXPECT_EQ(session.server, 2U);
}

TEST_F(CookieEditTest, ThereIsAnEndToLookingAndNoneToStripping) {
  std::string forged;
  std::string marked_ones;
  for (std::size_t count = 0; count < most_checked - 1; ++count) {
    forged += "SERVERID=forged;";
    marked_ones += "JSESSIONID=forged;";
  }
  EXPECT_EQ(inserted(forged + "SERVERID=" + value_of(1)).verdict, CookieVerdict::valid);
  EXPECT_EQ(inserted(forged + "SERVERID=forged; SERVERID=" + value_of(1)).verdict, CookieVerdict::invalid);
  EXPECT_EQ(stripped(forged + forged + "SERVERID=" + value_of(1)), "");
  EXPECT_EQ(unmarked(marked_ones + "JSESSIONID=" + mark_of(1) + "a;JSESSIONID=" + mark_of(1) + "b"),
            marked_ones + "JSESSIONID=a;JSESSIONID=" + mark_of(1) + "b");
}

TEST_F(CookieEditTest, WithoutAValidOneTheLogIsToldWhatHasComeFurthest) {
  const std::string invalid = "SERVERID=x; ";
  const std::string expired = "SERVERID=" + value_of(1, 0) + "; ";
  const std::string gone = "SERVERID=" + value_of(99) + "; ";
  EXPECT_EQ(inserted(expired + invalid).verdict, CookieVerdict::expired);
  EXPECT_EQ(inserted(gone + expired + invalid).verdict, CookieVerdict::down);
  EXPECT_EQ(inserted(invalid + expired + gone).verdict, CookieVerdict::down);
}

TEST_F(CookieEditTest, ANameIsNeverASubstring) {
  const std::string value = value_of(1);
  for (const char* name : {"xSERVERID", "SERVERIDx", "x SERVERID", "serverid", "SERVERI", "\"SERVERID\"", "$SERVERID",
                           "SERVERID,SERVERID", "a=SERVERID", "=SERVERID", "SERVERID\x0b", "\xa0SERVERID"}) {
    const std::string field = std::string(name) + "=" + value;
    EXPECT_EQ(inserted(field).verdict, CookieVerdict::absent) << name;
    EXPECT_EQ(stripped(field), field);
  }
  EXPECT_EQ(inserted("SERVERID").verdict, CookieVerdict::absent);
  EXPECT_EQ(inserted("a=SERVERID; " + value).verdict, CookieVerdict::absent);
}

TEST_F(CookieEditTest, OddWhiteSpaceChangesNothing) {
  for (const std::string& field :
       {"SERVERID =" + value_of(1), "\tSERVERID\t=\t" + value_of(1) + "\t", ";;SERVERID=" + value_of(1) + ";;",
        "a=\"1;SERVERID=" + value_of(1), " ; ;  SERVERID=  " + value_of(1) + "  ;"}) {
    EXPECT_EQ(inserted(field).verdict, CookieVerdict::valid) << field;
    EXPECT_EQ(stripped(field).find("SERVERID"), std::string::npos) << field;
  }
}

TEST_F(CookieEditTest, AValueOfOursInQuotesIsNotAsWeHaveWrittenIt) {
  EXPECT_EQ(inserted("SERVERID=\"" + value_of(1) + "\"").verdict, CookieVerdict::invalid);
}

// --- insert: what the server gets --------------------------------------------------------------------------------

TEST_F(CookieEditTest, AllCookiesOfThatNameAreStripped) {
  EXPECT_EQ(stripped("SERVERID=1"), "");
  EXPECT_EQ(stripped("SERVERID=1; SERVERID=2;SERVERID=;SERVERID ="), "");
  EXPECT_EQ(stripped("SERVERID=1; a=1"), "a=1");
  EXPECT_EQ(stripped("a=1; SERVERID=1"), "a=1");
  EXPECT_EQ(stripped("a=1; SERVERID=1; b=2"), "a=1; b=2");
  EXPECT_EQ(stripped("a=1;SERVERID=1;b=2;SERVERID=2;c=3"), "a=1; b=2; c=3");
  EXPECT_EQ(stripped("SERVERID=1; a=1; SERVERID=2; SERVERID=3; b=2; SERVERID=4"), "a=1; b=2");
}

TEST_F(CookieEditTest, OtherCookiesStayAsTheyCame) {
  EXPECT_EQ(stripped("a = 1 ;b;; c=\"x\\\"y\"; =d;xSERVERID=1"), "a = 1 ;b;; c=\"x\\\"y\"; =d;xSERVERID=1");
  EXPECT_EQ(stripped("a=1;;b=2; SERVERID=1;;c=\t3;d=4"), "a=1;;b=2; c=\t3;d=4");
  EXPECT_EQ(stripped("a=\xff\xfe; SERVERID=1"), "a=\xff\xfe");
}

TEST_F(CookieEditTest, AFieldOfNothingIsNotWritten) {
  EXPECT_EQ(stripped(""), "");
  EXPECT_EQ(stripped(" ;\t; "), "");
}

TEST_F(CookieEditTest, NothingOfThatNameIsLeftOfAnyField) {
  std::mt19937 random(3);
  const std::vector<std::string> parts{"SERVERID", "=", ";", " ", "\t", "a", "\"", "1", "x", "; ", "SERVERID=1"};
  for (int round = 0; round < 20'000; ++round) {
    std::string field;
    for (auto count = random() % 15; count > 0; --count) {
      field += parts[random() % parts.size()];
    }
    std::vector<std::string> expected;
    CookieList before(field);
    while (const auto cookie = before.next()) {
      if (cookie->name != "SERVERID") {
        expected.emplace_back(cookie->whole);
      }
    }
    const std::string rest = stripped(field);
    std::vector<std::string> found;
    CookieList after(rest);
    while (const auto cookie = after.next()) {
      found.emplace_back(cookie->whole);
    }
    ASSERT_EQ(found, expected) << field << "\n" << rest;
  }
}

// --- insert: the answer ------------------------------------------------------------------------------------------

struct Written {
  void text(std::string_view more) { all += more; }
  std::string all;
};

TEST_F(CookieEditTest, TheInsertedCookieIsOfTheWholeSiteAndNotForScripts) {
  service::SessionCookie settings;
  Written plain;
  write_set_cookie(plain, settings, "abc", false);
  EXPECT_EQ(plain.all, "Set-Cookie: SERVERID=abc; Path=/; HttpOnly\r\n");
  settings.name = "lb";
  settings.same_site = service::SameSite::lax;
  Written secure;
  write_set_cookie(secure, settings, "abc", true);
  EXPECT_EQ(secure.all, "Set-Cookie: lb=abc; Path=/; HttpOnly; Secure; SameSite=Lax\r\n");
  EXPECT_EQ(attribute_of(service::SameSite::strict), "; SameSite=Strict");
  EXPECT_EQ(attribute_of(service::SameSite::none), "; SameSite=None");
}

// --- server: rewriting -------------------------------------------------------------------------------------------

TEST_F(CookieEditTest, TheMarkBelongsInFrontOfTheValueOfTheNamedCookie) {
  const auto with_mark = [](std::string text) {
    const auto place = place_of_mark(text, "JSESSIONID");
    return place ? text.insert(*place, "MARK~") : "<none>";
  };
  EXPECT_EQ(with_mark("JSESSIONID=abc; Path=/app; HttpOnly"), "JSESSIONID=MARK~abc; Path=/app; HttpOnly");
  EXPECT_EQ(with_mark("JSESSIONID=abc"), "JSESSIONID=MARK~abc");
  EXPECT_EQ(with_mark("JSESSIONID=; Max-Age=0"), "JSESSIONID=MARK~; Max-Age=0");
  EXPECT_EQ(with_mark("JSESSIONID="), "JSESSIONID=MARK~");
  EXPECT_EQ(with_mark(" JSESSIONID\t= \tabc;Secure"), " JSESSIONID\t= \tMARK~abc;Secure");
  EXPECT_EQ(with_mark("JSESSIONID=\"abc\"; Path=/"), "JSESSIONID=\"MARK~abc\"; Path=/") << "inside of quotes";
  EXPECT_EQ(with_mark("JSESSIONID=a=b"), "JSESSIONID=MARK~a=b");
  for (const char* other :
       {"", ";", "=", "JSESSIONID", "JSESSIONID; a=b", "xJSESSIONID=abc", "JSESSIONIDx=abc", "jsessionid=abc",
        "a=b; JSESSIONID=abc", "a=JSESSIONID=b", "JSESSION", "=JSESSIONID=b", "\"JSESSIONID\"=b"}) {
    EXPECT_EQ(with_mark(other), "<none>") << other;
  }
}

TEST_F(CookieEditTest, AMarkedValueTellsItsServerAndIsRestored) {
  for (const std::string value : {"abc", "", "a~b", "=", "\"abc\""}) {
    std::string set_cookie = "JSESSIONID=" + value + "; Path=/";
    set_cookie.insert(place_of_mark(set_cookie, "JSESSIONID").value(), mark_of(2));
    const std::string came_back = "a=1; " + set_cookie.substr(0, set_cookie.find(';')) + "; b=2";
    const Session session = marked(came_back);
    EXPECT_EQ(session.verdict, CookieVerdict::valid);
    EXPECT_EQ(session.server, 2U);
    EXPECT_EQ(unmarked(came_back), "a=1; JSESSIONID=" + value + "; b=2");
  }
}

TEST_F(CookieEditTest, AMarkInFrontOfQuotesIsFoundWhereItStands) {
  const std::string field = "JSESSIONID=" + mark_of(1) + "\"abc\"";
  EXPECT_EQ(marked(field).server, 1U);
  EXPECT_EQ(unmarked(field), "JSESSIONID=\"abc\"");
}

TEST_F(CookieEditTest, AllMarksOfThatNameAreTakenAway) {
  const std::string field = "JSESSIONID=" + mark_of(1) + "a;JSESSIONID=" + mark_of(99) + "b ; JSESSIONID=" + mark_of(3);
  EXPECT_EQ(unmarked(field), "JSESSIONID=a;JSESSIONID=b ; JSESSIONID=");
  EXPECT_EQ(marked(field).server, 1U);
}

TEST_F(CookieEditTest, ValuesWithoutAMarkOfOursStayAsTheyAre) {
  std::string forged = mark_of(1);
  forged[3] = forged[3] == 'A' ? 'B' : 'A';
  for (const std::string& field :
       {std::string("JSESSIONID=abc"), "JSESSIONID=" + forged + "abc", "xJSESSIONID=" + mark_of(1) + "abc",
        "JSESSIONIDx=" + mark_of(1), "a=\"" + mark_of(1) + "JSESSIONID=1\"", "JSESSIONID=x" + mark_of(1) + "abc",
        std::string("\t ;;=; JSESSIONID;JSESSIONID= ;"), std::string()}) {
    EXPECT_EQ(unmarked(field), field);
    EXPECT_NE(marked(field).verdict, CookieVerdict::valid);
  }
}

TEST_F(CookieEditTest, ARewrittenCookiesVerdict) {
  EXPECT_EQ(marked("a=1").verdict, CookieVerdict::absent);
  EXPECT_EQ(marked("JSESSIONID=abc").verdict, CookieVerdict::invalid);
  EXPECT_EQ(marked("JSESSIONID=abc; JSESSIONID=" + mark_of(99) + "abc").verdict, CookieVerdict::down);
  EXPECT_EQ(marked("JSESSIONID=abc; JSESSIONID=" + mark_of(3) + "abc").verdict, CookieVerdict::valid);
}

TEST_F(CookieEditTest, AClientCannotChooseAServerByAnothersMark) {
  const std::string mark = mark_of(1);
  const std::string other = mark_of(2);
  EXPECT_EQ(marked("JSESSIONID=" + mark.substr(0, 11) + other.substr(11) + "abc").verdict, CookieVerdict::invalid);
}

}  // namespace
}  // namespace steelyard::http
