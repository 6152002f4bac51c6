// See the header.
#include "healthcheck/tcp_probe.h"

namespace steelyard::healthcheck {

std::optional<ProbeResult> TcpProbe::on_ready(ProbeSocket& socket, const ProbeSpec&, std::span<char>) {
  if (const int error = socket.take_error(); error != 0)
    return connection_failure(error);
  return ProbeResult{.outcome = ProbeOutcome::success, .reason = "connected"};
}

ProbeResult TcpProbe::on_timeout(const ProbeSpec& spec) {
  return timeout_failure(spec, "");
}

}  // namespace steelyard::healthcheck
