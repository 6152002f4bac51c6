// See the header.
#include "healthcheck/udp_probe.h"

#include <cerrno>
#include <string_view>

namespace steelyard::healthcheck {

std::optional<ProbeResult> UdpProbe::begin(ProbeSocket& socket, const ProbeSpec& spec) {
  const int error = socket.send(spec.request);
  if (error == 0)
    return std::nullopt;
  return error == ECONNREFUSED ? icmp_failure(error) : local_error("send", error);
}

std::optional<ProbeResult> UdpProbe::on_ready(ProbeSocket& socket, const ProbeSpec& spec, std::span<char> scratch) {
  const auto received = socket.receive(scratch);
  if (received.error == EAGAIN)
    return std::nullopt;
  if (received.error != 0)
    return icmp_failure(received.error);
  if (spec.expect.empty())
    return ProbeResult{.outcome = ProbeOutcome::success, .reason = "answered"};
  const std::string_view answer(scratch.data(), received.length);
  if (answer.find(spec.expect) != std::string_view::npos)
    return ProbeResult{.outcome = ProbeOutcome::success, .reason = "expected answer"};
  return ProbeResult{.reason = "the answer lacks the expected text"};
}

ProbeResult UdpProbe::on_timeout(const ProbeSpec& spec) {
  if (spec.expect.empty())
    return {.outcome = ProbeOutcome::success, .reason = "no ICMP error"};
  return timeout_failure(spec, " without an answer");
}

}  // namespace steelyard::healthcheck
