#include "control/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <optional>

#include "control/version.h"
#include "dataplane/service/address.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;

constexpr std::int64_t most_listed = 100'000;
constexpr std::int64_t longest_drain = 3'600;
constexpr std::int64_t longest_interval = 3'600;
constexpr std::int64_t most_pictures = 1'000'000'000;
constexpr std::int64_t longest_watch = 3'600;
constexpr std::int64_t most_packets = 1'000'000'000;

// What options are read into; empty or absent: not given.
struct Values {
  RunOptions run;
  bool as_json = false;
  std::string group;
  std::string server;
  std::string client;
  std::string listener;
  std::optional<std::int64_t> number;
  CLI::Option* watch = nullptr;
  std::string interval;  // of a live view; empty: not given
  std::optional<std::int64_t> count;
  std::string sort;
  std::map<std::string, std::optional<std::int64_t>> bounds;  // of a trace or a capture, by the request's names
  std::string file;
};

CLI::Validator address() {
  return {[](std::string& text) {
            return service::Address::parse(text) ? std::string() : "`" + text + "` is not an IPv4 or IPv6 address";
          },
          "ADDRESS"};
}

CLI::Validator network() {
  return {[](std::string& text) {
            return service::Prefix::parse(text) ? std::string()
                                                : "`" + text + "` is neither an address nor a network (ADDRESS/LENGTH)";
          },
          std::string()};
}

// CLI11's own Range reads numbers as double and so takes "1.5" for 1.
CLI::Validator whole_number(std::int64_t least, std::int64_t most) {
  return {[least, most](std::string& text) {
            std::int64_t value = 0;
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
            const bool good =
                error == std::errc() && end == text.data() + text.size() && value >= least && value <= most;
            return good ? std::string()
                        : "`" + text + "` is not a whole number from " + std::to_string(least) + " to " +
                              std::to_string(most);
          },
          std::string()};
}

// The commands and what they fill. One use.
class CommandLine {
 public:
  CommandLine() {
    app_.set_version_flag("-V,--version", "steelyard " + std::string(version), "Print the version");
    app_.require_subcommand(1);
    app_.get_formatter()->column_width(28);
    app_.footer(
        "Exit codes: 0 done, 1 refused or invalid, 2 wrong usage or no steelyard that answers.\n"
        "Examples:\n"
        "  steelyard check -c /etc/steelyard.yaml\n"
        "  sudo steelyard run -c /etc/steelyard.yaml\n"
        "  sudo steelyard status");
    add_process_commands();
    add_server_commands();
    add_flow_commands();
    add_watching_commands();
  }

  [[nodiscard]] tl::expected<Command, Message> parse(std::vector<std::string> arguments) {
    if (!arguments.empty() && !arguments[0].starts_with('-') && !is_command(arguments[0])) {
      return tl::unexpected(
          Message{2, "steelyard: there is no command `" + arguments[0] + "`; commands are " + names_of(app_) + "\n"});
    }
    std::ranges::reverse(arguments);  // CLI11 takes them from the back
    try {
      app_.parse(std::move(arguments));
    } catch (const CLI::CallForHelp&) {
      return tl::unexpected(Message{0, app_.help()});
    } catch (const CLI::CallForVersion& version_asked) {
      return tl::unexpected(Message{0, std::string(version_asked.what()) + '\n'});
    } catch (const CLI::ParseError& error) {
      return tl::unexpected(usage_error(error));
    }
    return command();
  }

 private:
  // Of a subcommand that speaks to the process.
  void add_client_options(CLI::App& command) {
    add_socket(command);
    command.add_flag("--json", values_.as_json, "Print the result as JSON");
  }
  void add_socket(CLI::App& command) {
    command.add_option("--socket", values_.run.socket_path, "Admin socket of the process")
        ->type_name("PATH")
        ->capture_default_str();
  }
  void add_file(CLI::App& command) {
    command.add_option("-c,--config", values_.run.config_file, "Configuration file (YAML)")
        ->type_name("FILE")
        ->required();
  }
  CLI::App& add_command(CLI::App& parent, const std::string& name, const std::string& help,
                        const std::string& examples) {
    CLI::App& made = *parent.add_subcommand(name, help);
    made.footer("Examples:\n" + examples);
    return made;
  }

