// Which answers go gzipped to which clients, and what their heads say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/unit/http/gunzip.h"
#include "tests/unit/http/proxy_world.h"

namespace steelyard::http {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

ProxyWorld::Options with_gzip() {
  ProxyWorld::Options options;
  options.http.gzip.emplace();
  return options;
}

const std::string page = text_of(2'000);

std::string get_taking(std::string_view codings, std::string_view more = {}) {
  return "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: " + std::string(codings) + "\r\n" + std::string(more) + "\r\n";
}
std::string answer_with(std::string_view fields, const std::string& body = page) {
  return "HTTP/1.1 200 OK\r\n" + std::string(fields) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}
std::string html_with(std::string_view fields = {}, const std::string& body = page) {
  return answer_with("Content-Type: text/html\r\n" + std::string(fields), body);
}

std::string exchanged(ProxyWorld& world, const std::string& request, const std::string& answer) {
  const auto client = world.client();
  world.says(client, request);
  world.says(world.last_opened(), answer);
  return world.heard(client);
}
std::string exchanged(const std::string& request, const std::string& answer) {
  ProxyWorld world(with_gzip());
  return exchanged(world, request, answer);
}

void expect_plain(const std::string& answer, const std::string& body = page) {
  EXPECT_THAT(answer, AllOf(Not(HasSubstr("Content-Encoding")), EndsWith("\r\n\r\n" + body)));
}

TEST(ProxyGzip, WhoTakesGzipGetsItInChunks) {
  const Received received = unchunk(exchanged(get_taking("gzip"), html_with("ETag: \"1\"\r\nServer: s\r\n")));
  EXPECT_EQ(received.head,
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: W/\"1\"\r\nServer: s\r\nVary: Accept-Encoding\r\n"
            "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n");
  const Unzipped back = gunzip(received.content);
  EXPECT_TRUE(back.complete);
  EXPECT_EQ(back.text, page);
  EXPECT_EQ(received.trailers, "\r\n");
}

TEST(ProxyGzip, TheConnectionGoesOnAfterwards) {
  ProxyWorld world(with_gzip());
  const auto client = world.client();
  for (int requests = 0; requests < 5; ++requests) {
    world.says(client, get_taking("gzip"));
    world.says(world.last_opened(), html_with());
    EXPECT_EQ(gunzip(unchunk(world.heard(client)).content).text, page);
  }
  EXPECT_EQ(world.opened().size(), 1U);
  EXPECT_EQ(world.proxy().counters().gzip_answers.get(), 5U);
}

TEST(ProxyGzip, ServersSeeWhatClientsAccept) {
  ProxyWorld world(with_gzip());
  const auto client = world.client();
  world.says(client, get_taking("gzip, br;q=0.5"));
  EXPECT_THAT(world.heard(world.last_opened()), HasSubstr("Accept-Encoding: gzip, br;q=0.5\r\n"));
}

TEST(ProxyGzip, IsOffUnlessTheListenerHasIt) {
  ProxyWorld world;
  EXPECT_EQ(exchanged(world, get_taking("gzip"), html_with()), html_with());
}

TEST(ProxyGzip, WhoDoesNotTakeItIsToldThatTheAnswerVaries) {
  for (const std::string& request : {get_taking("br"), get_taking("gzip;q=0"), std::string(ProxyWorld::get)}) {
    EXPECT_EQ(exchanged(request, html_with("ETag: \"1\"\r\nAccept-Ranges: bytes\r\n")),
              "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"1\"\r\nAccept-Ranges: bytes\r\n"
              "Vary: Accept-Encoding\r\nContent-Length: 2000\r\n\r\n" +
                  page);
  }
}

TEST(ProxyGzip, AClientOfHttp10GetsThePlainAnswer) {
  const std::string answer = exchanged("GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n", html_with());
  expect_plain(answer);
  EXPECT_THAT(answer, HasSubstr("Vary: Accept-Encoding\r\n"));
}

TEST(ProxyGzip, WhatCannotBeCompressedStaysAsItIs) {
  for (const std::string& answer :
       {answer_with("Content-Type: image/png\r\n"), html_with("Content-Encoding: br\r\n"),
        html_with("Cache-Control: no-transform\r\n"), html_with({}, text_of(1'023)), answer_with({})}) {
    EXPECT_EQ(exchanged(get_taking("gzip"), answer), answer);
  }
}

TEST(ProxyGzip, StatusesWithoutContentAndPartsStayAsTheyAre) {
  for (const std::string& answer :
       {std::string("HTTP/1.1 204 No Content\r\nContent-Type: text/html\r\n\r\n"),
        std::string("HTTP/1.1 304 Not Modified\r\nContent-Type: text/html\r\nETag: \"1\"\r\n\r\n"),
        "HTTP/1.1 206 Partial Content\r\nContent-Type: text/html\r\nContent-Range: bytes 0-1999/9000\r\n"
        "Content-Length: 2000\r\n\r\n" +
            page}) {
    EXPECT_EQ(exchanged(get_taking("gzip"), answer), answer);
  }
}

TEST(ProxyGzip, AnAnswerToHeadStaysAsItIs) {
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2000\r\n\r\n";
  EXPECT_EQ(exchanged("HEAD / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n", head), head);
}

TEST(ProxyGzip, AnAnswerToAnUpgradeStaysAsItIs) {
  expect_plain(exchanged(get_taking("gzip", "Connection: upgrade\r\nUpgrade: x\r\n"), html_with()));
}

TEST(ProxyGzip, TheLeastLengthCanBeSet) {
  ProxyWorld::Options options = with_gzip();
  options.http.gzip->least_octets = 1;
  ProxyWorld world(options);
  expect_plain(exchanged(world, get_taking("gzip"), html_with({}, "")), "");
  for (const std::size_t octets : {1UL, 2UL, 1'023UL}) {
    const std::string body = text_of(octets);
    EXPECT_EQ(gunzip(unchunk(exchanged(world, get_taking("gzip"), html_with({}, body))).content).text, body);
  }
}

TEST(ProxyGzip, ExactlyTheLeastLengthIsCompressedAndOneLessIsNot) {
  expect_plain(exchanged(get_taking("gzip"), html_with({}, text_of(1'023))), text_of(1'023));
  const Received received = unchunk(exchanged(get_taking("gzip"), html_with({}, text_of(1'024))));
  EXPECT_EQ(gunzip(received.content).text, text_of(1'024));
}

TEST(ProxyGzip, VaryIsMergedWithWhatThereIs) {
  const auto vary = [](std::string_view fields) {
    const std::string answer = exchanged(get_taking("gzip"), html_with(fields));
    std::string found;
    for (std::size_t at = answer.find("Vary: "); at != std::string::npos; at = answer.find("Vary: ", at + 1)) {
      found += answer.substr(at, answer.find("\r\n", at) - at) + '|';
    }
    return found;
  };
  EXPECT_EQ(vary(""), "Vary: Accept-Encoding|");
  EXPECT_EQ(vary("vary: Origin\r\n"), "Vary: Origin, Accept-Encoding|");
  EXPECT_EQ(vary("Vary: Origin\r\nVary: Cookie\r\n"), "Vary: Origin, Accept-Encoding|Vary: Cookie|");
  EXPECT_EQ(vary("Vary: Origin\r\nVary: accept-encoding\r\n"), "Vary: Origin|Vary: accept-encoding|");
  EXPECT_EQ(vary("Vary: *\r\n"), "Vary: *|");
  EXPECT_EQ(vary("Vary:\r\n"), "Vary: |Vary: Accept-Encoding|");
}

TEST(ProxyGzip, VaryIsToldBesideOneThatATargetSets) {
  ProxyWorld::Options options = with_gzip();
  options.http.answer_edits = {{service::HeaderEdit::Kind::set, "Vary", "Cookie"}};
  ProxyWorld world(options);
  EXPECT_THAT(exchanged(world, get_taking("gzip"), html_with("Vary: Origin\r\n")),
              HasSubstr("\r\nVary: Cookie\r\nVary: Accept-Encoding\r\n"));
}

TEST(ProxyGzip, WhatTellsOfOtherOctetsIsLeftOut) {
  EXPECT_THAT(
      exchanged(get_taking("gzip"), html_with("Accept-Ranges: bytes\r\nContent-MD5: eA==\r\nDigest: sha-256=eA\r\n")),
      AllOf(Not(HasSubstr("Accept-Ranges")), Not(HasSubstr("MD5")), Not(HasSubstr("Digest"))));
}

TEST(ProxyGzip, ASessionCookieGoesWithIt) {
  ProxyWorld::Options options = with_gzip();
  options.http.cookie.kind = service::SessionCookie::Kind::insert;
  ProxyWorld world(options);
  EXPECT_THAT(exchanged(world, get_taking("gzip"), html_with()),
              AllOf(HasSubstr("Set-Cookie: SERVERID="), HasSubstr("Cache-Control: private\r\n"),
                    HasSubstr("Content-Encoding: gzip\r\n")));
}

TEST(ProxyGzip, ChunkedAnswersAreCompressedWithTheirTrailers) {
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n";
  const Received received = unchunk(exchanged(
      get_taking("gzip"), head + "Trailer: X-T\r\n\r\n3;ext=1\r\nabc\r\n1\r\nd\r\n0\r\nX-T: 1\r\nX-U:\r\n\r\n"));
  EXPECT_THAT(received.head, AllOf(HasSubstr("Trailer: X-T\r\n"), HasSubstr("Content-Encoding: gzip\r\n")));
  EXPECT_EQ(gunzip(received.content).text, "abcd");
  EXPECT_EQ(received.trailers, "X-T: 1\r\nX-U:\r\n\r\n");
  const Received empty = unchunk(exchanged(get_taking("gzip"), head + "\r\n0\r\n\r\n"));
  EXPECT_TRUE(gunzip(empty.content).complete);
  EXPECT_EQ(gunzip(empty.content).text, "");
}

TEST(ProxyGzip, AnAnswerUntilTheEndOfTheConnectionIsCompressedAndTheClientsGoesOn) {
  ProxyWorld world(with_gzip());
  const auto client = world.client();
  world.says(client, get_taking("gzip"));
  const auto server = world.last_opened();
  world.says(server, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + page);
  world.finishes(server);
  const Received received = unchunk(world.heard(client));
  EXPECT_THAT(received.head, Not(HasSubstr("Connection: close")));
  EXPECT_TRUE(gunzip(received.content).complete);
  EXPECT_EQ(gunzip(received.content).text, page);
  EXPECT_EQ(received.trailers, "\r\n");
  EXPECT_FALSE(world.peer(client).finished);
}

TEST(ProxyGzip, TheLogAndTheCountersTellWhatWasSaved) {
  ProxyWorld world(with_gzip());
  const std::string answer = exchanged(world, get_taking("gzip"), html_with("Date: now\r\n"));
  const std::size_t compressed = unchunk(answer).content.size();
  ASSERT_EQ(world.log().size(), 1U);
  EXPECT_EQ(world.log()[0].octets_out, answer.size());
  EXPECT_EQ(world.log()[0].gzip_in, page.size());
  EXPECT_EQ(world.log()[0].gzip_out, compressed);
  EXPECT_EQ(world.proxy().counters().gzip_octets_in.get(), page.size());
  EXPECT_EQ(world.proxy().counters().gzip_octets_out.get(), compressed);
  EXPECT_EQ(world.proxy().counters().gzip_skipped.get(), 0U);
  static_cast<void>(exchanged(world, get_taking("br"), html_with()));
  EXPECT_EQ(world.log()[1].gzip_in, 0U);
}

// --- when it is not the time -----------------------------------------------------------------------------------------

TEST(ProxyGzip, AWorkerThatCannotKeepUpSendsAnswersAsTheyAre) {
  ProxyWorld world(with_gzip());
  world.set_slack(false, 8);
  const std::string answer = exchanged(world, get_taking("gzip"), html_with("ETag: \"1\"\r\n"));
  expect_plain(answer);
  EXPECT_THAT(answer, AllOf(HasSubstr("ETag: \"1\"\r\n"), HasSubstr("Vary: Accept-Encoding\r\n")));
  EXPECT_EQ(world.proxy().counters().gzip_skipped.get(), 1U);
  world.set_slack(true, 8);
  EXPECT_THAT(exchanged(world, get_taking("gzip"), html_with()), HasSubstr("Content-Encoding: gzip"));
}

TEST(ProxyGzip, WithFewBuffersAnswersGoAsTheyAre) {
  ProxyWorld world(with_gzip());
  world.set_slack(true, 3);
  expect_plain(exchanged(world, get_taking("gzip"), html_with()));
  world.set_slack(true, 4);
  EXPECT_THAT(exchanged(world, get_taking("gzip"), html_with()), HasSubstr("Content-Encoding: gzip"));
}

TEST(ProxyGzip, WhenAllCompressorsAreInUseAnswersGoAsTheyAre) {
  ProxyWorld world(with_gzip());
  std::vector<std::size_t> clients;
  for (int count = 0; count < 3; ++count) {
    clients.push_back(world.client());
    world.says(clients.back(), get_taking("gzip"));
    world.says(world.last_opened(), html_with().substr(0, 500));  // the rest is to come
  }
  EXPECT_THAT(world.heard(clients[0]), HasSubstr("Content-Encoding: gzip"));
  EXPECT_THAT(world.heard(clients[1]), HasSubstr("Content-Encoding: gzip"));
  EXPECT_THAT(world.heard(clients[2]), AllOf(Not(HasSubstr("Content-Encoding")), HasSubstr("Vary: Accept-Encoding")));
  world.says(world.opened()[0], html_with().substr(500));
  const auto later = world.client();
  world.says(later, get_taking("gzip"));
  world.says(world.opened()[0], html_with());  // which was idle
  EXPECT_THAT(world.heard(later), HasSubstr("Content-Encoding: gzip"));
}

}  // namespace
}  // namespace steelyard::http
