// The parts of validate(), and the small indexes that they share. Only validate*.cc use this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "control/config/diagnostic.h"
#include "control/config/model.h"
#include "control/config/parse.h"

namespace steelyard::control::config {

// validate_network.cc: ports, routes, the full NAT pool.
void check_network(const Config& config, const Incomplete& incomplete, Report& report);
// validate_addresses.cc: where every address lies.
void check_addresses(const Config& config, const Incomplete& incomplete, Report& report);
// validate_services.cc: load balancers, listeners, groups, servers.
void check_services(const Config& config, const Incomplete& incomplete, Report& report);

// validate_http.cc: listeners of `protocol: http`, and their rules.
void check_http(const Config& config, const Incomplete& incomplete, Report& report);

// validate_access.cc: access control lists and who uses them.
void check_access(const Config& config, const Incomplete& incomplete, Report& report);

// Finds the prefix that an address lies in by one probe for each prefix length in use, whatever the number of prefixes.
class PrefixSet {
 public:
  void add(const Prefix& prefix);

  // The network (host bits clear) of the longest match.
  [[nodiscard]] std::optional<Prefix> find(const Address& address) const;
  // The only network of a family; nothing when there are several or none.
  [[nodiscard]] std::optional<Prefix> only_one(bool v4) const;

 private:
  std::map<std::uint8_t, std::unordered_set<Address>, std::greater<>> v4_;
  std::map<std::uint8_t, std::unordered_set<Address>, std::greater<>> v6_;
};

// The networks that the ports' addresses lie in.
[[nodiscard]] PrefixSet connected_prefixes(const Config& config);

// "line 12".
[[nodiscard]] inline std::string in_line(Position at) {
  return "line " + std::to_string(at.line);
}

// "10.0.0.1:80" or "[2001:db8::1]:80".
[[nodiscard]] inline std::string endpoint_text(const Address& address, std::uint16_t port) {
  const std::string text = address.to_string();
  return (address.is_v4() ? text : '[' + text + ']') + ':' + std::to_string(port);
}

}  // namespace steelyard::control::config
