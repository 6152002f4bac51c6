// Nothing goes missing: under seeded mixes of good, damaged and hostile frames the books of every worker balance after
// every turn (the stand asks), every frame is accounted for once, and every buffer is back in its pool at the end.
#include <random>

#include "tests/unit/fragment_builder.h"
#include "tests/unit/worker/stand.h"

namespace steelyard::worker {
namespace {

using packet::Ipv4;
using packet::Ipv6;
using test::DropReason;
using test::first_packet;
using test::Frame;
using test::key;
using test::lan;
using test::mac;
using test::MacAddress;
using test::own_mac;
using test::Scene;
using test::Stand;
using test::StandPlan;
using test::wan;
using namespace std::chrono_literals;

class Mix {
 public:
  explicit Mix(std::uint32_t seed) : random_(seed) {}

  std::uint32_t below(std::uint32_t end) { return static_cast<std::uint32_t>(random_() % end); }
  bool chance(std::uint32_t in) { return below(in) == 0; }

  // Any frame, and the link it comes in on.
  Frame frame(std::uint16_t link) {
    Frame frame = chance(2) ? sensible<Ipv4>() : sensible<Ipv6>();
    test::set_macs(frame, chance(20) ? other_station() : own_mac(link), mac(static_cast<std::uint8_t>(below(4))));
    if (chance(8)) {
      frame = neighbor_message();
    }
    if (chance(6)) {
      frame = chance(2) ? fragment<Ipv4>() : fragment<Ipv6>();
      test::set_macs(frame, own_mac(link), mac(1));
    }
    if (chance(10)) {
      damage(frame);
    }
    if (chance(20)) {
      frame = {test::Bytes(1 + below(200))};
      std::ranges::generate(frame.bytes, [this] { return static_cast<std::uint8_t>(random_()); });
    }
    return frame;
  }

 private:
  template <class Family>
  Frame sensible() {
    using S = Scene<Family>;
    const std::string client = (Family::is_v6 ? "2001:db8:77::" : "198.51.100.") + std::to_string(1 + below(6));
    const auto client_port = static_cast<std::uint16_t>(1 + below(40));
    const std::array<std::uint16_t, 6> vip_ports{80, 81, 82, 53, test::tunnel_datagram_port, 9'999};
    const std::uint16_t vip_port = vip_ports[below(6)];
    const std::uint8_t protocol = test::is_for_datagrams(vip_port) ? packet::protocol_udp : packet::protocol_tcp;
    const std::string server = chance(2) ? S::server : S::other_server;
    const std::string back_to = chance(2) ? client : S::local;
    switch (below(8)) {
      case 0:
        return test::echo_request<Family>(client, chance(3) ? S::own : S::vip, below(100));
      case 1:
        return segment(test::tuple<Family>(protocol, client, client_port, chance(4) ? S::own : S::vip, vip_port));
      case 2:
        return segment(test::tuple<Family>(protocol, server, test::server_port, back_to,
                                           chance(2) ? client_port : static_cast<std::uint16_t>(2'000 + below(1'000))));
      case 3:
        return test::ip<Family>(test::address<Family>(client), test::address<Family>(S::vip),
                                static_cast<std::uint8_t>(below(256)), test::Bytes(below(60)),
                                {.ttl = static_cast<std::uint8_t>(below(3))});
      default:
        return first_packet<Family>(vip_port, client_port, client);
    }
  }

