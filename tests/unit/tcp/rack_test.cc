// Loss by time: what is found lost, and when.
#include "dataplane/tcp/rack.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/tcp/buffers.h"

namespace steelyard::tcp {
namespace {

using namespace std::chrono_literals;
constexpr Time start{1s};
constexpr std::uint32_t size = 100;

class RackTest : public testing::Test {
 protected:
  // Ten segments, a millisecond apart; the round trip is 100 ms.
  RackTest() {
    queue_.reset(Sequence{0});
    rack_.begin(Sequence{0});
    rack_.sample(100ms, start);
    trip_.sample(100ms);
    EXPECT_TRUE(queue_.append(memory_, buffers_.slice(std::string(10 * size, 'x'))));
    for (int segment = 0; segment < 10; ++segment) {
      queue_.mark_sent(memory_, queue_.next_unsent(memory_, size), start + segment * 1ms);
    }
  }
  ~RackTest() override { queue_.clear(memory_); }
  void sack(std::uint32_t segment, Time now) {
    queue_.mark_sacked(memory_, {Sequence{segment * size}, Sequence{(segment + 1) * size}},
                       [&](const Node& node) { rack_.delivered(node, now, false); });
  }

  test::Buffers buffers_;
  Memory memory_{64, test::Buffers::operations()};
  SendQueue queue_;
  Rack rack_;
  RoundTrip trip_;
};

TEST_F(RackTest, WhatWasSentAQuarterRoundTripBeforeSomethingThatArrivedIsLost) {
  sack(3, start + 103ms);
  const Duration window = rack_.reordering_window(trip_, false, false);
  EXPECT_EQ(window, 25ms);
  const auto wait = rack_.detect(memory_, queue_, window, start + 103ms);
  ASSERT_TRUE(wait);
  EXPECT_EQ(*wait, 24ms) << "segment 2 was sent 1 ms before";
  EXPECT_EQ(queue_.lost(), 0U);
  EXPECT_TRUE(rack_.detect(memory_, queue_, window, start + 126ms));
  EXPECT_EQ(queue_.lost(), 2 * size);
  EXPECT_FALSE(rack_.detect(memory_, queue_, window, start + 127ms));
  EXPECT_EQ(queue_.lost(), 3 * size);
}

TEST_F(RackTest, WithoutReorderingThreeSackedSegmentsNeedNoWait) {
  for (std::uint32_t segment : {1U, 2U, 3U}) {
    sack(segment, start + 103ms);
  }
  EXPECT_EQ(rack_.reordering_window(trip_, false, true), 0ms);
  EXPECT_FALSE(rack_.detect(memory_, queue_, 0ms, start + 103ms));
  EXPECT_EQ(queue_.lost(), size);
}

TEST_F(RackTest, rack_reorder_no_spurious) {
  sack(3, start + 103ms);
  sack(1, start + 104ms);
  EXPECT_TRUE(rack_.reordering_seen());
  EXPECT_EQ(rack_.reordering_window(trip_, false, true), 25ms) << "three sacked segments prove nothing any more";
}

TEST_F(RackTest, DuplicatesReportedWidenTheWindowOnceARoundTripForSixteenRecoveries) {
  rack_.duplicate_reported(Sequence{0}, Sequence{1'000});
  rack_.duplicate_reported(Sequence{100}, Sequence{1'000});
  EXPECT_EQ(rack_.reordering_window(trip_, false, false), 50ms);
  rack_.duplicate_reported(Sequence{1'000}, Sequence{2'000});
  EXPECT_EQ(rack_.reordering_window(trip_, false, false), 75ms);
  for (int recovery = 0; recovery < 16; ++recovery) {
    EXPECT_EQ(rack_.window_multiplier(), 3U);
    rack_.recovered();
  }
  EXPECT_EQ(rack_.window_multiplier(), 1U);
}

TEST_F(RackTest, rack_lost_retransmission) {
  for (std::uint32_t segment : {1U, 2U, 3U}) {
    sack(segment, start + 103ms);
  }
  (void)rack_.detect(memory_, queue_, 0ms, start + 103ms);
  const tcp::Run again = queue_.next_lost(memory_, size);
  queue_.mark_sent(memory_, again, start + 103ms);
  queue_.mark_sent(memory_, queue_.last_segment(memory_, size), start + 104ms);
  sack(9, start + 210ms);  // sent after the retransmission, and here before it
  (void)rack_.detect(memory_, queue_, 0ms, start + 210ms);
  EXPECT_TRUE(memory_[queue_.first()].has(node_flag::lost));
}

TEST_F(RackTest, AnAnswerFasterThanTheRoundTripIsTheOriginals) {
  queue_.mark_all_lost(memory_);
  queue_.mark_sent(memory_, queue_.next_lost(memory_, size), start + 150ms);
  rack_.delivered(memory_[queue_.first()], start + 160ms, false);
  queue_.mark_sent(memory_, queue_.next_lost(memory_, size), start + 151ms);
  EXPECT_FALSE(rack_.detect(memory_, queue_, 0ms, start + 170ms));
  EXPECT_EQ(queue_.lost(), 8 * size) << "nothing more was concluded from it";
}

TEST_F(RackTest, ATimeoutMarksTheFirstAndWhatIsLate) {
  sack(0, start + 100ms);
  queue_.acknowledge(memory_, Sequence{size}, [](const Node&) {});
  rack_.mark_timed_out(memory_, queue_, 25ms, start + 128ms);
  EXPECT_EQ(queue_.lost(), 3 * size);
}

}  // namespace
}  // namespace steelyard::tcp
