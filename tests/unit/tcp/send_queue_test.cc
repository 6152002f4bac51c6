// What is sent, acknowledged, sacked, lost and sent again; no payload is copied and every sum is right.
#include "dataplane/tcp/send_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/unit/tcp/buffers.h"

namespace steelyard::tcp {
namespace {

constexpr Time start{std::chrono::seconds{1}};

class SendQueueTest : public testing::TestWithParam<std::uint32_t> {
 protected:
  SendQueueTest() { queue_.reset(at(0)); }
  ~SendQueueTest() override {
    queue_.clear(memory_);
    EXPECT_EQ(memory_.used(), 0U);
  }
  [[nodiscard]] Sequence at(std::uint32_t octet) const { return Sequence{GetParam()} + octet; }
  static std::string text(const tcp::Run& run) {
    std::string result;
    for (const Slice& slice : run.slices()) {
      result += test::Buffers::bytes(slice);
    }
    return result;
  }
  std::string send(std::uint32_t payload) {
    const tcp::Run run = queue_.next_unsent(memory_, payload);
    queue_.mark_sent(memory_, run, start);
    return text(run) + (run.has_fin ? "!" : "");
  }
  std::string resend(std::uint32_t payload) {
    const tcp::Run run = queue_.next_lost(memory_, payload);
    queue_.mark_sent(memory_, run, start);
    return text(run) + (run.has_fin ? "!" : "");
  }
  std::uint32_t sack(std::uint32_t begin, std::uint32_t end) {
    std::uint32_t octets = 0;
    queue_.mark_sacked(memory_, {at(begin), at(end)}, [&](const Node& node) { octets += node.length; });
    return octets;
  }
  void acknowledge(std::uint32_t una) {
    queue_.acknowledge(memory_, at(una), [](const Node&) {});
  }

