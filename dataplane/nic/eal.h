// Starts DPDK's environment abstraction layer (EAL) from a few values instead of a command line. However the process
// ends, no memory stays taken and no file stays behind (an empty folder /run/dpdk/<prefix> is all): with hugepages it
// runs
// `--in-memory` (anonymous hugepages), without them `--no-huge`; the two exclude each other. It must never touch a PCI
// device that was not named: without a PCI address the bus is not even scanned. Read first: DPDK Programmer's Guide,
// "Environment Abstraction Layer".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/nic/error.h"

namespace steelyard::nic {

enum class Hugepages : std::uint8_t {
  automatic,  // used when enough of them are free
  required,   // an error when there are not
  off,
};

struct EalSettings {
  Hugepages hugepages = Hugepages::automatic;
  std::uint32_t memory_mib = 512;  // taken at start; with hugepages DPDK may take more later
  // Instead of it without hugepages: no buffer crosses the border of a page then, so that each takes one of 4 KiB.
  std::optional<std::uint32_t> memory_in_small_pages_mib{};
  std::vector<std::uint16_t> worker_cpus{};  // worker i runs on lcore i + 1, pinned to this CPU
  std::vector<std::string> pci_addresses{};  // the only PCI devices that are probed
  // False keeps files in a mounted hugetlbfs under `file_prefix`, which memif's zero-copy mode and secondary processes
  // need. A killed process leaves them behind; the next start with the same prefix removes them.
  bool in_memory = true;
  std::string file_prefix = "steelyard";
  // One memory file for all segments: a virtio_user port (the client of vhost-user) can hand over only few.
  bool single_file_segments = false;
};

// What the arguments depend on besides the settings.
struct EalSurroundings {
  std::vector<std::uint16_t> cpus;       // that this process may run on, ascending
  std::uint64_t free_hugepages_mib = 0;  // over all page sizes

  // Of this process and machine.
  [[nodiscard]] static EalSurroundings detect();
};

struct EalArguments {
  std::vector<std::string> words{};  // argv, the program's name first
  bool hugepages = false;            // what was decided
};

// Pure; any thread. Errors name the setting that cannot be met.
[[nodiscard]] Result<EalArguments> build_eal_arguments(const EalSettings& settings,
                                                       const EalSurroundings& surroundings);

// The lcore (rte_eal_remote_launch) of a worker counted from 0. The main lcore is 0 and floats over all CPUs.
[[nodiscard]] constexpr unsigned worker_lcore(std::uint16_t worker) {
  return worker + 1u;
}

// The running EAL. At most one in the life of a process: DPDK cannot be started a second time. Outlives every pool,
// port and ring. Control thread (the thread that starts it becomes the main lcore).
class Eal {
 public:
  [[nodiscard]] static Result<Eal> start(const EalSettings& settings);

  Eal(Eal&& other) noexcept;
  Eal& operator=(Eal&&) = delete;
  ~Eal();

  [[nodiscard]] bool hugepages() const { return hugepages_; }

 private:
  explicit Eal(bool hugepages) : hugepages_(hugepages) {}

  bool hugepages_ = false;
  bool running_ = true;
};

}  // namespace steelyard::nic
