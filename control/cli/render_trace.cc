// `steelyard trace`: a packet as a line.
#include <string>

#include "control/cli/fields.h"
#include "control/cli/render.h"
#include "control/config/diagnostic.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t longest_line = 400;

bool says(const json::object& event, std::string_view fact) {
  for (const json::value& each : list(event, "verdict")) {
    if (each.is_string() && std::string_view(each.get_string()) == fact) {
      return true;
    }
  }
  return false;
}

// "tcp SA seq 1 ack 2 payload 3", "icmp type 3 code 4", "udp fragment at 1480 payload 512".
std::string details(const json::object& event) {
  std::string out = text(event, "protocol");
  if (has(event, "flags")) {
    const std::string flags = text(event, "flags");
    out += ' ' + (flags.empty() ? "-" : flags) + " seq " + text(event, "sequence") + " ack " +
           text(event, "acknowledgment");
  }
  if (has(event, "icmp_type")) {
    return out + " type " + text(event, "icmp_type") + " code " + text(event, "icmp_code");
  }
  if (has(event, "fragment_offset")) {
    out += " fragment at " + text(event, "fragment_offset");
  }
  return out + " payload " + text(event, "payload");
}

std::string verdict(const json::object& event) {
  std::string out;
  const auto add = [&out](const std::string& words) { out += (out.empty() ? "" : ", ") + words; };
  const std::string server =
      has(event, "server") ? (text(event, "from") == "client" ? " -> " : " <- ") + text(event, "server") : "";
  if (says(event, "opened")) {
    add((says(event, "adopted") ? "adopted" : "opened") + server);
  } else if (says(event, "translated")) {
    add("translated" + server);
  } else if (says(event, "forwarded")) {
    add("forwarded" + server);
  }
  if (says(event, "consumed")) {
    add("consumed" + server);
  }
  if (says(event, "split")) {
    add("in pieces");
  }
  if (says(event, "waits")) {
    add("waits");
  }
  if (says(event, "dropped")) {
    add("dropped: " + text(event, "reason"));
  }
  if (says(event, "handed_over")) {
    add("handed over to another worker");
  }
  if (says(event, "to_kernel")) {
    add("given to the kernel");
  }
  if (says(event, "reset")) {
    add("answered by a reset");
  }
  if (says(event, "unreachable")) {
    add("answered by an ICMP error");
  }
  if (says(event, "echoed")) {
    add("echo answered");
  }
  return out.empty() ? "not told" : out;
}

}  // namespace

std::string render_trace_line(const json::object& line) {
  if (has(line, "lost")) {
    return "... " + text(line, "lost") + " lost so far because there were too many\n";
  }
  return config::printable(text(line, "time") + " worker " + text(line, "worker") +
                               (flag(line, "handed_in") ? "*" : " ") + ' ' + text(line, "source") + " > " +
                               text(line, "destination") + "  " + details(line) + "  " + verdict(line),
                           longest_line) +
         '\n';
}

}  // namespace steelyard::control::cli
