// The socket of one probe: non-blocking, connected, closed by RST. It also knows which errors are the server's fault
// and which are ours. Must never block and never leak a descriptor.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "healthcheck/probe.h"

namespace steelyard::healthcheck {

class ProbeSocket {
 public:
  ProbeSocket() = default;
  ProbeSocket(ProbeSocket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  ProbeSocket& operator=(ProbeSocket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~ProbeSocket() { close(); }

  // Opens the socket that `spec` asks for, binds it and begins to connect. The error is a finished probe's result.
  [[nodiscard]] static tl::expected<ProbeSocket, ProbeResult> open(const ProbeSpec& spec);

  [[nodiscard]] int descriptor() const { return descriptor_; }
  // The socket's pending error (an errno value, 0: none), which is thereby cleared.
  [[nodiscard]] int take_error() const;
  // 0 when everything was sent, else an errno value.
  [[nodiscard]] int send(std::span<const char> bytes) const;

  struct Received {
    std::size_t length = 0;  // 0 without an error: the peer has closed (TCP) or sent nothing (UDP)
    int error = 0;           // an errno value; EAGAIN: nothing there yet
  };
  [[nodiscard]] Received receive(std::span<char> buffer) const;

  // A TCP connection ends in RST.
  void close();

 private:
  explicit ProbeSocket(int descriptor) : descriptor_(descriptor) {}
  // 0 or an errno value; `what` names the step that failed.
  [[nodiscard]] int prepare(const ProbeSpec& spec, const char*& what) const;

  int descriptor_ = -1;
};

// Results for errno values that came from the network.
[[nodiscard]] ProbeResult connection_failure(int error);
[[nodiscard]] ProbeResult icmp_failure(int error);
// "cannot probe: <step>: <error>".
[[nodiscard]] ProbeResult local_error(const char* step, int error);
// "timeout after 5 s<detail>".
[[nodiscard]] ProbeResult timeout_failure(const ProbeSpec& spec, const char* detail);

}  // namespace steelyard::healthcheck
