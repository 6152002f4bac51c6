// One lock file per device, so that two instances never drive the same one. The lock is flock()'s: it belongs to the
// open file, so a killed process leaves nothing locked; the file itself stays (removing it would race with the next
// holder).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "dataplane/nic/error.h"
#include "dataplane/nic/file_descriptor.h"

namespace steelyard::nic {

inline constexpr std::string_view runtime_folder = "/run/steelyard";

// Makes `folder` (not its parents) with mode 0755. One that is there already must be a directory of ours or root's that
// nobody else can write to: a stranger could otherwise hold our locks.
[[nodiscard]] Result<void> make_runtime_folder(const std::string& folder);

// What a device string has in common with other instances, as a file name: the PCI address, the kernel interface with
// its network namespace, the socket's path. None for a device that lives in this process alone (net_null, net_ring).
[[nodiscard]] std::optional<std::string> lock_name(std::string_view device);

// Held while the object lives. Control thread.
class DeviceLock {
 public:
  // Refused when another instance (or another object of this process) holds it: the message has the device and the
  // holder's process id. Never waits.
  [[nodiscard]] static Result<DeviceLock> acquire(const std::string& folder, std::string_view device);

 private:
  explicit DeviceLock(FileDescriptor file) : file_(std::move(file)) {}

  FileDescriptor file_;  // invalid: nothing to lock
};

}  // namespace steelyard::nic
