// What a target does to its messages: fields, paths, answers without a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/http/proxy_world.h"

namespace steelyard::http {
namespace {

using service::HeaderEdit;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// What the server gets of `request`.
std::string sent(const service::HttpSettings& http, const std::string& request) {
  ProxyWorld world({.http = http});
  const auto client = world.client();
  world.says(client, request);
  return world.opened().empty() ? "" : world.heard(world.last_opened());
}

TEST(ProxyEdits, FieldsOfRequestsAreAddedSetAndRemoved) {
  service::HttpSettings http;
  http.forwarded_for = service::ForwardedFor::off;
  http.request_edits = {{HeaderEdit::Kind::add, "X-Tag", "2"},
                        {HeaderEdit::Kind::set, "User-Agent", "us"},
                        {HeaderEdit::Kind::remove, "authorization", ""}};
  EXPECT_EQ(sent(http, "GET / HTTP/1.1\r\nHost: a\r\nx-tag: 1\r\nuser-agent: them\r\nAuthorization: secret\r\n\r\n"),
            "GET / HTTP/1.1\r\nHost: a\r\nx-tag: 1\r\nX-Tag: 2\r\nUser-Agent: us\r\n\r\n");
}

TEST(ProxyEdits, TheHostThatAServerSeesCanBeSet) {
  service::HttpSettings http;
  http.forwarded_for = service::ForwardedFor::off;
  http.request_edits = {{HeaderEdit::Kind::set, "Host", "inner.example"}};
  EXPECT_EQ(sent(http, std::string(ProxyWorld::get)), "GET / HTTP/1.1\r\nHost: inner.example\r\n\r\n");
}

TEST(ProxyEdits, FieldsOfAnswersAreAddedSetAndRemoved) {
  service::HttpSettings http;
  http.answer_edits = {{HeaderEdit::Kind::set, "Strict-Transport-Security", "max-age=1"},
                       {HeaderEdit::Kind::remove, "Server", ""}};
  ProxyWorld world({.http = http});
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), "HTTP/1.1 200 OK\r\nserver: x\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(world.heard(client),
            "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 0\r\n\r\n");
}

TEST(ProxyEdits, APrefixIsTakenAwayOrReplaced) {
  service::HttpSettings http;
  const auto target = [&](std::string prefix, std::string replacement, const std::string& asked) {
    http.path_edit = {.prefix = std::move(prefix), .replacement = std::move(replacement)};
    const std::string request = sent(http, "GET " + asked + " HTTP/1.1\r\nHost: a\r\n\r\n");
    return request.substr(4, request.find(" HTTP/") - 4);
  };
  EXPECT_EQ(target("/api", "", "/api/v1?x=/api"), "/v1?x=/api");
  EXPECT_EQ(target("/api/", "", "/api/v1"), "/v1");
  EXPECT_EQ(target("/api", "", "/api"), "/");
  EXPECT_EQ(target("/api", "", "/api?x"), "/?x");
  EXPECT_EQ(target("/api", "/internal", "/api/v1"), "/internal/v1");
  EXPECT_EQ(target("/api", "/internal", "/other/api"), "/other/api");
}

TEST(ProxyEdits, APageOfTheConfigurationStandsInsteadOfOurs) {
  service::HttpSettings http;
  http.error_pages = {{.status = 503, .content_type = "text/plain", .body = "later"}};
  ProxyWorld world({.http = http, .servers = 0});
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  EXPECT_THAT(world.heard(client), AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("Content-Type: text/plain\r\n"),
                                         testing::EndsWith("Content-Length: 5\r\n\r\nlater")));
  EXPECT_EQ(world.log().at(0).cause, Cause::no_server);
  world.says(client, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_THAT(world.heard(client), HasSubstr("Steelyard: BR")) << "has no page of its own";
}

TEST(ProxyEdits, WhoAsksForTooMuchIsTold429AndMayGoOn) {
  ProxyWorld world;
  world.listener().per_source.request_rate = 1;
  world.publish();
  world.set_requests_left(1);
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_THAT(world.heard(client), StartsWith("HTTP/1.1 200 "));
  world.says(client, ProxyWorld::get);
  EXPECT_THAT(world.heard(client),
              AllOf(StartsWith("HTTP/1.1 429 Too Many Requests\r\n"), HasSubstr("Retry-After: 1\r\n"),
                    HasSubstr("Steelyard: RL"), Not(HasSubstr("Connection: close"))));
  EXPECT_EQ(world.opened().size(), 1U);
  world.set_requests_left(1);
  world.says(client, ProxyWorld::get);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_THAT(world.heard(client), StartsWith("HTTP/1.1 200 "));
}

TEST(ProxyEdits, ServersAreChosenByPathOrByAField) {
  ProxyWorld world;
  const auto key_of = [&world](const std::string& request) {
    world.says(world.client(), request);
    return world.last_key().value;
  };
  const auto get = [](const std::string& target, const std::string& field = {}) {
    return "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + field + "\r\n";
  };
  world.listener().scheduler = service::Scheduler::uri;
  world.publish();
  EXPECT_EQ(key_of(get("/one")), key_of(get("/one?query=1"))) << "the query does not count";
  EXPECT_NE(key_of(get("/one")), key_of(get("/two")));
  world.listener().scheduler = service::Scheduler::header;
  service::HttpSettings http = *world.listener().http;
  http.hash_field = "X-User";
  world.listener().http = std::make_shared<const service::HttpSettings>(http);
  world.publish();
  EXPECT_EQ(key_of(get("/one", "x-user: ann\r\n")), key_of(get("/two", "X-User: ann\r\n")));
  EXPECT_NE(key_of(get("/one", "X-User: ann\r\n")), key_of(get("/one", "X-User: bob\r\n")));
  EXPECT_EQ(key_of(get("/one")), key_of(get("/two", "X-User:\r\n"))) << "by the client's address";
}

