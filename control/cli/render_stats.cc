// `steelyard stats`: counters by name, one column per worker or port, so that new counters show without a change here.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "control/cli/fields.h"
#include "control/cli/render.h"
#include "control/cli/table.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;
using Align = Table::Align;

// A table under construction: counters are rows, in the order in which they first come; objects are columns.
class Counters {
 public:
  // `prefix`: before each counter's name. Inner objects are taken in with their name before their counters'.
  void add(std::size_t column, const json::object& counters, const std::string& prefix = {}) {
    for (const json::key_value_pair& entry : counters) {
      const std::string name = prefix + std::string(entry.key());
      if (entry.value().is_object()) {
        add(column, entry.value().get_object(), name + ' ');
      } else if (entry.value().is_number() || entry.value().is_bool()) {
        add(column, name, entry.value());
      }
    }
  }
  void add(std::size_t column, const std::string& name, const json::value& value) {
    auto row = std::ranges::find(rows_, name, &Row::name);
    if (row == rows_.end()) {
      row = rows_.insert(rows_.end(), Row{name, {}});
    }
    row->values.resize(std::max(row->values.size(), column + 1));
    row->values[column] = value;
  }

  // Nothing without rows. With `total`, and more than one column, a last column has each row's sum.
  [[nodiscard]] std::string table(const std::string& title, const std::vector<std::string>& names, bool total) const {
    if (rows_.empty()) {
      return {};
    }
    std::vector<Table::Column> columns{{title}};
    for (const std::string& name : names) {
      columns.push_back({name, Align::right});
    }
    const bool with_total = total && names.size() > 1;
    if (with_total) {
      columns.push_back({"TOTAL", Align::right});
    }
    Table table(std::move(columns));
    for (const Row& row : rows_) {
      std::vector<std::string> cells{row.name};
      std::uint64_t sum = 0;
      for (std::size_t column = 0; column < names.size(); ++column) {
        const json::value value = column < row.values.size() ? row.values[column] : json::value(0);
        cells.push_back(text(value.is_null() ? json::value(0) : value));
        sum += number({{"value", value}}, "value");
      }
      if (with_total) {
        cells.push_back(std::to_string(sum));
      }
      table.add(std::move(cells));
    }
    return '\n' + table.str();
  }

 private:
  struct Row {
    std::string name;
    std::vector<json::value> values;  // by column; null: this column has no such counter
  };
  std::vector<Row> rows_;
};

std::string workers_tables(const json::array& workers) {
  Counters packets;
  Counters flows;
  Counters turns;
  std::vector<std::string> names;
  std::string inexact;
  for (std::size_t column = 0; column < workers.size(); ++column) {
    const json::object& worker = as_object(workers[column]);
    const json::object& accounting = member(worker, "accounting");
    names.push_back("WORKER " + text(worker, "worker"));
    packets.add(column, member(accounting, "inputs"), "in ");
    packets.add(column, member(accounting, "outputs"), "out ");
    packets.add(column, "queued", number(accounting, "queued"));
    packets.add(column, member(accounting, "drops"), "dropped ");
    flows.add(column, member(worker, "flows"));
    turns.add(column, member(worker, "turns"));
    if (has(accounting, "exact") && !flag(accounting, "exact")) {
      inexact += (inexact.empty() ? "" : ", ") + text(worker, "worker");
    }
  }
  std::string out = packets.table("PACKETS", names, true);
  // Counters are read while packets move, so that this may be said of a busy worker without any harm.
  out += inexact.empty() ? "every packet is accounted for\n"
                         : "in flight while this was read, or unaccounted for: worker " + inexact + '\n';
  return out + flows.table("FLOWS", names, true) + turns.table("LOOP", names, false);
}

std::vector<std::string> traffic_cells(std::string name, const json::object& traffic) {
  std::vector<std::string> cells{std::move(name)};
  for (const char* key :
       {"active", "connections", "packets_in", "bytes_in", "packets_out", "bytes_out", "turned_away"}) {
    cells.push_back(text(traffic, key));
  }
  return cells;
}

std::string listeners_table(const json::array& listeners) {
  if (listeners.empty()) {
    return {};
  }
  Table table({{"LISTENER"},
               {"ACTIVE", Align::right},
               {"CONNECTIONS", Align::right},
               {"PACKETS IN", Align::right},
               {"BYTES IN", Align::right},
               {"PACKETS OUT", Align::right},
               {"BYTES OUT", Align::right},
               {"TURNED AWAY", Align::right}});
  for (const json::value& each : listeners) {
    const json::object& listener = as_object(each);
    table.add(traffic_cells(
        text(listener, "load_balancer") + ':' + text(listener, "protocol") + ':' + text(listener, "port"), listener));
    if (number(listener, "bandwidth") != 0) {
      table.note("at most " + text(listener, "bandwidth") + " Mbit/s to clients: dropped " +
                 text(listener, "bandwidth_exceeded_packets") + " packets, " +
                 text(listener, "bandwidth_exceeded_bytes") + " bytes");
    }
    if (const std::string refused = nonzero(member(listener, "refused")); !refused.empty()) {
      table.note("refused: " + refused);
    }
    for (const json::value& inner : list(listener, "servers")) {
      const json::object& server = as_object(inner);
      table.add(traffic_cells("  " + endpoint(text(server, "address"), number(server, "port")), server));
    }
  }
  return '\n' + table.str();
}

std::string ports_table(const json::array& ports) {
  Counters counters;
  std::vector<std::string> names;
  for (std::size_t column = 0; column < ports.size(); ++column) {
    names.push_back(text(as_object(ports[column]), "name"));
    counters.add(column, as_object(ports[column]));
  }
  return counters.table("PORTS", names, false);
}

}  // namespace

std::string render_stats(const json::object& stats) {
  Counters checks;
  checks.add(0, member(stats, "health_checks"));
  std::string out = workers_tables(list(stats, "workers")) + listeners_table(list(stats, "listeners")) +
                    ports_table(list(stats, "ports")) + checks.table("HEALTH CHECKS", {""}, false);
  return out.substr(out.starts_with('\n') ? 1 : 0);
}

}  // namespace steelyard::control::cli
