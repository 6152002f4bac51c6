#include "control/config/parse.h"
#include "control/access_log/format.h"

#include <algorithm>
#include <array>
#include <utility>

#include "control/config/map_reader.h"
#include "control/config/sections.h"

namespace steelyard::control::config {

namespace {

constexpr std::array idle_choices{Choice<Idle>{"busy", Idle::busy}, Choice<Idle>{"adaptive", Idle::adaptive}};
constexpr std::array hugepages_choices{Choice<Hugepages>{"auto", Hugepages::automatic},
                                       Choice<Hugepages>{"required", Hugepages::required},
                                       Choice<Hugepages>{"off", Hugepages::off}};
constexpr std::array log_level_choices{
    Choice<LogLevel>{"trace", LogLevel::trace}, Choice<LogLevel>{"debug", LogLevel::debug},
    Choice<LogLevel>{"info", LogLevel::info},   Choice<LogLevel>{"warn", LogLevel::warn},
    Choice<LogLevel>{"error", LogLevel::error}, Choice<LogLevel>{"critical", LogLevel::critical}};

void read_cpus(MapReader& map, Workers& workers, bool count_is_known) {
  const Node* list = map.find("cpus");
  if (list == nullptr) {
    return;
  }
  if (list->kind != Node::Kind::sequence) {
    map.report().error(list->at, "`cpus` is " + shown(*list) + "; allowed: a list with one CPU number per worker");
    return;
  }
  bool complete = true;
  for (const Node& element : list->children) {
    const auto cpu = read_integer(element, "a CPU", {0, 1023}, map.report());
    if (!cpu) {
      complete = false;
    } else if (std::ranges::find(workers.cpus, *cpu) != workers.cpus.end()) {
      map.report().error(element.at, "CPU " + std::to_string(*cpu) + " stands twice in `cpus`; one worker per CPU");
      complete = false;
    } else {
      workers.cpus.push_back(static_cast<std::uint16_t>(*cpu));
    }
  }
  if (complete && count_is_known && workers.cpus.size() != workers.count) {
    map.report().error(list->at, "`cpus` names " + std::to_string(workers.cpus.size()) + " CPUs for " +
                                     std::to_string(workers.count) + " workers; allowed: one per worker");
  }
}

void read_workers(const Node& node, Workers& workers, Report& report) {
  MapReader map(node, "`workers`", report);
  workers.at = map.at();
  const std::size_t errors = report.errors();
  map.integer("count", workers.count, {1, static_cast<std::uint32_t>(service::max_workers)});
  read_cpus(map, workers, report.errors() == errors);
  map.choice("idle", workers.idle, idle_choices);
  map.integer("coalesce_us", workers.coalesce_us, {0, 1000});
  map.finish();
}

// None at all is a choice of its own: layer 7 is off.
void read_connections(MapReader& map, Memory& memory) {
  constexpr std::uint32_t fewest = 1024;
  std::uint32_t connections = memory.connections;
  if (!map.integer("connections", connections, {0, 16777216})) {
    return;
  }
  if (connections != 0 && connections < fewest) {
    map.report().error(map.position_of("connections"), "`connections` is `" + std::to_string(connections) +
                                                           "`; allowed: 1024..16777216, or 0 without layer 7");
    return;
  }
  memory.connections = connections;
}

void read_memory(const Node& node, Memory& memory, Report& report) {
  constexpr Range flows{1024, 134217728};
  MapReader map(node, "`memory`", report);
  map.choice("hugepages", memory.hugepages, hugepages_choices);
  map.integer("flows_ipv4", memory.flows_ipv4, flows);
  map.integer("flows_ipv6", memory.flows_ipv6, flows);
  map.integer("packet_buffers", memory.packet_buffers, {2048, 1048576});
  read_connections(map, memory);
  map.finish();
}

constexpr bool is_printable(char character) {
  return character >= ' ' && character != '\x7f';
}

void read_cookie_key_file(MapReader& file, Config& config) {
  const Node* path = file.find("cookie_key_file");
  if (path == nullptr) {
    return;
  }
  constexpr std::string_view rule = "an absolute path";
  if (path->kind == Node::Kind::scalar && !path->scalar.starts_with('/')) {
    file.report().error(path->at, "`cookie_key_file` is " + shown(*path) + "; allowed: " + std::string(rule));
    return;
  }
  config.cookie_key_file =
      read_text(*path, "`cookie_key_file`", {1, 4095}, is_printable, rule, file.report()).value_or("");
}

void read_access_log(const Node& node, AccessLog& log, Report& report) {
  MapReader map(node, "`access_log`", report);
  constexpr std::string_view places = "stdout, syslog or the absolute path of a file";
  if (const Node* to = map.require("to")) {
    log.file = read_text(*to, "`to`", {1, 4095}, is_printable, places, report).value_or("");
    log.to = log.file == "stdout"        ? AccessLog::To::standard_output
             : log.file == "syslog"      ? AccessLog::To::syslog
             : log.file.starts_with('/') ? AccessLog::To::file
                                         : AccessLog::To::nowhere;
    if (log.to == AccessLog::To::nowhere && !log.file.empty()) {
      report.error(to->at, "`to` is " + shown(*to) + "; allowed: " + std::string(places));
    }
  }
  if (const Node* format = map.find("format")) {
    constexpr std::string_view rule = "json, or a template of printable characters";
    std::string text =
        read_text(*format, "`format`", {1, access_log::LineFormat::longest_template}, is_printable, rule, report)
            .value_or("json");
    if (text != "json") {
      if (const auto made = access_log::LineFormat::from_template(text); !made) {
        report.error(format->at,
                     "`format` at character " + std::to_string(made.error().position + 1) + ": " + made.error().text);
      }
      log.format = std::move(text);
    }
  }
  map.finish();
}

void read_process(MapReader& file, Config& config) {
  Report& report = file.report();
  if (const Node* workers = file.find("workers")) {
    read_workers(*workers, config.workers, report);
  }
  if (const Node* memory = file.find("memory")) {
    read_memory(*memory, config.memory, report);
  }
  if (const Node* metrics = file.find("metrics")) {
    MapReader map(*metrics, "`metrics`", report);
    if (const Node* listen = map.require("listen")) {
      config.metrics = read_endpoint(*listen, "`listen`", report);
    }
    map.finish();
  }
  if (const Node* log = file.find("log")) {
    MapReader map(*log, "`log`", report);
    map.choice("level", config.log_level, log_level_choices);
    map.finish();
  }
  if (const Node* log = file.find("access_log")) {
    read_access_log(*log, config.access_log, report);
  }
  if (const Node* shutdown = file.find("shutdown")) {
    MapReader map(*shutdown, "`shutdown`", report);
    map.seconds("drain", config.shutdown_drain, {0, 3600});
    map.finish();
  }
  read_cookie_key_file(file, config);
}

void read_policies(MapReader& file, Config& config) {
  file.boolean("pass_unmatched", config.pass_unmatched);
  file.boolean("reset_unknown_tcp", config.reset_unknown_tcp);
  const Node* allowed = file.find("allowed_ports");
  if (allowed == nullptr) {
    return;
  }
  if (allowed->kind == Node::Kind::sequence && allowed->children.empty()) {
    file.report().error(allowed->at,
                        "`allowed_ports` is an empty list, which forbids every listener; allowed: ports and "
                        "ranges such as [80, 2800-3300], or no `allowed_ports` at all");
  }
  const bool is_list = allowed->kind == Node::Kind::sequence;
  for (const Node& element : is_list ? std::span<const Node>(allowed->children) : std::span(allowed, 1)) {
    if (const auto range = read_port_range(element, "an entry of `allowed_ports`", file.report())) {
      config.allowed_ports.push_back(*range);
    }
  }
}

}  // namespace

Draft parse_draft(std::string_view text, Report& report) {
  Draft draft;
  const auto tree = read_yaml(text, report);
  if (!tree) {
    draft.incomplete.whole_file = true;
    return draft;
  }
  if (tree->kind == Node::Kind::null) {
    report.error({1, 1}, "the file is empty; it needs at least `ports`");
    draft.incomplete.whole_file = true;
    return draft;
  }
  MapReader file(*tree, "the file", report);
  if (tree->kind != Node::Kind::map) {
    draft.incomplete.whole_file = true;
    return draft;
  }
  read_process(file, draft.config);
  read_network(file, draft.config, draft.incomplete);
  read_policies(file, draft.config);
  read_services(file, draft.config, draft.incomplete);
  read_access_control_lists(file, draft.config, draft.incomplete);
  file.finish();
  return draft;
}

ParseResult parse(std::string_view text, std::string_view file_name) {
  Report report(file_name);
  Draft draft = parse_draft(text, report);
  const bool good = report.errors() == 0;
  return {good ? std::optional(std::move(draft.config)) : std::nullopt, report.take()};
}

}  // namespace steelyard::control::config
