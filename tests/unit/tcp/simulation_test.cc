// The simulated world (tests/simulation), some thousand seeds of it. `tcp_simulation --seed S --runs 1 --verbose`
// replays one that has failed.
#include <gtest/gtest.h>

#include "tests/simulation/world.h"

namespace steelyard::simulation {
namespace {

#ifdef STEELYARD_SANITIZED
constexpr std::uint64_t runs = 200;
#else
constexpr std::uint64_t runs = 2'000;
#endif

TEST(TcpSimulation, StreamsArriveWholeWhateverTheLinkDoes) {
  for (std::uint64_t seed = 1; seed <= runs; ++seed) {
    const Plan plan = draw_plan(seed);
    const Result result = World{plan, seed}.run();
    ASSERT_EQ(result.failure, "") << "seed " << seed << ": " << to_string(plan);
  }
}

TEST(TcpSimulation, ASeedIsOneWorld) {
  const Plan plan = draw_plan(7);
  const Result first = World{plan, 7}.run();
  const Result second = World{plan, 7}.run();
  EXPECT_EQ(first.took, second.took);
  EXPECT_EQ(first.segments, second.segments);
  EXPECT_EQ(to_string(plan), to_string(draw_plan(7)));
}

// Octets that nobody has sent would be found.
TEST(TcpSimulation, AFailureIsToldOfOnce) {
  Plan plan;
  plan.link.loss = 1'000;
  plan.hosts[0].octets = 1'000;
  const Result result = World{plan, 1}.run();
  EXPECT_NE(result.failure.find("it did not end as it should"), std::string::npos) << result.failure;
}

}  // namespace
}  // namespace steelyard::simulation
