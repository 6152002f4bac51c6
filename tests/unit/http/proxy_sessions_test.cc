// Session cookies as clients and servers see them: each row of the specification's table. And the client's address.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/http/proxy_world.h"

namespace steelyard::http {
namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

service::HttpSettings inserting() {
  service::HttpSettings http;
  http.cookie = {.kind = service::SessionCookie::Kind::insert, .timeout = seconds{100}};
  return http;
}

std::string with_cookie(const std::string& cookie) {
  return "GET / HTTP/1.1\r\nHost: a\r\nCookie: " + cookie + "\r\n\r\n";
}

// The name and value of the Set-Cookie field of an answer, without attributes.
std::string cookie_in(const std::string& answer) {
  const std::size_t at = answer.find("Set-Cookie: ");
  return at == std::string::npos ? "" : answer.substr(at + 12, answer.find(';', at) - at - 12);
}

// Asks with a new client, and answers with `answer` at whatever server gets the request.
struct Asked {
  std::string request;
  std::string answer;
  service::Address server;
};
Asked ask(ProxyWorld& world, const std::string& request, std::string_view answer = ProxyWorld::ok) {
  const auto client = world.client();
  world.says(client, request);
  Asked result;
  for (const std::size_t server : world.opened()) {
    std::string heard = world.heard(server);
    if (!heard.empty()) {
      result.request = std::move(heard);
      result.server = world.peer(server).server;
      world.says(server, answer);
    }
  }
  result.answer = world.heard(client);
  world.finishes(client);
  return result;
}

TEST(Sessions, WithoutACookieAServerIsScheduledAndTheCookieSet) {
  ProxyWorld world({.http = inserting(), .servers = 3});
  const auto first = ask(world, std::string(ProxyWorld::get));
  EXPECT_THAT(first.answer, AllOf(HasSubstr("\r\nSet-Cookie: SERVERID="), HasSubstr("; Path=/; HttpOnly\r\n"),
                                  HasSubstr("\r\nCache-Control: private\r\n")));
  EXPECT_THAT(first.answer, Not(HasSubstr("Secure")));
  EXPECT_EQ(world.log().back().cookie, CookieVerdict::absent);
}

TEST(Sessions, AValidCookieKeepsItsServerAndIsNotSetAgain) {
  ProxyWorld world({.http = inserting(), .servers = 3});
  const auto first = ask(world, std::string(ProxyWorld::get));
  for (int time = 0; time < 6; ++time) {
    const auto again = ask(world, with_cookie(cookie_in(first.answer)));
    EXPECT_EQ(again.server, first.server);
    EXPECT_THAT(again.answer, AllOf(Not(HasSubstr("Set-Cookie")), Not(HasSubstr("Cache-Control"))));
    EXPECT_EQ(world.log().back().cookie, CookieVerdict::valid);
  }
}

TEST(Sessions, TheStampIsRefreshedWhenItIsOld) {
  ProxyWorld world({.http = inserting(), .servers = 3});
  auto last = ask(world, std::string(ProxyWorld::get));
  const auto server = last.server;
  std::string cookie = cookie_in(last.answer);
  for (int time = 0; time < 5; ++time) {  // in all longer than the timeout
    world.advance(seconds{60});
    last = ask(world, with_cookie(cookie));
    EXPECT_EQ(last.server, server);
    EXPECT_NE(cookie_in(last.answer), "");
    EXPECT_NE(cookie_in(last.answer), cookie);
    cookie = cookie_in(last.answer);
  }
}

TEST(Sessions, AnExpiredCookieIsNone) {
  ProxyWorld world({.http = inserting(), .servers = 3});
  const auto first = ask(world, std::string(ProxyWorld::get));
  world.advance(seconds{102});
  const auto again = ask(world, with_cookie(cookie_in(first.answer)));
  EXPECT_NE(cookie_in(again.answer), "");
  EXPECT_EQ(world.log().back().cookie, CookieVerdict::expired);
}

TEST(Sessions, AForgedCookieIsNone) {
  ProxyWorld world({.http = inserting(), .servers = 3});
  const auto first = ask(world, std::string(ProxyWorld::get));
  std::string forged = cookie_in(first.answer);
  forged[12] = forged[12] == 'A' ? 'B' : 'A';
  const auto again = ask(world, with_cookie(forged));
  EXPECT_NE(cookie_in(again.answer), "");
  EXPECT_EQ(world.log().back().cookie, CookieVerdict::invalid);
}

TEST(Sessions, ADownServersSessionMovesWithANewCookie) {
  ProxyWorld world({.http = inserting(), .servers = 2});
  const auto first = ask(world, std::string(ProxyWorld::get));
  const std::size_t place = first.server == world.listener().servers[0].address ? 0 : 1;
  world.set_up(place, false);
  const auto again = ask(world, with_cookie(cookie_in(first.answer)));
  EXPECT_NE(again.server, first.server);
  EXPECT_NE(cookie_in(again.answer), "");
  EXPECT_EQ(world.log().back().cookie, CookieVerdict::down);
}

TEST(Sessions, AStrictSessionIsRefusedInstead) {
  service::HttpSettings http = inserting();
  http.cookie.strict = true;
  ProxyWorld world({.http = http, .servers = 2});
  const auto first = ask(world, std::string(ProxyWorld::get));
  const std::size_t place = first.server == world.listener().servers[0].address ? 0 : 1;
  world.set_up(place, false);
  const auto again = ask(world, with_cookie(cookie_in(first.answer)));
  EXPECT_THAT(again.answer, AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("Steelyard: SD")));
}