// RFC 9110 section 6.6.1.
TEST(ProxyEdits, AnAnswerWithoutADateGetsThatOfItsArrival) {
  constexpr std::string_view now = "Date: Fri, 15 Jan 2027 08:00:00 GMT\r\n";
  const auto answer = [](service::HttpSettings http, std::string_view words) {
    ProxyWorld world({.http = std::move(http)});
    const auto client = world.client();
    world.says(client, ProxyWorld::get);
    world.says(world.last_opened(), words);
    return world.heard_with_date(client);
  };
  EXPECT_THAT(answer({}, ProxyWorld::ok), HasSubstr(now));
  EXPECT_THAT(answer({}, "HTTP/1.1 304 Not Modified\r\n\r\n"), HasSubstr(now));
  EXPECT_THAT(answer({}, "HTTP/1.1 200 OK\r\ndate: yesterday\r\nContent-Length: 0\r\n\r\n"),
              AllOf(HasSubstr("date: yesterday\r\n"), Not(HasSubstr(now))));
  EXPECT_EQ(answer({}, "HTTP/1.1 103 Early Hints\r\n\r\n"), "HTTP/1.1 103 Early Hints\r\n\r\n");
  service::HttpSettings http;
  http.answer_edits.push_back({service::HeaderEdit::Kind::remove, "Date", ""});
  EXPECT_THAT(answer(http, ProxyWorld::ok), Not(HasSubstr("Date")));
  http.answer_edits = {{service::HeaderEdit::Kind::set, "Date", "today"}};
  EXPECT_THAT(answer(http, ProxyWorld::ok), AllOf(HasSubstr("Date: today\r\n"), Not(HasSubstr(now))));
}

TEST(ProxyEdits, AnAnswerOfOursHasADate) {
  ProxyWorld world;
  const auto client = world.client();
  world.advance(std::chrono::seconds{3});
  world.says(client, "BREW / HTTP/3.0\r\n\r\n");
  EXPECT_THAT(world.heard_with_date(client), HasSubstr("\r\nDate: Fri, 15 Jan 2027 08:00:03 GMT\r\n"));
}

// RFC 9110 section 7.6.2.
TEST(ProxyEdits, OptionsGoNoFurtherThanTheyMay) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
  EXPECT_THAT(world.opened(), testing::IsEmpty());
  EXPECT_EQ(world.heard(client),
            "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n"
            "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n\r\n");
  EXPECT_EQ(world.log().at(0).cause, Cause::last_hop);
  world.says(client, "OPTIONS / HTTP/1.1\r\nHost: a\r\nmax-forwards: 10\r\n\r\n");
  EXPECT_THAT(world.heard(world.last_opened()), HasSubstr("\r\nMax-Forwards: 9\r\n"));
}

TEST(ProxyEdits, MaxForwardsIsPassedOnWhereItSaysNothingToUs) {
  service::HttpSettings http;
  for (const std::string value : {"-1", "0x1", "", "99999999999", "1, 2"}) {
    const std::string request = "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: " + value + "\r\n\r\n";
    EXPECT_THAT(sent(http, request), HasSubstr("\r\nMax-Forwards: " + value + "\r\n"));
  }
  EXPECT_THAT(sent(http, "GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n"), HasSubstr("Max-Forwards: 0\r\n"));
}

TEST(ProxyEdits, ADenialIsAPageOfOurs) {
  service::HttpSettings http;
  http.fixed_answer.emplace();
  ProxyWorld world({.http = http, .servers = 0});
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  EXPECT_THAT(world.heard(client), AllOf(StartsWith("HTTP/1.1 403 Forbidden\r\n"), HasSubstr("Steelyard: DR")));
}

TEST(ProxyEdits, AUriWithoutAPathGetsOne) {
  service::HttpSettings http;
  http.forwarded_for = service::ForwardedFor::off;
  const std::string request = "GET http://a?x=/ HTTP/1.1\r\nHost: a\r\n\r\n";
  EXPECT_EQ(sent(http, request), "GET /?x=/ HTTP/1.1\r\nHost: a\r\n\r\n");
  http.path_edit = {.prefix = "/", .replacement = "/site/"};
  EXPECT_EQ(sent(http, request), "GET /site/?x=/ HTTP/1.1\r\nHost: a\r\n\r\n");
  http.redirect.emplace();
  ProxyWorld world({.http = http, .servers = 0});
  const auto client = world.client();
  world.says(client, request);
  EXPECT_THAT(world.heard(client), HasSubstr("Location: https://a/?x=/\r\n"));
}

TEST(ProxyEdits, AFixedAnswerNeedsNoServer) {
  service::HttpSettings http;
  http.fixed_answer = {.status = 200, .content_type = "application/json", .body = "{}", .denied = false};
  ProxyWorld world({.http = http, .servers = 0});
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  EXPECT_EQ(
      world.heard(client),
      "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(world.log().at(0).cause, Cause::fixed_answer);
  world.says(client, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(world.heard(client), testing::EndsWith("Content-Length: 2\r\n\r\n"));
}

TEST(ProxyEdits, ADeniedRequestIsAnswered403) {
  service::HttpSettings http;
  http.fixed_answer = service::FixedAnswer{.body = "no"};
  ProxyWorld world({.http = http});
  const auto client = world.client();
  world.says(client, ProxyWorld::get);
  EXPECT_THAT(world.heard(client), StartsWith("HTTP/1.1 403 Forbidden\r\n"));
  EXPECT_EQ(world.log().at(0).cause, Cause::denied);
  EXPECT_TRUE(world.opened().empty());
}

}  // namespace
}  // namespace steelyard::http