  void add_process_commands() {
    CLI::App& run = add_command(app_, "run", "Run the load balancer in the foreground, until SIGTERM",
                                "  sudo steelyard run -c /etc/steelyard.yaml");
    add_file(run);
    add_socket(run);
    run.add_option("--run-dir", values_.run.run_folder, "Folder of the devices' locks")
        ->type_name("DIR")
        ->capture_default_str();
    run.add_option("--state-dir", values_.run.state_folder, "Folder of what outlives the process: the cookie key")
        ->type_name("DIR")
        ->capture_default_str();
    CLI::App& check = add_command(app_, "check", "Check a configuration file: every error with line and column",
                                  "  steelyard check -c steelyard.yaml\n"
                                  "  steelyard check -c steelyard.yaml --json");
    add_file(check);
    check.add_flag("--json", values_.as_json, "Print the findings as JSON");
    add_client_options(add_command(app_, "status", "Show load balancers, listeners and servers; why a server is down",
                                   "  sudo steelyard status"));
    add_stats();
    add_top();
    add_client_options(add_command(app_, "reload",
                                   "Apply the changed configuration file; an invalid one changes nothing",
                                   "  sudo steelyard reload"));
  }

  void add_stats() {
    CLI::App& stats = add_command(app_, "stats", "Show counters, drops by name, per worker",
                                  "  sudo steelyard stats\n"
                                  "  sudo steelyard stats --json | jq '.workers[].accounting'\n"
                                  "  sudo steelyard stats --watch\n"
                                  "  sudo steelyard stats --watch 10 --count 6 --json >minute.jsonl");
    add_client_options(stats);
    values_.watch = stats
                        .add_option("--watch", values_.interval,
                                    "Show them every so many seconds (default 1), with what they grow by in a second")
                        ->type_name("[SECONDS]")
                        ->expected(0, 1)
                        ->check(whole_number(1, longest_interval));
    add_count(stats, values_.watch);
  }
  void add_top() {
    CLI::App& top = add_command(app_, "top", "Watch rates, drops, the workers' load, listeners and servers",
                                "  sudo steelyard top\n"
                                "  sudo steelyard top --sort connections --interval 5\n"
                                "  sudo steelyard top --count 1 | head -20");
    add_socket(top);
    top.add_option("--interval", values_.interval, "Seconds between pictures (default 1)")
        ->type_name("SECONDS")
        ->check(whole_number(1, longest_interval));
    top.add_option("--sort", values_.sort, "Order of listeners and servers: " + sort_key_names() + " (default bits)")
        ->type_name("KEY")
        ->check(CLI::Validator(
            [](std::string& text) {
              return sort_key(std::string_view(text)) ? std::string() : "`" + text + "` is none of " + sort_key_names();
            },
            std::string()));
    add_count(top);
  }
  // Pictures of a live view.
  void add_count(CLI::App& command, CLI::Option* needed = nullptr) {
    CLI::Option* count = command.add_option("--count", values_.count, "End after so many pictures")
                             ->type_name("N")
                             ->check(whole_number(1, most_pictures));
    if (needed != nullptr) {
      count->needs(needed);
    }
  }

  CLI::App& add_server_action(CLI::App& parent, const std::string& name, const std::string& help,
                              const std::string& examples) {
    CLI::App& action = add_command(parent, name, help, examples);
    action.add_option("GROUP", values_.group, "Server group; a default group goes by its load balancer's name")
        ->type_name("")
        ->required();
    action.add_option("SERVER", values_.server, "Server: its name or ADDRESS:PORT")->type_name("")->required();
    add_client_options(action);
    return action;
  }