TEST(Sessions, AServerWithoutWeightKeepsItsSessionsOrNot) {
  for (const bool drain : {true, false}) {
    service::HttpSettings http = inserting();
    http.cookie.drain = drain;
    ProxyWorld world({.http = http, .servers = 2});
    const auto first = ask(world, std::string(ProxyWorld::get));
    const std::size_t place = first.server == world.listener().servers[0].address ? 0 : 1;
    world.listener().servers[place].weight = 0;
    world.publish();
    const auto again = ask(world, with_cookie(cookie_in(first.answer)));
    EXPECT_EQ(again.server == first.server, drain);
    EXPECT_EQ(cookie_in(again.answer).empty(), drain);
  }
}

TEST(Sessions, WhenADrainIsOverItsSessionsMoveUntilTheServerHasWeightAgain) {
  for (const bool strict : {true, false}) {
    service::HttpSettings http = inserting();
    http.cookie.strict = strict;
    ProxyWorld world({.http = http, .servers = 2});
    const auto first = ask(world, std::string(ProxyWorld::get));
    const std::size_t place = first.server == world.listener().servers[0].address ? 0 : 1;
    const std::string cookie = cookie_in(first.answer);
    world.listener().servers[place].weight = 0;
    world.publish();
    EXPECT_EQ(ask(world, with_cookie(cookie)).server, first.server);
    world.listener().state->states[place].sessions_over.store(true);
    const auto moved = ask(world, with_cookie(cookie));
    EXPECT_NE(moved.server, first.server);
    EXPECT_NE(cookie_in(moved.answer), "");
    EXPECT_EQ(world.log().back().cookie, CookieVerdict::drained);
    world.listener().servers[place].weight = 100;
    world.publish();
    EXPECT_EQ(ask(world, with_cookie(cookie)).server, first.server);
  }
}

