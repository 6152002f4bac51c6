#include "control/cli/command_line.h"

#include <gmock/gmock.h>

#include <boost/json/serialize.hpp>
#include <iterator>
#include <sstream>

#include "control/version.h"

namespace steelyard::control::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

auto parse(const std::string& line) {
  std::istringstream words(line);
  return parse_command_line({std::istream_iterator<std::string>(words), {}});
}

// The request of a command line, as text.
std::string request_of(const std::string& line) {
  const auto command = parse(line);
  if (!command) {
    return command.error().text;
  }
  const auto* request = std::get_if<RequestCommand>(&*command);
  return request != nullptr ? boost::json::serialize(request->request) : "no request";
}

Message message_of(const std::string& line) {
  const auto command = parse(line);
  return command ? Message{-1, "accepted"} : command.error();
}

TEST(CommandLine, MakesTheRequestOfEachCommand) {
  EXPECT_EQ(request_of("status"), R"({"command":"status"})");
  EXPECT_EQ(request_of("stats --json"), R"({"command":"stats"})");
  EXPECT_EQ(request_of("reload"), R"({"command":"reload"})");
  EXPECT_EQ(request_of("server enable web a"), R"({"command":"server","action":"enable","group":"web","server":"a"})");
  EXPECT_EQ(request_of("server disable web [2001:db8::1]:80"),
            R"({"command":"server","action":"disable","group":"web","server":"[2001:db8::1]:80"})");
  EXPECT_EQ(request_of("server weight web 10.0.0.1:80 0"),
            R"({"command":"server","action":"weight","group":"web","server":"10.0.0.1:80","value":0})");
  EXPECT_EQ(request_of("server drain web 10.0.0.1:80"),
            R"({"command":"server","action":"drain","group":"web","server":"10.0.0.1:80"})");
  EXPECT_EQ(request_of("server drain web 10.0.0.1:80 60"),
            R"({"command":"server","action":"drain","group":"web","server":"10.0.0.1:80","value":60})");
  EXPECT_EQ(request_of("flows list"), R"({"command":"flows","action":"list","limit":100})");
  EXPECT_EQ(request_of("flows list --client 2001:db8::7 --limit 5"),
            R"({"command":"flows","action":"list","client":"2001:db8::7","limit":5})");
  EXPECT_EQ(request_of("flows count --server 10.0.0.1:80"),
            R"({"command":"flows","action":"count","server":"10.0.0.1:80"})");
  EXPECT_EQ(request_of("flows clear --listener web:tcp:80"),
            R"({"command":"flows","action":"clear","listener":"web:tcp:80"})");
  EXPECT_EQ(request_of("conns list --server 10.0.0.1"),
            R"({"command":"conns","action":"list","server":"10.0.0.1","limit":100})");
  EXPECT_EQ(request_of("conns clear --client 2001:db8::7"),
            R"({"command":"conns","action":"clear","client":"2001:db8::7"})");
}

TEST(CommandLine, TakesSocketAndJsonAfterEveryCommand) {
  for (const char* line :
       {"status", "stats", "reload", "server enable web a", "server weight web a 5", "server drain web a", "flows list",
        "flows count", "flows clear", "conns list", "conns count", "conns clear"}) {
    const auto plain = parse(line);
    ASSERT_TRUE(plain) << plain.error().text;
    EXPECT_EQ(std::get<RequestCommand>(*plain).socket_path, "/run/steelyard/steelyard.sock") << line;
    EXPECT_FALSE(std::get<RequestCommand>(*plain).json) << line;
    const auto full = parse(std::string(line) + " --json --socket /tmp/a.sock");
    ASSERT_TRUE(full) << full.error().text;
    EXPECT_EQ(std::get<RequestCommand>(*full).socket_path, "/tmp/a.sock") << line;
    EXPECT_TRUE(std::get<RequestCommand>(*full).json) << line;
  }
}

