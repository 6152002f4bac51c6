// Where a worker's time goes: every stage is counted when it has work, and nothing is counted without.
#include "dataplane/worker/stages.h"

#include "tests/unit/worker/stand.h"

namespace steelyard::worker {
namespace {

using packet::Ipv4;
using test::first_packet;
using test::lan;
using test::Stand;
using test::wan;

std::uint64_t sum(const StageMeter& meter) {
  std::uint64_t all = 0;
  for (std::size_t stage = 0; stage < stages; ++stage) {
    all += meter.cycles(static_cast<Stage>(stage));
  }
  return all;
}

TEST(Stages, AreCountedWhereThereIsWork) {
  Stand stand;
  stand.receive(wan, first_packet<Ipv4>(test::nat_port));
  stand.resolve();
  const StageMeter& meter = stand.worker().stages();
  for (const Stage stage : {Stage::receive, Stage::parse, Stage::forward, Stage::slow_path, Stage::transmit}) {
    EXPECT_GT(meter.cycles(stage), 0u) << stage_names[static_cast<std::size_t>(stage)];
  }
  (void)stand.sent(lan);
}

TEST(Stages, OfTurnsWithoutWorkAreNotCounted) {
  Stand stand;
  stand.settle();
  const std::uint64_t before = sum(stand.worker().stages());
  for (int count = 0; count < 100; ++count) {
    EXPECT_EQ(stand.turn(0), 0u);
  }
  EXPECT_EQ(sum(stand.worker().stages()), before);
}

TEST(Stages, GoBackToWhatTheyInterrupted) {
  StageMeter meter;
  meter.begin_turn();
  meter.enter(Stage::forward);
  const Stage before = meter.enter(Stage::transmit);
  EXPECT_EQ(before, Stage::forward);
  meter.enter(before);
  EXPECT_EQ(sum(meter), 0u) << "the turn is not over";
  meter.end_turn(true);
  EXPECT_GT(meter.cycles(Stage::forward), 0u);
  EXPECT_GT(meter.cycles(Stage::transmit), 0u);
  EXPECT_EQ(meter.cycles(Stage::timers), 0u);
}

}  // namespace
}  // namespace steelyard::worker