TEST(Sessions, ARefusedConnectionIsTriedOnceMoreAndThenTheSessionMoves) {
  ProxyWorld world({.http = inserting(), .servers = 2});
  const auto first =
      ask(world, std::string(ProxyWorld::get), "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  world.accept_at_once = false;
  const auto client = world.client();
  world.says(client, with_cookie(cookie_in(first.answer)));
  EXPECT_EQ(world.peer(world.last_opened()).server, first.server);
  world.refuses(world.last_opened());
  EXPECT_EQ(world.peer(world.last_opened()).server, first.server);
  world.refuses(world.last_opened());
  EXPECT_NE(world.peer(world.last_opened()).server, first.server);
  world.accepts(world.last_opened());
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_NE(cookie_in(world.heard(client)), "");
}

TEST(Sessions, TheFirstValidCookieCountsAndAllOfThemAreKeptFromTheServer) {
  ProxyWorld world({.http = inserting(), .servers = 3});
  const auto first = ask(world, std::string(ProxyWorld::get));
  const auto second = ask(world, std::string(ProxyWorld::get));
  ASSERT_NE(first.server, second.server);
  const auto again = ask(world, with_cookie("a=1; SERVERID=forged; " + cookie_in(second.answer) + "; xSERVERID=mine; " +
                                            cookie_in(first.answer)));
  EXPECT_EQ(again.server, second.server);
  EXPECT_THAT(again.request, AllOf(HasSubstr("a=1"), HasSubstr("xSERVERID=mine"), Not(HasSubstr(" SERVERID=")),
                                   Not(HasSubstr(cookie_in(first.answer)))));
}

TEST(Sessions, TheCookieIsSetWhateverTheStatus) {
  for (const std::string_view status : {"301 Moved Permanently", "404 Not Found", "500 Internal Server Error"}) {
    ProxyWorld world({.http = inserting()});
    const auto first =
        ask(world, std::string(ProxyWorld::get), "HTTP/1.1 " + std::string(status) + "\r\nContent-Length: 0\r\n\r\n");
    EXPECT_NE(cookie_in(first.answer), "") << status;
  }
}

TEST(Sessions, ACacheableAnswerWithACookieBecomesPrivate) {
  ProxyWorld world({.http = inserting()});
  const auto first =
      ask(world, std::string(ProxyWorld::get),
          "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=60, s-maxage=90\r\nContent-Length: 0\r\n\r\n");
  EXPECT_THAT(first.answer, HasSubstr("\r\nCache-Control: private, max-age=60\r\n"));
  const auto second = ask(world, std::string(ProxyWorld::get),
                          "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n");
  EXPECT_THAT(second.answer, HasSubstr("\r\nCache-Control: no-store\r\n"));
}

// RFC 9111 section 5.2.2.7: `private="..."` is about single fields, and RFC 9110 section 5.6.4: a comma in quotes ends
// nothing.
TEST(Sessions, QuotedPartsOfACacheControlStayWholeAndSayNothingThemselves) {
  ProxyWorld world({.http = inserting()});
  const auto answer_to = [&](std::string_view cache_control) {
    return ask(world, std::string(ProxyWorld::get),
               "HTTP/1.1 200 OK\r\nCache-Control: " + std::string(cache_control) + "\r\nContent-Length: 0\r\n\r\n")
        .answer;
  };
  EXPECT_THAT(answer_to(R"(private="Set-Cookie, Age", max-age=5)"),
              HasSubstr("\r\nCache-Control: private, max-age=5\r\n"));
  EXPECT_THAT(answer_to(R"(x="a\", no-store, public", max-age=5)"),
              HasSubstr("\r\nCache-Control: private, x=\"a\\\", no-store, public\", max-age=5\r\n"));
}

TEST(Sessions, ARewrittenCookieCarriesTheServersMarkAndTheServerSeesItsOwnValue) {
  service::HttpSettings http;
  http.cookie = {.kind = service::SessionCookie::Kind::rewrite, .name = "JSESSIONID"};
  ProxyWorld world({.http = http, .servers = 3});
  const auto first = ask(world, std::string(ProxyWorld::get),
                         "HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=abc; Path=/app; Max-Age=5\r\n"
                         "Set-Cookie: other=JSESSIONID\r\nContent-Length: 0\r\n\r\n");
  const std::string cookie = cookie_in(first.answer);
  EXPECT_THAT(cookie, testing::EndsWith("~abc"));
  EXPECT_THAT(first.answer, AllOf(HasSubstr("~abc; Path=/app; Max-Age=5\r\n"),
                                  HasSubstr("\r\nSet-Cookie: other=JSESSIONID\r\n"), Not(HasSubstr("SERVERID="))));
  for (int time = 0; time < 4; ++time) {
    const auto again = ask(world, with_cookie("x=y; " + cookie + "; z=1"));
    EXPECT_EQ(again.server, first.server);
    EXPECT_THAT(again.request, HasSubstr("\r\nCookie: x=y; JSESSIONID=abc; z=1\r\n"));
    EXPECT_THAT(again.answer, Not(HasSubstr("Set-Cookie")));
  }
}

TEST(Sessions, WithoutTheApplicationsCookieThereIsNoSession) {
  service::HttpSettings http;
  http.cookie = {.kind = service::SessionCookie::Kind::rewrite, .name = "JSESSIONID"};
  ProxyWorld world({.http = http, .servers = 2});
  const auto first = ask(world, std::string(ProxyWorld::get));
  const auto second = ask(world, std::string(ProxyWorld::get));
  EXPECT_NE(first.server, second.server);
  EXPECT_THAT(first.answer, Not(HasSubstr("Set-Cookie")));
}

// --- the client's address --------------------------------------------------------------------------------------------

TEST(Forwarded, TheClientsAddressIsAppended) {
  ProxyWorld world;
  const auto answer =
      ask(world,
          "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1\r\nB: c\r\nx-forwarded-for: 203.0.113.2\r\n\r\n");
  EXPECT_EQ(answer.request,
            "GET / HTTP/1.1\r\nHost: a\r\nB: c\r\nX-Forwarded-For: 203.0.113.1, 203.0.113.2, 198.51.100.7\r\n\r\n");
}

TEST(Forwarded, ItReplacesWhatCameOrIsNotTold) {
  const std::string request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n";
  service::HttpSettings http;
  http.forwarded_for = service::ForwardedFor::replace;
  ProxyWorld replacing({.http = http});
  EXPECT_EQ(ask(replacing, request).request, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n");
  http.forwarded_for = service::ForwardedFor::off;
  ProxyWorld silent({.http = http});
  EXPECT_EQ(ask(silent, request).request, request);
}

TEST(Forwarded, AnIpv6ClientIsToldAsSuch) {
  ProxyWorld world;
  const auto client = world.client("2001:db8::7");
  world.says(client, ProxyWorld::get);
  EXPECT_THAT(world.heard(world.last_opened()), HasSubstr("\r\nX-Forwarded-For: 2001:db8::7\r\n"));
}

TEST(Forwarded, TheOtherFieldsAreOverwrittenWhenOnAndPassedWhenOff) {
  const std::string forged =
      "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Client-srcport: "
      "2\r\n"
      "SLB-ID: me\r\nslb-ip: 6.6.6.6\r\n\r\n";
  service::HttpSettings http;
  http.forwarded_for = service::ForwardedFor::off;
  ProxyWorld off({.http = http});
  EXPECT_EQ(ask(off, forged).request, forged);
  http.forwarded_proto = http.forwarded_port = http.forwarded_client_port = http.slb_id = http.slb_ip = true;
  http.load_balancer = "shop";
  ProxyWorld on({.http = http});
  EXPECT_EQ(ask(on, forged).request,
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n"
            "X-Forwarded-Client-srcport: 40000\r\nSLB-ID: shop\r\nSLB-IP: 192.0.2.1\r\n\r\n");
}

}  // namespace
}  // namespace steelyard::http