  void add_server_commands() {
    CLI::App& server = add_command(app_, "server", "Change a server, until the next reload",
                                   "  sudo steelyard server weight web 10.0.0.2:8080 10\n"
                                   "  sudo steelyard server drain web 10.0.0.2:8080 60");
    server.require_subcommand(1);
    add_server_action(server, "enable", "Use the server again", "  sudo steelyard server enable web 10.0.0.2:8080");
    add_server_action(server, "disable", "No new connections", "  sudo steelyard server disable web [2001:db8::2]:80");
    add_server_action(server, "weight", "Change the weight", "  sudo steelyard server weight web 10.0.0.2:8080 10")
        .add_option("N", values_.number, "0 to 100; 0: no new connections")
        ->type_name("")
        ->check(whole_number(0, 100))
        ->required();
    add_server_action(server, "drain", "No new connections; reset those that run after a time, if one is given",
                      "  sudo steelyard server drain web 10.0.0.2:8080\n"
                      "  sudo steelyard server drain web 10.0.0.2:8080 60")
        .add_option("SECONDS", values_.number, "0 to 3600; without: as the listener's connection_drain says")
        ->type_name("")
        ->check(whole_number(0, longest_drain));
  }

  // What `flows` and `conns` walk over.
  struct Walked {
    std::string command;
    std::string what;
    std::string listener;  // of the examples
  };
  CLI::App& add_walk(CLI::App& parent, const Walked& walked, const std::string& name, const std::string& help) {
    const std::string command = "  sudo steelyard " + walked.command + ' ' + name;
    CLI::App& action = add_command(
        parent, name, help,
        command + " --client 198.51.100.7\n" + command + " --server 10.0.0.2:8080 --listener " + walked.listener);
    action.add_option("--client", values_.client, "Only " + walked.what + " of this client")
        ->type_name("ADDRESS")
        ->check(address().description(""));
    action.add_option("--server", values_.server, "Only " + walked.what + " to this server")
        ->type_name("ADDRESS[:PORT]");
    action.add_option("--listener", values_.listener, "Only " + walked.what + " of this listener")
        ->type_name("LOAD_BALANCER[:PROTOCOL]:PORT");
    add_client_options(action);
    return action;
  }
  void add_walks(const Walked& walked, const std::string& help, const std::string& clear) {
    CLI::App& parent = add_command(app_, walked.command, help,
                                   "  sudo steelyard " + walked.command + " list --client 198.51.100.7\n" +
                                       "  sudo steelyard " + walked.command + " count --listener " + walked.listener);
    parent.require_subcommand(1);
    add_walk(parent, walked, "list", "Show " + walked.what)
        .add_option("--limit", values_.number,
                    "At most this many, up to " + std::to_string(most_listed) + " (default 100)")
        ->type_name("N")
        ->check(whole_number(1, most_listed));
    add_walk(parent, walked, "count", "Count " + walked.what);
    add_walk(parent, walked, "clear", clear);
  }
  void add_flow_commands() {
    add_walks({"flows", "flows", "web:tcp:80"}, "List, count or clear layer-4 flows",
              "End flows, by resets to both sides of a TCP connection, and requests of layer 7 that are under way");
    add_walks({"conns", "connections", "shop:http:80"},
              "List, count or clear TCP connections that end here, of clients and to servers",
              "End connections by a reset, and what is under way on them");
  }

