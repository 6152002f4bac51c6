// TCP connections that end in the workers, one a line.
#include "control/cli/fields.h"
#include "control/cli/render.h"
#include "control/cli/table.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;

// "850us", "12ms", "3.2s".
std::string short_time(std::uint64_t microseconds) {
  if (microseconds < 1'000) {
    return std::to_string(microseconds) + "us";
  }
  if (microseconds < 1'000'000) {
    return std::to_string(microseconds / 1'000) + "ms";
  }
  return std::to_string(microseconds / 1'000'000) + '.' + std::to_string(microseconds / 100'000 % 10) + 's';
}

}  // namespace

std::string render_connections(const json::object& result) {
  if (has(result, "count")) {
    return counted(number(result, "count"), "connection", "connections") + '\n';
  }
  if (has(result, "cleared")) {
    return counted(number(result, "cleared"), "connection", "connections") + " cleared\n";
  }
  const json::array& connections = list(result, "connections");
  if (connections.empty()) {
    return "no connections\n";
  }
  constexpr auto right = Table::Align::right;
  Table table({{"SIDE"},
               {"LISTENER"},
               {"CLIENT"},
               {"SERVER"},
               {"LOCAL"},
               {"STATE"},
               {"DOING"},
               {"REQUESTS", right},
               {"CWND", right},
               {"SSTHRESH", right},
               {"SRTT", right},
               {"RTO", right},
               {"UNACKED", right},
               {"UNSENT", right},
               {"UNREAD", right},
               {"RETRANS", right},
               {"IDLE", right},
               {"WORKER", right}});
  for (const json::value& each : connections) {
    const json::object& one = as_object(each);
    table.add({text(one, "side"), text(one, "listener"), text(one, "client"), text(one, "server"), text(one, "local"),
               text(one, "state"), text(one, "doing"), text(one, "requests"), text(one, "cwnd"), text(one, "ssthresh"),
               short_time(number(one, "srtt_us")), short_time(number(one, "rto_us")), text(one, "unacked"),
               text(one, "unsent"), text(one, "unread"), text(one, "retransmits"), duration(number(one, "idle_s")),
               text(one, "worker")});
  }
  std::string out = table.str();
  if (flag(result, "truncated")) {
    out += "there are more; --limit N shows up to N, --client, --server and --listener narrow the list\n";
  }
  return out;
}

}  // namespace steelyard::control::cli
