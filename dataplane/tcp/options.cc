#include "dataplane/tcp/options.h"

#include <algorithm>
#include <array>

#include "dataplane/packet/family.h"

namespace steelyard::tcp {
namespace {

constexpr std::uint8_t kind_end = 0;
constexpr std::uint8_t kind_no_operation = 1;
constexpr std::uint8_t kind_segment_size = 2;
constexpr std::uint8_t kind_window_scale = 3;
constexpr std::uint8_t kind_sack_permitted = 4;
constexpr std::uint8_t kind_sack = 5;
constexpr std::uint8_t kind_timestamps = 8;

// Two no-operations, kind and length.
constexpr std::uint32_t aligned_timestamps = 0x01010000U | std::uint32_t{kind_timestamps} << 8U | 10U;

std::uint32_t load_be32(const std::uint8_t* from) {
  return __builtin_bswap32(packet::load<std::uint32_t>(from));
}

void read_sack(std::span<const std::uint8_t> option, Options& options) {
  if (options.sack_count != 0 || option.size() < 10 || (option.size() - 2) % 8 != 0) {
    return;
  }
  for (std::size_t at = 2; at < option.size() && options.sack_count < max_sack_blocks; at += 8) {
    options.sacks[options.sack_count++] = {{load_be32(&option[at])}, {load_be32(&option[at + 4])}};
  }
}

// `option` covers kind and length bytes.
void read_option(std::span<const std::uint8_t> option, Options& options) {
  switch (option[0]) {
    case kind_segment_size:
      if (option.size() == 4 && options.segment_size == 0) {
        options.segment_size = packet::load_be16(&option[2]);
      }
      break;
    case kind_window_scale:
      if (option.size() == 3 && !options.has_window_scale) {
        options.has_window_scale = true;
        options.window_scale = std::min(option[2], max_window_scale);
      }
      break;
    case kind_sack_permitted:
      options.sack_permitted = options.sack_permitted || option.size() == 2;
      break;
    case kind_sack:
      read_sack(option, options);
      break;
    case kind_timestamps:
      if (option.size() == 10 && !options.has_timestamps) {
        options.has_timestamps = true;
        options.timestamp = load_be32(&option[2]);
        options.timestamp_echo = load_be32(&option[6]);
      }
      break;
    default:
      break;  // RFC 9293 section 3.1: unknown options are ignored
  }
}

class Writer {
 public:
  explicit Writer(std::span<std::uint8_t, max_options_size> to) : to_(to) {}

  void byte(std::uint8_t value) { to_[size_++] = value; }
  void word(std::uint32_t value) {
    packet::store(&to_[size_], __builtin_bswap32(value));
    size_ += 4;
  }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::span<std::uint8_t, max_options_size> to_;
  std::size_t size_ = 0;
};

std::size_t blocks_with_room(const Options& options, std::size_t used) {
  const std::size_t room = max_options_size - used;
  return room < 12 ? 0 : std::min<std::size_t>(options.sack_count, (room - 4) / 8);
}

std::size_t size_without_sack(const Options& options) {
  return (options.segment_size != 0 ? 4U : 0U) +
         (options.has_timestamps   ? timestamps_size
          : options.sack_permitted ? 4U
                                   : 0U) +
         (options.has_window_scale ? 4U : 0U);
}

}  // namespace

void read_options(std::span<const std::uint8_t> bytes, Options& options) {
  // What nearly every segment has, in the layout of RFC 7323 appendix A.
  if (bytes.size() == timestamps_size && load_be32(bytes.data()) == aligned_timestamps) [[likely]] {
    options.has_timestamps = true;
    options.timestamp = load_be32(&bytes[4]);
    options.timestamp_echo = load_be32(&bytes[8]);
    return;
  }
  while (!bytes.empty() && bytes[0] != kind_end) {
    if (bytes[0] == kind_no_operation) {
      bytes = bytes.subspan(1);
      continue;
    }
    if (bytes.size() < 2 || bytes[1] < 2 || bytes[1] > bytes.size()) {
      break;
    }
    read_option(bytes.first(bytes[1]), options);
    bytes = bytes.subspan(bytes[1]);
  }
}

std::size_t write_options(const Options& options, std::span<std::uint8_t, max_options_size> to) {
  Writer writer{to};
  if (options.segment_size != 0) {
    writer.word(std::uint32_t{kind_segment_size} << 24U | 4U << 16U | options.segment_size);
  }
  if (options.has_timestamps) {
    // The two bytes that align timestamps carry SACK-permitted in a SYN.
    constexpr std::uint32_t kind_and_length = std::uint32_t{kind_timestamps} << 8U | 10U;
    writer.word(options.sack_permitted ? std::uint32_t{kind_sack_permitted} << 24U | 2U << 16U | kind_and_length
                                       : aligned_timestamps);
    writer.word(options.timestamp);
    writer.word(options.timestamp_echo);
  } else if (options.sack_permitted) {
    writer.word(0x01010000U | std::uint32_t{kind_sack_permitted} << 8U | 2U);
  }
  if (options.has_window_scale) {
    writer.word(0x01000000U | std::uint32_t{kind_window_scale} << 16U | 3U << 8U | options.window_scale);
  }
  if (const std::size_t blocks = blocks_with_room(options, writer.size()); blocks != 0) {
    writer.word(0x01010000U | std::uint32_t{kind_sack} << 8U | static_cast<std::uint32_t>(2 + 8 * blocks));
    for (std::size_t block = 0; block < blocks; ++block) {
      writer.word(options.sacks[block].begin.value);
      writer.word(options.sacks[block].end.value);
    }
  }
  return writer.size();
}

std::size_t size_of(const Options& options) {
  const std::size_t size = size_without_sack(options);
  const std::size_t blocks = blocks_with_room(options, size);
  return blocks == 0 ? size : size + 4 + 8 * blocks;
}

}  // namespace steelyard::tcp
