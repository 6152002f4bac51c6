// The simulated world, a few hundred times. TCP_SIMULATION_SEED replays one run, TCP_SIMULATION_RUNS asks for more.
#include "tests/unit/tcp/simulation.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace steelyard::tcp::test {
namespace {

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(TcpSimulation, StreamsArriveWholeWhateverTheLinkDoes) {
  const std::uint64_t first = number_from("TCP_SIMULATION_SEED", 1);
  const std::uint64_t runs =
      std::getenv("TCP_SIMULATION_SEED") != nullptr ? 1 : number_from("TCP_SIMULATION_RUNS", 300);
  for (std::uint64_t seed = first; seed < first + runs; ++seed) {
    SCOPED_TRACE("TCP_SIMULATION_SEED=" + std::to_string(seed));
    Simulation{seed}.run();
    if (HasFailure()) {
      return;
    }
  }
}

// How long a transfer of 1 MiB takes on a clean and on a lossy path: no figure of merit, but a toy would need minutes.
TEST(TcpSimulation, ALossyPathIsUsed) {
  SimulationPlan plan;
  plan.delay = 10ms;
  plan.buffer = 256 * 1'024;
  plan.octets = {1 << 20, 0};
  Simulation clean{1, plan};
  clean.run();
  EXPECT_LT(clean.took(), 1s);
  plan.loss = 10;
  Simulation lossy{2, plan};
  lossy.run();
  EXPECT_GT(lossy.dropped(), 3U);
  EXPECT_LT(lossy.took(), 4s);
}

}  // namespace
}  // namespace steelyard::tcp::test
