// The UDP probe: one datagram from a connected socket. An ICMP unreachable is a failure. Without an expected text
// silence until the timeout is a success, and so is any answer; with one, the first answer must contain it.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <optional>
#include <span>

#include "healthcheck/probe_socket.h"

namespace steelyard::healthcheck {

class UdpProbe {
 public:
  static constexpr std::uint32_t events = EPOLLIN;  // errors are always reported

  [[nodiscard]] static std::optional<ProbeResult> begin(ProbeSocket& socket, const ProbeSpec& spec);
  [[nodiscard]] static std::optional<ProbeResult> on_ready(ProbeSocket& socket, const ProbeSpec& spec,
                                                           std::span<char> scratch);
  [[nodiscard]] static ProbeResult on_timeout(const ProbeSpec& spec);
};

}  // namespace steelyard::healthcheck
