// The simulated world as a command: many seeds one after the other, or one of them again with every segment told.
//
//   tcp_simulation [--seed S] [--runs N] [--jobs J] [--verbose]
//
// Runs the seeds S to S + N - 1 (1 to 1,000) in J processes (as many as there are processors) and prints for each that
// breaks an invariant why, and what its world was like. The last line is "N runs, N failed, ...". `--verbose` prints
// every segment (one process).
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "tests/simulation/world.h"

namespace {

using namespace steelyard::simulation;

struct Arguments {
  std::uint64_t seed = 1;
  std::uint64_t runs = 1'000;
  std::uint64_t jobs = std::max(1U, std::thread::hardware_concurrency());
  bool verbose = false;
};

// What a process tells the one that has started it.
struct Totals {
  std::uint64_t runs = 0;
  std::uint64_t failed = 0;
  std::uint64_t segments = 0;
  std::uint64_t octets = 0;
};

// Every `jobs`th seed from the `job`th on.
Totals run_seeds(const Arguments& arguments, std::uint64_t job) {
  Totals totals;
  for (std::uint64_t run = job; run < arguments.runs; run += arguments.jobs) {
    const std::uint64_t seed = arguments.seed + run;
    const Plan plan = draw_plan(seed);
    const Result result = World{plan, seed, arguments.verbose ? stdout : nullptr}.run();
    ++totals.runs;
    totals.segments += result.segments;
    totals.octets += result.received[0] + result.received[1];
    if (!result.failure.empty()) {
      ++totals.failed;
      std::printf("seed %llu: %s\n  %s\n", static_cast<unsigned long long>(seed), result.failure.c_str(),
                  to_string(plan).c_str());
      std::fflush(stdout);
    }
  }
  return totals;
}

// False: a process has died, of which its own output tells.
bool run_in_processes(const Arguments& arguments, Totals& totals) {
  std::vector<int> pipes;
  for (std::uint64_t job = 0; job < arguments.jobs; ++job) {
    int ends[2];
    if (pipe(ends) != 0) {
      return false;
    }
    const pid_t child = fork();
    if (child == 0) {
      const Totals own = run_seeds(arguments, job);
      _exit(write(ends[1], &own, sizeof own) == sizeof own ? 0 : 1);
    }
    close(ends[1]);
    pipes.push_back(ends[0]);
  }
  bool whole = true;
  for (const int end : pipes) {
    Totals own;
    whole = read(end, &own, sizeof own) == sizeof own && whole;
    close(end);
    totals.runs += own.runs;
    totals.failed += own.failed;
    totals.segments += own.segments;
    totals.octets += own.octets;
    wait(nullptr);
  }
  return whole;
}

}  // namespace

int main(int count, char** words) {
  Arguments arguments;
  CLI::App command{"The userspace TCP in simulated worlds, each drawn from a seed"};
  command.add_option("--seed", arguments.seed, "the first seed");
  command.add_option("--runs", arguments.runs, "how many seeds");
  command.add_option("--jobs", arguments.jobs, "processes")->check(CLI::PositiveNumber);
  command.add_flag("--verbose", arguments.verbose, "print every segment");
  CLI11_PARSE(command, count, words);

  const auto begun = std::chrono::steady_clock::now();
  Totals totals;
  bool whole = true;
  if (arguments.verbose || arguments.jobs == 1) {
    arguments.jobs = 1;
    totals = run_seeds(arguments, 0);
  } else {
    whole = run_in_processes(arguments, totals);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  std::printf("%llu runs, %llu failed, %llu segments, %llu octets, %.1f s\n",
              static_cast<unsigned long long>(totals.runs), static_cast<unsigned long long>(totals.failed),
              static_cast<unsigned long long>(totals.segments), static_cast<unsigned long long>(totals.octets),
              took.count());
  if (!whole) {
    std::fprintf(stderr, "tcp_simulation: a process has ended before its seeds had\n");
  }
  return totals.failed == 0 && whole ? 0 : 1;
}
