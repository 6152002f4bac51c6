#include "control/runtime/probe_spec.h"

#include <algorithm>
#include <string>

namespace steelyard::control {
namespace {

boost::asio::ip::address to_asio(const service::Address& address) {
  if (address.is_v4()) {
    boost::asio::ip::address_v4::bytes_type bytes;
    std::ranges::copy(address.v4(), bytes.begin());
    return boost::asio::ip::address_v4(bytes);
  }
  boost::asio::ip::address_v6::bytes_type bytes;
  std::ranges::copy(address.v6(), bytes.begin());
  return boost::asio::ip::address_v6(bytes);
}

// The interface that probes of a server leave by; empty: as the kernel's routes say.
std::string probe_interface(const config::Config& config, const service::Address& server) {
  const auto port = config::egress_port(config, server);
  const bool usable = port && config.ports[*port].exception.enabled;
  return usable ? config.ports[*port].exception.name : std::string{};
}

}  // namespace

healthcheck::ProbeSpec probe_of(const config::Config& config, const config::HealthCheck& check,
                                const service::Address& address, std::uint16_t port) {
  healthcheck::ProbeSpec spec;
  spec.address = to_asio(address);
  spec.port = check.port.value_or(port);
  spec.interval = check.interval;
  spec.timeout = check.timeout;
  spec.interface = probe_interface(config, address);
  switch (check.type) {
    case config::CheckType::tcp:
      spec.type = healthcheck::ProbeType::tcp;
      break;
    case config::CheckType::http:
      spec.type = healthcheck::ProbeType::http;
      spec.method =
          check.method == config::CheckMethod::get ? healthcheck::HttpMethod::get : healthcheck::HttpMethod::head;
      spec.path = check.path;
      spec.host = check.host;
      spec.accepted = {};
      for (unsigned hundreds = 1; hundreds <= 5; ++hundreds) {
        if (check.status[hundreds]) {
          spec.accepted.allow(hundreds);
        }
      }
      break;
    case config::CheckType::udp:
      spec.type = healthcheck::ProbeType::udp;
      spec.request = check.request;
      spec.expect = check.expect;
      break;
  }
  return spec;
}

}  // namespace steelyard::control
