// Bodies of every framing, whole and in pieces; chunks as hostile as they come.
#include "dataplane/http/body.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/http/hostile.h"

namespace steelyard::http {
namespace {

using namespace std::literals;

struct Outcome {
  std::string passed;
  std::string fault;      // empty: none
  std::size_t taken = 0;  // octets
  std::size_t steps = 0;
  bool complete = false;
  std::uint64_t content = 0;

  bool operator==(const Outcome& other) const {
    return passed == other.passed && fault == other.fault && taken == other.taken && complete == other.complete &&
           content == other.content;
  }
};

// `next_size` gives the size of the next piece. Every piece has memory of its own.
template <typename NextSize>
Outcome read_in_pieces(BodyReader reader, std::string_view octets, NextSize&& next_size) {
  Outcome outcome;
  while (!octets.empty() && !reader.complete() && outcome.fault.empty()) {
    const std::size_t size = std::clamp<std::size_t>(next_size(), 1, octets.size());
    const std::vector<std::uint8_t> piece(octets.begin(), octets.begin() + static_cast<std::ptrdiff_t>(size));
    std::span<const std::uint8_t> rest(piece);
    while (!rest.empty() && !reader.complete()) {
      const BodyReader::Step step = reader.next(rest);
      ++outcome.steps;
      if (step.kind == BodyReader::Step::Kind::refuse) {
        EXPECT_EQ(step.octets, 0U);
        outcome.fault = step.fault;
        break;
      }
      EXPECT_GE(step.octets, 1U);
      EXPECT_LE(step.octets, rest.size());
      if (step.kind == BodyReader::Step::Kind::pass) {
        outcome.passed.append(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(step.octets));
      }
      outcome.taken += step.octets;
      rest = rest.subspan(step.octets);
    }
    octets.remove_prefix(size - rest.size());
  }
  outcome.complete = reader.complete();
  outcome.content = reader.content();
  return outcome;
}

Outcome read_whole(const BodyReader& reader, std::string_view octets) {
  return read_in_pieces(reader, octets, [&] { return octets.size(); });
}

BodyReader chunked(BodyReader::Chunks chunks = BodyReader::Chunks::kept) {
  return BodyReader({BodyKind::chunked, 0}, chunks);
}

TEST(BodyReader, NoBodyIsCompleteAtOnce) {
  BodyReader none;
  EXPECT_TRUE(none.complete());
  EXPECT_TRUE(BodyReader({BodyKind::length, 0}).complete());
  const std::vector<std::uint8_t> octets(1);
  EXPECT_EQ(none.next(octets).kind, BodyReader::Step::Kind::refuse);
}

TEST(BodyReader, ALengthIsPassedAndNothingBeyondIt) {
  const Outcome outcome = read_whole(BodyReader({BodyKind::length, 5}), "helloGET / HTTP/1.1");
  EXPECT_EQ(outcome.passed, "hello");
  EXPECT_TRUE(outcome.complete);
  EXPECT_EQ(outcome.content, 5U);
  const Outcome cut = read_whole(BodyReader({BodyKind::length, 6}), "hello");
  EXPECT_FALSE(cut.complete);
  EXPECT_EQ(cut.passed, "hello");
}

TEST(BodyReader, ABodyUntilCloseNeverIsComplete) {
  const Outcome outcome = read_whole(BodyReader({BodyKind::until_close, 0}), "anything\r\n0\r\n\r\n");
  EXPECT_EQ(outcome.passed, "anything\r\n0\r\n\r\n");
  EXPECT_FALSE(outcome.complete);
  EXPECT_EQ(outcome.content, 15U);
}

TEST(BodyReader, ChunksWithoutExtensionsPassInOneStep) {
  const std::string_view body = "5\r\nhello\r\n0010\r\n0123456789abcdef\r\nA\r\n\r\n0\r\n\r\nabc\r\n0\r\n\r\n";
  const Outcome outcome = read_whole(chunked(), std::string(body) + "GET /");
  EXPECT_EQ(outcome.passed, body);
  EXPECT_EQ(outcome.steps, 1U);
  EXPECT_EQ(outcome.taken, body.size());
  EXPECT_EQ(outcome.content, 31U);
  EXPECT_TRUE(outcome.complete);
}

TEST(BodyReader, ExtensionsAreLeftOut) {
  const Outcome outcome =
      read_whole(chunked(), "5;a=b;c=\"d;\\\" e\"\r\nhello\r\n3 \t;x\r\nabc\r\n0;last\r\nT: v\r\n\r\n");
  EXPECT_EQ(outcome.passed, "5\r\nhello\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n");
  EXPECT_EQ(outcome.content, 8U);
  EXPECT_TRUE(outcome.complete);
}

TEST(BodyReader, TrailersPass) {
  const std::string_view body = "0\r\nGrpc-Status: 0\r\nX-Empty:\r\nX-\xc3: no\r\n\r\n";
  EXPECT_EQ(read_whole(chunked(), body).fault, "a trailer's name is no token");
  const std::string_view good = "0\r\nGrpc-Status: 0\r\nX-Empty:\r\nX: \xc3\xa4\t;:\r\nServer-Timing: a\r\n\r\n";
  const Outcome outcome = read_whole(chunked(), good);
  EXPECT_EQ(outcome.passed, good);
  EXPECT_TRUE(outcome.complete);
}

TEST(BodyReader, OnlyContentIsLeftWhenChunksAreRemoved) {
  const std::string_view body = "5;a\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nT: v\r\n\r\n";
  const Outcome outcome = read_whole(chunked(BodyReader::Chunks::removed), body);
  EXPECT_EQ(outcome.passed, "hello world");
  EXPECT_EQ(outcome.taken, body.size());
  EXPECT_TRUE(outcome.complete);
}

TEST(BodyReader, ContentAndTrailersAreLeftWhenChunksAreUnwrapped) {
  const std::string_view body = "5;a\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0;b\r\nT: v\r\nU:\r\n\r\n";
  for (std::size_t size = 1; size <= body.size(); ++size) {
    const Outcome outcome = read_in_pieces(chunked(BodyReader::Chunks::unwrapped), body, [size] { return size; });
    EXPECT_EQ(outcome.passed, "hello worldT: v\r\nU:\r\n\r\n") << size;
    EXPECT_EQ(outcome.taken, body.size());
    EXPECT_EQ(outcome.content, 11U);
    EXPECT_TRUE(outcome.complete);
  }
  EXPECT_EQ(read_whole(chunked(BodyReader::Chunks::unwrapped), "0\r\n\r\n").passed, "\r\n");
}

TEST(BodyReader, KnowsWhetherContentMayFollow) {
  const auto ended = [](BodyReader reader, std::string_view octets) {
    while (!octets.empty() && !reader.complete()) {
      octets.remove_prefix(reader.next({reinterpret_cast<const std::uint8_t*>(octets.data()), octets.size()}).octets);
    }
    return reader.content_ended();
  };
  EXPECT_FALSE(ended(chunked(), "5\r\nhello\r\n0"));
  EXPECT_TRUE(ended(chunked(), "5\r\nhello\r\n0\r\n"));
  EXPECT_TRUE(ended(chunked(), "0\r\nT: v\r\n\r\n"));
  EXPECT_FALSE(ended(BodyReader({BodyKind::length, 6}), "hello"));
  EXPECT_TRUE(ended(BodyReader({BodyKind::length, 5}), "hello"));
  EXPECT_FALSE(ended(BodyReader({BodyKind::until_close, 0}), "hello"));
}

TEST(BodyReader, ABodyThatEndsEarlyIsNotComplete) {
  const std::string_view body = "5\r\nhello\r\n0\r\nT: v\r\n\r\n";
  for (std::size_t size = 0; size < body.size(); ++size) {
    const Outcome outcome = read_whole(chunked(), body.substr(0, size));
    EXPECT_FALSE(outcome.complete) << size;
    EXPECT_EQ(outcome.fault, "");
  }
}

class RefusedChunks : public testing::TestWithParam<Hostile> {};

TEST_P(RefusedChunks, AreRefusedInOnePieceAndInSingleOctets) {
  const Outcome whole = read_whole(chunked(), GetParam().octets);
  EXPECT_NE(whole.fault, "");
  EXPECT_FALSE(whole.complete);
  EXPECT_EQ(read_in_pieces(chunked(), GetParam().octets, [] { return 1; }), whole);
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, RefusedChunks,
    testing::Values(
        Hostile{"UnderscoreInTheSize", "0_2e\r\nhello\r\n"}, Hostile{"MinusBeforeTheSize", "-0x0\r\n\r\n"},
        Hostile{"PlusBeforeTheSize", "+5\r\nhello\r\n"}, Hostile{"PrefixOfTheSize", "0x5\r\nhello\r\n"},
        Hostile{"BlankBeforeTheSize", " 5\r\nhello\r\n"}, Hostile{"TabBeforeTheSize", "\t5\r\nhello\r\n"},
        Hostile{"BlankAfterTheSize", "5 \r\nhello\r\n"}, Hostile{"TabAfterTheSize", "5\t\r\nhello\r\n"},
        Hostile{"BlankInTheSize", "1 0\r\n0123456789abcdef\r\n"}, Hostile{"EmptySize", "\r\nhello\r\n"},
        Hostile{"OnlyAnExtension", ";a=b\r\n\r\n"}, Hostile{"GarbageAfterTheSize", "5g\r\nhello\r\n"},
        Hostile{"CommaAfterTheSize", "5,5\r\nhello\r\n"}, Hostile{"NulAfterTheSize", "5\0\r\nhello\r\n"s},
        Hostile{"HighOctetAfterTheSize", "5\x85\r\nhello\r\n"}, Hostile{"BareLfAfterTheSize", "5\nhello\r\n0\r\n\r\n"},
        Hostile{"BareCrAfterTheSize", "5\rhello\r\n0\r\n\r\n"}, Hostile{"CrCrLfAfterTheSize", "5\r\r\nhello\r\n"},
        Hostile{"SeventeenDigits", "00000000000000005\r\nhello\r\n"}, Hostile{"Size2To64", "10000000000000000\r\n"},
        Hostile{"Size2To64And5", "10000000000000005\r\nhello\r\n"}, Hostile{"Size2To63", "8000000000000000\r\n"},
        Hostile{"AllOnes", "ffffffffffffffff\r\n"}, Hostile{"ContentThatOverflows", "1\r\na\r\n7fffffffffffffff\r\n"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(Lines, RefusedChunks,
                         testing::Values(Hostile{"BareLfInAnExtension", "5;a\nhello\r\n0\r\n\r\n"},
                                         Hostile{"BareLfInAQuotedExtension", "5;a=\"\n\"\r\nhello\r\n"},
                                         Hostile{"BareCrInAnExtension", "5;a\rb\r\nhello\r\n"},
                                         Hostile{"NulInAnExtension", "5;\0\r\nhello\r\n"s},
                                         Hostile{"DeleteInAnExtension", "5;\x7f\r\nhello\r\n"},
                                         Hostile{"EndlessExtension", "5;" + std::string(1'100, 'a')},
                                         Hostile{"EndlessBlanksBeforeAnExtension", "5" + std::string(1'100, ' ')},
                                         Hostile{"BlanksBeforeNoExtension", "5 a\r\nhello\r\n"},
                                         Hostile{"MissingEndOfAChunk", "5\r\nhello0\r\n\r\n"},
                                         Hostile{"BareLfAfterAChunk", "5\r\nhello\n0\r\n\r\n"},
                                         Hostile{"BareCrAfterAChunk", "5\r\nhello\r0\r\n\r\n"},
                                         Hostile{"AChunkLongerThanItsSize", "4\r\nhello\r\n"},
                                         Hostile{"MissingFinalCrLf", "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
                                         Hostile{"BareLfForTheFinalLine", "0\r\n\nGET / HTTP/1.1\r\n"},
                                         Hostile{"BareCrForTheFinalLine", "0\r\n\rGET / HTTP/1.1\r\n"},
                                         Hostile{"BareLfAfterTheLastChunk", "0\n\n"}),
                         name_of);

INSTANTIATE_TEST_SUITE_P(
    Trailers, RefusedChunks,
    testing::Values(
        Hostile{"ContentLength", "0\r\nContent-Length: 5\r\n\r\n"},
        Hostile{"ContentLengthInSmallLetters", "0\r\ncontent-length: 5\r\n\r\n"},
        Hostile{"ContentLengthWithUnderscore", "0\r\nContent_Length: 5\r\n\r\n"},
        Hostile{"TransferEncoding", "0\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"},
        Hostile{"Host", "0\r\nHOST: a\r\n\r\n"}, Hostile{"Connection", "0\r\nConnection: close\r\n\r\n"},
        Hostile{"Cookie", "0\r\nCookie: SERVERID=1\r\n\r\n"}, Hostile{"SetCookie", "0\r\nSet-Cookie: a=b\r\n\r\n"},
        Hostile{"Authorization", "0\r\nAuthorization: x\r\n\r\n"}, Hostile{"Upgrade", "0\r\nUpgrade: x\r\n\r\n"},
        Hostile{"Trailer", "0\r\nTrailer: x\r\n\r\n"}, Hostile{"ForwardedFor", "0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"},
        Hostile{"ForwardedProto", "0\r\nx-forwarded-proto: https\r\n\r\n"},
        Hostile{"SlbFields", "0\r\nSLB-ID: 1\r\n\r\n"}, Hostile{"NoName", "0\r\n: v\r\n\r\n"},
        Hostile{"NoColon", "0\r\nabc\r\n\r\n"}, Hostile{"BlankBeforeTheColon", "0\r\nA : v\r\n\r\n"},
        Hostile{"FoldedTrailer", "0\r\nA: v\r\n w\r\n\r\n"}, Hostile{"BlankBeforeTheFirst", "0\r\n A: v\r\n\r\n"},
        Hostile{"BareLf", "0\r\nA: v\nB: w\r\n\r\n"}, Hostile{"BareCr", "0\r\nA: v\rB: w\r\n\r\n"},
        Hostile{"Nul", "0\r\nA: \0\r\n\r\n"s}, Hostile{"EndlessValue", "0\r\nA: " + std::string(9'000, 'a')},
        Hostile{"EndlessName", "0\r\n" + std::string(9'000, 'a')}),
    name_of);

TEST(BodyReader, TheLargestChunkIsHalfOf64Bits) {
  const Outcome outcome = read_whole(chunked(), "7fffffffffffffff\r\nabc");
  EXPECT_EQ(outcome.fault, "");
  EXPECT_EQ(outcome.content, 3U);
}

TEST(BodyReader, TrailersMayHave8KilobytesInAll) {
  const std::string trailer = "A: " + std::string(1'019, 'v') + "\r\n";  // 1,024 octets
  std::string seven;
  for (int i = 0; i < 7; ++i) {
    seven += trailer;
  }
  const std::string rest = "A: " + std::string(1'017, 'v') + "\r\n";
  EXPECT_TRUE(read_whole(chunked(), "0\r\n" + seven + rest + "\r\n").complete);
  EXPECT_EQ(read_whole(chunked(), "0\r\n" + seven + trailer + "\r\n").fault, "trailers are too long");
}

TEST(BodyReader, SmallChunksAreFineAndHugeExtensionsForThemAreNot) {
  std::string plain;
  std::string wasteful;
  for (int i = 0; i < 20'000; ++i) {
    plain += "1\r\na\r\n";
    wasteful += "1;" + std::string(200, 'e') + "\r\na\r\n";
  }
  EXPECT_EQ(read_whole(chunked(), plain).fault, "");
  const Outcome outcome = read_whole(chunked(), wasteful);
  EXPECT_EQ(outcome.fault, "a body that is mostly framing");
  EXPECT_LT(outcome.taken, 32'768U);
}

TEST(BodyReader, ExtensionsThatTheContentAccountsForAreFine) {
  std::string body;
  for (int i = 0; i < 5'000; ++i) {
    body += "80;chunk-signature=" + std::string(64, 'f') + "\r\n" + std::string(128, 'd') + "\r\n";
  }
  const Outcome outcome = read_whole(chunked(), body);
  EXPECT_EQ(outcome.fault, "");
  EXPECT_EQ(outcome.content, 640'000U);
}

std::string random_chunked_body(std::mt19937& random) {
  std::string body;
  for (std::size_t chunks = random() % 6; chunks != 0; --chunks) {
    const std::size_t size = 1 + random() % 40;
    std::array<char, 8> hex{};
    std::snprintf(hex.data(), hex.size(), random() % 2 == 0 ? "%zx" : "%03zX", size);
    body += hex.data();
    if (random() % 3 == 0) {
      body += "  ;ext=\"" + std::string(random() % 10, '"') + "\"";
    }
    body += "\r\n";
    for (std::size_t i = 0; i < size; ++i) {
      body += "\r\n0;5a:"[random() % 7];
    }
    body += "\r\n";
  }
  body += random() % 2 == 0 ? "0\r\n" : "000;x\r\n";
  body += random() % 2 == 0 ? "" : "T: v\r\nSum:\r\n";
  return body + "\r\n";
}

TEST(BodyReader, AnySplitPassesTheSame) {
  std::mt19937 random{5};
  for (int round = 0; round < 5'000; ++round) {
    const std::string body = random_chunked_body(random);
    for (const auto chunks : {BodyReader::Chunks::kept, BodyReader::Chunks::removed}) {
      const Outcome whole = read_whole(chunked(chunks), body + "more");
      ASSERT_TRUE(whole.complete) << body << whole.fault;
      ASSERT_EQ(whole.taken, body.size());
      ASSERT_EQ(read_in_pieces(chunked(chunks), body + "more", [&] { return random() % 9; }), whole) << body;
      ASSERT_EQ(read_in_pieces(chunked(chunks), body + "more", [] { return 1; }), whole) << body;
    }
  }
}

TEST(BodyReader, AnySplitRefusesTheSame) {
  std::mt19937 random{6};
  std::size_t refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string body = random_chunked_body(random);
    body[random() % body.size()] = "\r\n 0;:g\x80"[random() % 8];
    const Outcome whole = read_whole(chunked(), body);
    refused += whole.fault.empty() ? 0U : 1U;
    ASSERT_EQ(read_in_pieces(chunked(), body, [&] { return random() % 9; }), whole) << body;
  }
  EXPECT_GT(refused, 5'000U);
}

}  // namespace
}  // namespace steelyard::http
