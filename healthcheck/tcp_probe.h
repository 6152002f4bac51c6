// The TCP probe: a connection that is established is a success and ends at once by RST, so that servers keep no
// TIME_WAIT and we keep no port. It must never send a byte.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <optional>
#include <span>

#include "healthcheck/probe_socket.h"

namespace steelyard::healthcheck {

class TcpProbe {
 public:
  static constexpr std::uint32_t events = EPOLLOUT;

  [[nodiscard]] static std::optional<ProbeResult> begin(ProbeSocket&, const ProbeSpec&) { return std::nullopt; }
  [[nodiscard]] static std::optional<ProbeResult> on_ready(ProbeSocket& socket, const ProbeSpec& spec,
                                                           std::span<char> scratch);
  [[nodiscard]] static ProbeResult on_timeout(const ProbeSpec& spec);
};

}  // namespace steelyard::healthcheck
