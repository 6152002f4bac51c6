#include "tests/simulation/goodput.h"

#include <algorithm>
#include <cstdio>
#include <sstream>

#include "tests/simulation/world.h"

namespace steelyard::simulation {
namespace {

constexpr std::uint64_t seeds = 7;
constexpr std::uint32_t octets = 4 * 1'024 * 1'024;
constexpr Duration longest = 30s;

}  // namespace

std::string measure(GoodputCell& cell) {
  Plan plan;
  plan.link.delay = cell.round_trip / 2;
  plan.link.loss = cell.loss;
  plan.link.rate = 12'500'000;
  plan.link.queue = 250'000;  // 20 ms of the rate: one round trip of the middle column
  plan.hosts[0].octets = octets;
  plan.hosts[0].largest_slice = 16'384;
  for (HostPlan& host : plan.hosts) {
    host.receive_buffer = host.send_buffer = cell.buffer;
  }
  std::vector<std::uint64_t> goodputs;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const Result result = World{plan, seed}.transfer(longest);
    if (!result.failure.empty()) {
      return result.failure;
    }
    goodputs.push_back(result.received[1] * 8'000U / static_cast<std::uint64_t>(result.took.count()));
  }
  std::ranges::sort(goodputs);
  cell.goodput = goodputs[seeds / 2];
  return {};
}

std::vector<GoodputCell> goodput_cells() {
  std::vector<GoodputCell> cells;
  for (const auto round_trip : goodput_round_trips) {
    for (const std::uint32_t buffer : goodput_buffers) {
      for (const unsigned loss : goodput_losses) {
        cells.push_back({loss, round_trip, buffer, 0});
      }
    }
  }
  return cells;
}

std::string write_matrix(const std::vector<GoodputCell>& cells) {
  std::string text =
      "# Goodput over 100 Mbit/s, written by tcp_goodput_matrix (tests/simulation/goodput.h).\n"
      "# loss (of 1,000), round trip (ms), buffers (octets), goodput (kbit/s)\n";
  for (const GoodputCell& cell : cells) {
    std::array<char, 64> line{};
    std::snprintf(line.data(), line.size(), "%3u %3d %7u %6llu\n", cell.loss, static_cast<int>(cell.round_trip.count()),
                  cell.buffer, static_cast<unsigned long long>(cell.goodput));
    text += line.data();
  }
  return text;
}

std::vector<GoodputCell> read_matrix(std::string_view text) {
  std::vector<GoodputCell> cells;
  std::istringstream lines{std::string{text}};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields{line};
    GoodputCell cell;
    std::int64_t milliseconds = 0;
    if (line[0] != '#' && fields >> cell.loss >> milliseconds >> cell.buffer >> cell.goodput) {
      cell.round_trip = std::chrono::milliseconds{milliseconds};
      cells.push_back(cell);
    }
  }
  return cells;
}

}  // namespace steelyard::simulation
