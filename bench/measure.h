// How the benchmarks of the packet path take time and watch the heap: passes in TSC cycles, their medians, and what
// jemalloc says that this thread has allocated.
#pragma once

#include <benchmark/benchmark.h>
#include <jemalloc/jemalloc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <rte_cycles.h>

namespace steelyard::bench {

// The time of every pass, in TSC cycles an item.
class Passes {
 public:
  Passes() = default;
  explicit Passes(std::size_t expected) { cycles_.reserve(expected); }
  void add(std::uint64_t cycles, std::size_t items) {
    cycles_.push_back(static_cast<double>(cycles) / static_cast<double>(items));
  }
  [[nodiscard]] bool empty() const { return cycles_.empty(); }
  [[nodiscard]] double median() {
    std::ranges::sort(cycles_);
    return cycles_[cycles_.size() / 2];
  }
  [[nodiscard]] double best() const { return *std::ranges::min_element(cycles_); }

 private:
  std::vector<double> cycles_;
};

[[nodiscard]] inline double to_ns(double cycles) {
  return cycles * 1e9 / static_cast<double>(rte_get_tsc_hz());
}

// Bytes that this thread has ever allocated.
[[nodiscard]] inline std::uint64_t allocated() {
  std::uint64_t bytes = 0;
  std::size_t size = sizeof bytes;
  mallctl("thread.allocated", &bytes, &size, nullptr, 0);
  return bytes;
}

// A case that is timed by itself, `passes` times; one that throws is reported as failed.
template <class Body>
void add_case(const std::string& name, std::int64_t passes, Body body) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [body](benchmark::State& state) {
                                 try {
                                   body(state);
                                 } catch (const std::exception& failed) {
                                   state.SkipWithError(failed.what());
                                 }
                               })
      ->UseManualTime()
      ->Iterations(passes)
      ->Unit(benchmark::kNanosecond);
}

// A whole program: its exit code. `prepare()` starts DPDK, registers the cases and returns what they need for as long
// as they run.
template <class Prepare>
[[nodiscard]] int run_benchmarks(const char* program, int count, char** arguments, Prepare&& prepare) {
  try {
    benchmark::Initialize(&count, arguments);
    if (benchmark::ReportUnrecognizedArguments(count, arguments)) {
      return 2;
    }
    const auto needed = prepare();
    benchmark::AddCustomContext("tsc_hz", std::to_string(rte_get_tsc_hz()));
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
  } catch (const std::exception& failed) {
    std::fprintf(stderr, "%s: %s\n", program, failed.what());
    return 1;
  }
}

template <class Body>
[[nodiscard]] std::uint64_t timed(Body&& body) {
  const std::uint64_t begun = rte_rdtsc_precise();
  body();
  return rte_rdtsc_precise() - begun;
}

}  // namespace steelyard::bench
