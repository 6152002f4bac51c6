// The up/down machine against thresholds.
#include "healthcheck/state_machine.h"

#include <gtest/gtest.h>

#include "tests/unit/healthcheck/fakes.h"

namespace steelyard::healthcheck {
namespace {

using testing::failure;
using testing::our_fault;
using testing::success;
using namespace std::chrono_literals;

constexpr TimePoint start{1h};

TEST(StateMachine, GoesDownAtTheUnhealthyThresholdAndNotBefore) {
  StateMachine machine({.healthy = 2, .unhealthy = 3}, Status::up, start);
  EXPECT_FALSE(machine.record(failure(), start + 1s));
  EXPECT_FALSE(machine.record(failure(), start + 2s));
  EXPECT_EQ(machine.status(), Status::up);
  EXPECT_TRUE(machine.record(failure("timeout after 5 s"), start + 3s));
  EXPECT_EQ(machine.status(), Status::down);
  EXPECT_EQ(machine.since(), start + 3s);
  EXPECT_EQ(machine.failures(), 3U);
  EXPECT_EQ(machine.last_result().reason, "timeout after 5 s");
  EXPECT_FALSE(machine.record(failure(), start + 4s)) << "a change is told once";
  EXPECT_EQ(machine.since(), start + 3s);
}

TEST(StateMachine, OneSuccessBreaksARunOfFailures) {
  StateMachine machine({.healthy = 2, .unhealthy = 2}, Status::up, start);
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(machine.record(failure(), start));
    EXPECT_FALSE(machine.record(success(), start));
  }
  EXPECT_EQ(machine.status(), Status::up);
}

TEST(StateMachine, ComesBackAtTheHealthyThreshold) {
  StateMachine machine({.healthy = 2, .unhealthy = 1}, Status::up, start);
  EXPECT_TRUE(machine.record(failure(), start + 1s));
  EXPECT_FALSE(machine.record(success(), start + 2s));
  EXPECT_EQ(machine.status(), Status::down);
  EXPECT_TRUE(machine.record(success(), start + 3s));
  EXPECT_EQ(machine.status(), Status::up);
  EXPECT_EQ(machine.since(), start + 3s);
}

TEST(StateMachine, StartsInTheGivenStateWithoutProof) {
  const StateMachine up({}, Status::up, start);
  EXPECT_EQ(up.status(), Status::up);
  EXPECT_FALSE(up.proven());
  EXPECT_FALSE(up.has_result());
  const StateMachine down({}, Status::down, start);
  EXPECT_EQ(down.status(), Status::down);
}

TEST(StateMachine, AWholeRunProvesTheStatus) {
  StateMachine machine({.healthy = 2, .unhealthy = 2}, Status::up, start);
  EXPECT_FALSE(machine.record(success(), start));
  EXPECT_FALSE(machine.proven());
  EXPECT_FALSE(machine.record(success(), start));
  EXPECT_TRUE(machine.proven());
  EXPECT_EQ(machine.since(), start) << "proof is no change";
}

TEST(StateMachine, LocalErrorsAreCountedAndChangeNothing) {
  StateMachine machine({.healthy = 2, .unhealthy = 2}, Status::up, start);
  EXPECT_FALSE(machine.record(failure(), start));
  for (int i = 0; i < 100; ++i)
    EXPECT_FALSE(machine.record(our_fault(), start));
  EXPECT_EQ(machine.status(), Status::up);
  EXPECT_EQ(machine.local_errors(), 100U);
  EXPECT_EQ(machine.last_result().outcome, ProbeOutcome::local_error);
  EXPECT_TRUE(machine.record(failure(), start)) << "the run of failures goes on where it was";
}

TEST(StateMachine, RemembersSinceWhenProbesCannotBeMade) {
  StateMachine machine({.healthy = 2, .unhealthy = 2}, Status::up, start);
  EXPECT_FALSE(machine.local_error());
  EXPECT_FALSE(machine.record(our_fault(), start + 1s));
  EXPECT_FALSE(machine.record(our_fault(), start + 2s));
  EXPECT_EQ(machine.local_error(), (LocalError{"cannot probe", start + 1s}));
  machine.restart();
  EXPECT_TRUE(machine.local_error()) << "another check has not been made yet either";
  EXPECT_FALSE(machine.record(failure(), start + 3s));
  EXPECT_FALSE(machine.local_error()) << "a failure is an answer";
}

TEST(StateMachine, RemembersWhatTookATargetOutUntilItIsUpAgain) {
  StateMachine machine({.healthy = 2, .unhealthy = 2}, Status::up, start);
  EXPECT_FALSE(machine.record(failure("timeout after 5 s"), start));
  EXPECT_FALSE(machine.down_because());
  EXPECT_TRUE(machine.record(failure("HTTP 503"), start));
  ASSERT_TRUE(machine.down_because());
  EXPECT_EQ(machine.down_because()->reason, "HTTP 503");
  EXPECT_FALSE(machine.record(failure("connection refused"), start + 1s));
  EXPECT_FALSE(machine.record(success(), start + 2s));
  machine.restart();
  EXPECT_FALSE(machine.record(our_fault(), start + 3s));
  ASSERT_TRUE(machine.down_because());
  EXPECT_EQ(machine.down_because()->reason, "HTTP 503") << "neither later answers nor another check say why";
  EXPECT_FALSE(machine.record(success(), start + 4s));
  EXPECT_TRUE(machine.record(success(), start + 5s));
  EXPECT_FALSE(machine.down_because());
}

TEST(StateMachine, NewThresholdsHoldFromTheNextResultOn) {
  StateMachine machine({.healthy = 3, .unhealthy = 5}, Status::up, start);
  for (int i = 0; i < 3; ++i)
    EXPECT_FALSE(machine.record(failure(), start));
  machine.set_thresholds({.healthy = 3, .unhealthy = 2});
  EXPECT_EQ(machine.status(), Status::up);
  EXPECT_TRUE(machine.record(failure(), start));
}

TEST(StateMachine, ARestartKeepsTheStatusAndCountsAnew) {
  StateMachine machine({.healthy = 2, .unhealthy = 2}, Status::up, start);
  EXPECT_FALSE(machine.record(failure(), start));
  EXPECT_TRUE(machine.record(failure(), start + 1s));
  machine.restart();
  EXPECT_EQ(machine.status(), Status::down);
  EXPECT_EQ(machine.since(), start + 1s);
  EXPECT_FALSE(machine.proven());
  EXPECT_EQ(machine.failures(), 0U);
  EXPECT_FALSE(machine.has_result());
}

TEST(StateMachine, AZeroThresholdCountsAsOne) {
  StateMachine machine({.healthy = 0, .unhealthy = 0}, Status::up, start);
  EXPECT_TRUE(machine.record(failure(), start));
  EXPECT_TRUE(machine.record(success(), start));
}

}  // namespace
}  // namespace steelyard::healthcheck
