#include "tests/simulation/plan.h"

#include <algorithm>

#include "tests/simulation/random.h"

namespace steelyard::simulation {
namespace {

LinkPlan draw_link(Random& random, bool v6) {
  constexpr std::array<unsigned, 8> losses{0, 0, 5, 10, 20, 50, 100, 300};
  LinkPlan link;
  link.delay = random.up_to(100ms);
  link.jitter = random.one_in(2) ? 0ms : random.up_to(50ms);
  link.loss = random.one_of(losses);
  link.duplication = random.one_in(3) ? 50 : 0;
  link.corruption = random.one_in(4) ? 30 : 0;
  if (random.one_in(4)) {
    link.rate = 20'000 + random.below(5'000'000);
    link.queue = 5'000 + random.below32(100'000);
  }
  if (random.one_in(4)) {
    link.mtu = (v6 ? 1'280 : 576) + random.below32(200);
    link.narrow_at = Time{1'000s} + random.up_to(random.one_in(2) ? 2s : 20s);
  }
  link.strip_sack = random.one_in(3);
  link.strip_timestamps = random.one_in(2);
  link.strip_scale = random.one_in(4);
  return link;
}

HostPlan draw_host(Random& random) {
  constexpr std::array<std::uint32_t, 6> buffers{300, 1'000, 4'000, 16'384, 65'536, 200'000};
  constexpr std::array<Duration, 4> delays{0ms, 40ms, 40ms, 400ms};
  HostPlan host;
  host.largest_slice = 1 + random.below32(random.one_in(2) ? 100 : 6'000);
  // Slices of an octet or two would be most of a run's time: some thousands of them say it all.
  host.octets = random.one_in(4) ? 0 : random.below32(std::min(65'536U, 4'096 * host.largest_slice) + 1);
  host.receive_buffer = random.one_of(buffers);
  host.send_buffer = random.one_of(buffers);
  host.slowest_read = random.one_in(3) ? random.up_to(300ms) : Duration{0};
  host.delayed_acknowledgment = random.one_of(delays);
  host.before_wrap = random.one_in(2) ? 1 + random.below32(70'000) : 0;
  host.clock_days = random.below32(60);
  host.nagle = random.one_in(4);
  if (random.one_in(8)) {
    host.closing = random.one_in(2) ? Closing::close : Closing::abort;
    host.closing_at = random.up_to(random.one_in(2) ? 1s : 30s);
  }
  return host;
}

}  // namespace

Plan draw_plan(std::uint64_t seed) {
  Random random{seed};
  Plan plan;
  plan.v6 = random.one_in(2);
  plan.link = draw_link(random, plan.v6);
  plan.hosts = {draw_host(random), draw_host(random)};
  plan.mtu = random.one_in(4) ? (plan.v6 ? 1'280 : 576) : 1'500;
  plan.simultaneous = random.one_in(16);
  plan.cookies = random.one_in(8);
  for (HostPlan& host : plan.hosts) {
    constexpr std::array<std::uint32_t, 4> limits{tcp::unlimited, 1'024, 8'192, 32'768};
    host.receive_start = random.one_of(limits);
    host.unsent = random.one_of(limits);
    host.ample = random.one_in(2);
  }
  return plan;
}

std::string to_string(const Plan& plan) {
  const LinkPlan& link = plan.link;
  const auto field = [](const char* name, auto value) { return std::string{" "} + name + " " + std::to_string(value); };
  std::string text = plan.v6 ? "IPv6" : "IPv4";
  text += field("mtu", plan.mtu) + (plan.simultaneous ? " simultaneous" : "") + (plan.cookies ? " cookies" : "");
  text += field("delay_us", link.delay.count()) + field("jitter_us", link.jitter.count()) + field("loss", link.loss) +
          field("duplication", link.duplication) + field("corruption", link.corruption);
  if (link.rate != 0) {
    text += field("rate", link.rate) + field("queue", link.queue);
  }
  if (link.narrow_at != tcp::never) {
    text += field("narrow_mtu", link.mtu) + field("from_us", link.narrow_at.time_since_epoch().count());
  }
  text += std::string{link.strip_sack ? " no-sack" : ""} + (link.strip_timestamps ? " no-timestamps" : "") +
          (link.strip_scale ? " no-scale" : "");
  for (const HostPlan& host : plan.hosts) {
    text += " | octets " + std::to_string(host.octets) + field("slices", host.largest_slice) +
            field("receive", host.receive_buffer) + field("send", host.send_buffer) +
            field("start", host.receive_start) + field("unsent", host.unsent) + (host.ample ? "" : " short") +
            field("read_us", host.slowest_read.count()) + field("ack_us", host.delayed_acknowledgment.count()) +
            field("before_wrap", host.before_wrap) + field("days", host.clock_days) + (host.nagle ? " nagle" : "");
    if (host.closing != Closing::shutdown) {
      text += field(host.closing == Closing::close ? "close_us" : "abort_us", host.closing_at.count());
    }
  }
  return text;
}

}  // namespace steelyard::simulation
