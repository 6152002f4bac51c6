// A path as the address of a Unix socket.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <optional>
#include <string_view>

namespace steelyard::control {

inline constexpr std::size_t longest_socket_path = sizeof(sockaddr_un::sun_path) - 1;

// Nothing when `path` is empty, longer than the kernel takes, or contains a zero byte (an abstract or cut address).
[[nodiscard]] inline std::optional<sockaddr_un> unix_address(std::string_view path) {
  if (path.empty() || path.size() > longest_socket_path || path.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// The form that bind() and connect() take.
[[nodiscard]] inline const sockaddr* generic(const sockaddr_un& address) {
  return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}

}  // namespace steelyard::control
