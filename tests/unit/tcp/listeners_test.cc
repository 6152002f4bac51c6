// Which listener a connection comes to: by address and port, else by the port alone; and a great many of them.
#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/tcp/stack.h"
#include "tests/unit/tcp/buffers.h"

namespace steelyard::tcp {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t port = 80;

Ipv6Address address(std::uint32_t number) {
  return mapped({__builtin_bswap32(0x0a000000U + number)});
}

class Listeners : public ::testing::Test, private StackOutput {
 protected:
  Listeners() { make({.connections = 8, .half_open = 8, .time_wait = 8}); }

  void make(const StackLimits& limits) {
    stack.emplace(limits, StackSecrets{.lookup = {{1, 2, 3, 4}}, .numbers = {{5, 6}}, .cookies = {{7, 8}}}, memory_,
                  static_cast<StackOutput&>(*this), now);
  }
  // Opens a connection and resets it. Returns the listener that it has come to; nothing: it was refused.
  std::optional<ListenerIndex> come_to(const Ipv6Address& local, std::uint16_t local_port = port) {
    Endpoints ends{address(0xff0000), local, ++client_port_, local_port};
    Segment segment;
    segment.flags = flag::syn;
    segment.sequence = {1'000};
    segment.window = 60'000;
    EXPECT_TRUE(stack->is_new(ends));
    stack->on_segment(ends, segment, now);
    EXPECT_EQ(sent_.size(), 1U);
    const SegmentHeader answer = sent_.front();
    sent_.clear();
    accepted_.reset();
    if ((answer.flags & flag::rst) != 0) {
      return std::nullopt;
    }
    EXPECT_FALSE(stack->is_new(ends));
    segment.flags = flag::ack;
    segment.sequence = {1'001};
    segment.acknowledgment = answer.sequence + 1;
    stack->on_segment(ends, segment, now);
    EXPECT_FALSE(stack->is_new(ends));
    segment.flags = flag::rst;
    stack->on_segment(ends, segment, now);
    sent_.clear();
    return accepted_;
  }

  // How many answers a stray segment gets.
  std::size_t knock() {
    Segment segment;
    segment.flags = flag::ack;
    stack->on_segment({address(0xff0000), address(1), ++client_port_, port}, segment, now);
    return std::exchange(sent_, {}).size();
  }

  Time now{100s};
  Settings settings;
  std::optional<Stack> stack;

 private:
  void transmit(const Endpoints&, const Outgoing& segment) override { sent_.push_back(segment); }
  void accepted(ConnectionId, ListenerIndex listener) override { accepted_ = listener; }
  void deliver(ConnectionId, const Slice&) override {}
  void notify(ConnectionId, Event) override {}
  void over(ConnectionId, Cause) override {}

  test::Buffers buffers_;
  Memory memory_{64, test::Buffers::operations()};
  std::deque<SegmentHeader> sent_;
  std::optional<ListenerIndex> accepted_;
  std::uint16_t client_port_ = 10'000;
};

TEST_F(Listeners, AnAddressComesBeforeAny) {
  const ListenerIndex any = stack->listen({}, port, settings);
  const ListenerIndex named = stack->listen(address(1), port, settings);
  EXPECT_EQ(come_to(address(1)), named);
  EXPECT_EQ(come_to(address(2)), any);
  EXPECT_EQ(come_to(address(1), port + 1), std::nullopt);
  stack->stop_listening(named);
  EXPECT_EQ(come_to(address(1)), any);
  stack->stop_listening(any);
  EXPECT_EQ(come_to(address(1)), std::nullopt);
}

TEST_F(Listeners, OfTwoWithTheSameNameTheLatestHasTheConnections) {
  const ListenerIndex first = stack->listen(address(1), port, settings);
  const ListenerIndex second = stack->listen(address(1), port, settings);
  EXPECT_EQ(come_to(address(1)), second);
  stack->stop_listening(second);
  EXPECT_EQ(come_to(address(1)), first);
}

TEST_F(Listeners, AnIndexIsUsedAgain) {
  const ListenerIndex first = stack->listen(address(1), port, settings);
  stack->stop_listening(first);
  EXPECT_EQ(stack->listen(address(2), port + 1, settings), first);
  EXPECT_EQ(stack->listening_at(first), (Stack::ListeningAt{address(2), port + 1}));
  EXPECT_EQ(come_to(address(1)), std::nullopt);
  EXPECT_EQ(come_to(address(2), port + 1), first);
}

TEST_F(Listeners, WhoKnocksWhereNobodyListensIsToldSoOnlySoOften) {
  make({.connections = 8, .half_open = 8, .time_wait = 8, .resets_per_second = 2});
  EXPECT_EQ(knock(), 1U);
  EXPECT_EQ(knock(), 1U);
  EXPECT_EQ(knock(), 0U);
  EXPECT_EQ(stack->counters().dropped_rate, 1U);
  now += 1s;
  EXPECT_EQ(knock(), 1U);
}

TEST_F(Listeners, MoreThanThereWasRoomForAreFoundToo) {
  make({.connections = 8, .half_open = 8, .time_wait = 8, .listeners = 2});
  std::vector<ListenerIndex> all;
  for (std::uint32_t number = 0; number < 100; ++number) {
    all.push_back(stack->listen(address(number), port, settings));
  }
  for (std::uint32_t number = 0; number < 100; ++number) {
    EXPECT_EQ(come_to(address(number)), all[number]);
  }
}

TEST_F(Listeners, TenThousandAddressesOfAPort) {
  constexpr std::uint32_t many = 10'000;
  make({.connections = 8, .half_open = 8, .time_wait = 8, .listeners = many});
  std::vector<ListenerIndex> all;
  for (std::uint32_t number = 0; number < many; ++number) {
    all.push_back(stack->listen(address(number), port, settings));
  }
  for (std::uint32_t number = 0; number < many; number += 2) {
    stack->stop_listening(all[number]);
  }
  for (std::uint32_t number = 0; number < many; ++number) {
    ASSERT_EQ(come_to(address(number)), number % 2 == 0 ? std::nullopt : std::optional(all[number])) << number;
  }
}

}  // namespace
}  // namespace steelyard::tcp