TEST(CommandLine, ReadsRun) {
  const auto command = parse("run -c a.yaml");
  ASSERT_TRUE(command);
  const RunOptions& options = std::get<RunCommand>(*command).options;
  EXPECT_EQ(options.config_file, "a.yaml");
  EXPECT_EQ(options.socket_path, "/run/steelyard/steelyard.sock");
  EXPECT_EQ(options.run_folder, "/run/steelyard");
  EXPECT_EQ(options.state_folder, "/var/lib/steelyard");
  const auto other = parse("run --config b.yaml --socket /tmp/s --run-dir /tmp/r --state-dir /tmp/l");
  ASSERT_TRUE(other);
  EXPECT_EQ(std::get<RunCommand>(*other).options.socket_path, "/tmp/s");
  EXPECT_EQ(std::get<RunCommand>(*other).options.run_folder, "/tmp/r");
  EXPECT_EQ(std::get<RunCommand>(*other).options.state_folder, "/tmp/l");
}

TEST(CommandLine, ReadsCheck) {
  const auto command = parse("check -c a.yaml --json");
  ASSERT_TRUE(command);
  EXPECT_EQ(std::get<CheckCommand>(*command).file, "a.yaml");
  EXPECT_TRUE(std::get<CheckCommand>(*command).json);
}

TEST(CommandLine, ReadsAWatch) {
  const auto watch_of = [](const char* line) {
    const auto command = parse(line);
    return command ? std::get<WatchCommand>(*command) : WatchCommand{.socket_path = command.error().text};
  };
  EXPECT_EQ(watch_of("stats --watch").interval, std::chrono::seconds(1));
  EXPECT_EQ(watch_of("stats --watch").count, std::nullopt);
  EXPECT_EQ(watch_of("stats --watch").socket_path, "/run/steelyard/steelyard.sock");
  const WatchCommand full = watch_of("stats --watch 5 --count 3 --json --socket /tmp/a");
  EXPECT_EQ(full.interval, std::chrono::seconds(5));
  EXPECT_EQ(full.count, 3U);
  EXPECT_TRUE(full.json);
  EXPECT_EQ(full.socket_path, "/tmp/a");
  EXPECT_EQ(watch_of("stats --watch --json").interval, std::chrono::seconds(1));
}

TEST(CommandLine, ReadsTop) {
  const auto plain = parse("top");
  ASSERT_TRUE(plain);
  EXPECT_EQ(std::get<TopCommand>(*plain).interval, std::chrono::seconds(1));
  EXPECT_EQ(std::get<TopCommand>(*plain).sort, SortKey::bits);
  const auto full = parse("top --interval 5 --sort connections --count 3 --socket /tmp/a");
  ASSERT_TRUE(full) << full.error().text;
  EXPECT_EQ(std::get<TopCommand>(*full).interval, std::chrono::seconds(5));
  EXPECT_EQ(std::get<TopCommand>(*full).sort, SortKey::connections);
  EXPECT_EQ(std::get<TopCommand>(*full).count, 3U);
  EXPECT_EQ(std::get<TopCommand>(*full).socket_path, "/tmp/a");
}

TEST(CommandLine, MakesTheRequestsOfTracesAndCaptures) {
  const auto trace =
      parse("trace --client 198.51.100.0/24 --listener web:80 --seconds 5 --count 9 --json --socket /tmp/a");
  ASSERT_TRUE(trace) << trace.error().text;
  EXPECT_EQ(boost::json::serialize(std::get<TraceCommand>(*trace).request),
            R"({"command":"trace","client":"198.51.100.0/24","listener":"web:80","count":9,"seconds":5})");
  EXPECT_TRUE(std::get<TraceCommand>(*trace).json);
  EXPECT_EQ(std::get<TraceCommand>(*trace).socket_path, "/tmp/a");
  const auto capture = parse("capture --listener web:tcp:80 -o a.pcapng --packets 1 --bytes 2 --seconds 3 --snaplen 4");
  ASSERT_TRUE(capture) << capture.error().text;
  EXPECT_EQ(boost::json::serialize(std::get<CaptureCommand>(*capture).request),
            R"({"command":"capture","listener":"web:tcp:80","bytes":2,"packets":1,"seconds":3,"snaplen":4})");
  EXPECT_EQ(std::get<CaptureCommand>(*capture).file, "a.pcapng");
}

TEST(CommandLine, PrintsTheVersion) {
  const Message message = message_of("--version");
  EXPECT_EQ(message.code, 0);
  EXPECT_EQ(message.text, "steelyard " + std::string(version) + '\n');
}

