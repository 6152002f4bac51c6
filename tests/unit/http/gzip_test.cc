// Compressors: what comes out is what zlib decodes, whatever the pieces, and used ones know nothing of before.
#include "dataplane/http/gzip.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/http/gunzip.h"

namespace steelyard::http {
namespace {

using Flush = GzipPool::Flush;

// Everything that comes of `input`, in rooms of a size.
std::string compressed(GzipPool& pool, CompressorIndex index, std::string_view input, std::size_t room, Flush flush) {
  std::string output;
  std::vector<std::uint8_t> octets(room);
  while (true) {
    const auto progress =
        pool.compress(index, {reinterpret_cast<const std::uint8_t*>(input.data()), input.size()}, octets, flush);
    output.append(octets.begin(), octets.begin() + static_cast<std::ptrdiff_t>(progress.written));
    input.remove_prefix(progress.taken);
    if (progress.done) {
      return output;
    }
    EXPECT_TRUE(progress.written == room) << "not done, and room is left";
  }
}

TEST(GzipPool, WhatComesOutIsGzipWhateverTheRooms) {
  GzipPool pool(1);
  for (const std::string& content : {std::string(), std::string("a"), text_of(5'000), text_of(300'000),
                                     noise_of(70'000), std::string(100'000, 'x')}) {
    for (const std::size_t room : {16UL, 187UL, 2'035UL, 1'000'000UL}) {
      const CompressorIndex index = pool.take();
      ASSERT_NE(index, no_compressor);
      std::string output;
      for (std::size_t at = 0; at < content.size(); at += 1'448) {
        output += compressed(pool, index, std::string_view(content).substr(at, 1'448), room, Flush::none);
      }
      output += compressed(pool, index, {}, room, Flush::finish);
      pool.give_back(index);
      const Unzipped back = gunzip(output);
      EXPECT_TRUE(back.complete) << content.size() << " in " << room;
      EXPECT_TRUE(back.text == content) << content.size() << " in " << room;
    }
  }
}

TEST(GzipPool, TextBecomesMuchLessAndNoiseHardlyMore) {
  GzipPool pool(1);
  const auto size_of = [&pool](const std::string& content) {
    const CompressorIndex index = pool.take();
    const std::size_t size = compressed(pool, index, content, 2'048, Flush::finish).size();
    pool.give_back(index);
    return size;
  };
  EXPECT_LT(size_of(text_of(100'000)), 50'000U);
  EXPECT_LT(size_of(noise_of(100'000)), 100'200U);
}

TEST(GzipPool, ASyncBringsEverythingOutAndTheStreamGoesOn) {
  GzipPool pool(1);
  const CompressorIndex index = pool.take();
  std::string output;
  std::string content;
  for (unsigned event = 0; event < 50; ++event) {
    const std::string text = text_of(1 + event * 37, event);
    content += text;
    output += compressed(pool, index, text, 100, Flush::none);
    output += compressed(pool, index, {}, 100, Flush::sync);
    const Unzipped back = gunzip(output);
    EXPECT_EQ(back.text, content);
    EXPECT_FALSE(back.complete);
  }
  output += compressed(pool, index, {}, 100, Flush::finish);
  EXPECT_TRUE(gunzip(output).complete);
}

TEST(GzipPool, ASyncWithoutAnythingNewIsDoneAtOnce) {
  GzipPool pool(1);
  const CompressorIndex index = pool.take();
  EXPECT_FALSE(compressed(pool, index, "a", 100, Flush::sync).empty());
  EXPECT_EQ(compressed(pool, index, {}, 100, Flush::sync), "");
}

TEST(GzipPool, HasSoManyAndNoMore) {
  GzipPool pool(3);
  std::vector<CompressorIndex> taken{pool.take(), pool.take(), pool.take()};
  std::ranges::sort(taken);
  EXPECT_EQ(taken, (std::vector<CompressorIndex>{0, 1, 2}));
  EXPECT_EQ(pool.take(), no_compressor);
  pool.give_back(1);
  EXPECT_EQ(pool.available(), 1U);
  EXPECT_EQ(pool.take(), 1);
  EXPECT_EQ(GzipPool(0).take(), no_compressor);
}

TEST(GzipPool, OneThatWasGivenUpInTheMiddleBeginsAnew) {
  GzipPool pool(1);
  const std::string content = text_of(20'000);
  const CompressorIndex index = pool.take();
  const std::string first = compressed(pool, index, content, 2'048, Flush::finish);
  pool.give_back(index);
  ASSERT_EQ(pool.take(), index);
  static_cast<void>(compressed(pool, index, "another answer", 100, Flush::none));
  pool.give_back(index);
  ASSERT_EQ(pool.take(), index);
  EXPECT_EQ(compressed(pool, index, content, 2'048, Flush::finish), first);
}

TEST(GzipPool, TwoStreamsDoNotMix) {
  GzipPool pool(2);
  const CompressorIndex a = pool.take();
  const CompressorIndex b = pool.take();
  std::string of_a;
  std::string of_b;
  for (unsigned piece = 0; piece < 20; ++piece) {
    of_a += compressed(pool, a, text_of(3'000, piece), 500, Flush::none);
    of_b += compressed(pool, b, "b" + text_of(2'000, 100 + piece), 500, Flush::none);
  }
  of_b += compressed(pool, b, {}, 500, Flush::finish);
  of_a += compressed(pool, a, {}, 500, Flush::finish);
  std::string wanted;
  for (unsigned piece = 0; piece < 20; ++piece) {
    wanted += text_of(3'000, piece);
  }
  EXPECT_TRUE(gunzip(of_a).text == wanted);
  EXPECT_TRUE(gunzip(of_b).complete);
}

TEST(GzipPool, ACompressorTakesLessThanAHundredKilobytes) {
  EXPECT_LT(GzipPool(1).octets_each(), 100'000U);
}

}  // namespace
}  // namespace steelyard::http
