// The small parts: round trip, congestion window, rate reduction, windows, acknowledging, numbers and tables.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "dataplane/tcp/acknowledging.h"
#include "dataplane/tcp/challenge_limit.h"
#include "dataplane/tcp/cubic.h"
#include "dataplane/tcp/initial_numbers.h"
#include "dataplane/tcp/local_ports.h"
#include "dataplane/tcp/lookup.h"
#include "dataplane/tcp/rate_reduction.h"
#include "dataplane/tcp/receive_window.h"
#include "dataplane/tcp/round_trip.h"
#include "dataplane/tcp/syn_cookie.h"
#include "dataplane/tcp/syn_table.h"
#include "dataplane/tcp/time_wait_table.h"
#include "dataplane/tcp/timer_wheel.h"

namespace steelyard::tcp {
namespace {

using namespace std::chrono_literals;

constexpr Time start{10s};
constexpr std::uint32_t segment = 1'000;

Endpoints somebody(std::uint16_t port = 4'000) {
  return {mapped({__builtin_bswap32(0xc0000201U)}), mapped({__builtin_bswap32(0xc0000202U)}), port, 80};
}

TEST(RoundTrip, TheFirstSampleSetsMeanAndVariation) {
  RoundTrip trip;
  EXPECT_EQ(trip.timeout({}, 0), 1s);
  trip.sample(100ms);
  EXPECT_EQ(trip.smoothed(), 100ms);
  EXPECT_EQ(trip.variation(), 50ms);
  EXPECT_EQ(trip.timeout({}, 0), 300ms);
  trip.sample(180ms);  // variation 3/4 * 50 + 1/4 * 80, mean 7/8 * 100 + 1/8 * 180
  EXPECT_EQ(trip.smoothed(), 110ms);
  EXPECT_EQ(trip.variation(), 57'500us);
}

TEST(RoundTrip, TimeoutsHaveALeastAndDoubleToAMost) {
  RoundTrip trip;
  for (int round = 0; round < 100; ++round) {
    trip.sample(100us);
  }
  EXPECT_EQ(trip.timeout({}, 0), 200ms);
  EXPECT_EQ(trip.timeout({}, 1), 400ms);
  EXPECT_EQ(trip.timeout({}, 30), 60s);
}

TEST(RoundTrip, ARepeatedSynMakesTheFirstTimeoutThreeSeconds) {
  RoundTrip trip;
  trip.syn_was_repeated();
  EXPECT_EQ(trip.timeout({}, 0), 3s);
  trip.sample(10ms);
  EXPECT_EQ(trip.timeout({}, 0), 200ms);
}

TEST(Cubic, TheInitialWindowIsRfc6928s) {
  EXPECT_EQ(initial_window(1'460), 14'600U);
  EXPECT_EQ(initial_window(536), 5'360U);
  EXPECT_EQ(initial_window(8'940), 17'880U);
}

TEST(Cubic, SlowStartDoublesEveryRoundTrip) {
  Cubic cubic;
  cubic.begin(segment);
  const std::uint32_t before = cubic.window();
  for (std::uint32_t acknowledged = 0; acknowledged < before; acknowledged += 2 * segment) {
    cubic.acknowledged(2 * segment, segment, 100ms, start);
  }
  EXPECT_EQ(cubic.window(), 2 * before);
}

// The window after `time` in congestion avoidance, a round trip of 100 ms.
std::uint32_t after_avoidance(Cubic& cubic, Duration time) {
  for (Duration at{0}; at < time; at += 100ms) {
    for (std::uint32_t octets = cubic.window(); octets >= segment; octets -= segment) {
      cubic.acknowledged(segment, segment, 100ms, start + at);
    }
  }
  return cubic.window();
}

TEST(Cubic, cubic_epoch_and_convex) {
  Cubic cubic;
  cubic.begin(segment);
  cubic.set_window(1'000 * segment);
  cubic.lost(1'000 * segment, segment);
  EXPECT_EQ(cubic.threshold(), 700 * segment);
  cubic.set_window(cubic.threshold());
  // K = cbrt(300 / 0.4) = 9.09 s: concave up to the old window, flat there, convex behind (RFC 9438 section 4.2).
  Cubic at_half = cubic;
  const std::uint32_t half = after_avoidance(at_half, 4'500ms);
  EXPECT_NEAR(half, 1'000'000 - 0.4 * 4.59 * 4.59 * 4.59 * 1'000, 15'000);
  Cubic at_plateau = cubic;
  EXPECT_NEAR(after_avoidance(at_plateau, 9'100ms), 1'000'000, 10'000);
  Cubic beyond = cubic;
  EXPECT_NEAR(after_avoidance(beyond, 14s), 1'000'000 + 0.4 * 4.91 * 4.91 * 4.91 * 1'000, 15'000);
}

TEST(Cubic, ASecondLossBelowTheLastPlateauConvergesFaster) {
  Cubic cubic;
  cubic.begin(segment);
  cubic.set_window(1'000 * segment);
  cubic.lost(1'000 * segment, segment);
  cubic.set_window(800 * segment);
  cubic.lost(800 * segment, segment);
  EXPECT_EQ(cubic.threshold(), 560 * segment);
  cubic.set_window(cubic.threshold());
  // The plateau is 800 * 1.7 / 2 = 680: K = cbrt(120 / 0.4) = 6.7 s.
  EXPECT_NEAR(after_avoidance(cubic, 6'700ms), 680'000, 8'000);
}

TEST(Cubic, TimeInWhichTheWindowWasNotTheLimitDoesNotCount) {
  Cubic cubic;
  cubic.begin(segment);
  cubic.set_window(1'000 * segment);
  cubic.lost(1'000 * segment, segment);
  cubic.set_window(cubic.threshold());
  cubic.acknowledged(segment, segment, 100ms, start);
  Cubic paused = cubic;
  cubic.acknowledged(700 * segment, segment, 100ms, start + 1s);
  paused.pause(20s);
  paused.acknowledged(700 * segment, segment, 100ms, start + 21s);
  EXPECT_EQ(paused.window(), cubic.window()) << "RFC 9438 sections 4.2 and 5.8";
}

TEST(Cubic, WhatALossHasChangedCanBeTakenBack) {
  Cubic cubic;
  cubic.begin(segment);
  cubic.set_window(100 * segment);
  const Cubic::Saved saved = cubic.saved();
  cubic.lost(100 * segment, segment);
  cubic.set_window(cubic.threshold());
  cubic.restore(saved);
  EXPECT_EQ(cubic.window(), 100 * segment);
  EXPECT_TRUE(cubic.in_slow_start());
  cubic.lost(100 * segment, segment);
  cubic.set_window(200 * segment);
  cubic.restore(saved);
  EXPECT_EQ(cubic.window(), 200 * segment) << "what has been gained since stays (RFC 9438 section 4.9.2)";
}

TEST(Cubic, InSmallNetworksItIsAsFastAsReno) {
  Cubic cubic;
  cubic.begin(segment);
  cubic.set_window(10 * segment);
  cubic.lost(10 * segment, segment);
  cubic.set_window(cubic.threshold());
  // alpha = 0.53 segments a round trip from 7: the curve alone would have K = 2 s and 10 segments there.
  EXPECT_GE(after_avoidance(cubic, 2s), 7'000 + 19 * 500U);
}

TEST(Cubic, ATimeoutLeavesOneSegmentAndTheThresholdOnceOnly) {
  Cubic cubic;
  cubic.begin(segment);
  cubic.set_window(100 * segment);
  cubic.timed_out(100 * segment, segment, false);
  EXPECT_EQ(cubic.window(), segment);
  EXPECT_EQ(cubic.threshold(), 70 * segment);
  cubic.timed_out(segment, segment, true);
  EXPECT_EQ(cubic.threshold(), 70 * segment);
}

TEST(RateReduction, TheWindowFallsInStepWithWhatArrives) {
  RateReduction reduction;
  reduction.begin(20 * segment);
  std::uint32_t pipe = 19 * segment;
  std::uint32_t sent = 0;
  for (int acknowledgment = 0; acknowledgment < 19; ++acknowledgment) {
    pipe -= segment;
    const std::uint32_t window = reduction.window(segment, pipe, 14 * segment, segment);
    while (window >= pipe + segment) {
      pipe += segment;
      sent += segment;
      reduction.sent(segment);
    }
  }
  EXPECT_NEAR(sent, 14 * segment, segment) << "0.7 of what was delivered";
  EXPECT_LE(pipe, 14 * segment);
}

TEST(ReceiveWindow, no_window_shrink) {
  std::mt19937 random{5};
  for (std::uint8_t scale = 0; scale <= 14; ++scale) {
    ReceiveWindow window;
    window.begin(Sequence{0xfffff000U}, 100'000);
    window.set_scale(scale);
    Sequence edge = window.edge();
    std::uint32_t unread = 0;
    for (int round = 0; round < 5'000; ++round) {
      const auto octets = static_cast<std::uint32_t>(random() % (window.size() + 1));
      window.received(octets);
      unread += octets;
      const auto read = static_cast<std::uint32_t>(random() % (unread + 1));
      window.consumed(read);
      unread -= read;
      const Sequence said = window.next() + (std::uint32_t{window.advertise(1'460)} << scale);
      // What was said is kept; what scaling cannot say is less than its unit.
      ASSERT_FALSE(packet::after(edge, window.edge())) << int{scale};
      ASSERT_LT(packet::distance(said, window.edge()), 1U << scale);
      edge = window.edge();
      ASSERT_LE(window.size() + unread, 100'000U + (1U << scale));
    }
  }
}

TEST(ReceiveWindow, receiver_sws) {
  ReceiveWindow window;
  window.begin(Sequence{0}, 10'000);
  window.received(10'000);
  EXPECT_EQ(window.advertise(1'460), 0);
  window.consumed(1'459);
  EXPECT_EQ(window.advertise(1'460), 0) << "less than a segment is not said";
  EXPECT_FALSE(window.update_due(1'460));
  window.consumed(1);
  EXPECT_EQ(window.advertise(1'460), 1'460);
  window.consumed(2'919);
  EXPECT_FALSE(window.update_due(1'460));
  window.consumed(1);
  EXPECT_TRUE(window.update_due(1'460));
}

TEST(Acknowledging, delayed_ack_two_segments) {
  Acknowledging acknowledging;
  acknowledging.data_received(1'460, 1'460, 40ms, start);
  acknowledging.sent();
  acknowledging.data_received(1'460, 1'460, 40ms, start);
  EXPECT_FALSE(acknowledging.due_now());
  EXPECT_EQ(acknowledging.deadline(), start + 40ms);
  acknowledging.data_received(1'460, 1'460, 40ms, start + 10ms);
  EXPECT_TRUE(acknowledging.due_now());
  acknowledging.sent();
  EXPECT_FALSE(acknowledging.due_now());
  EXPECT_EQ(acknowledging.deadline(), never);
}

TEST(Acknowledging, JoinedSegmentsDoNotRaiseWhatIsFull) {
  Acknowledging acknowledging;
  acknowledging.data_received(64'000, 1'460, 40ms, start);
  EXPECT_TRUE(acknowledging.due_now());
  acknowledging.sent();
  acknowledging.data_received(2'920, 1'460, 40ms, start);
  EXPECT_TRUE(acknowledging.due_now()) << "two of the largest that we have announced";
}

TEST(ChallengeLimit, TenInFiveSeconds) {
  ChallengeLimit limit;
  int allowed = 0;
  for (int round = 0; round < 100; ++round) {
    allowed += limit.allow(start) ? 1 : 0;
  }
  EXPECT_EQ(allowed, 10);
  EXPECT_FALSE(limit.allow(start + 4'999ms));
  EXPECT_TRUE(limit.allow(start + 5s));
}

TEST(SipHash, ItIsTheReferences) {
  const SipKey key{{0x0706050403020100U, 0x0f0e0d0c0b0a0908U}};
  EXPECT_EQ(siphash(key, {}), 0x726fdb47dd0e0e31U);
  EXPECT_EQ(siphash(key, std::array{std::uint64_t{0x0706050403020100U}}), 0x93f5f5799a932462U);
}

TEST(InitialSequence, isn_keyed_and_monotone) {
  const SipKey key{{1, 2}};
  const Sequence first = initial_sequence(key, somebody(), start);
  EXPECT_EQ(initial_sequence(key, somebody(), start + 4us), first + 1);
  EXPECT_TRUE(packet::after(initial_sequence(key, somebody(), start + 60s), first));
  std::set<std::uint32_t> seen;
  for (std::uint16_t port = 1; port <= 1'000; ++port) {
    seen.insert(initial_sequence(key, somebody(port), start).value);
    seen.insert(initial_sequence(SipKey{{port, 2}}, somebody(), start).value);
  }
  EXPECT_GT(seen.size(), 1'990U);
}

TEST(LocalPorts, ports_unpredictable) {
  LocalPorts ports{40'000, 49'999, SipKey{{1, 2}}};
  LocalPorts others{40'000, 49'999, SipKey{{1, 3}}};
  std::set<std::uint16_t> used;
  std::vector<std::uint16_t> order;
  int neighbours = 0;
  int same = 0;
  for (int port = 0; port < 10'000; ++port) {
    order.push_back(ports.allocate().value());
    same += order.back() == others.allocate().value() ? 1 : 0;
    neighbours += port > 0 && order[static_cast<std::size_t>(port)] == order[static_cast<std::size_t>(port) - 1] + 1;
    EXPECT_TRUE(used.insert(order.back()).second);
  }
  EXPECT_FALSE(ports.allocate());
  EXPECT_LT(neighbours, 10);
  EXPECT_LT(same, 10);
  for (const std::uint16_t port : order) {
    ports.release(port);
  }
  // A second round has another order, and no port comes back soon.
  int at_the_same_place = 0;
  for (const std::uint16_t port : order) {
    const std::uint16_t again = ports.allocate().value();
    at_the_same_place += again == port ? 1 : 0;
    ports.release(again);
  }
  EXPECT_LT(at_the_same_place, 100);
  const std::uint16_t last = ports.allocate().value();
  ports.release(last);
  for (int other = 0; other < 5'000; ++other) {
    const std::uint16_t port = ports.allocate().value();
    EXPECT_NE(port, last);
    ports.release(port);
  }
}

// What is prefetched by a packet is what its endpoints are found by.
TEST(Lookup, EndpointsHaveTheHashOfTheirRemoteEndsPackets) {
  const packet::HashKey key{{1, 2, 3, 4}};
  const packet::Ipv4Address remote{__builtin_bswap32(0xc0000201U)};
  const packet::Ipv4Address local{__builtin_bswap32(0xc0000202U)};
  const std::uint16_t remote_port = __builtin_bswap16(4'000);
  const std::uint16_t local_port = __builtin_bswap16(80);
  EXPECT_EQ(hash(key, Endpoints{mapped(remote), mapped(local), 4'000, 80}),
            packet::hash(key, packet::Tuple<packet::Ipv4>{remote, local, remote_port, local_port, 6}));
  const Ipv6Address far{{1, 2}};
  const Ipv6Address near{{1, 3}};
  EXPECT_EQ(hash(key, Endpoints{far, near, 4'000, 80}),
            packet::hash(key, packet::Tuple<packet::Ipv6>{far, near, remote_port, local_port, 6}));
}

TEST(Lookup, WhatIsInsertedIsFoundAndWhatIsErasedIsNot) {
  Lookup lookup{1'000};
  std::mt19937_64 random{9};
  std::map<std::uint32_t, std::uint64_t> there;
  for (int round = 0; round < 50'000; ++round) {
    const auto value = static_cast<std::uint32_t>(random() % 1'000);
    if (const auto found = there.find(value); found != there.end()) {
      EXPECT_EQ(lookup.find(found->second, [&](std::uint32_t candidate) { return candidate == value; }), value);
      lookup.erase(found->second, value);
      EXPECT_EQ(lookup.find(found->second, [&](std::uint32_t candidate) { return candidate == value; }), Lookup::none);
      there.erase(found);
    } else {
      // Few home buckets: they overflow.
      const std::uint64_t hash = (random() % 8) << 61U | (random() & 0xffffU);
      lookup.insert(hash, value);
      there.emplace(value, hash);
    }
    ASSERT_EQ(lookup.used(), there.size());
  }
}

TEST(TimerWheel, EveryEntryIsCalledInTimeAndLazyOnesMove) {
  struct Links {
    std::vector<TimerLinks> all = std::vector<TimerLinks>(500);
    TimerLinks& links(std::uint32_t index) { return all[index]; }
  } links;
  TimerWheel<Links> wheel{links, start};
  std::mt19937_64 random{3};
  std::vector<Time> deadlines(500, never);
  Time now = start;
  for (int round = 0; round < 20'000; ++round) {
    const auto entry = static_cast<std::uint32_t>(random() % 500);
    constexpr std::array<std::uint64_t, 4> reach{300, 70'000, 5'000'000, 10};
    deadlines[entry] = now + std::chrono::milliseconds{1 + random() % reach[random() % 4]};
    wheel.schedule(entry, deadlines[entry]);
    const Time next = wheel.earliest();
    ASSERT_GE(next, now);
    now = random() % 2 == 0 ? next : now + std::chrono::milliseconds{random() % 50};
    wheel.advance(now, [&](std::uint32_t due) {
      if (deadlines[due] <= now) {
        ASSERT_GT(deadlines[due] + 52ms, now);
        deadlines[due] = never;
      } else {
        wheel.schedule(due, deadlines[due]);
      }
    });
    if (round % 100 == 0) {
      for (std::uint32_t index = 0; index < 500; ++index) {
        ASSERT_TRUE(deadlines[index] == never || deadlines[index] > now) << index;
      }
    }
  }
}

TEST(Endpoints, BothFamiliesLiveInOneForm) {
  EXPECT_TRUE(somebody().ipv4());
  EXPECT_EQ(ipv4_of(somebody().remote).raw, __builtin_bswap32(0xc0000201U));
  Endpoints six = somebody();
  six.remote.raw[0] = 1;
  EXPECT_FALSE(six.ipv4());
  EXPECT_EQ(six.default_segment_size(), 1'220);
}

class CookieTest : public testing::Test {
 protected:
  static Handshake offer(std::uint16_t size = 1'460) {
    Options options;
    options.segment_size = size;
    options.has_window_scale = true;
    options.window_scale = 9;
    options.sack_permitted = true;
    options.has_timestamps = true;
    options.timestamp = 77;
    return Handshake::of(options, Sequence{5'000}, 536);
  }
  SynCookies cookies_{SipKey{{3, 4}}};
};

TEST_F(CookieTest, cookie_roundtrip_all_options) {
  for (std::uint32_t clock : {0U, 1U, 63U, 64U, 0x80000000U, 0xffffffffU, 123'456U}) {
    const Handshake offered = offer();
    const Sequence initial = cookies_.make(somebody(), offered, start);
    Options echoed;
    echoed.has_timestamps = true;
    echoed.timestamp = 99;
    echoed.timestamp_echo = SynCookies::make_timestamp(offered, clock);
    EXPECT_LE(static_cast<std::int32_t>(echoed.timestamp_echo - clock), 0) << "never later than the clock";
    const auto kept = cookies_.check(somebody(), initial, Sequence{5'000}, echoed, start + 5s);
    ASSERT_TRUE(kept);
    EXPECT_EQ(kept->segment_size, 1'460);
    EXPECT_TRUE(kept->scaled);
    EXPECT_EQ(kept->window_scale, 9);
    EXPECT_TRUE(kept->sack);
    EXPECT_TRUE(kept->timestamps);
    EXPECT_EQ(kept->timestamp, 99U);
  }
}

TEST_F(CookieTest, WithoutTimestampsTheSegmentSizeIsKeptRoundedDown) {
  for (const auto& [size, kept_size] : {std::pair{1'000, 536}, {1'452, 1'440}, {9'000, 8'940}, {100, 216}}) {
    const Handshake offered = offer(static_cast<std::uint16_t>(size));
    const Sequence initial = cookies_.make(somebody(), offered, start);
    const auto kept = cookies_.check(somebody(), initial, Sequence{5'000}, {}, start);
    ASSERT_TRUE(kept);
    EXPECT_EQ(kept->segment_size, kept_size);
    EXPECT_FALSE(kept->scaled || kept->sack || kept->timestamps);
  }
}

TEST_F(CookieTest, cookie_stale_or_forged_rejected) {
  const Sequence initial = cookies_.make(somebody(), offer(), start);
  EXPECT_TRUE(cookies_.check(somebody(), initial, Sequence{5'000}, {}, start + 64s));
  EXPECT_FALSE(cookies_.check(somebody(), initial, Sequence{5'000}, {}, start + 128s));
  EXPECT_FALSE(cookies_.check(somebody(), initial, Sequence{5'001}, {}, start));
  EXPECT_FALSE(cookies_.check(somebody(4'001), initial, Sequence{5'000}, {}, start));
  const SynCookies others{SipKey{{3, 5}}};
  EXPECT_FALSE(others.check(somebody(), initial, Sequence{5'000}, {}, start));
  for (unsigned bit = 0; bit < 32; ++bit) {
    EXPECT_FALSE(cookies_.check(somebody(), Sequence{initial.value ^ 1U << bit}, Sequence{5'000}, {}, start)) << bit;
  }
}

TEST(SynTable, SynAcksAreRepeatedWithDoubledWaitsAndThenGivenUp) {
  SynTable table{4};
  Handshake handshake;
  handshake.segment_size = 1'460;
  handshake.window_scale = 14;
  handshake.scaled = handshake.sack = true;
  ASSERT_NE(table.add(somebody(), handshake, start), no_slot);
  std::vector<long> repeated;
  int expired = 0;
  while (table.deadline(start) != never) {
    const Time now = table.deadline(start);
    table.on_timer(
        now,
        [&](const SynSlot& slot) {
          EXPECT_EQ(slot.handshake().window_scale, 14);
          EXPECT_TRUE(slot.handshake().sack && slot.handshake().scaled && !slot.handshake().timestamps);
          repeated.push_back(std::chrono::duration_cast<std::chrono::seconds>(now - start).count());
        },
        [&](SlotIndex) { ++expired; });
  }
  EXPECT_THAT(repeated, testing::ElementsAre(1, 3, 7, 15, 31));
  EXPECT_EQ(expired, 1);
  EXPECT_EQ(table.used(), 0U);
}

TEST(SynTable, WhatIsDueTogetherIsDoneInSteps) {
  SynTable table{600};
  for (std::uint16_t number = 0; number < 600; ++number) {
    ASSERT_NE(table.add(somebody(number), {}, start), no_slot);
  }
  std::size_t repeated = 0;
  std::size_t expired = 0;
  const auto step = [&](Time now) {
    const std::size_t before = repeated + expired;
    table.on_timer(
        now, [&](const SynSlot&) { ++repeated; }, [&](SlotIndex) { ++expired; });
    return repeated + expired - before;
  };
  for (const auto due : {1s, 3s, 7s, 15s, 31s, 63s}) {
    const Time now = start + due;
    EXPECT_EQ(step(now), 256U);
    EXPECT_LE(table.deadline(now), now);
    EXPECT_EQ(step(now), 256U);
    EXPECT_LE(table.deadline(now), now);
    EXPECT_EQ(step(now), 88U);
    EXPECT_GT(table.deadline(now), now);
  }
  EXPECT_EQ(repeated, 5U * 600U);
  EXPECT_EQ(expired, 600U);
}

TEST(SynTable, AFullTableTakesNoMore) {
  SynTable table{2};
  EXPECT_NE(table.add(somebody(1), {}, start), no_slot);
  const SlotIndex second = table.add(somebody(2), {}, start);
  EXPECT_EQ(table.add(somebody(3), {}, start), no_slot);
  table.remove(second);
  EXPECT_NE(table.add(somebody(3), {}, start), no_slot);
}

TEST(TimeWaitTable, TheOldestIsFirstAndAllLeaveAfterAMinute) {
  TimeWaitTable table{2};
  const SlotIndex first = table.add(somebody(1), {}, start);
  const SlotIndex second = table.add(somebody(2), {}, start + 1s);
  EXPECT_TRUE(table.full());
  EXPECT_EQ(table.oldest(), first);
  table.restart(first, 0, start + 2s);
  EXPECT_EQ(table.oldest(), second);
  EXPECT_EQ(table.deadline(start + 2s), start + 61s);
  std::vector<SlotIndex> expired;
  table.on_timer(start + 62s, [&](SlotIndex index) { expired.push_back(index); });
  EXPECT_THAT(expired, testing::ElementsAre(second, first));
  EXPECT_EQ(table.used(), 0U);
}

}  // namespace
}  // namespace steelyard::tcp