  // Whose packets, and for how long.
  void add_packet_options(CLI::App& command) {
    command.add_option("--client", values_.client, "Only packets from and to this client, or this network of clients")
        ->type_name("ADDRESS[/LENGTH]")
        ->check(network());
    command.add_option("--listener", values_.listener, "Only packets of this listener")
        ->type_name("LOAD_BALANCER[:PROTOCOL]:PORT");
    command.add_option("--seconds", values_.bounds["seconds"], "End after this time, up to 3600 (default 60)")
        ->type_name("N")
        ->check(whole_number(1, longest_watch));
    add_socket(command);
  }
  void add_watching_commands() {
    CLI::App& trace = add_command(app_, "trace", "Show what happens to packets, one by one, as they come",
                                  "  sudo steelyard trace --client 198.51.100.7\n"
                                  "  sudo steelyard trace --client 198.51.100.0/24 --listener web:tcp:80 --seconds 10");
    add_packet_options(trace);
    trace.add_option("--count", values_.bounds["count"], "End after so many packets (default 100000)")
        ->type_name("N")
        ->check(whole_number(1, most_packets));
    trace.add_flag("--json", values_.as_json, "Print each packet as a line of JSON");
    CLI::App& capture =
        add_command(app_, "capture", "Write packets to a pcapng file, as they come in and as they leave",
                    "  sudo steelyard capture --listener web:tcp:80 -o web.pcapng\n"
                    "  sudo steelyard capture --client 2001:db8::7 --packets 100 -o - | tcpdump -nr -");
    add_packet_options(capture);
    capture.add_option("-o,--output", values_.file, "File to write; - is standard output")
        ->type_name("FILE")
        ->required();
    const auto bound = [&](const char* name, const char* help, std::int64_t most) {
      capture.add_option("--" + std::string(name), values_.bounds[name], help)
          ->type_name("N")
          ->check(whole_number(1, most));
    };
    bound("packets", "End after so many packets (default 100000)", most_packets);
    bound("bytes", "End when the file has about so many bytes (default 67108864)", 1LL << 40U);
    bound("snaplen", "Bytes of each packet, up to 65535 (default)", 65'535);
  }

  [[nodiscard]] bool is_command(const std::string& name) const {
    const auto commands = app_.get_subcommands([](const CLI::App*) { return true; });
    return std::ranges::any_of(commands, [&](const CLI::App* each) { return each->get_name() == name; });
  }
  [[nodiscard]] static std::string names_of(const CLI::App& parent) {
    std::string names;
    for (const CLI::App* each : parent.get_subcommands([](const CLI::App*) { return true; })) {
      names += (names.empty() ? "" : ", ") + each->get_name();
    }
    return names;
  }

  // "steelyard server weight: GROUP is required", of the innermost command that was recognised.
  [[nodiscard]] Message usage_error(const CLI::ParseError& error) const {
    std::string path = "steelyard";
    const CLI::App* innermost = &app_;
    while (!innermost->get_subcommands().empty()) {
      innermost = innermost->get_subcommands().front();
      path += ' ' + innermost->get_name();
    }
    std::string what = error.what();
    if (const std::string actions = names_of(*innermost);
        !actions.empty() && dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
      what = "say what to do: " + actions;
    }
    return {2, path + ": " + what + "\nsee `" + path + " --help`\n"};
  }

  [[nodiscard]] std::chrono::seconds interval() const {
    return std::chrono::seconds(values_.interval.empty() ? 1 : std::stol(values_.interval));
  }

  [[nodiscard]] Command command() const {
    const CLI::App& chosen = *app_.get_subcommands().front();
    const std::string& name = chosen.get_name();
    if (name == "run") {
      return RunCommand{values_.run};
    }
    if (name == "check") {
      return CheckCommand{values_.run.config_file, values_.as_json};
    }
    if (name == "stats" && values_.watch->count() > 0) {
      return WatchCommand{values_.run.socket_path, values_.as_json, interval(), values_.count};
    }
    if (name == "top") {
      return TopCommand{values_.run.socket_path, interval(), values_.count,
                        sort_key(std::string_view(values_.sort)).value_or(SortKey::bits)};
    }
    json::object request{{"command", name}};
    const auto put = [&request](const char* key, const std::string& value) {
      if (!value.empty()) {
        request[key] = value;
      }
    };
    if (!chosen.get_subcommands().empty()) {
      request["action"] = chosen.get_subcommands().front()->get_name();
    }
    put("group", values_.group);
    put("server", values_.server);
    put("client", values_.client);
    put("listener", values_.listener);
    for (const auto& [bound, value] : values_.bounds) {
      if (value) {
        request[bound] = *value;
      }
    }
    if (name == "trace") {
      return TraceCommand{std::move(request), values_.run.socket_path, values_.as_json};
    }
    if (name == "capture") {
      return CaptureCommand{std::move(request), values_.run.socket_path, values_.file};
    }
    if ((name == "flows" || name == "conns") && request["action"] == "list") {
      request["limit"] = values_.number.value_or(100);
    } else if (values_.number) {
      request["value"] = *values_.number;
    }
    return RequestCommand{std::move(request), values_.run.socket_path, values_.as_json};
  }

  CLI::App app_{"Steelyard, a load balancer data plane", "steelyard"};
  Values values_;
};

}  // namespace

tl::expected<Command, Message> parse_command_line(const std::vector<std::string>& arguments) {
  return CommandLine().parse(arguments);
}

}  // namespace steelyard::control::cli
