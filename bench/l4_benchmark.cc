// What a packet costs a worker: from a burst of mbufs to the driver's transmit function, for established TCP in both
// directions and for new connections, beside a bare exchange of MAC addresses of the same mbufs (the floor). Passes
// of both take turns, so that a noisy machine treats them alike; medians over all passes are reported. Headers are
// written between the passes; jemalloc says whether a timed pass allocated.
//
//   l4_benchmark [--pages=auto|2m|4k] [Google Benchmark's options]
//
// Goals (`nat`, IPv4, established): <= 10 times the floor at a thousand flows, <= 6 times at a million and at ten
// million, <= 150 ns at ten million with 2 MiB pages; a new flow <= 600 ns; no allocation.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>

#include "bench/l4_stand.h"
#include "bench/measure.h"

namespace steelyard::bench {
namespace {

// Enough that the packets do not fit any cache: a worker's receive queues hold a few thousand.
constexpr std::size_t most_packets = 262'144;
constexpr std::size_t new_flows_a_pass = 65'536;
constexpr std::int64_t new_flow_passes = 15;
// 4 KiB pages are all taken at start: the largest table, the packets, and what DPDK wants.
constexpr std::uint32_t small_pages_mib = 2'600;
constexpr std::uint32_t hugepages_mib = 512;

// Alternates the floor and the worker over the same packets; `write(packet, place)` fills in the headers before each.
template <class Family, class Write>
void alternate(benchmark::State& state, Stand<Family>& stand, std::vector<rte_mbuf*>& packets, Write&& write) {
  Passes floor(static_cast<std::size_t>(state.max_iterations));
  Passes worker(static_cast<std::size_t>(state.max_iterations));
  std::uint64_t bytes = 0;
  const std::uint64_t before = stand.forwarded();
  for (auto step : state) {
    static_cast<void>(step);
    // Written twice: both find the caches in the same condition.
    write(false);
    floor.add(timed([&] { stand.swap(packets); }), packets.size());
    write(true);
    const std::uint64_t had = allocated();
    const std::uint64_t cycles = timed([&] { stand.forward(packets); });
    bytes += allocated() - had;
    worker.add(cycles, packets.size());
    state.SetIterationTime(to_ns(static_cast<double>(cycles)) / 1e9 / static_cast<double>(packets.size()));
  }
  const auto expected = static_cast<std::uint64_t>(state.iterations()) * packets.size();
  if (stand.forwarded() - before != expected) {
    state.SkipWithError("not every packet was forwarded");
  } else if (stand.count_wrong(packets) != 0) {
    state.SkipWithError("a packet was rewritten wrongly");
  } else if (bytes != 0) {
    state.SkipWithError("a timed pass allocated memory");
  }
  const double cycles = worker.median();
  const double floor_cycles = floor.median();
  state.counters["ns"] = to_ns(cycles);
  state.counters["best_ns"] = to_ns(worker.best());
  state.counters["cycles"] = cycles;
  state.counters["swap_ns"] = to_ns(floor_cycles);
  state.counters["ratio"] = cycles / floor_cycles;
  state.counters["flow_bytes"] = stand.bytes_per_flow();
  state.counters["allocated"] = static_cast<double>(bytes);
}

template <class Family>
void established(benchmark::State& state, Machine& machine, service::Mode mode, std::size_t flows) {
  Stand<Family> stand(machine, {mode, flows, 0, service::Scheduler::wrr});
  auto packets = machine.shuffled_packets(std::min(flows, most_packets));
  std::mt19937_64 random(2);
  std::vector<std::uint64_t> order(flows <= most_packets ? flows : 0);
  std::iota(order.begin(), order.end(), 0);
  const auto write = [&](bool) {
    std::ranges::shuffle(order, random);
    for (std::size_t place = 0; place < packets.size(); ++place) {
      const std::uint64_t drawn = random();
      const std::uint64_t flow = order.empty() ? (drawn >> 1U) % flows : order[place];
      stand.write_established(packets[place], flow, (drawn & 1U) == 0 ? l4::Side::client : l4::Side::server);
    }
  };
  // Flows learn the next hop towards their client with its first packet.
  write(true);
  stand.forward(packets);
  alternate(state, stand, packets, write);
}

// Connections that open beside a million that are open, in a table with room.
template <class Family>
void opening(benchmark::State& state, Machine& machine, service::Mode mode, service::Scheduler scheduler) {
  constexpr std::size_t open = 1'000'000;
  const std::size_t further = new_flows_a_pass * static_cast<std::size_t>(new_flow_passes);
  Stand<Family> stand(machine, {mode, open, further, scheduler});
  auto packets = machine.shuffled_packets(new_flows_a_pass);
  std::uint64_t next = open;
  const auto write = [&](bool for_worker) {
    for (std::size_t place = 0; place < packets.size(); ++place) {
      stand.write_syn(packets[place], next + place);
    }
    next += for_worker ? packets.size() : 0;
  };
  alternate(state, stand, packets, write);
}

template <class Family>
void add_cases(Machine& machine, const std::string& family) {
  struct Mode {
    const char* name;
    service::Mode mode;
  };
  for (const Mode& mode : {Mode{"nat", service::Mode::nat}, Mode{"fullnat", service::Mode::fullnat},
                           Mode{"dr", service::Mode::dr}, Mode{"tunnel", service::Mode::tunnel}}) {
    for (const std::size_t flows : {1'000UL, 1'000'000UL, 10'000'000UL}) {
      // Short passes need more of them for a median that stands still.
      const std::int64_t passes = flows == 1'000 ? 2'001 : 31;
      add_case("established/" + std::string(mode.name) + "/" + family + "/" + std::to_string(flows), passes,
               [&machine, flows, kind = mode.mode](benchmark::State& state) {
                 established<Family>(state, machine, kind, flows);
               });
    }
    add_case("new_flow/" + std::string(mode.name) + "/" + family + "/wrr", new_flow_passes,
             [&machine, kind = mode.mode](benchmark::State& state) {
               opening<Family>(state, machine, kind, service::Scheduler::wrr);
             });
  }
}

// Takes our own option out of the arguments; nothing when it is wrong.
std::optional<nic::Hugepages> pages_option(int& count, char** arguments) {
  constexpr std::string_view option = "--pages=";
  nic::Hugepages pages = nic::Hugepages::automatic;
  int kept = 1;
  for (int place = 1; place < count; ++place) {
    const std::string_view word = arguments[place];
    if (!word.starts_with(option)) {
      arguments[kept++] = arguments[place];
      continue;
    }
    const std::string_view value = word.substr(option.size());
    if (value != "auto" && value != "2m" && value != "4k") {
      return std::nullopt;
    }
    pages = value == "2m" ? nic::Hugepages::required : value == "4k" ? nic::Hugepages::off : pages;
  }
  count = kept;
  return pages;
}

std::unique_ptr<Machine> prepare(nic::Hugepages pages) {
  auto machine =
      std::make_unique<Machine>(pages, pages == nic::Hugepages::off ? small_pages_mib : hugepages_mib, most_packets);
  benchmark::AddCustomContext("pages", machine->hugepages() ? "2 MiB" : "4 KiB");
  add_cases<packet::Ipv4>(*machine, "ipv4");
  add_cases<packet::Ipv6>(*machine, "ipv6");
  return machine;
}

}  // namespace
}  // namespace steelyard::bench

int main(int count, char** arguments) {
  using namespace steelyard::bench;
  const auto pages = pages_option(count, arguments);
  if (!pages) {
    std::fprintf(stderr, "l4_benchmark: --pages is auto, 2m or 4k\n");
    return 2;
  }
  return run_benchmarks("l4_benchmark", count, arguments, [&] { return prepare(*pages); });
}
