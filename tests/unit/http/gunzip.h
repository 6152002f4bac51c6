// What a client makes of a gzipped answer: chunks apart, zlib's inflate.
#pragma once

#include <zlib.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace steelyard::http {

struct Unzipped {
  std::string text;
  bool complete = false;  // the stream has ended, its checksum is right, and nothing follows
};

inline Unzipped gunzip(std::string_view octets) {
  constexpr int gzip_only = 16;
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, MAX_WBITS + gzip_only), Z_OK);
  std::string input(octets);
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  Unzipped result;
  int code = Z_OK;
  while (code == Z_OK) {
    std::string room(65'536, '\0');
    stream.next_out = reinterpret_cast<Bytef*>(room.data());
    stream.avail_out = static_cast<uInt>(room.size());
    code = inflate(&stream, Z_SYNC_FLUSH);
    result.text.append(room, 0, room.size() - stream.avail_out);
  }
  EXPECT_TRUE(code == Z_STREAM_END || code == Z_BUF_ERROR) << "the stream is not gzip";
  result.complete = code == Z_STREAM_END && stream.avail_in == 0;
  inflateEnd(&stream);
  return result;
}

// An answer as it came.
struct Received {
  std::string head;      // with its empty line
  std::string content;   // without chunks
  std::string trailers;  // with the empty line; empty: the last chunk has not come
  std::size_t chunks = 0;
};

inline Received unchunk(std::string_view answer) {
  Received received;
  const std::size_t end = answer.find("\r\n\r\n");
  received.head = answer.substr(0, end + 4);
  answer.remove_prefix(received.head.size());
  while (!answer.empty()) {
    const std::size_t line = answer.find("\r\n");
    const std::size_t size = std::stoul(std::string(answer.substr(0, line)), nullptr, 16);
    answer.remove_prefix(line + 2);
    if (size == 0) {
      received.trailers = answer;
      break;
    }
    ++received.chunks;
    received.content += answer.substr(0, size);
    EXPECT_EQ(answer.substr(size, 2), "\r\n");
    answer.remove_prefix(size + 2);
  }
  return received;
}

// Words that are drawn: as compressible as a page.
inline std::string text_of(std::size_t octets, unsigned seed = 1) {
  constexpr std::string_view words[] = {
      "balance ", "<p class=\"line\">", "octets ", "of ", "the ", "server ", "</p>\n", "answer ", "a ", "weight "};
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < octets) {
    text += words[random() % 10];
    text += std::to_string(random() % 1'000);
  }
  text.resize(octets);
  return text;
}

// As what is compressed or encrypted already.
inline std::string noise_of(std::size_t octets) {
  std::mt19937 random(7);
  std::string text(octets, '\0');
  for (char& octet : text) {
    octet = static_cast<char>(random());
  }
  return text;
}

}  // namespace steelyard::http
