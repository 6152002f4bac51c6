#include "dataplane/nic/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <functional>
#include <system_error>

#include <fmt/format.h>

#include "dataplane/nic/port.h"

namespace steelyard::nic {
namespace {

std::string words_for(int error) {
  return std::generic_category().message(error);
}

// The value of one of `keys` in "driver0,key=value,...".
std::optional<std::string_view> argument(std::string_view device, std::initializer_list<std::string_view> keys) {
  for (std::size_t comma = device.find(','); comma != std::string_view::npos;) {
    const std::size_t next = device.find(',', comma + 1);
    const std::string_view word = device.substr(comma + 1, next == std::string_view::npos ? next : next - comma - 1);
    for (const std::string_view key : keys) {
      if (word.starts_with(key) && word.substr(key.size()).starts_with('=')) {
        return word.substr(key.size() + 1);
      }
    }
    comma = next;
  }
  return std::nullopt;
}

// A file name that no other text has.
std::string as_file_name(std::string_view prefix, std::string_view text) {
  std::string name(prefix);
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       byte == '.' || byte == '_' || byte == '-' || byte == ':';
    name += plain ? std::string(1, character) : fmt::format("%{:02x}", byte);
  }
  constexpr std::size_t longest = 200;  // NAME_MAX is 255
  if (name.size() > longest) {
    const std::size_t digest = std::hash<std::string_view>{}(name);
    name = fmt::format("{}~{:016x}", name.substr(0, longest), digest);
  }
  return name;
}

// An interface's name means something only in a network namespace: its inode number tells them apart.
std::string network_namespace() {
  struct stat status {};
  return ::stat("/proc/thread-self/ns/net", &status) == 0 ? fmt::format("{}", status.st_ino) : "unknown";
}

// "process 4711"; the holder writes its id right after it has taken the lock.
std::string holder(int file) {
  std::array<char, 16> text{};
  const ssize_t length = ::pread(file, text.data(), text.size(), 0);
  int process = 0;
  if (length > 0 && std::from_chars(text.data(), text.data() + length, process).ec == std::errc()) {
    return fmt::format("process {}", process);
  }
  return "a process that is just starting";
}

}  // namespace

Result<void> make_runtime_folder(const std::string& folder) {
  if (::mkdir(folder.c_str(), 0755) == 0) {
    // The mode is not left to the umask.
    if (::chmod(folder.c_str(), 0755) != 0) {
      return failure(fmt::format("{}: cannot set its mode: {}", folder, words_for(errno)));
    }
    return {};
  }
  if (errno != EEXIST) {
    return failure(fmt::format("{}: cannot make the folder: {}", folder, words_for(errno)));
  }
  struct stat status {};
  if (::lstat(folder.c_str(), &status) != 0) {
    return failure(fmt::format("{}: {}", folder, words_for(errno)));
  }
  if (!S_ISDIR(status.st_mode)) {
    return failure(fmt::format("{} is no folder: remove it", folder));
  }
  if (status.st_uid != ::geteuid() && status.st_uid != 0) {
    return failure(fmt::format("{} belongs to user {}: remove it, or run as that user", folder, status.st_uid));
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return failure(fmt::format("{} can be written to by others: `chmod 0755 {}`", folder, folder));
  }
  return {};
}

std::optional<std::string> lock_name(std::string_view device) {
  if (is_pci_address(device)) {
    const bool has_domain = std::ranges::count(device, ':') == 2;
    return as_file_name("pci-", has_domain ? std::string(device) : fmt::format("0000:{}", device));
  }
  const auto shared = argument(device, {"iface", "path", "socket"});
  if (!shared || shared->empty()) {
    return std::nullopt;
  }
  // vhost calls its socket "iface" too.
  if (shared->find('/') != std::string_view::npos) {
    const auto side = argument(device, {"role"});  // both ends of a memif have one socket
    return as_file_name("socket-", side ? fmt::format("{},{}", *shared, *side) : std::string(*shared));
  }
  return as_file_name("interface-", fmt::format("{}-{}", *shared, network_namespace()));
}

Result<DeviceLock> DeviceLock::acquire(const std::string& folder, std::string_view device) {
  const auto name = lock_name(device);
  if (!name) {
    return DeviceLock(FileDescriptor());
  }
  const std::string path = fmt::format("{}/{}.lock", folder, *name);
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file.valid()) {
    return failure(fmt::format("device {}: cannot open its lock {}: {}", device, path, words_for(errno)));
  }
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return failure(fmt::format("device {}: cannot lock {}: {}", device, path, words_for(errno)));
    }
    return failure(fmt::format("device {} is in use by {}: stop it, or configure another device (lock {})", device,
                               holder(file.get()), path));
  }
  const std::string process = fmt::format("{}\n", ::getpid());
  if (::ftruncate(file.get(), 0) != 0 ||
      ::pwrite(file.get(), process.data(), process.size(), 0) != static_cast<ssize_t>(process.size())) {
    return failure(fmt::format("device {}: cannot write {}: {}", device, path, words_for(errno)));
  }
  return DeviceLock(std::move(file));
}

}  // namespace steelyard::nic
