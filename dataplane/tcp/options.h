// TCP options as values: read from hostile bytes, written in the layout that fast paths of other stacks expect
// (RFC 7323 appendix A). RFC 9293 section 3.1 (kinds 0, 1, 2), RFC 7323 sections 2 and 3, RFC 2018 sections 2 and 3.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/packet/sequence.h"

namespace steelyard::tcp {

using packet::Sequence;

inline constexpr std::size_t max_options_size = 40;
inline constexpr std::size_t timestamps_size = 12;    // with the two no-operations that align it
inline constexpr std::uint8_t max_window_scale = 14;  // RFC 7323 section 2.3
inline constexpr std::size_t max_sack_blocks = 4;     // what 40 bytes have room for

struct SackBlock {
  Sequence begin;  // of the first octet held
  Sequence end;    // just behind the last one

  [[nodiscard]] constexpr bool empty() const { return begin == end; }
  friend constexpr bool operator==(SackBlock, SackBlock) = default;
};

struct Options {
  std::uint16_t segment_size = 0;  // 0: absent
  std::uint8_t window_scale = 0;
  std::uint8_t sack_count = 0;
  bool has_window_scale = false;
  bool sack_permitted = false;
  bool has_timestamps = false;
  std::uint32_t timestamp = 0;       // TSval
  std::uint32_t timestamp_echo = 0;  // TSecr
  std::array<SackBlock, max_sack_blocks> sacks{};

  [[nodiscard]] std::span<const SackBlock> sack_blocks() const { return {sacks.data(), sack_count}; }
};

// Reads the bytes behind the fixed header. Never reads beyond them. Stops at the first option that cannot be one (its
// length is below 2 or reaches beyond the header); a known option of a wrong length is skipped; of two of a kind the
// first counts. A window scale above 14 is taken as 14 (RFC 7323 section 2.3).
// `options` has been made anew.
void read_options(std::span<const std::uint8_t> bytes, Options& options);
[[nodiscard]] inline Options read_options(std::span<const std::uint8_t> bytes) {
  Options options;
  read_options(bytes, options);
  return options;
}

// Writes options, padded to a multiple of four, and returns their size. SACK blocks that find no room are left out.
[[nodiscard]] std::size_t write_options(const Options& options, std::span<std::uint8_t, max_options_size> to);

// The size that write_options() will return.
[[nodiscard]] std::size_t size_of(const Options& options);

}  // namespace steelyard::tcp
