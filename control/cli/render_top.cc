#include "control/cli/render_top.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <cmath>
#include <utility>
#include <vector>

#include "control/cli/fields.h"
#include "control/cli/table.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;
using Align = Table::Align;

// The data plane's stages (worker/stages.h), as a worker's columns.
constexpr std::array<std::pair<std::string_view, const char*>, 6> stage_columns{{{"receive", "  RECV"},
                                                                                 {"parse", " PARSE"},
                                                                                 {"forward", "   FWD"},
                                                                                 {"slow_path", "  SLOW"},
                                                                                 {"transmit", "  XMIT"},
                                                                                 {"timers", "TIMERS"}}};

// One listener or server, in numbers of now.
struct Line {
  std::string name;
  double active = 0;
  double connections = 0;
  double packets_in = 0;
  double packets_out = 0;
  double bits_in = 0;
  double bits_out = 0;
  double requests = 0;
  double failures = 0;  // answers of class 5xx

  void add(const Line& other) {
    active += other.active;
    connections += other.connections;
    packets_in += other.packets_in;
    packets_out += other.packets_out;
    bits_in += other.bits_in;
    bits_out += other.bits_out;
    requests += other.requests;
    failures += other.failures;
  }
  [[nodiscard]] double weight(SortKey key) const {
    switch (key) {
      case SortKey::bits:
        return bits_in + bits_out;
      case SortKey::packets:
        return packets_in + packets_out;
      case SortKey::requests:
        return requests;
      case SortKey::connections:
        return connections;
      case SortKey::active:
        return active;
      case SortKey::name:
        break;
    }
    return 0;
  }
};

Line line_of(std::string name, const json::object& traffic, const json::object& rates) {
  const json::object& classes = member(member(rates, "requests"), "by_class");
  double requests = 0;
  for (const json::key_value_pair& each : classes) {
    requests += real(classes, each.key());
  }
  return {std::move(name),
          real(traffic, "active"),
          real(rates, "connections"),
          real(rates, "packets_in"),
          real(rates, "packets_out"),
          8 * real(rates, "bytes_in"),
          8 * real(rates, "bytes_out"),
          requests,
          real(classes, "5xx")};
}

const json::object& at(const json::array& rates, std::size_t place) {
  static const json::value none;
  return as_object(place < rates.size() ? rates[place] : none);
}

struct Lines {
  Line all;
  bool layer7 = false;  // there is a listener that counts requests
  std::vector<Line> listeners;
  std::vector<Line> servers;
};

Lines lines_of(const json::object& stats, const json::object& rates) {
  Lines lines;
  const json::array& listeners = list(stats, "listeners");
  for (std::size_t place = 0; place < listeners.size(); ++place) {
    const json::object& listener = as_object(listeners[place]);
    const json::object& rate = at(list(rates, "listeners"), place);
    lines.listeners.push_back(line_of(listener_name(listener), listener, rate));
    if (!has(listener, "rule")) {  // which the listener's own numbers contain
      lines.all.add(lines.listeners.back());
      lines.layer7 = lines.layer7 || has(listener, "requests");
    }
    Line of_servers;
    const json::array& servers = list(listener, "servers");
    for (std::size_t inner = 0; inner < servers.size(); ++inner) {
      const json::object& server = as_object(servers[inner]);
      lines.servers.push_back(
          line_of(endpoint(text(server, "address"), number(server, "port")) + "  " + listener_name(listener), server,
                  at(list(rate, "servers"), inner)));
      of_servers.add(lines.servers.back());
    }
    if (has(listener, "rule")) {  // whose requests are counted where they end
      lines.listeners.back().requests = of_servers.requests;
      lines.listeners.back().failures = of_servers.failures;
    }
  }
  return lines;
}

void sort(std::vector<Line>& lines, SortKey key) {
  std::ranges::sort(lines, [key](const Line& first, const Line& second) {
    const double one = first.weight(key);
    const double other = second.weight(key);
    return one != other ? one > other : first.name < second.name;
  });
}

std::string summary(const Lines& lines, const json::object& stats) {
  const Line& all = lines.all;
  std::uint64_t half_open = 0;
  std::uint64_t exchanges = 0;
  std::uint64_t queued = 0;
  for (const json::value& worker : list(stats, "workers")) {
    half_open += number(member(as_object(worker), "flows"), "half_open");
    exchanges += number(member(as_object(worker), "http"), "exchanges");
    queued += number(member(as_object(worker), "http"), "queued");
  }
  const std::string requests = "requests: " + scaled(all.requests) + " done/s   " + scaled(all.failures) + " 5xx/s   " +
                               scaled(static_cast<double>(exchanges)) + " under way   " +
                               scaled(static_cast<double>(queued)) + " queued\n";
  return "to servers " + scaled(all.packets_in) + " packets/s " + scaled(all.bits_in) + "bit/s   to clients " +
         scaled(all.packets_out) + " packets/s " + scaled(all.bits_out) + "bit/s\n" +
         "connections: " + scaled(all.connections) + " new/s   " + scaled(all.active) + " active   " +
         scaled(static_cast<double>(half_open)) + " half open\n" + (lines.layer7 ? requests : "");
}

// "drops/s: 120 unmatched  3 no_server", the largest first.
std::string drops(const json::object& rates) {
  std::vector<std::pair<double, std::string>> sums;
  for (const json::value& worker : list(rates, "workers")) {
    for (const json::key_value_pair& drop : member(member(as_object(worker), "accounting"), "drops")) {
      const std::string name(drop.key());
      const double rate = drop.value().is_double() ? drop.value().get_double() : 0;
      const auto known = std::ranges::find(sums, name, &std::pair<double, std::string>::second);
      if (known != sums.end()) {
        known->first += rate;
      } else {
        sums.emplace_back(rate, name);
      }
    }
  }
  std::erase_if(sums, [](const auto& sum) { return sum.first <= 0; });
  std::ranges::sort(sums, [](const auto& first, const auto& second) { return first.first > second.first; });
  std::string out = "drops/s:";
  for (const auto& [rate, name] : sums) {
    out += ' ' + scaled(rate) + ' ' + name + ' ';
  }
  return out + (sums.empty() ? " none\n" : "\n");
}

