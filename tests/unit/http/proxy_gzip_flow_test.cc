// Gzipped answers on their way: whatever pieces they come in, slow readers, ends in the middle, and how much is done in
// a turn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/http/gunzip.h"
#include "tests/unit/http/proxy_world.h"

namespace steelyard::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

ProxyWorld::Options with_gzip(std::size_t piece = 1'448) {
  ProxyWorld::Options options;
  options.http.gzip.emplace();
  options.http.gzip->types.emplace_back("text/event-stream");
  options.piece = piece;
  options.compressors = 64;
  return options;
}

constexpr std::string_view get = "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
constexpr std::string_view chunked_head =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

std::string html(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}
std::string chunk_of(const std::string& text) {
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", text.size());
  return size + text + "\r\n";
}

// A client whose request is on its way to a server.
struct Asked {
  explicit Asked(ProxyWorld& world) : client(world.client()) {
    world.says(client, get);
    for (const std::size_t opened : world.opened()) {
      server = world.heard(opened).empty() ? server : opened;
    }
  }
  std::size_t client;
  std::size_t server = 0;
};

void expect_whole(const std::string& answer, const std::string& body) {
  const Received received = unchunk(answer);
  const Unzipped back = gunzip(received.content);
  EXPECT_TRUE(back.complete);
  EXPECT_TRUE(back.text == body) << back.text.size() << " octets instead of " << body.size();
  EXPECT_EQ(received.trailers, "\r\n");
}