  test::Buffers buffers_;
  Memory memory_{256, test::Buffers::operations()};
  SendQueue queue_;
};
INSTANTIATE_TEST_SUITE_P(Numbers, SendQueueTest, testing::Values(1'000U, 0xfffffffaU));

TEST_P(SendQueueTest, SlicesAreGatheredAndCutToSegments) {
  ASSERT_TRUE(queue_.append(memory_, buffers_.slice("ab")));
  ASSERT_TRUE(queue_.append(memory_, buffers_.slice("cdefgh")));
  EXPECT_EQ(queue_.unsent(), 8U);
  EXPECT_EQ(send(5), "abcde");
  EXPECT_EQ(queue_.in_flight(), 5U);
  EXPECT_EQ(send(5), "fgh");
  EXPECT_EQ(send(5), "");
  EXPECT_EQ(buffers_.live(), 2) << "cutting shares buffers";
  acknowledge(8);
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(buffers_.live(), 0);
}

TEST_P(SendQueueTest, AFinGoesWithTheLastPayloadAndTakesANumber) {
  ASSERT_TRUE(queue_.append(memory_, buffers_.slice("abc")));
  ASSERT_TRUE(queue_.append_fin(memory_));
  EXPECT_EQ(send(3), "abc!");
  EXPECT_EQ(queue_.in_flight(), 4U);
  acknowledge(3);
  EXPECT_EQ(queue_.in_flight(), 1U);
  queue_.mark_all_lost(memory_);
  EXPECT_EQ(resend(3), "!");
  acknowledge(4);
  EXPECT_TRUE(queue_.empty());
}

TEST_P(SendQueueTest, AnAcknowledgmentOfAPartLeavesTheRest) {
  ASSERT_TRUE(queue_.append(memory_, buffers_.slice("abcdef")));
  EXPECT_EQ(send(6), "abcdef");
  acknowledge(4);
  EXPECT_EQ(queue_.in_flight(), 2U);
  queue_.mark_all_lost(memory_);
  EXPECT_EQ(resend(6), "ef");
}

TEST_P(SendQueueTest, LostSegmentsAreSentAgainFirstOnesFirstAndSackedOnesNever) {
  ASSERT_TRUE(queue_.append(memory_, buffers_.slice("abcdefghij")));
  for (int segment = 0; segment < 5; ++segment) {
    send(2);
  }
  EXPECT_EQ(sack(2, 4), 2U);
  EXPECT_EQ(sack(2, 4), 0U);
  EXPECT_EQ(sack(5, 8), 2U) << "half a segment is not marked";
  EXPECT_EQ(queue_.sacked(), 4U);
  queue_.mark_all_lost(memory_);
  EXPECT_EQ(queue_.lost(), 6U);
  EXPECT_EQ(queue_.in_flight(), 0U);
  EXPECT_EQ(resend(4), "ab");
  EXPECT_EQ(resend(4), "ef");
  EXPECT_EQ(resend(4), "ij");
  EXPECT_EQ(resend(4), "");
  EXPECT_EQ(queue_.in_flight(), 6U);
  EXPECT_EQ(buffers_.live(), 1);
}

TEST_P(SendQueueTest, ANarrowerPathCutsWhatWasSentInLargerSegments) {
  ASSERT_TRUE(queue_.append(memory_, buffers_.slice("abcdefgh")));
  send(6);
  send(2);
  queue_.mark_larger_lost(memory_, 3);
  EXPECT_EQ(resend(3), "abc");
  EXPECT_EQ(resend(3), "def");
  EXPECT_EQ(resend(3), "");
}

TEST_P(SendQueueTest, RenegedDataCountAsInFlightAgain) {
  ASSERT_TRUE(queue_.append(memory_, buffers_.slice("abcd")));
  send(2);
  send(2);
  sack(0, 2);
  queue_.forget_sacks(memory_);
  EXPECT_EQ(queue_.sacked(), 0U);
  EXPECT_EQ(queue_.in_flight(), 4U);
}

TEST_P(SendQueueTest, TheLastSegmentIsFoundWhole) {
  ASSERT_TRUE(queue_.append(memory_, buffers_.slice("abcdef")));
  send(4);
  queue_.mark_sent(memory_, queue_.next_unsent(memory_, 4), start + Duration{1});
  EXPECT_EQ(text(queue_.last_segment(memory_, 4)), "ef");
}

TEST_P(SendQueueTest, SumsStayRightWhateverHappens) {
  std::mt19937 random{GetParam()};
  std::uint32_t una = 0;
  std::uint32_t next = 0;
  std::uint32_t end = 0;
  for (int round = 0; round < 20'000; ++round) {
    switch (random() % 6) {
      case 0: {
        const auto size = static_cast<std::uint32_t>(1 + random() % 30);
        const Slice slice = buffers_.slice(std::string(size, 'x'));
        if (queue_.append(memory_, slice)) {
          end += size;
        } else {
          memory_.release(slice);
        }
        break;
      }
      case 1: {
        const tcp::Run run = queue_.next_unsent(memory_, static_cast<std::uint32_t>(1 + random() % 40));
        queue_.mark_sent(memory_, run, start);
        next += run.length;
        break;
      }
      case 2:
        una += next == una ? 0 : static_cast<std::uint32_t>(random() % (next - una + 1));
        acknowledge(una);
        break;
      case 3:
        if (next - una > 2) {
          const auto begin = static_cast<std::uint32_t>(una + 1 + random() % (next - una - 1));
          sack(begin, begin + static_cast<std::uint32_t>(random() % (next - begin + 1)));
        }
        break;
      case 4:
        resend(static_cast<std::uint32_t>(1 + random() % 40));
        break;
      default:
        random() % 4 == 0 ? queue_.mark_all_lost(memory_) : queue_.mark_larger_lost(memory_, 20);
        break;
    }
    ASSERT_EQ(queue_.in_flight() + queue_.sacked() + queue_.lost(), next - una);
    ASSERT_EQ(queue_.unsent(), end - next);
    ASSERT_EQ(queue_.queued(), end - una);
  }
}

}  // namespace
}  // namespace steelyard::tcp
