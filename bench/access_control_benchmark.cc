// What a new flow pays for its listener's access list, by family and number of entries, and what control's builder
// thread needs for making one. Sources are drawn anew each time, half of them listed.
#include <benchmark/benchmark.h>

#include <array>
#include <random>
#include <vector>

#include "dataplane/service/access_control.h"

namespace steelyard::service {
namespace {

Address random_address(std::mt19937& random, bool v6) {
  std::array<std::uint8_t, 16> bytes{};
  for (std::uint8_t& byte : bytes) {
    byte = static_cast<std::uint8_t>(random());
  }
  bytes[0] = 0x20;
  return v6 ? Address::from_v6(bytes) : Address::from_v4(std::span(bytes).first<4>());
}

std::vector<Prefix> random_list(std::mt19937& random, bool v6, std::size_t entries) {
  std::vector<Prefix> list;
  while (list.size() < entries) {
    list.push_back(Prefix{random_address(random, v6), static_cast<std::uint8_t>(v6 ? 64 : 28)});
  }
  return list;
}

void allows(benchmark::State& state, bool v6) {
  std::mt19937 random(1);
  const auto list = random_list(random, v6, static_cast<std::size_t>(state.range(0)));
  const AccessControl access(AccessType::black, list);
  std::array<Address, 4096> sources;
  for (std::size_t place = 0; place < sources.size(); ++place) {
    sources[place] = place % 2 == 0 ? random_address(random, v6) : list[random() % list.size()].address;
  }
  std::ranges::shuffle(sources, random);
  std::size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(access.allows(sources[next++ % sources.size()]));
  }
}

void build(benchmark::State& state, bool v6) {
  std::mt19937 random(1);
  const auto list = random_list(random, v6, static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(AccessControl(AccessType::black, list));
  }
}

BENCHMARK_CAPTURE(allows, ipv4, false)->Arg(10)->Arg(1'000)->Arg(50'000);
BENCHMARK_CAPTURE(allows, ipv6, true)->Arg(10)->Arg(1'000)->Arg(50'000);
BENCHMARK_CAPTURE(build, ipv4, false)->Arg(1'000);
BENCHMARK_CAPTURE(build, ipv6, true)->Arg(1'000);

}  // namespace
}  // namespace steelyard::service

BENCHMARK_MAIN();
