// See the header.
#include "healthcheck/http_probe.h"

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

namespace steelyard::healthcheck {
namespace {

bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

// RFC 9110 section 7.2: the port is left out when it is the scheme's own.
std::string host_of(const ProbeSpec& spec) {
  if (!spec.host.empty())
    return spec.host;
  std::string host = address_text(spec.address);
  if (spec.port != 80)
    host.append(":").append(std::to_string(spec.port));
  return host;
}

ProbeResult result_of(HttpAnswer::Verdict verdict) {
  return {.outcome = verdict.success ? ProbeOutcome::success : ProbeOutcome::failure,
          .reason = std::move(verdict.reason)};
}

}  // namespace

std::optional<std::string> http_request(const ProbeSpec& spec) {
  const std::string host = host_of(spec);
  if (!is_plain(spec.path) || !is_plain(host) || !spec.path.starts_with('/'))
    return std::nullopt;
  std::string request = spec.method == HttpMethod::head ? "HEAD " : "GET ";
  request += spec.path;
  request += " HTTP/1.0\r\nHost: ";
  request += host;
  request += "\r\nUser-Agent: steelyard-health-check\r\nConnection: close\r\n\r\n";
  return request;
}

std::optional<ProbeResult> HttpProbe::begin(ProbeSocket&, const ProbeSpec& spec) {
  auto request = http_request(spec);
  if (!request)
    return local_error("path or host", EINVAL);
  request_ = std::move(*request);
  return std::nullopt;
}

std::optional<ProbeResult> HttpProbe::on_ready(ProbeSocket& socket, const ProbeSpec&, std::span<char> scratch) {
  if (!connected_) {
    if (const int error = socket.take_error(); error != 0)
      return connection_failure(error);
    connected_ = true;
    if (const int error = socket.send(request_); error != 0)
      return connection_failure(error);
  }
  // Edge-triggered: read until nothing is left, even right after connecting. HttpAnswer's cap bounds the loop.
  for (;;) {
    const auto received = socket.receive(scratch);
    if (received.error == EAGAIN)
      return std::nullopt;
    if (received.error != 0)
      return connection_failure(received.error);
    if (received.length == 0)
      return result_of(answer_.finish());
    if (auto verdict = answer_.feed(scratch.first(received.length)))
      return result_of(std::move(*verdict));
  }
}

ProbeResult HttpProbe::on_timeout(const ProbeSpec& spec) const {
  if (!connected_)
    return timeout_failure(spec, " while connecting");
  return timeout_failure(spec, answer_.head_complete() ? " in the middle of the answer's body"
                                                       : ", connected but without a complete answer");
}

}  // namespace steelyard::healthcheck
