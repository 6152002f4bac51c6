// The Checker with a virtual clock and answers given by the test.
#include "healthcheck/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "tests/unit/healthcheck/fakes.h"

namespace steelyard::healthcheck {
namespace {

using testing::failure;
using testing::FakeProber;
using testing::ManualTimers;
using testing::our_fault;
using testing::success;
using namespace std::chrono_literals;

Target target(std::uint64_t id, std::uint16_t port, Status initial = Status::up) {
  Target made{.id = {id}, .probe = {}, .thresholds = {.healthy = 2, .unhealthy = 3}, .initial = initial};
  made.probe.address = boost::asio::ip::make_address("10.0.0.1");
  made.probe.port = port;
  return made;
}

class CheckerTest : public ::testing::Test {
 protected:
  Checker make(std::size_t max_in_flight = 4096) {
    return Checker(prober, timers, {.max_in_flight = max_in_flight}, 42,
                   [this](TargetId id, const TargetStatus& status) { changes.emplace_back(id.value, status.status); });
  }
  // One probe of a port: waits for it and answers.
  void round(std::uint16_t port, const ProbeResult& result) {
    timers.pass(2'010ms);
    prober.answer(port, result);
  }

  using Changes = std::vector<std::pair<std::uint64_t, Status>>;
  ManualTimers timers;
  FakeProber prober;
  Changes changes;
};

TEST_F(CheckerTest, TakesAFailingTargetDownAndBringsItBack) {
  Checker checker = make();
  checker.set_targets({target(1, 80)});
  EXPECT_TRUE(checker.is_up({1}));
  for (int i = 0; i < 3; ++i)
    round(80, failure("timeout after 5 s"));
  EXPECT_EQ(changes, (Changes{{1, Status::down}}));
  const auto status = checker.status({1});
  ASSERT_TRUE(status);
  EXPECT_EQ(status->status, Status::down);
  EXPECT_TRUE(status->proven);
  EXPECT_EQ(status->since, timers.now());
  ASSERT_TRUE(status->last);
  EXPECT_EQ(status->last->reason, "timeout after 5 s");
  EXPECT_EQ(status->check, "tcp 10.0.0.1:80");
  for (int i = 0; i < 2; ++i)
    round(80, success());
  EXPECT_EQ(changes, (Changes{{1, Status::down}, {1, Status::up}}));
  EXPECT_EQ(checker.counters().changes, 2U);
}

TEST_F(CheckerTest, TheNextProbeStartsOneIntervalAfterTheEndOfTheLast) {
  Checker checker = make();
  checker.set_targets({target(1, 80)});
  timers.pass(2s + 10ms);
  ASSERT_EQ(prober.open(), 1U);
  timers.pass(5s);  // slow: longer than the interval
  EXPECT_EQ(prober.starts(80), 1);
  prober.answer(80, success());
  timers.pass(1'980ms);
  EXPECT_EQ(prober.open(), 0U);
  timers.pass(30ms);
  EXPECT_EQ(prober.open(), 1U);
}

TEST_F(CheckerTest, IdenticalProbesAreSharedButEachTargetHasItsOwnState) {
  Checker checker = make();
  Target quick = target(1, 80);
  quick.thresholds = {.healthy = 1, .unhealthy = 1};
  checker.set_targets({quick, target(2, 80), target(3, 80, Status::down)});
  EXPECT_EQ(checker.counters().probes, 1U);
  round(80, failure());
  EXPECT_EQ(changes, (Changes{{1, Status::down}}));
  EXPECT_TRUE(checker.is_up({2}));
  EXPECT_FALSE(checker.is_up({3}));
  EXPECT_EQ(prober.starts(80), 1);
  round(80, success());
  round(80, success());
  EXPECT_EQ(changes, (Changes{{1, Status::down}, {1, Status::up}, {3, Status::up}}));
}

TEST_F(CheckerTest, FirstProbesAreSpreadOverTheInterval) {
  Checker checker = make();
  std::vector<Target> targets;
  for (std::uint16_t port = 1; port <= 1'000; ++port)
    targets.push_back(target(port, port));
  checker.set_targets(std::move(targets));
  std::size_t seen = 0;
  for (int tenth = 0; tenth < 10; ++tenth) {
    timers.pass(200ms);
    EXPECT_GT(prober.open() - seen, 50U) << "in tenth " << tenth;
    EXPECT_LT(prober.open() - seen, 150U) << "in tenth " << tenth;
    seen = prober.open();
  }
  timers.pass(10ms);
  EXPECT_EQ(prober.open(), 1'000U);
}

TEST_F(CheckerTest, AReloadKeepsStatesCountsAndPhases) {
  Checker checker = make();
  checker.set_targets({target(1, 80), target(2, 81)});
  timers.pass(2'010ms);
  prober.answer(80, failure());
  prober.answer(81, success());
  timers.pass(1s);
  checker.set_targets({target(1, 80, Status::down), target(3, 82)});
  EXPECT_TRUE(checker.is_up({1})) << "`initial` is for unknown targets";
  EXPECT_EQ(checker.status({1})->failures, 1U);
  EXPECT_FALSE(checker.status({2}));
  EXPECT_TRUE(checker.status({3}));
  timers.pass(980ms);
  EXPECT_EQ(prober.starts(80), 1);
  timers.pass(30ms);
  EXPECT_EQ(prober.starts(80), 2) << "the phase was kept";
  EXPECT_EQ(prober.starts(81), 1) << "nobody wants it any more";
}

TEST_F(CheckerTest, ATargetWhoseProbeChangesKeepsItsStatusAndCountsAnew) {
  Checker checker = make();
  checker.set_targets({target(1, 80)});
  for (int i = 0; i < 3; ++i)
    round(80, failure());
  checker.set_targets({target(1, 8080)});
  auto status = checker.status({1});
  EXPECT_EQ(status->status, Status::down);
  EXPECT_FALSE(status->proven);
  EXPECT_EQ(status->failures, 0U);
  EXPECT_FALSE(status->last);
  EXPECT_EQ(status->check, "tcp 10.0.0.1:8080");
  round(8080, success());
  round(8080, success());
  EXPECT_TRUE(checker.is_up({1}));
}

TEST_F(CheckerTest, ARemovedTargetsRunningProbeIsCancelled) {
  Checker checker = make();
  checker.set_targets({target(1, 80)});
  timers.pass(2'010ms);
  ASSERT_EQ(prober.open(), 1U);
  checker.set_targets({});
  EXPECT_EQ(prober.open(), 0U);
  EXPECT_EQ(checker.counters().cancelled, 1U);
  EXPECT_EQ(checker.counters().in_flight, 0U);
  timers.pass(60s);
  EXPECT_EQ(prober.starts(80), 1);
}

TEST_F(CheckerTest, ASharedProbeGoesOnWhenOneOfItsTargetsLeaves) {
  Checker checker = make();
  checker.set_targets({target(1, 80), target(2, 80)});
  timers.pass(2'010ms);
  checker.set_targets({target(2, 80)});
  prober.answer(80, failure());
  EXPECT_EQ(checker.status({2})->failures, 1U);
}

TEST_F(CheckerTest, OfTwoTargetsWithOneIdTheFirstCounts) {
  Checker checker = make();
  checker.set_targets({target(1, 80), target(1, 81)});
  EXPECT_EQ(checker.counters().targets, 1U);
  EXPECT_EQ(checker.counters().probes, 1U);
  EXPECT_EQ(checker.status({1})->check, "tcp 10.0.0.1:80");
}

TEST_F(CheckerTest, LocalErrorsAreCountedAndChangeNothing) {
  Checker checker = make();
  checker.set_targets({target(1, 80)});
  for (int i = 0; i < 10; ++i)
    round(80, our_fault());
  EXPECT_TRUE(changes.empty());
  EXPECT_TRUE(checker.is_up({1}));
  EXPECT_EQ(checker.counters().local_errors, 10U);
  EXPECT_EQ(checker.status({1})->local_errors, 10U);
}

TEST_F(CheckerTest, TellsOnceThatProbesCannotBeMadeAndOnceThatTheyCanAgain) {
  Checker checker = make();
  checker.set_targets({target(1, 80), target(2, 80), target(3, 81)});
  timers.pass(2'010ms);
  prober.answer(80, our_fault());
  const TimePoint began = timers.now();
  LocalErrorNews news = checker.take_local_error_news();
  EXPECT_EQ(news.began, 2U);
  EXPECT_EQ(news.now, 2U);
  EXPECT_EQ(news.example, "tcp 10.0.0.1:80: cannot probe");
  EXPECT_EQ(checker.status({1})->local_error, (LocalError{"cannot probe", began}));
  for (int i = 0; i < 10; ++i)
    round(80, our_fault());
  EXPECT_TRUE(checker.take_local_error_news().empty()) << "nothing new";
  prober.answer(81, our_fault());
  round(80, success());
  news = checker.take_local_error_news();
  EXPECT_EQ(news.began, 1U);
  EXPECT_EQ(news.ended, 2U);
  EXPECT_EQ(news.now, 1U);
  EXPECT_FALSE(checker.status({1})->local_error);
}

TEST_F(CheckerTest, AProbeThatCanBeMadeAgainAfterAReloadIsNews) {
  Checker checker = make();
  checker.set_targets({target(1, 80)});
  round(80, our_fault());
  EXPECT_EQ(checker.take_local_error_news().began, 1U);
  checker.set_targets({target(1, 81)});
  round(81, success());
  EXPECT_EQ(checker.take_local_error_news().ended, 1U);
}

TEST_F(CheckerTest, ANewTargetBeginsWithWhatItsProbeHasProven) {
  Checker checker = make();
  checker.set_targets({target(1, 80)});
  for (int i = 0; i < 3; ++i)
    round(80, failure("timeout after 5 s"));
  const TimePoint failed = timers.now();
  timers.pass(1s);
  changes.clear();
  checker.set_targets({target(1, 80), target(2, 80), target(3, 81)});
  const auto status = checker.status({2});
  EXPECT_EQ(status->status, Status::down);
  EXPECT_TRUE(status->proven);
  EXPECT_EQ(status->since, failed);
  ASSERT_TRUE(status->down_because);
  EXPECT_EQ(status->down_because->reason, "timeout after 5 s");
  EXPECT_EQ(status->down_check, "tcp 10.0.0.1:80");
  EXPECT_TRUE(checker.is_up({3})) << "another server";
  EXPECT_TRUE(changes.empty()) << "an initial state is no change";
  timers.pass(1'010ms);
  prober.answer(80, success());
  round(80, success());
  EXPECT_EQ(changes, (Changes{{1, Status::up}, {2, Status::up}}));
}

TEST_F(CheckerTest, ANewTargetTakesOverFromOnesThatGoOrChangeInTheSameCall) {
  Checker checker = make();
  checker.set_targets({target(1, 80), target(2, 81)});
  for (int i = 0; i < 3; ++i) {
    timers.pass(2'010ms);
    prober.answer(80, failure());
    prober.answer(81, failure());
  }
  checker.set_targets({target(2, 8081), target(3, 80), target(4, 81)});
  EXPECT_FALSE(checker.is_up({3})) << "the target before is gone";
  EXPECT_FALSE(checker.is_up({4})) << "the target before has another probe now";
  EXPECT_TRUE(checker.status({4})->proven);
  EXPECT_FALSE(checker.status({2})->proven);
}

TEST_F(CheckerTest, WhatIsNotProvenIsNotTakenOver) {
  Checker checker = make();
  Target slow = target(1, 80, Status::down);
  slow.thresholds = {.healthy = 10, .unhealthy = 10};
  checker.set_targets({slow});
  for (int i = 0; i < 3; ++i)
    round(80, failure());
  checker.set_targets({slow, target(2, 80)});
  EXPECT_TRUE(checker.is_up({2}));
  EXPECT_FALSE(checker.status({2})->proven);
}

TEST_F(CheckerTest, OfSeveralTargetsTheOneWithTheSameThresholdsSpeaksForANewOne) {
  Checker checker = make();
  Target quick = target(1, 80);
  quick.thresholds = {.healthy = 1, .unhealthy = 1};
  checker.set_targets({quick, target(2, 80)});
  round(80, success());
  round(80, success());
  round(80, failure());
  ASSERT_FALSE(checker.is_up({1}));
  checker.set_targets({quick, target(2, 80), target(3, 80)});
  EXPECT_TRUE(checker.is_up({3}));
  EXPECT_EQ(checker.status({3})->failures, 1U) << "the run goes on";
}

TEST_F(CheckerTest, SaysWhichCheckTookATargetOutWhenAReloadHasChangedItsCheck) {
  Checker checker = make();
  checker.set_targets({target(1, 80)});
  for (int i = 0; i < 3; ++i)
    round(80, failure("connection refused"));
  checker.set_targets({target(1, 8080)});
  round(8080, success());
  const auto status = checker.status({1});
  EXPECT_EQ(status->down_check, "tcp 10.0.0.1:80");
  ASSERT_TRUE(status->down_because);
  EXPECT_EQ(status->down_because->reason, "connection refused");
  round(8080, success());
  EXPECT_FALSE(checker.status({1})->down_because);
}

TEST_F(CheckerTest, ProbesBeyondTheCapWaitTheirTurnAndAreCounted) {
  Checker checker = make(2);
  std::vector<Target> targets;
  for (std::uint16_t port = 1; port <= 5; ++port)
    targets.push_back(target(port, port));
  checker.set_targets(targets);
  timers.pass(2'010ms);
  EXPECT_EQ(prober.open(), 2U);
  EXPECT_EQ(checker.counters().waiting, 3U);
  EXPECT_EQ(checker.counters().delayed, 3U);
  prober.answer_oldest(success());
  EXPECT_EQ(prober.open(), 2U);
  EXPECT_EQ(checker.counters().waiting, 2U);
  targets.resize(1);
  checker.set_targets(targets);
  EXPECT_EQ(checker.counters().waiting + checker.counters().in_flight, prober.open());
  EXPECT_LE(prober.open(), 1U);
  for (int i = 0; i < 3; ++i) {
    timers.pass(2'010ms);
    if (prober.open() != 0)
      prober.answer(1, success());
  }
  EXPECT_TRUE(checker.status({1})->proven) << "probing goes on after the crowd has left";
}

TEST_F(CheckerTest, ManyFreedPlacesAreFilledInBoundedSteps) {
  constexpr std::uint16_t cap = 200;
  Checker checker = make(cap);
  std::vector<Target> first;
  for (std::uint16_t port = 1; port <= 2 * cap; ++port)
    first.push_back(target(port, port));
  checker.set_targets(first);
  timers.pass(2'010ms);
  EXPECT_EQ(prober.open(), cap);
  std::vector<Target> rest;
  for (const Target& each : first) {
    if (prober.starts(each.probe.port) == 0)
      rest.push_back(each);
  }
  ASSERT_EQ(rest.size(), cap);
  checker.set_targets(rest);
  EXPECT_LE(prober.open(), 64U);
  timers.pass(100ms);
  EXPECT_EQ(prober.open(), cap);
  EXPECT_EQ(checker.counters().waiting, 0U);
}

TEST_F(CheckerTest, TheCallbackMayReplaceTheTargets) {
  Checker* self = nullptr;
  std::vector<std::uint64_t> down;
  Checker checker(prober, timers, {}, 1, [&](TargetId id, const TargetStatus&) {
    down.push_back(id.value);
    self->set_targets({target(9, 90)});
  });
  self = &checker;
  checker.set_targets({target(1, 80), target(2, 80)});
  for (int i = 0; i < 3; ++i)
    round(80, failure());
  EXPECT_EQ(down, (std::vector<std::uint64_t>{1, 2})) << "both changes happened before the set was replaced";
  EXPECT_EQ(checker.counters().targets, 1U);
  timers.pass(2'010ms);
  EXPECT_EQ(prober.starts(90), 1);
  EXPECT_EQ(prober.starts(80), 3);
}

TEST_F(CheckerTest, IsDownWithinTheDocumentedWindow) {
  Checker checker = make();
  checker.set_targets({target(1, 80)});
  while (prober.open() == 0)
    timers.pass(10ms);
  const TimePoint broken = timers.now();
  while (checker.is_up({1})) {
    timers.pass(5s);
    prober.answer(80, failure("timeout after 5 s"));
    while (checker.is_up({1}) && prober.open() == 0)
      timers.pass(10ms);
  }
  EXPECT_LE(timers.now() - broken, 3 * 5s + 2 * 2s + 2 * 20ms);
}

TEST_F(CheckerTest, DestroyingItCancelsWhatRuns) {
  {
    Checker checker = make();
    checker.set_targets({target(1, 80)});
    timers.pass(2'010ms);
    EXPECT_EQ(prober.open(), 1U);
  }
  EXPECT_EQ(prober.open(), 0U);
  timers.pass(60s);
}

}  // namespace
}  // namespace steelyard::healthcheck