TEST(ProxyGzipFlow, AMegabyteComesOutAsItWentInWhateverThePieces) {
  const std::string body = text_of(1'000'000);
  for (const std::size_t piece : {100UL, 1'448UL, 8'960UL}) {
    ProxyWorld world(with_gzip(piece));
    const Asked asked(world);
    const std::string answer = html(body);
    for (std::size_t at = 0; at < answer.size(); at += 50'000) {
      world.says(asked.server, answer.substr(at, 50'000));
    }
    expect_whole(world.heard(asked.client), body);
  }
}

TEST(ProxyGzipFlow, SingleOctetsAreJoinedAgain) {
  const std::string body = text_of(3'000);
  ProxyWorld world(with_gzip(1));
  const Asked asked(world);
  world.says(asked.server, html(body));
  const std::string answer = world.heard(asked.client);
  expect_whole(answer, body);
  EXPECT_LT(unchunk(answer).chunks, 20U) << "the clock stands still: nothing is flushed before the end";
}

TEST(ProxyGzipFlow, WhatHardlyCompressesComesOutToo) {
  const std::string body = noise_of(200'000);
  ProxyWorld world(with_gzip());
  const Asked asked(world);
  world.says(asked.server, html(body));
  expect_whole(world.heard(asked.client), body);
}

TEST(ProxyGzipFlow, ChunksOfAnySizeAreOneStream) {
  ProxyWorld world(with_gzip(700));
  const Asked asked(world);
  std::string answer(chunked_head);
  std::string body;
  for (unsigned number = 0; number < 200; ++number) {
    const std::string text = text_of(1 + number * 13 % 2'900, number);
    answer += chunk_of(text);
    body += text;
  }
  world.says(asked.server, answer + "0\r\n\r\n");
  expect_whole(world.heard(asked.client), body);
}

TEST(ProxyGzipFlow, AnEventReachesItsClientWithinMilliseconds) {
  ProxyWorld world(with_gzip());
  const Asked asked(world);
  world.says(asked.server, chunked_head);
  std::string answer = world.heard(asked.client);
  std::string events;
  for (int number = 0; number < 5; ++number) {
    const std::string event = "data: " + std::to_string(number) + "\n\n";
    events += event;
    world.says(asked.server, chunk_of(event));
    world.advance(2ms);
    answer += world.heard(asked.client);
    EXPECT_EQ(gunzip(unchunk(answer).content).text, events);
    world.advance(1s);
    EXPECT_EQ(world.heard(asked.client), "") << "nothing new";
  }
}

TEST(ProxyGzipFlow, AStreamThatNeverPausesIsNotHeldBackEither) {
  ProxyWorld world(with_gzip());
  const Asked asked(world);
  world.says(asked.server, chunked_head);
  for (int number = 0; number < 20; ++number) {
    world.says(asked.server, chunk_of("x"));
    world.advance(1ms);
  }
  EXPECT_GE(gunzip(unchunk(world.heard(asked.client)).content).text.size(), 18U);
}

TEST(ProxyGzipFlow, SlicesThatFollowOneAnotherAreNotFlushedOneByOne) {
  const std::string body = text_of(100'000);
  ProxyWorld world(with_gzip());
  const Asked asked(world);
  world.says(asked.server, html(body));
  const std::string together = world.heard(asked.client);
  ProxyWorld slow(with_gzip());
  const Asked second(slow);
  const std::string answer = html(body);
  for (std::size_t at = 0; at < answer.size(); at += 1'448) {
    slow.says(second.server, answer.substr(at, 1'448));
    slow.advance(5ms);
  }
  const std::string one_by_one = slow.heard(second.client);
  expect_whole(one_by_one, body);
  EXPECT_LT(together.size() + 300, one_by_one.size());
}

// --- slow readers, and ends in the middle ----------------------------------------------------------------------------

TEST(ProxyGzipFlow, WhatASlowReaderDoesNotTakeStaysUnread) {
  const std::string body = noise_of(100'000);
  ProxyWorld world(with_gzip());
  const Asked asked(world);
  world.set_room(asked.client, 2'000);
  world.says(asked.server, html(body));
  EXPECT_LT(world.peer(asked.server).consumed, 10'000U);
  EXPECT_EQ(world.proxy().counters().exchanges.get(), 1U);
  std::string answer = world.heard(asked.client);
  for (int reads = 0; reads < 1'000 && answer.size() < body.size(); ++reads) {
    world.set_room(asked.client, 700);
    answer += world.heard(asked.client);
  }
  world.set_room(asked.client, 1'000'000);
  answer += world.heard(asked.client);
  expect_whole(answer, body);
  EXPECT_EQ(world.proxy().counters().exchanges.get(), 0U);
}

TEST(ProxyGzipFlow, WhoReadsNothingLosesHisConnectionInTheEnd) {
  ProxyWorld world(with_gzip());
  const Asked asked(world);
  world.set_room(asked.client, 0);
  world.says(asked.server, html(noise_of(100'000)));
  world.advance(61s);
  EXPECT_TRUE(world.peer(asked.client).reset);
  EXPECT_EQ(world.log().at(0).cause, Cause::client_stalled);
}

TEST(ProxyGzipFlow, AClientThatGoesGivesItsCompressorBack) {
  ProxyWorld::Options options = with_gzip();
  options.compressors = 1;
  ProxyWorld world(options);
  for (int times = 0; times < 3; ++times) {
    const Asked asked(world);
    world.says(asked.server, html(text_of(50'000)).substr(0, 20'000));
    EXPECT_THAT(world.heard(asked.client), HasSubstr("Content-Encoding: gzip"));
    world.resets(asked.client);
  }
  const Asked asked(world);
  world.says(asked.server, html(text_of(50'000)));
  expect_whole(world.heard(asked.client), text_of(50'000));
}

TEST(ProxyGzipFlow, AServerThatEndsTooEarlyLeavesTheAnswerWithoutItsLastChunk) {
  for (const bool resets : {false, true}) {
    for (const std::string& answer :
         {html(text_of(50'000)).substr(0, 20'000), std::string(chunked_head) + chunk_of(text_of(20'000)),
          std::string(chunked_head) + chunk_of(text_of(20'000)) + "0\r\nX-T: 1\r\n"}) {
      ProxyWorld world(with_gzip());
      const Asked asked(world);
      world.says(asked.server, answer);
      resets ? world.resets(asked.server) : world.finishes(asked.server);
      EXPECT_TRUE(world.peer(asked.client).reset);
      EXPECT_THAT(unchunk(world.heard(asked.client)).trailers, testing::AnyOf("", "X-T: 1\r\n"));
      EXPECT_EQ(world.log().at(0).cause, Cause::answer_cut_short);
    }
  }
}

TEST(ProxyGzipFlow, AnAnswerUntilCloseThatIsResetIsNotComplete) {
  ProxyWorld world(with_gzip());
  const Asked asked(world);
  world.says(asked.server, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + text_of(20'000));
  world.resets(asked.server);
  EXPECT_TRUE(world.peer(asked.client).reset);
  EXPECT_FALSE(gunzip(unchunk(world.heard(asked.client)).content).complete);
}

TEST(ProxyGzipFlow, WhatAServerHasSaidBeforeItEndedStillComesToASlowReader) {
  const std::string body = noise_of(20'000);
  ProxyWorld world(with_gzip());
  const Asked asked(world);
  world.set_room(asked.client, 1'000);
  world.says(asked.server, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body);
  world.finishes(asked.server);
  std::string answer = world.heard(asked.client);
  for (int reads = 0; reads < 100; ++reads) {
    world.set_room(asked.client, 500);
    answer += world.heard(asked.client);
  }
  expect_whole(answer, body);
}

TEST(ProxyGzipFlow, MalformedChunksEndTheAnswer) {
  ProxyWorld world(with_gzip());
  const Asked asked(world);
  world.says(asked.server, std::string(chunked_head) + "5\r\nhello\r\nx\r\n");
  EXPECT_TRUE(world.peer(asked.client).reset);
  EXPECT_THAT(world.heard(asked.client), Not(HasSubstr("\r\n0\r\n")));
}

TEST(ProxyGzipFlow, WithoutBuffersItWaitsAndGoesOn) {
  const std::string body = text_of(50'000);
  ProxyWorld world(with_gzip());
  const Asked asked(world);
  const std::string answer = html(body);
  world.says(asked.server, answer.substr(0, 10'000));
  world.without_rooms(true);
  world.says(asked.server, answer.substr(10'000));
  EXPECT_LT(world.peer(asked.server).consumed, 30'000U);
  world.advance(5s);
  EXPECT_FALSE(world.peer(asked.client).gone);
  world.without_rooms(false);
  world.advance(1ms);
  expect_whole(world.heard(asked.client), body);
}

TEST(ProxyGzipFlow, TheLastBuffersAreForHeads) {
  const std::string body = text_of(50'000);
  ProxyWorld world(with_gzip());
  const Asked asked(world);
  const std::string answer = html(body);
  world.says(asked.server, answer.substr(0, 10'000));
  world.set_slack(true, 0);
  const std::size_t consumed = world.peer(asked.server).consumed;
  world.says(asked.server, answer.substr(10'000));
  EXPECT_EQ(world.peer(asked.server).consumed, consumed);
  world.set_slack(true, 1);
  world.advance(1ms);
  expect_whole(world.heard(asked.client), body);
}

// --- a turn's share --------------------------------------------------------------------------------------------------

TEST(ProxyGzipFlow, ATurnCompressesSoMuchAndNoMoreAndTheRestIsNotRead) {
  ProxyWorld world(with_gzip());
  std::vector<Asked> asked;
  for (int count = 0; count < 10; ++count) {
    asked.emplace_back(world);
  }
  const auto compressed = [&world] { return world.proxy().counters().gzip_octets_in.get(); };
  for (const Asked& one : asked) {
    world.brings(one.server, html(text_of(100'000)));
  }
  for (int turns = 0; turns < 20; ++turns) {
    const std::uint64_t before = compressed();
    world.one_turn();
    EXPECT_LE(compressed() - before, 8'192U);
    EXPECT_GE(compressed() - before, 7'000U);
  }
  world.set_slack(false, 8);
  const std::uint64_t before = compressed();
  world.one_turn();
  EXPECT_LE(compressed() - before, 1'024U) << "packets are waiting";
  world.set_slack(true, 8);
  world.turn();
  for (const Asked& one : asked) {
    expect_whole(world.heard(one.client), text_of(100'000));
  }
}

TEST(ProxyGzipFlow, AllThatWaitGetTheirTurn) {
  ProxyWorld world(with_gzip());
  std::vector<Asked> asked;
  for (int count = 0; count < 10; ++count) {
    asked.emplace_back(world);
  }
  for (const Asked& one : asked) {
    world.brings(one.server, html(text_of(100'000)));
  }
  for (int turns = 0; turns < 20; ++turns) {
    world.one_turn();
  }
  std::size_t least = 1'000'000;
  std::size_t most = 0;
  for (const Asked& one : asked) {
    least = std::min(least, world.peer(one.server).consumed);
    most = std::max(most, world.peer(one.server).consumed);
  }
  EXPECT_GE(least, 8'000U);
  EXPECT_LE(most - least, 9'000U);
  world.turn();
}

TEST(ProxyGzipFlow, PlainAnswersGoOnBesideIt) {
  ProxyWorld world(with_gzip());
  const Asked large(world);
  const auto client = world.client();
  world.says(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto server = world.last_opened();
  world.brings(large.server, html(text_of(1'000'000)));
  world.one_turn();
  world.brings(server, html(text_of(10'000)));
  world.one_turn();
  EXPECT_THAT(world.heard(client), testing::EndsWith(text_of(10'000)));
  EXPECT_EQ(world.proxy().counters().exchanges.get(), 1U);
  world.turn();
}

TEST(ProxyGzipFlow, WhileManyWaitNewAnswersGoAsTheyAre) {
  ProxyWorld world(with_gzip());
  std::vector<Asked> asked;
  for (int count = 0; count < 20; ++count) {
    asked.emplace_back(world);
  }
  const Asked late(world);
  for (const Asked& one : asked) {
    world.brings(one.server, html(text_of(50'000)));
  }
  world.one_turn();
  world.one_turn();
  world.brings(late.server, html(text_of(2'000)));
  world.one_turn();
  EXPECT_THAT(world.heard(late.client), testing::EndsWith("\r\n\r\n" + text_of(2'000)));
  EXPECT_EQ(world.proxy().counters().gzip_skipped.get(), 1U);
  world.turn();
  const Asked later(world);
  world.says(later.server, html(text_of(2'000)));
  expect_whole(world.heard(later.client), text_of(2'000));
}

TEST(ProxyGzipFlow, ALastConfigurationOfTheListenerDoesNotTouchWhatIsUnderWay) {
  const std::string body = text_of(20'000);
  ProxyWorld world(with_gzip());
  const Asked asked(world);
  world.says(asked.server, html(body).substr(0, 9'000));
  world.listener().http = std::make_shared<service::HttpSettings>();
  world.publish();
  world.says(asked.server, html(body).substr(9'000));
  expect_whole(world.heard(asked.client), body);
}

}  // namespace
}  // namespace steelyard::http
