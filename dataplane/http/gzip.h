// gzip (RFC 1952) for bodies of answers: the compressors of one worker, zlib at its fastest level. They are there from
// the start and are used again: nothing allocates after construction. Pure; worker only.
//
// A compressor has 71 KB: a window of 8 KB and memory level 6. zlib's defaults would take 268 KB for 5% less output,
// and leave the second-level cache to nobody else. Text costs 10 to 15 ns an octet, what hardly compresses 60
// (bench/gzip_benchmark.cc): who calls decides how much at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace steelyard::http {

using CompressorIndex = std::uint8_t;
inline constexpr CompressorIndex no_compressor = 0xff;

class GzipPool {
 public:
  // `count`: below no_compressor. Throws std::bad_alloc.
  explicit GzipPool(std::size_t count);
  ~GzipPool();
  GzipPool(const GzipPool&) = delete;
  GzipPool& operator=(const GzipPool&) = delete;

  // One that begins a new stream; no_compressor: all are in use.
  [[nodiscard]] CompressorIndex take();
  void give_back(CompressorIndex index);
  [[nodiscard]] std::size_t available() const;

  enum class Flush : std::uint8_t {
    none,    // output comes when a block is full
    sync,    // all that was put in comes out, so that the other side can decode it
    finish,  // the stream ends
  };
  // A sync must have more room than this, or it would be repeated (zlib.h, deflate()).
  static constexpr std::size_t least_room = 8;

  struct Progress {
    std::size_t taken = 0;    // of the input
    std::size_t written = 0;  // to the output
    bool done = false;        // all input is taken, and what was asked for is written
  };
  // When `output` is full and it is not done: again, with more output and the rest of the input.
  [[nodiscard]] Progress compress(CompressorIndex index, std::span<const std::uint8_t> input,
                                  std::span<std::uint8_t> output, Flush flush);

  // What a compressor takes.
  [[nodiscard]] std::size_t octets_each() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace steelyard::http
