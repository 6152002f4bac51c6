// What is short enough not to need a file of its own.
#include "control/cli/render.h"

#include <boost/json/serialize.hpp>

#include "control/cli/fields.h"
#include "control/cli/table.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;

void append_pretty(std::string& out, const json::value& value, std::size_t depth);

// Writes `elements` between brackets, each on a line of its own.
template <typename Elements, typename Write>
void append_block(std::string& out, const Elements& elements, std::string_view brackets, std::size_t depth,
                  Write write) {
  out += brackets[0];
  bool first = true;
  for (const auto& element : elements) {
    out += first ? "\n" : ",\n";
    first = false;
    out.append(2 * (depth + 1), ' ');
    write(element);
  }
  if (!first) {
    out += '\n';
    out.append(2 * depth, ' ');
  }
  out += brackets[1];
}

void append_pretty(std::string& out, const json::value& value, std::size_t depth) {
  if (value.is_object()) {
    append_block(out, value.get_object(), "{}", depth, [&](const json::key_value_pair& entry) {
      out += json::serialize(json::value(entry.key())) + ": ";
      append_pretty(out, entry.value(), depth + 1);
    });
  } else if (value.is_array()) {
    append_block(out, value.get_array(), "[]", depth,
                 [&](const json::value& element) { append_pretty(out, element, depth + 1); });
  } else {
    out += json::serialize(value);
  }
}

// What the answer says about the weight, since an earlier override of it stays: ", weight 50 (overridden; configured
// 100)".
std::string render_weight(const json::object& result) {
  if (!has(result, "weight")) {
    return {};
  }
  const bool overridden = number(result, "weight") != number(result, "configured_weight");
  return ", weight " + text(result, "weight") +
         (overridden ? " (overridden; configured " + text(result, "configured_weight") + ')' : "");
}

std::string render_server(const json::object& request, const json::object& result) {
  const std::string action = text(request, "action");
  std::string done = action == "enable"    ? "enabled" + render_weight(result)
                     : action == "disable" ? "disabled: no new connections"
                     : action == "weight"  ? "has weight " + text(request, "value")
                                           : "draining: no new connections";
  if (action == "drain" && has(request, "value")) {
    done += ", those that run are reset after " + text(request, "value") + " s";
  }
  return text(request, "server") + " of group " + text(request, "group") + ' ' + done + "; until the next reload\n";
}

}  // namespace

std::string pretty(const json::value& value) {
  std::string out;
  append_pretty(out, value, 0);
  return out + '\n';
}

std::string render_flows(const json::object& result) {
  if (has(result, "count")) {
    return counted(number(result, "count"), "flow", "flows") + '\n';
  }
  if (has(result, "cleared")) {
    const std::uint64_t requests = number(result, "requests");
    return counted(number(result, "cleared"), "flow", "flows") + " cleared" +
           (requests != 0 ? ", " + counted(requests, "request", "requests") + " ended" : "") + '\n';
  }
  const json::array& flows = list(result, "flows");
  if (flows.empty()) {
    return "no flows\n";
  }
  Table table({{"PROTO"},
               {"CLIENT"},
               {"VIP"},
               {"LOCAL"},
               {"SERVER"},
               {"STATE"},
               {"MODE"},
               {"IDLE", Table::Align::right},
               {"WORKER", Table::Align::right}});
  for (const json::value& each : flows) {
    const json::object& flow = as_object(each);
    table.add({text(flow, "protocol"), text(flow, "client"), text(flow, "vip"), text(flow, "local"),
               text(flow, "server"), text(flow, "state"), text(flow, "mode"), duration(number(flow, "idle_s")),
               text(flow, "worker")});
  }
  std::string out = table.str();
  if (flag(result, "truncated")) {
    out += "there are more; --limit N shows up to N, --client, --server and --listener narrow the list\n";
  }
  return out;
}

std::string render(const json::object& request, const json::value& result) {
  const std::string command = text(request, "command");
  const json::object& object = as_object(result);
  if (command == "status") {
    return render_status(object);
  }
  if (command == "stats") {
    return render_stats(object);
  }
  if (command == "flows") {
    return render_flows(object);
  }
  if (command == "conns") {
    return render_connections(object);
  }
  if (command == "server") {
    return render_server(request, object);
  }
  if (command == "reload") {
    return "reloaded: generation " + text(object, "generation") + " is in force\n";
  }
  return pretty(result);
}

}  // namespace steelyard::control::cli
