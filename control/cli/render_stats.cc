// `steelyard stats`: counters by name, one column per worker or port, so that new counters show without a change here.
#include <algorithm>
#include <array>
#include <charconv>
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

// The element of a list of rates that belongs to the place-th of what they were made of.
const json::object& at(const json::array& rates, std::size_t place) {
  static const json::value none;
  return as_object(place < rates.size() ? rates[place] : none);
}

// A table under construction: counters are rows, in the order in which they first come; objects are columns.
class Counters {
 public:
  // `prefix`: before each counter's name. Inner objects are taken in with their name before their counters'.
  void add(std::size_t column, const json::object& counters, const json::object& rates,
           const std::string& prefix = {}) {
    for (const json::key_value_pair& entry : counters) {
      const std::string name = prefix + std::string(entry.key());
      const std::string_view key(entry.key().data(), entry.key().size());
      if (entry.value().is_object()) {
        add(column, entry.value().get_object(), member(rates, key), name + ' ');
      } else if (entry.value().is_number() || entry.value().is_bool()) {
        add(column, name, entry.value(), has(rates, key) ? std::optional(real(rates, key)) : std::nullopt);
      }
    }
  }
  void add(std::size_t column, const std::string& name, const json::value& value,
           std::optional<double> rate = std::nullopt) {
    auto row = std::ranges::find(rows_, name, &Row::name);
    if (row == rows_.end()) {
      row = rows_.insert(rows_.end(), Row{name, {}});
    }
    row->cells.resize(std::max(row->cells.size(), column + 1));
    row->cells[column] = {value, rate};
    with_rates_ = with_rates_ || rate.has_value();
  }

  // Nothing without rows. With `total`, and more than one column, a last column has each row's sum. Rates stand behind
  // the sum, or else behind each column.
  [[nodiscard]] std::string table(const std::string& title, const std::vector<std::string>& names, bool total) const {
    if (rows_.empty()) {
      return {};
    }
    const bool with_total = total && names.size() > 1;
    std::vector<Table::Column> columns{{title}};
    for (const std::string& name : names) {
      columns.push_back({name, Align::right});
      if (with_rates_ && !with_total) {
        columns.push_back({"/S", Align::right});
      }
    }
    if (with_total) {
      columns.push_back({"TOTAL", Align::right});
      columns.push_back({with_rates_ ? "/S" : "", Align::right});
    }
    Table table(std::move(columns));
    for (const Row& row : rows_) {
      table.add(cells_of(row, names.size(), with_total));
    }
    return '\n' + table.str();
  }

 private:
  struct Cell {
    json::value value;  // null: this column has no such counter
    std::optional<double> rate;
  };
  struct Row {
    std::string name;
    std::vector<Cell> cells;  // by column
  };

  [[nodiscard]] std::vector<std::string> cells_of(const Row& row, std::size_t columns, bool with_total) const {
    std::vector<std::string> cells{row.name};
    std::uint64_t sum = 0;
    std::optional<double> rate;
    for (std::size_t column = 0; column < columns; ++column) {
      const Cell cell = column < row.cells.size() ? row.cells[column] : Cell{};
      cells.push_back(text(cell.value.is_null() ? json::value(0) : cell.value));
      sum += number({{"value", cell.value}}, "value");
      if (cell.rate) {
        rate = rate.value_or(0) + *cell.rate;
      }
      if (with_rates_ && !with_total) {
        cells.push_back(rate_cell(cell.rate));
      }
    }
    if (with_total) {
      cells.push_back(std::to_string(sum));
      cells.push_back(rate_cell(rate));
    }
    return cells;
  }
  static std::string rate_cell(std::optional<double> rate) {
    return rate ? per_second({{"rate", *rate}}, "rate") : std::string();
  }

  std::vector<Row> rows_;
  bool with_rates_ = false;
};

std::string workers_tables(const json::array& workers, const json::array& rates) {
  Counters packets;
  Counters flows;
  Counters http;
  Counters buffers;
  Counters turns;
  std::vector<std::string> names;
  std::string inexact;
  for (std::size_t column = 0; column < workers.size(); ++column) {
    const json::object& worker = as_object(workers[column]);
    const json::object& accounting = member(worker, "accounting");
    const json::object& rate = at(rates, column);
    const json::object& accounting_rate = member(rate, "accounting");
    names.push_back("WORKER " + text(worker, "worker"));
    packets.add(column, member(accounting, "inputs"), member(accounting_rate, "inputs"), "in ");
    packets.add(column, member(accounting, "outputs"), member(accounting_rate, "outputs"), "out ");
    packets.add(column, "queued", number(accounting, "queued"));
    packets.add(column, member(accounting, "drops"), member(accounting_rate, "drops"), "dropped ");
    flows.add(column, member(worker, "flows"), member(rate, "flows"));
    buffers.add(column, member(worker, "buffers"), member(rate, "buffers"));
    http.add(column, member(worker, "http"), member(rate, "http"));
    turns.add(column, member(worker, "turns"), member(rate, "turns"));
    turns.add(column, member(worker, "cycles"), member(rate, "cycles"), "cycles ");
    if (has(accounting, "exact") && !flag(accounting, "exact")) {
      inexact += (inexact.empty() ? "" : ", ") + text(worker, "worker");
    }
  }
  std::string out = packets.table("PACKETS", names, true);
  // Counters are read while packets move, so that this may be said of a busy worker without any harm.
  out += inexact.empty() ? "every packet is accounted for\n"
                         : "in flight while this was read, or unaccounted for: worker " + inexact + '\n';
  return out + flows.table("FLOWS", names, true) + http.table("HTTP", names, true) +
         buffers.table("BUFFERS", names, true) + turns.table("LOOP", names, false);
}

