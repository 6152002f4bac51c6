#include "dataplane/http/gzip.h"

#include <zlib.h>

#include <cstdlib>
#include <new>
#include <vector>

namespace steelyard::http {
namespace {

constexpr int level = 1;
constexpr int window_bits = 13;
constexpr int gzip_wrapper = 16;  // added to the window bits
constexpr int memory_level = 6;
struct alignas(16) Unit {
  std::byte octets[16];
};

// Where one compressor's memory comes from. zlib asks for all of it in deflateInit2().
struct Arena {
  std::byte* next = nullptr;  // null: only counts
  std::size_t left = 0;
  std::size_t asked = 0;
};

constexpr std::size_t rounded(std::size_t octets) {
  return (octets + sizeof(Unit) - 1) / sizeof(Unit) * sizeof(Unit);
}

voidpf take_from(voidpf opaque, uInt items, uInt size) {
  Arena& arena = *static_cast<Arena*>(opaque);
  const std::size_t octets = rounded(std::size_t{items} * size);
  arena.asked += octets;
  if (arena.next == nullptr) {
    return std::calloc(1, octets);
  }
  if (octets > arena.left) {
    return Z_NULL;
  }
  std::byte* const taken = arena.next;
  arena.next += octets;
  arena.left -= octets;
  return taken;
}

void give_to(voidpf opaque, voidpf memory) {
  if (static_cast<Arena*>(opaque)->next == nullptr) {
    std::free(memory);
  }
}

void begin(z_stream& stream, Arena& arena) {
  stream = z_stream{};
  stream.zalloc = take_from;
  stream.zfree = give_to;
  stream.opaque = &arena;
  if (deflateInit2(&stream, level, Z_DEFLATED, window_bits + gzip_wrapper, memory_level, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();
  }
}

// What this zlib wants for a compressor.
std::size_t needed() {
  Arena counting;
  z_stream stream;
  begin(stream, counting);
  deflateEnd(&stream);
  return counting.asked;
}

int code_of(GzipPool::Flush flush) {
  switch (flush) {
    case GzipPool::Flush::none:
      break;
    case GzipPool::Flush::sync:
      return Z_SYNC_FLUSH;
    case GzipPool::Flush::finish:
      return Z_FINISH;
  }
  return Z_NO_FLUSH;
}

}  // namespace

struct GzipPool::State {
  explicit State(std::size_t count)
      : each(needed()), memory(count * each / sizeof(Unit)), streams(count), arenas(count) {
    free.reserve(count);
    auto* const begin_of_all = reinterpret_cast<std::byte*>(memory.data());
    for (std::size_t index = count; index-- > 0;) {
      arenas[index] = {.next = begin_of_all + index * each, .left = each};
      begin(streams[index], arenas[index]);
      free.push_back(static_cast<CompressorIndex>(index));
    }
  }

  std::size_t each;
  std::vector<Unit> memory;
  std::vector<z_stream> streams;  // which zlib knows by their addresses
  std::vector<Arena> arenas;      // the same
  std::vector<CompressorIndex> free;
};

GzipPool::GzipPool(std::size_t count) : state_(std::make_unique<State>(count)) {}
GzipPool::~GzipPool() = default;

CompressorIndex GzipPool::take() {
  if (state_->free.empty()) {
    return no_compressor;
  }
  const CompressorIndex index = state_->free.back();
  state_->free.pop_back();
  deflateReset(&state_->streams[index]);
  return index;
}

void GzipPool::give_back(CompressorIndex index) {
  state_->free.push_back(index);
}

std::size_t GzipPool::available() const {
  return state_->free.size();
}

std::size_t GzipPool::octets_each() const {
  return state_->each;
}

GzipPool::Progress GzipPool::compress(CompressorIndex index, std::span<const std::uint8_t> input,
                                      std::span<std::uint8_t> output, Flush flush) {
  z_stream& stream = state_->streams[index];
  stream.next_in = const_cast<Bytef*>(input.data());  // zlib only reads
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = output.data();
  stream.avail_out = static_cast<uInt>(output.size());
  const int result = deflate(&stream, code_of(flush));
  Progress progress{.taken = input.size() - stream.avail_in, .written = output.size() - stream.avail_out};
  // A sync is complete when room is left (zlib.h); Z_BUF_ERROR says that there was nothing to do any more.
  progress.done = stream.avail_in == 0 && (flush == Flush::none     ? true
                                           : flush == Flush::finish ? result == Z_STREAM_END
                                                                    : stream.avail_out != 0);
  return progress;
}

}  // namespace steelyard::http