TEST(CommandLine, HasHelpWithExamplesForEveryCommand) {
  for (const char* command : {"",
                              "run",
                              "check",
                              "status",
                              "stats",
                              "top",
                              "reload",
                              "server",
                              "server enable",
                              "server disable",
                              "server weight",
                              "server drain",
                              "flows",
                              "flows list",
                              "flows count",
                              "flows clear",
                              "conns",
                              "conns list",
                              "conns count",
                              "conns clear",
                              "trace",
                              "capture"}) {
    const Message message = message_of(std::string(command) + " --help");
    EXPECT_EQ(message.code, 0) << command;
    EXPECT_THAT(message.text, AllOf(HasSubstr("Usage: steelyard"), HasSubstr("Examples:\n"),
                                    HasSubstr("steelyard " + std::string(command))))
        << command;
  }
}

TEST(CommandLine, SaysWhatIsWrongAndWhereHelpIs) {
  const struct {
    const char* line;
    const char* command;
    const char* words;
  } cases[] = {
      {"", "steelyard: ", "run, check, status, stats, top, reload, server, flows, conns, trace, capture"},
      {"statsu", "steelyard: ", "there is no command `statsu`; commands are run, check"},
      {"--bogus", "steelyard: ", ""},
      {"server", "steelyard server: ", "enable, disable, weight, drain"},
      {"server stop web a", "steelyard server: ", "enable, disable, weight, drain"},
      {"server enable web", "steelyard server enable: ", "SERVER is required"},
      {"server enable web a b", "steelyard server enable: ", "b"},
      {"server weight web a", "steelyard server weight: ", "N is required"},
      {"server weight web a 101", "steelyard server weight: ", "`101` is not a whole number from 0 to 100"},
      {"server weight web a -- -1", "steelyard server weight: ", "`-1` is not a whole number from 0 to 100"},
      {"server weight web a 1.5", "steelyard server weight: ", "`1.5` is not a whole number from 0 to 100"},
      {"server weight web a ten", "steelyard server weight: ", "`ten` is not a whole number"},
      {"server drain web a 3601", "steelyard server drain: ", "from 0 to 3600"},
      {"flows", "steelyard flows: ", "list, count, clear"},
      {"conns", "steelyard conns: ", "list, count, clear"},
      {"conns list --limit 100001", "steelyard conns list: ", "from 1 to 100000"},
      {"flows list --client nobody", "steelyard flows list: ", "`nobody` is not an IPv4 or IPv6 address"},
      {"flows list --limit 0", "steelyard flows list: ", "from 1 to 100000"},
      {"flows count --limit 5", "steelyard flows count: ", "--limit"},
      {"stats --watch 0", "steelyard stats: ", "`0` is not a whole number from 1 to 3600"},
      {"stats --count 3", "steelyard stats: ", "--count requires --watch"},
      {"top --sort bit", "steelyard top: ", "`bit` is none of bits, packets, requests, connections, active, name"},
      {"top --interval 0", "steelyard top: ", "from 1 to 3600"},
      {"trace --client nobody", "steelyard trace: ", "`nobody` is neither an address nor a network"},
      {"trace --client ::1 --seconds 3601", "steelyard trace: ", "from 1 to 3600"},
      {"capture --listener web:80", "steelyard capture: ", "--output is required"},
      {"capture -o a --snaplen 65536", "steelyard capture: ", "from 1 to 65535"},
      {"run", "steelyard run: ", "--config is required"},
      {"check", "steelyard check: ", "--config is required"},
      {"status --socket", "steelyard status: ", "--socket"},
  };
  for (const auto& [line, command, words] : cases) {
    const Message message = message_of(line);
    EXPECT_EQ(message.code, 2) << line;
    EXPECT_THAT(message.text, AllOf(StartsWith(command), HasSubstr(words), ::testing::EndsWith("\n"))) << line;
  }
}

TEST(CommandLine, DoesNotTakeAddressesInBracketsForLists) {
  EXPECT_THAT(request_of("server enable web [2001:db8::1]"), HasSubstr(R"("server":"[2001:db8::1]")"));
  EXPECT_THAT(request_of("flows count --server [2001:db8::1]:80"), HasSubstr(R"("server":"[2001:db8::1]:80")"));
}

}  // namespace
}  // namespace steelyard::control::cli