  template <class Family>
  Frame segment(const packet::Tuple<Family>& ends) {
    const test::IpFields ip{.ttl = chance(10) ? std::uint8_t{1} : std::uint8_t{64}};
    Frame frame = ends.protocol == packet::protocol_udp
                      ? test::udp(ends, {.payload = chance(10) ? 1'600 : below(300), .ip = ip})
                      : test::tcp(ends, {.sequence = {1'000 + below(3)},
                                         .acknowledgment = {5'000 + below(3)},
                                         .flags = static_cast<std::uint8_t>(below(64)),
                                         .payload = chance(20) ? 1'500 : below(100),
                                         .ip = ip});
    if (!Family::is_v6 && chance(2)) {
      frame.l3()[6] |= 0x40U;  // don't fragment
      frame.fix_checksums();
    }
    return frame;
  }

  // One of few datagrams, which do not all agree about where they are cut.
  template <class Family>
  Frame fragment() {
    using S = Scene<Family>;
    const std::array<std::uint16_t, 3> ports{test::datagram_port, test::fullnat_datagram_port, 9'999};
    const auto ends =
        test::tuple<Family>(packet::protocol_udp, chance(4) ? S::server : S::client,
                            static_cast<std::uint16_t>(1 + below(3)), chance(4) ? S::own : S::vip, ports[below(3)]);
    const auto pieces =
        test::cut<Family>(test::udp(ends, {.payload = 100 + below(3) * 1'000}), chance(4) ? 400 : 1'200, below(4));
    return pieces[below(static_cast<std::uint32_t>(pieces.size()))];
  }

  Frame neighbor_message() {
    const auto host = static_cast<std::uint8_t>(below(12));
    const std::string last = std::to_string(host);
    switch (below(4)) {
      case 0:
        return test::arp({.operation = static_cast<std::uint16_t>(1 + below(2)),
                          .sender_mac = mac(host),
                          .sender = (chance(2) ? "192.0.2." : "10.0.0.") + last,
                          .target = chance(2) ? "192.0.2.10" : "192.0.2.2"});
      case 1:
        return test::ndp({.source = chance(4) ? "::" : "2001:db8:1::99", .options = {}});
      case 2:
        return test::ndp(test::advertised((chance(2) ? "2001:db8:1::" : "2001:db8:2::") + last, mac(host), "ff02::1"));
      default:
        return test::arp({.sender_mac = mac(host), .sender = "192.0.2.10", .hardware_size = host});
    }
  }

  MacAddress other_station() {
    switch (below(3)) {
      case 0:
        return test::all_stations;
      case 1:
        return {0x33, 0x33, 0, 0, 0, 1};
      default:
        return mac(99);
    }
  }

  void damage(Frame& frame) {
    if (chance(2)) {
      frame.bytes.resize(1 + below(static_cast<std::uint32_t>(frame.bytes.size())));
    }
    for (std::uint32_t flips = 1 + below(4); flips > 0; --flips) {
      frame.bytes[below(static_cast<std::uint32_t>(frame.bytes.size()))] ^= static_cast<std::uint8_t>(1U << below(8));
    }
  }

  std::mt19937 random_;
};

struct Case {
  const char* name;
  StandPlan plan;
};

class Accounting : public ::testing::TestWithParam<Case> {
 protected:
  // A step of the mix; returns how many frames came in.
  static std::uint64_t step(Stand& stand, Mix& mix, const StandPlan& plan) {
    const std::uint32_t count = mix.below(50);
    const auto queues = static_cast<std::uint32_t>(plan.queues != 0 ? plan.queues : plan.workers);
    for (std::uint32_t number = 0; number < count; ++number) {
      const std::uint16_t link = mix.chance(2) ? wan : lan;
      const Frame frame = mix.frame(link);
      stand.receive_as_is(link, frame, static_cast<std::uint16_t>(mix.below(queues)),
                          mix.chance(8) ? 1 + mix.below(80) : SIZE_MAX);
    }
    if (plan.kernel && mix.chance(4)) {
      stand.receive_from_kernel(wan, test::echo_request<Ipv4>(Scene<Ipv4>::own, Scene<Ipv4>::client));
    }
    stand.turn();
    if (mix.chance(4)) {
      stand.turn(mix.below(static_cast<std::uint32_t>(plan.workers)));
    }
    if (mix.chance(6)) {
      stand.resolve();
    }
    if (mix.chance(6)) {
      stand.pass(std::chrono::milliseconds(mix.below(3'000)));
    }
    if (mix.chance(10)) {
      stand.port(lan).set_room(mix.chance(2) ? 20 : SIZE_MAX);
      (void)stand.given_to_kernel(wan);
    }
    return count;
  }
};

TEST_P(Accounting, HoldsAfterEveryTurnOfAnyMixAndNoBufferIsLost) {
  const StandPlan& plan = GetParam().plan;
  for (std::uint32_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(seed);
    Stand stand(plan);
    Mix mix(seed);
    std::uint64_t arrived = 0;
    for (int steps = 0; steps < 120; ++steps) {
      arrived += step(stand, mix, plan);
    }
    stand.port(lan).set_room(SIZE_MAX);
    stand.settle();
    std::uint64_t received = 0;
    std::uint64_t forwarded = 0;
    std::uint64_t created = 0;
    for (std::size_t worker = 0; worker < plan.workers; ++worker) {
      received += stand.packets(worker).received.get();
      forwarded += stand.packets(worker).forwarded.get();
      created += stand.worker(worker).balancer_counters().flows_created.get();
    }
    EXPECT_EQ(received, arrived + stand.answers_received());
    EXPECT_GT(created, 20u) << "the mix must open connections";
    EXPECT_GT(forwarded, created) << "and use them";
    for (const DropReason reason :
         {DropReason::frame_too_short, DropReason::not_for_us, DropReason::ip_checksum_bad, DropReason::no_flow,
          DropReason::ttl_expired, DropReason::arp_malformed, DropReason::tcp_flags_impossible,
          DropReason::frame_exceeds_mtu, DropReason::fragment_overlap, DropReason::fragment_duplicate,
          DropReason::fragment_timed_out}) {
      EXPECT_GT(stand.drops(reason), 0u) << packet::name(reason);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Stands, Accounting,
    ::testing::Values(Case{"OneWorker", {}}, Case{"AKernel", {.kernel = true}},
                      Case{"AKernelThatTakesAll", {.kernel = true, .pass_unmatched = true, .kernel_ring_size = 16}},
                      Case{"TwoWorkers", {.workers = 2, .kernel = true}},
                      Case{"ThreeWorkersAndOneQueue", {.workers = 3, .queues = 1}},
                      Case{"SmallRings", {.workers = 2, .queues = 1, .kernel = true, .ring_size = 8}},
                      Case{"AnEmptyPool", {.workers = 2, .generated_buffers = 3}}),
    [](const auto& instance) { return std::string(instance.param.name); });

TEST(Turns, AreCountedByWhetherTheyHadWork) {
  Stand stand;
  const std::uint64_t idle = stand.worker().turns().idle_turns.get();
  const std::uint64_t beats = stand.worker().heartbeat();
  stand.receive(wan, test::echo_request<Ipv4>(Scene<Ipv4>::client, Scene<Ipv4>::vip));
  EXPECT_EQ(stand.turn(), 1u);
  EXPECT_EQ(stand.turn(), 0u);
  EXPECT_EQ(stand.worker().turns().idle_turns.get(), idle + 1);
  EXPECT_EQ(stand.worker().heartbeat(), beats + 2);
}

TEST(Turns, FallIntoBucketsOfTwoToThePower) {
  TurnCounters turns;
  for (const std::uint64_t ns : {0ULL, 1ULL, 2ULL, 3ULL, 4ULL, 1'000ULL, ~0ULL >> 1U}) {
    turns.record(ns);
  }
  EXPECT_EQ(turns.nanoseconds[0].get(), 2u);
  EXPECT_EQ(turns.nanoseconds[1].get(), 2u);
  EXPECT_EQ(turns.nanoseconds[2].get(), 1u);
  EXPECT_EQ(turns.nanoseconds[9].get(), 1u);
  EXPECT_EQ(turns.nanoseconds[23].get(), 1u);
  EXPECT_EQ(turns.longest_ns.get(), ~0ULL >> 1U);
}

}  // namespace
}  // namespace steelyard::worker