constexpr std::array<const char*, 6> traffic_counters{"connections", "packets_in", "bytes_in",
                                                      "packets_out", "bytes_out",  "turned_away"};

std::vector<std::string> traffic_cells(std::string name, const json::object& traffic, const json::object& rates,
                                       bool with_rates) {
  std::vector<std::string> cells{std::move(name), text(traffic, "active")};
  for (const char* key : traffic_counters) {
    cells.push_back(text(traffic, key));
    if (with_rates) {
      cells.push_back(per_second(rates, key));
    }
  }
  return cells;
}

// "12", or "12 (0.5/s)".
std::string with_rate(const json::object& counters, const json::object& rates, std::string_view key) {
  return text(counters, key) + (has(rates, key) ? " (" + per_second(rates, key) + "/s)" : "");
}

std::string milliseconds(const json::object& object, std::string_view key) {
  std::array<char, 32> text{};
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), real(object, key) / 1'000, std::chars_format::fixed, 2);
  return std::string(text.data(), end.ptr) + " ms";
}

// What a listener's rules and limits have cost, and how its requests have ended.
void add_notes(Table& table, const json::object& listener, const json::object& rates) {
  if (number(listener, "bandwidth") != 0) {
    table.note("at most " + text(listener, "bandwidth") + " Mbit/s to clients: dropped " +
               with_rate(listener, rates, "bandwidth_exceeded_packets") + " packets, " +
               with_rate(listener, rates, "bandwidth_exceeded_bytes") + " bytes");
  }
  if (const std::string refused = nonzero(member(listener, "refused"), member(rates, "refused")); !refused.empty()) {
    table.note("refused: " + refused);
  }
  const json::object& requests = member(listener, "requests");
  const json::object& request_rates = member(rates, "requests");
  if (const std::string classes = nonzero(member(requests, "by_class"), member(request_rates, "by_class"));
      !classes.empty()) {
    const std::string causes = nonzero(member(requests, "by_cause"), member(request_rates, "by_cause"));
    table.note("requests: " + classes + (causes.empty() ? "" : "; by cause " + causes));
    const json::object& total = member(member(requests, "times"), "total");
    table.note("time of a request: half below " + milliseconds(total, "p50_us") + ", 99% below " +
               milliseconds(total, "p99_us"));
  }
}

std::string listeners_table(const json::array& listeners, const json::array& rates) {
  if (listeners.empty()) {
    return {};
  }
  const bool with_rates = !rates.empty();
  std::vector<Table::Column> columns{{"LISTENER"}, {"ACTIVE", Align::right}};
  for (const char* title : {"CONNECTIONS", "PACKETS IN", "BYTES IN", "PACKETS OUT", "BYTES OUT", "TURNED AWAY"}) {
    columns.push_back({title, Align::right});
    if (with_rates) {
      columns.push_back({"/S", Align::right});
    }
  }
  Table table(std::move(columns));
  for (std::size_t place = 0; place < listeners.size(); ++place) {
    const json::object& listener = as_object(listeners[place]);
    const json::object& rate = at(rates, place);
    table.add(traffic_cells(listener_name(listener), listener, rate, with_rates));
    add_notes(table, listener, rate);
    const json::array& servers = list(listener, "servers");
    for (std::size_t inner = 0; inner < servers.size(); ++inner) {
      const json::object& server = as_object(servers[inner]);
      table.add(traffic_cells("  " + endpoint(text(server, "address"), number(server, "port")), server,
                              at(list(rate, "servers"), inner), with_rates));
    }
  }
  return '\n' + table.str();
}

std::string ports_table(const json::array& ports, const json::array& rates) {
  Counters counters;
  std::vector<std::string> names;
  for (std::size_t column = 0; column < ports.size(); ++column) {
    names.push_back(text(as_object(ports[column]), "name"));
    counters.add(column, as_object(ports[column]), at(rates, column));
  }
  return counters.table("PORTS", names, false);
}

}  // namespace

std::string render_stats(const json::object& stats, const json::object& rates) {
  Counters checks;
  checks.add(0, member(stats, "health_checks"), member(rates, "health_checks"));
  std::string out = workers_tables(list(stats, "workers"), list(rates, "workers")) +
                    listeners_table(list(stats, "listeners"), list(rates, "listeners")) +
                    ports_table(list(stats, "ports"), list(rates, "ports")) +
                    checks.table("HEALTH CHECKS", {""}, false);
  return out.substr(out.starts_with('\n') ? 1 : 0);
}

}  // namespace steelyard::control::cli
