// What a scheduling decision costs by scheduler and number of servers, weights mixed 1..100, what a rebuild costs, and
// what control's builder thread needs for a hash table.
// Targets: a wrr pick <= 60 ns at 100 servers and <= 200 ns at 10,000; a table of 65,537 slots for 1,000 servers <= 2
// ms.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "dataplane/schedule/scheduler.h"

namespace steelyard::schedule {
namespace {

constexpr std::uint64_t now_ns = 1'000'000'000;

struct Bench {
  Bench(service::Scheduler kind, std::size_t servers) : active(servers) {
    listener.scheduler = kind;
    listener.state = std::make_shared<service::ListenerState>(servers);
    std::mt19937 random(1);
    for (std::uint32_t index = 0; index < servers; ++index) {
      service::Server server;
      server.weight = static_cast<std::uint8_t>(1 + random() % 100);
      server.id = {index};
      server.port = static_cast<std::uint16_t>(1 + index);
      listener.servers.push_back(server);
    }
    if (service::by_hash(kind)) {
      listener.hash_table = std::make_shared<service::HashTable>(build_hash_table(listener.servers));
    }
    listener.scratch.push_back(std::make_unique<std::uint32_t[]>(scratch_words(kind, servers)));
    scheduler.rebuild(listener, {}, load(), now_ns);
  }
  [[nodiscard]] LoadView load() const { return {active, {}, 0}; }

  service::Listener listener;
  std::vector<service::Gauge> active;
  Scheduler scheduler;
};

// The whole decision as a worker makes it: is the scheduler current, pick, count the connection. A client that nobody
// has seen before each time, for those schedulers that look at it.
void pick(benchmark::State& state, service::Scheduler kind) {
  Bench bench(kind, static_cast<std::size_t>(state.range(0)));
  std::array<std::uint8_t, 4> client{198, 18, 0, 0};
  for (auto _ : state) {
    if (!bench.scheduler.is_current(bench.listener, now_ns)) {
      state.SkipWithError("not current");
      break;
    }
    ClientKey key;
    if (service::by_hash(kind)) {
      client[3] = static_cast<std::uint8_t>(client[3] + 1);
      client[2] = static_cast<std::uint8_t>(client[2] + (client[3] == 0 ? 1 : 0));
      key = client_key(kind, service::Address::from_v4(client), 40'000, service::Address{}, 80);
    }
    const auto server = bench.scheduler.pick(bench.listener, bench.load(), key);
    benchmark::DoNotOptimize(server);
    bench.active[*server].add();
    bench.scheduler.load_changed(bench.listener, bench.listener.servers[*server].id, bench.load());
  }
}

// A connection ends on a random server, one begins where the scheduler says: wlc in its steady state.
void churn(benchmark::State& state) {
  Bench bench(service::Scheduler::wlc, static_cast<std::size_t>(state.range(0)));
  std::vector<std::uint32_t> open;
  const auto begin = [&bench] {
    const auto server = static_cast<std::uint32_t>(*bench.scheduler.pick(bench.listener, bench.load()));
    bench.active[server].add();
    bench.scheduler.load_changed(bench.listener, bench.listener.servers[server].id, bench.load());
    return server;
  };
  for (std::int64_t count = 0; count < 10 * state.range(0); ++count) {
    open.push_back(begin());
  }
  std::minstd_rand random(2);
  for (auto _ : state) {
    std::uint32_t& connection = open[random() % open.size()];
    bench.active[connection].subtract();
    bench.scheduler.load_changed(bench.listener, bench.listener.servers[connection].id, bench.load());
    connection = begin();
  }
}

void rebuild(benchmark::State& state, service::Scheduler kind) {
  Bench bench(kind, static_cast<std::size_t>(state.range(0)));
  bool up = false;
  for (auto _ : state) {
    bench.listener.state->states[0].up = up;  // another set of classes each time
    up = !up;
    bench.scheduler.rebuild(bench.listener, {}, bench.load(), now_ns);
  }
}

void build_table(benchmark::State& state) {
  const Bench bench(service::Scheduler::sch, static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(build_hash_table(bench.listener.servers));
  }
  state.counters["slots"] = static_cast<double>(bench.listener.hash_table->slots.size());
}

BENCHMARK_CAPTURE(pick, wrr, service::Scheduler::wrr)->Arg(2)->Arg(100)->Arg(10'000);
BENCHMARK_CAPTURE(pick, rr, service::Scheduler::rr)->Arg(2)->Arg(100)->Arg(10'000);
BENCHMARK_CAPTURE(pick, wlc, service::Scheduler::wlc)->Arg(2)->Arg(100)->Arg(10'000);
BENCHMARK_CAPTURE(pick, sch, service::Scheduler::sch)->Arg(2)->Arg(100)->Arg(1'000)->Arg(10'000);
BENCHMARK_CAPTURE(pick, tch, service::Scheduler::tch)->Arg(2)->Arg(100)->Arg(1'000)->Arg(10'000);
BENCHMARK(churn)->Name("churn/wlc")->Arg(2)->Arg(100)->Arg(10'000);
BENCHMARK_CAPTURE(rebuild, wrr, service::Scheduler::wrr)->Arg(2)->Arg(100)->Arg(10'000);
BENCHMARK_CAPTURE(rebuild, rr, service::Scheduler::rr)->Arg(2)->Arg(100)->Arg(10'000);
BENCHMARK_CAPTURE(rebuild, wlc, service::Scheduler::wlc)->Arg(2)->Arg(100)->Arg(10'000);
BENCHMARK_CAPTURE(rebuild, sch, service::Scheduler::sch)->Arg(2)->Arg(100)->Arg(10'000);
BENCHMARK(build_table)->Arg(2)->Arg(1'000)->Arg(60'000);

}  // namespace
}  // namespace steelyard::schedule

BENCHMARK_MAIN();
