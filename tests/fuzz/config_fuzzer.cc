// The configuration model against arbitrary text. What must hold besides "no crash, no undefined behaviour": a
// configuration comes out exactly when there is no error, a draft equals what strict parsing gives, every finding has a
// printable message, and a configuration equals itself read again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "control/config/restart.h"
#include "control/config/validate.h"
#include "tests/fuzz/input.h"

namespace {

using namespace steelyard::control::config;
using steelyard::fuzz::require;

void check_findings(const ParseResult& result) {
  require(result.config.has_value() == !has_errors(result.diagnostics));
  for (const Diagnostic& diagnostic : result.diagnostics) {
    require(!diagnostic.message.empty() && (diagnostic.line == 0) == (diagnostic.column == 0));
    for (const char character : to_string(diagnostic)) {
      require(static_cast<unsigned char>(character) >= 0x20);
    }
  }
}

void check_resolution(const Config& config) {
  for (const Route& route : config.routes) {
    require(egress_port(config, route).has_value());
  }
  for (const LocalAddress& local : config.local_addresses) {
    require(egress_port(config, local).has_value());
  }
  for (const LoadBalancer& balancer : config.load_balancers) {
    for (const Listener& listener : balancer.listeners) {
      require(listener.health_check.timeout >= listener.health_check.interval);
      require(!listener.http || (listener.protocol == Protocol::tcp && listener.mode == Mode::fullnat));
      for (const Server& server : servers_of(config, balancer, listener)) {
        const bool any_family = listener.mode == Mode::tunnel || listener.http;
        require(server.port != 0 && server.weight <= 100 &&
                (any_family || server.address.is_v4() == balancer.address.is_v4()));
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const ParseResult parsed = parse(text, "fuzz.yaml");
  check_findings(parsed);
  const ParseResult loaded = load_text(text, "fuzz.yaml");
  check_findings(loaded);
  require(!loaded.config || parsed.config);
  if (loaded.config) {
    require(*loaded.config == *parsed.config);
    require(settings_that_need_restart(*loaded.config, *parsed.config).empty());
    check_resolution(*loaded.config);
  }
  return 0;
}