// How busy each worker is, and what a packet costs it, by stage.
std::string workers(const json::object& stats, const json::object& rates) {
  std::vector<Table::Column> columns{
      {"WORKER"}, {" BUSY", Align::right}, {"PACKETS/S", Align::right}, {"CYCLES/PACKET", Align::right}};
  for (const auto& [stage, title] : stage_columns) {
    columns.push_back({title, Align::right});
  }
  Table table(std::move(columns));
  for (std::size_t place = 0; place < list(stats, "workers").size(); ++place) {
    const json::object& rate = at(list(rates, "workers"), place);
    const json::object& inputs = member(member(rate, "accounting"), "inputs");
    const double packets = real(inputs, "received") + real(inputs, "handed_in");
    // Of a time in nanoseconds a second.
    const auto busy = std::min(std::llround(real(member(rate, "turns"), "busy_ns") / 1e7), 100LL);
    double all = 0;
    std::vector<std::string> by_stage;
    for (const auto& [stage, title] : stage_columns) {
      const double cycles = real(member(rate, "cycles"), stage);
      all += cycles;
      by_stage.push_back(packets >= 1 ? scaled(cycles / packets) : "-");
    }
    std::vector<std::string> cells{text(as_object(list(stats, "workers")[place]), "worker"),
                                   rate.empty() ? "-" : std::to_string(busy) + '%', scaled(packets),
                                   packets >= 1 ? scaled(all / packets) : "-"};
    cells.insert(cells.end(), by_stage.begin(), by_stage.end());
    table.add(std::move(cells));
  }
  return table.str();
}

// Numbers first and of one width, so that columns stand still and a narrow screen cuts the end of the names.
std::string traffic_table(const char* title, const std::vector<Line>& lines, std::size_t most, bool layer7) {
  std::vector<Table::Column> columns{{"  BIT/S IN", Align::right}, {" BIT/S OUT", Align::right},
                                     {"PKT/S IN", Align::right},   {"PKT/S OUT", Align::right},
                                     {" NEW/S", Align::right},     {"ACTIVE", Align::right}};
  if (layer7) {
    columns.push_back({" REQ/S", Align::right});
    columns.push_back({" 5XX/S", Align::right});
  }
  columns.push_back({title});
  Table table(std::move(columns));
  for (std::size_t place = 0; place < std::min(lines.size(), most); ++place) {
    const Line& line = lines[place];
    std::vector<std::string> cells{scaled(line.bits_in),     scaled(line.bits_out),    scaled(line.packets_in),
                                   scaled(line.packets_out), scaled(line.connections), scaled(line.active)};
    if (layer7) {
      cells.push_back(scaled(line.requests));
      cells.push_back(scaled(line.failures));
    }
    cells.push_back(line.name);
    table.add(std::move(cells));
  }
  if (lines.size() > most) {
    table.note('(' + std::to_string(lines.size() - most) + " more)");
  }
  return table.str();
}

std::string keys_line(SortKey sort) {
  return "sorted by " + std::string(name_of(sort)) + "; keys: " + sort_key_letters() + ", q quit\n";
}

// Rows for listeners and for servers, of `left`: each table has a title, a line for what is left out and an empty line
// before it. Listeners get half, or what servers do not need.
std::pair<std::size_t, std::size_t> shares(std::size_t left, std::size_t listeners, std::size_t servers) {
  constexpr std::size_t around = 3;
  const std::size_t rows = left > 2 * around ? left - 2 * around : 0;
  const std::size_t for_servers = std::min(servers, std::max(rows / 2, rows - std::min(rows, listeners)));
  return {std::min(listeners, rows - for_servers), for_servers};
}

}  // namespace

std::string scaled(double value) {
  constexpr std::string_view units = "kMGTPE";
  if (value < 999.5) {
    return per_second({{"value", value}}, "value");
  }
  std::size_t unit = 0;
  for (value /= 1'000; value >= 999.5 && unit + 1 < units.size(); ++unit) {
    value /= 1'000;
  }
  return per_second({{"value", value}}, "value") + units[unit];
}

std::string render_top(const Reading& reading, const TopSettings& settings) {
  const json::object rates = reading.rates.value_or(json::object{});
  Lines lines = lines_of(reading.stats, rates);
  sort(lines.listeners, settings.sort);
  sort(lines.servers, settings.sort);
  std::string out =
      heading(reading) + summary(lines, reading.stats) + drops(rates) + '\n' + workers(reading.stats, rates);
  const std::string footer = settings.keys ? '\n' + keys_line(settings.sort) : std::string();
  std::pair most{lines.listeners.size(), lines.servers.size()};
  if (settings.size) {
    const auto used = static_cast<std::size_t>(std::ranges::count(out, '\n') + std::ranges::count(footer, '\n'));
    most = shares(settings.size->rows - std::min(settings.size->rows, used), most.first, most.second);
  }
  out += '\n' + traffic_table("LISTENER", lines.listeners, most.first, lines.layer7) + '\n' +
         traffic_table("SERVER, LISTENER", lines.servers, most.second, lines.layer7) + footer;
  return settings.size ? fitted(out, *settings.size) : out;
}

}  // namespace steelyard::control::cli
