// Configuration texts for the tests of the configuration model, and what is said about them in a form that is easy to
// compare. Line numbers in the tests count within the text that the test shows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/config/validate.h"

namespace steelyard::control::config::testing {

// Five lines: a port named wan on 192.0.2.0/24 and 2001:db8::/64, and one named lan on 10.0.0.0/24 and 2001:db8:1::/64.
inline constexpr std::string_view ports =
    "ports:\n"
    "  - {name: wan, device: 'net_af_packet0,iface=a', addresses: [192.0.2.2/24, 2001:db8::2/64]}\n"
    "  - name: lan\n"
    "    device: net_af_packet1,iface=b\n"
    "    addresses: [10.0.0.2/24, 2001:db8:1::2/64]\n";
inline constexpr std::uint32_t ports_lines = 5;

inline std::string with_ports(std::string_view rest) {
  return std::string(rest) + std::string(ports);
}

// A load balancer "web" on 192.0.2.10 with one listener of these keys (flow style) and a group "g" of one server.
inline std::string with_listener(std::string_view keys) {
  return "load_balancers:\n"
         "  - name: web\n"
         "    address: 192.0.2.10\n"
         "    default_group: [{address: 10.0.0.9}]\n"
         "    listeners:\n"
         "      - {" +
         std::string(keys) +
         "}\n"
         "server_groups: [{name: g, servers: [{address: 10.0.0.7, port: 80}]}]\n"
         "local_addresses: [10.0.0.100]\n" +
         std::string(ports);
}

// "line:column: error: message" of everything that is said about a text.
inline std::vector<std::string> all_findings(std::string_view text) {
  std::vector<std::string> lines;
  for (const Diagnostic& diagnostic : load_text(text, "f").diagnostics) {
    lines.push_back(to_string(diagnostic).substr(2));
  }
  return lines;
}

// Without the warning that every ordinary `nat` listener of these texts earns.
inline std::vector<std::string> findings(std::string_view text) {
  std::vector<std::string> lines = all_findings(text);
  std::erase_if(lines,
                [](const std::string& line) { return line.find("cannot call its own VIP") != std::string::npos; });
  return lines;
}

inline std::vector<std::string> errors(std::string_view text) {
  std::vector<std::string> lines = findings(text);
  std::erase_if(lines, [](const std::string& line) { return line.find("error: ") == std::string::npos; });
  return lines;
}

inline std::vector<std::string> warnings(std::string_view text) {
  std::vector<std::string> lines = findings(text);
  std::erase_if(lines, [](const std::string& line) { return line.find("warning: ") == std::string::npos; });
  return lines;
}

}  // namespace steelyard::control::config::testing
