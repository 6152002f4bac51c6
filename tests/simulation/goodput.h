// How fast a transfer is over a simulated link of 100 Mbit/s, for every combination of loss, round trip and buffers.
// All of it is drawn from fixed seeds, so that a figure changes only with the code: the matrix is kept in a file and a
// change that makes a cell slower fails.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/tcp/time.h"

namespace steelyard::simulation {

struct GoodputCell {
  unsigned loss = 0;  // of 1,000 packets, in both directions
  std::chrono::milliseconds round_trip{0};
  std::uint32_t buffer = 0;   // octets, of the sender and of the receiver
  std::uint64_t goodput = 0;  // kbit/s of payload: the median over the seeds
};

inline constexpr std::array<unsigned, 7> goodput_losses{0, 1, 10, 20, 50, 100, 300};
inline constexpr std::array<std::chrono::milliseconds, 3> goodput_round_trips{
    std::chrono::milliseconds{1}, std::chrono::milliseconds{20}, std::chrono::milliseconds{100}};
inline constexpr std::array<std::uint32_t, 3> goodput_buffers{64 * 1'024, 256 * 1'024, 1'024 * 1'024};

// Transfers 4 MiB, or what comes over in 30 s, for each seed, and fills `cell.goodput` in. Throws nothing; a broken
// invariant is returned (empty: none).
[[nodiscard]] std::string measure(GoodputCell& cell);

// The whole matrix, without its figures.
[[nodiscard]] std::vector<GoodputCell> goodput_cells();

// The file's form: a line for each cell. Lines that begin with # are comments.
[[nodiscard]] std::string write_matrix(const std::vector<GoodputCell>& cells);
// Lines that cannot be read are left out.
[[nodiscard]] std::vector<GoodputCell> read_matrix(std::string_view text);

}  // namespace steelyard::simulation
