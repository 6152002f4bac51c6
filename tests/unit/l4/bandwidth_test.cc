// Limits of what a listener's clients are sent: how much passes, what is counted, and that nobody gets round it.
#include "dataplane/l4/bandwidth.h"

#include "tests/unit/l4/connection.h"

namespace steelyard::l4 {
namespace {

constexpr std::uint64_t second = 1'000'000'000;

// Packets of so many bytes, a thousand times a second for ten seconds; the bytes that passed.
std::uint64_t passed_in_ten_seconds(std::uint64_t rate, std::uint64_t burst, std::uint32_t bytes,
                                    std::uint64_t packets_a_millisecond) {
  BandwidthMeter meter;
  std::uint64_t passed = 0;
  for (std::uint64_t now = 100 * second; now < 110 * second; now += second / 1'000) {
    for (std::uint64_t packet = 0; packet < packets_a_millisecond; ++packet) {
      passed += meter.allow(now, rate, burst, bytes) ? bytes : 0;
    }
  }
  EXPECT_EQ(meter.passed_bytes.get(), passed);
  EXPECT_EQ(meter.passed_bytes.get() + meter.dropped_bytes.get(), 10'000 * packets_a_millisecond * bytes);
  EXPECT_EQ(meter.dropped_packets.get() * bytes, meter.dropped_bytes.get());
  return passed;
}

TEST(BandwidthMeter, LetsTheRatePassWithinFivePercentInTenSecondsWhateverThePacketsAre) {
  for (const std::uint64_t mbit : {1U, 10U, 1'000U, 5'120U}) {
    const std::uint64_t rate = mbit * 125'000;
    for (const std::uint32_t bytes : {60U, 1'500U, 9'000U}) {
      const std::uint64_t offered = 2 * rate / 1'000 / bytes + 2;
      const std::uint64_t passed = passed_in_ten_seconds(rate, rate / 10, bytes, offered);
      EXPECT_NEAR(static_cast<double>(passed), static_cast<double>(10 * rate), 0.05 * static_cast<double>(10 * rate))
          << mbit << " Mbit/s, packets of " << bytes;
    }
  }
}

TEST(BandwidthMeter, LetsEverythingPassThatIsBelowTheRate) {
  BandwidthMeter meter;
  for (std::uint64_t now = 100 * second; now < 110 * second; now += second / 80) {
    EXPECT_TRUE(meter.allow(now, 125'000, 12'500, 1'500));
  }
}

TEST(BandwidthMeter, SavesNoMoreThanItsBurstInSilence) {
  BandwidthMeter meter;
  ASSERT_TRUE(meter.allow(second, 125'000, 12'500, 100));
  std::uint64_t passed = 0;
  while (meter.allow(1'000'000 * second, 125'000, 12'500, 100)) {
    passed += 100;
  }
  EXPECT_EQ(passed, 12'500U);
}

TEST(BandwidthMeter, TellsWhatMayPassForThoseWhoWait) {
  BandwidthMeter meter;
  std::uint64_t now_ns = 10'000'000'000;
  const std::uint64_t burst = 1'000'000 / bursts_per_second;
  EXPECT_EQ(meter.credit(now_ns, 1'000'000, burst), burst);
  meter.take(burst + 500);  // the last of them was larger
  EXPECT_EQ(meter.credit(now_ns, 1'000'000, burst), 0U);
  EXPECT_EQ(meter.credit(now_ns += 500'000, 1'000'000, burst), 0U) << "the debt is paid, and no more";
  EXPECT_EQ(meter.credit(now_ns += 1'000'000, 1'000'000, burst), 1'000U);
  EXPECT_EQ(meter.passed_bytes.get(), burst + 500);
  EXPECT_EQ(meter.dropped_packets.get(), 0U);
}

TEST(BandwidthMeter, KeepsARateWhoseBucketIsSmallerThanAPacket) {
  const std::uint64_t passed = passed_in_ten_seconds(125'000 / 64, 195, 1'500, 1);
  EXPECT_NEAR(static_cast<double>(passed), 10 * 125'000.0 / 64, 1'500);
}

template <class Family>
class Bandwidth : public BalancerTest<Family> {
 protected:
  using Service = typename BalancerTest<Family>::Service;

  // So many packets come from the server at once; those that pass.
  static std::size_t flood(World<Family>& world, const packet::Tuple<Family>& from_server, std::size_t packets) {
    std::size_t passed = 0;
    for (std::size_t packet = 0; packet < packets; ++packet) {
      Frame frame = test::udp(from_server, {.payload = 972});
      const std::string said = text(world.receive(frame));
      passed += said == "forward" ? 1U : 0U;
      EXPECT_TRUE(said == "forward" || said == "drop bandwidth_exceeded") << said;
    }
    return passed;
  }
};
TYPED_TEST_SUITE(Bandwidth, Families);

TYPED_TEST(Bandwidth, LimitsWhatClientsAreSentAndNothingElse) {
  for (const auto& service : {this->nat_udp, this->fullnat_udp}) {
    World<TypeParam> world;
    world.listener(service).bandwidth = 1'000'000;
    Connection<TypeParam> exchange(world, service);
    exchange.from_client(UdpFields{});
    world.pass(1s);
    EXPECT_LE(this->flood(world, exchange.server_side, 200), 101U);
    EXPECT_GT(world.meter(service).dropped_packets.get(), 0U);
    for (int packet = 0; packet < 300; ++packet) {
      exchange.from_client(UdpFields{.payload = 1'000});
    }
    const auto& other = service.mode == Mode::nat ? this->fullnat_udp : this->nat_udp;
    Connection<TypeParam> unlimited(world, other, 2);
    unlimited.from_client(UdpFields{});
    EXPECT_EQ(this->flood(world, unlimited.server_side, 300), 300U);
  }
}

TYPED_TEST(Bandwidth, LimitsAllOfAListenersFlowsTogether) {
  World<TypeParam> world;
  world.listener(this->nat_udp).bandwidth = 1'000'000;
  Connection<TypeParam> first(world, this->nat_udp, 1);
  Connection<TypeParam> second_one(world, this->nat_udp, 2);
  first.from_client(UdpFields{});
  second_one.from_client(UdpFields{});
  world.pass(1s);
  EXPECT_GT(this->flood(world, first.server_side, 150), 90U);
  EXPECT_EQ(this->flood(world, second_one.server_side, 150), 0U);
}

TYPED_TEST(Bandwidth, KeepsToThePartThatControlHasGiven) {
  World<TypeParam> world;
  world.listener(this->nat_udp).bandwidth = 1'000'000;
  world.share_bandwidth(this->nat_udp, 100'000);
  Connection<TypeParam> exchange(world, this->nat_udp);
  exchange.from_client(UdpFields{});
  std::size_t passed = 0;
  for (int step = 0; step < 1'000; ++step) {
    world.pass(10ms);
    passed += this->flood(world, exchange.server_side, 10);
  }
  EXPECT_GE(passed, 1'000U);
  EXPECT_LE(passed, 1'101U) << "and what the bucket held at first";
}

TYPED_TEST(Bandwidth, DropsSegmentsBeforeTheyCountAsSeen) {
  World<TypeParam> world;
  Connection<TypeParam> connection(world, this->nat_tcp);
  connection.open();
  world.listener(this->nat_tcp).bandwidth = 10;
  for (auto next = std::optional<std::uint64_t>(0); next; next = world.balancer().forget_hops_of_limited(*next, 64)) {
  }
  connection.server_data(100);
  const packet::Sequence before = connection.server_next;
  EXPECT_EQ(connection.try_server({.sequence = before, .acknowledgment = connection.client_next, .flags = fin | ack}),
            "drop bandwidth_exceeded");
  EXPECT_EQ(world.flows().at(0).state, FlowState::established);
}

TYPED_TEST(Bandwidth, BindsConnectionsThatRanBeforeItOnceTheirHopsAreForgotten) {
  World<TypeParam> world;
  Connection<TypeParam> exchange(world, this->nat_udp);
  exchange.from_client(UdpFields{});
  EXPECT_EQ(this->flood(world, exchange.server_side, 10), 10U);
  world.listener(this->nat_udp).bandwidth = 1'000;
  EXPECT_EQ(this->flood(world, exchange.server_side, 300), 300U) << "the fast path knows nothing of limits";
  for (auto next = std::optional<std::uint64_t>(0); next; next = world.balancer().forget_hops_of_limited(*next, 1)) {
  }
  EXPECT_LE(this->flood(world, exchange.server_side, 300), 1U);
  world.listener(this->nat_udp).bandwidth = 0;
  EXPECT_EQ(this->flood(world, exchange.server_side, 300), 300U);
  const std::size_t fast = world.fast();
  EXPECT_EQ(this->flood(world, exchange.server_side, 300), 300U);
  EXPECT_EQ(world.fast(), fast + 300) << "and the fast path is taken again";
}

}  // namespace
}  // namespace steelyard::l4
