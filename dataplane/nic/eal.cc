#include "dataplane/nic/eal.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

namespace steelyard::nic {
namespace {

// Under this the EAL starts but no useful pool fits.
constexpr std::uint32_t smallest_memory_mib = 64;

// "0-3,8": ranges of ascending numbers.
std::string ranges(const std::vector<std::uint16_t>& numbers) {
  std::string text;
  for (std::size_t first = 0; first < numbers.size();) {
    std::size_t last = first;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) {
      ++last;
    }
    text += fmt::format("{}{}", text.empty() ? "" : ",", numbers[first]);
    if (last > first) {
      text += fmt::format("-{}", numbers[last]);
    }
    first = last + 1;
  }
  return text;
}

std::uint64_t read_number(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::uint64_t number = 0;
  return stream >> number ? number : 0;
}

std::uint64_t count_free_hugepages_mib() {
  std::uint64_t kilobytes = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", error)) {
    // "hugepages-2048kB"
    const std::string name = entry.path().filename();
    const std::size_t dash = name.find('-');
    std::uint64_t size = 0;
    if (dash == std::string::npos ||
        std::from_chars(name.data() + dash + 1, name.data() + name.size(), size).ec != std::errc()) {
      continue;
    }
    const std::uint64_t free = read_number(entry.path() / "free_hugepages");
    const std::uint64_t reserved = read_number(entry.path() / "resv_hugepages");
    kilobytes += free > reserved ? (free - reserved) * size : 0;
  }
  return kilobytes / 1024;
}

Result<bool> decide_hugepages(const EalSettings& settings, const EalSurroundings& surroundings) {
  const bool enough = surroundings.free_hugepages_mib >= settings.memory_mib;
  if (settings.hugepages == Hugepages::required && !enough) {
    return failure(fmt::format(
        "hugepages are required, but {} MiB are free and {} MiB are needed: reserve more (for example `echo {} > "
        "/proc/sys/vm/nr_hugepages`), or set `memory: hugepages: auto`",
        surroundings.free_hugepages_mib, settings.memory_mib, settings.memory_mib / 2 + 64));
  }
  return settings.hugepages != Hugepages::off && enough;
}

Result<std::string> lcores(const EalSettings& settings, const EalSurroundings& surroundings) {
  const auto& cpus = surroundings.cpus;
  if (cpus.empty()) {
    return failure("no CPU is available to this process");
  }
  if (settings.worker_cpus.size() >= RTE_MAX_LCORE) {
    return failure(fmt::format("{} workers are configured; DPDK has {} lcores, one of them for the control side",
                               settings.worker_cpus.size(), RTE_MAX_LCORE));
  }
  // The main lcore never polls: it may float, and shares CPUs with the workers.
  std::string text = fmt::format("--lcores=0@({})", ranges(cpus));
  for (std::size_t worker = 0; worker < settings.worker_cpus.size(); ++worker) {
    const std::uint16_t cpu = settings.worker_cpus[worker];
    if (!std::ranges::binary_search(cpus, cpu)) {
      return failure(
          fmt::format("worker {} is to run on CPU {}, which this process may not use (it may use {}): change "
                      "`workers: cpus`, or the process's CPU affinity",
                      worker, cpu, ranges(cpus)));
    }
    text += fmt::format(",{}@{}", worker + 1, cpu);
  }
  return text;
}

}  // namespace

EalSurroundings EalSurroundings::detect() {
  EalSurroundings found;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (std::uint16_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) {
        found.cpus.push_back(cpu);
      }
    }
  }
  found.free_hugepages_mib = count_free_hugepages_mib();
  return found;
}

Result<EalArguments> build_eal_arguments(const EalSettings& settings, const EalSurroundings& surroundings) {
  if (settings.memory_mib < smallest_memory_mib) {
    return failure(fmt::format("{} MiB of memory are configured; at least {} MiB are needed", settings.memory_mib,
                               smallest_memory_mib));
  }
  const Result<bool> hugepages = decide_hugepages(settings, surroundings);
  if (!hugepages) {
    return failure(hugepages.error().message);
  }
  const Result<std::string> cores = lcores(settings, surroundings);
  if (!cores) {
    return failure(cores.error().message);
  }

  EalArguments arguments{.words = {"steelyard", *cores, "--main-lcore=0", "--no-telemetry", "--no-shconf"},
                         .hugepages = *hugepages};
  auto& words = arguments.words;
  words.push_back("--log-level=warning");
  words.push_back(fmt::format(
      "-m {}", *hugepages ? settings.memory_mib : settings.memory_in_small_pages_mib.value_or(settings.memory_mib)));
  if (!*hugepages) {
    words.push_back("--no-huge");
  } else if (settings.in_memory) {
    words.push_back("--in-memory");
  } else {
    words.push_back("--file-prefix=" + settings.file_prefix);
  }
  if (*hugepages && settings.single_file_segments) {
    words.push_back("--single-file-segments");
  }
  if (settings.pci_addresses.empty()) {
    words.push_back("--no-pci");
  }
  for (const std::string& address : settings.pci_addresses) {
    words.push_back("--allow=" + address);
  }
  return arguments;
}

Result<Eal> Eal::start(const EalSettings& settings) {
  Result<EalArguments> arguments = build_eal_arguments(settings, EalSurroundings::detect());
  if (!arguments) {
    return failure(std::move(arguments.error().message));
  }
  std::vector<char*> argv;  // the EAL reorders it
  for (std::string& word : arguments->words) {
    argv.push_back(word.data());
  }
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) {
    return failure(fmt::format("DPDK did not start ({}); started with: {}", rte_strerror(rte_errno),
                               fmt::join(arguments->words, " ")));
  }
  return Eal(arguments->hugepages);
}

Eal::Eal(Eal&& other) noexcept : hugepages_(other.hugepages_), running_(std::exchange(other.running_, false)) {}

Eal::~Eal() {
  if (running_) {
    rte_eal_cleanup();
  }
}

}  // namespace steelyard::nic
