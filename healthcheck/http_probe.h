// The HTTP probe: one HTTP/1.0 request over plain TCP, the answer judged by HttpAnswer, the connection ended by RST.
// It must never send anything but the validated request and never read more than HttpAnswer::cap bytes.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "healthcheck/http_answer.h"
#include "healthcheck/probe_socket.h"

namespace steelyard::healthcheck {

// The request head, or nullopt when path or host hold a character that could forge a head (controls, spaces).
[[nodiscard]] std::optional<std::string> http_request(const ProbeSpec& spec);

class HttpProbe {
 public:
  // Edge-triggered: one registration serves the connect and the answer.
  static constexpr std::uint32_t events = EPOLLIN | EPOLLOUT | EPOLLET;

  explicit HttpProbe(const ProbeSpec& spec) : answer_(spec.method, spec.accepted) {}

  [[nodiscard]] std::optional<ProbeResult> begin(ProbeSocket& socket, const ProbeSpec& spec);
  [[nodiscard]] std::optional<ProbeResult> on_ready(ProbeSocket& socket, const ProbeSpec& spec,
                                                    std::span<char> scratch);
  [[nodiscard]] ProbeResult on_timeout(const ProbeSpec& spec) const;

 private:
  bool connected_ = false;
  std::string request_;
  HttpAnswer answer_;
};

}  // namespace steelyard::healthcheck
