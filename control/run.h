// What `steelyard run` does: one process from its configuration file to its end.
#pragma once

#include <string>

namespace steelyard::control {

struct RunOptions {
  std::string config_file;
  std::string socket_path = "/run/steelyard/steelyard.sock";  // of the admin socket
  std::string run_folder = "/run/steelyard";                  // for the devices' locks
  std::string state_folder = "/var/lib/steelyard";            // for what outlives the process: the cookie key
};

// Runs until SIGTERM or SIGINT. Returns the process's exit code: 0 after an orderly end, 1 when the configuration is
// refused or something cannot be had; why is said on stderr. Call once, from the main thread.
[[nodiscard]] int run(const RunOptions& options);

}  // namespace steelyard::control
