#include "control/cli/commands.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <fstream>
#include <sstream>

#include "tests/unit/control/admin/running_server.h"
#include "tests/unit/control/temporary_folder.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* valid_file = R"(ports:
  - {name: wan, device: "net_null0", addresses: [192.0.2.2/24]}
load_balancers: []
)";

class CommandsTest : public ::testing::Test {
 protected:
  int execute(const std::vector<std::string>& arguments) {
    out_.str("");
    err_.str("");
    return cli::execute(arguments, {out_, err_, [this](const RunOptions& options) {
                                      ran_ = options;
                                      return 0;
                                    }});
  }
  std::string file(const std::string& text) {
    std::ofstream(folder_ / "a.yaml") << text;
    return folder_ / "a.yaml";
  }
  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }

  testing::TemporaryFolder folder_;
  const std::string socket_ = folder_ / "admin.sock";
  std::ostringstream out_;
  std::ostringstream err_;
  RunOptions ran_;
};

TEST_F(CommandsTest, RunsTheProcessWithItsOptions) {
  EXPECT_EQ(execute({"run", "-c", "a.yaml", "--socket", "/tmp/s", "--run-dir", "/tmp/r"}), 0);
  EXPECT_EQ(ran_.config_file, "a.yaml");
  EXPECT_EQ(ran_.socket_path, "/tmp/s");
  EXPECT_EQ(ran_.run_folder, "/tmp/r");
}

TEST_F(CommandsTest, PrintsHelpToStdoutAndUsageErrorsToStderr) {
  EXPECT_EQ(execute({"--help"}), 0);
  EXPECT_THAT(out(), HasSubstr("Usage"));
  EXPECT_EQ(err(), "");
  EXPECT_EQ(execute({"bogus"}), 2);
  EXPECT_EQ(out(), "");
  EXPECT_THAT(err(), HasSubstr("no command `bogus`"));
}

TEST_F(CommandsTest, SaysThatAValidFileIsValid) {
  const std::string path = file(valid_file);
  EXPECT_EQ(execute({"check", "-c", path}), 0) << err();
  EXPECT_EQ(out(), path + ": configuration is valid\n");
}

TEST_F(CommandsTest, PrintsEveryErrorOfAFileWithItsPlace) {
  const std::string path = file(std::string(valid_file) + "one: 1\ntwo: 2\n");
  EXPECT_EQ(execute({"check", "-c", path}), 1);
  EXPECT_EQ(out(), "");
  EXPECT_THAT(err(), AllOf(HasSubstr(path + ":4:1: error: "), HasSubstr(path + ":5:1: error: ")));
}

TEST_F(CommandsTest, DoesNotRefuseAFileForWarnings) {
  const std::string path = file(std::string(valid_file) + R"(server_groups:
  - {name: unused, servers: [{address: 10.0.0.1, port: 80}]}
)");
  EXPECT_EQ(execute({"check", "-c", path}), 0);
  EXPECT_THAT(err(), HasSubstr(": warning: "));
  EXPECT_THAT(out(), HasSubstr("configuration is valid"));
}

TEST_F(CommandsTest, PrintsFindingsAsJson) {
  const std::string path = file(std::string(valid_file) + "one: 1\n");
  EXPECT_EQ(execute({"check", "-c", path, "--json"}), 1);
  EXPECT_EQ(err(), "");
  const json::object result = json::parse(out()).as_object();
  EXPECT_EQ(result.at("valid"), false);
  const json::object& finding = result.at("diagnostics").at(0).as_object();
  EXPECT_EQ(finding.at("severity"), "error");
  EXPECT_EQ(finding.at("line"), 4);
  EXPECT_EQ(finding.at("column"), 1);
  EXPECT_EQ(execute({"check", "-c", file(valid_file), "--json"}), 0);
  EXPECT_EQ(json::parse(out()).at("valid"), true);
}

TEST_F(CommandsTest, RefusesAFileThatIsNotThere) {
  EXPECT_EQ(execute({"check", "-c", folder_ / "absent.yaml"}), 1);
  EXPECT_THAT(err(), HasSubstr("absent.yaml: error: "));
}

TEST_F(CommandsTest, EndsWithCode2WhenNoProcessRuns) {
  EXPECT_EQ(execute({"status", "--socket", socket_}), 2);
  EXPECT_EQ(out(), "");
  EXPECT_THAT(err(), AllOf(HasSubstr("steelyard is not running"), HasSubstr(socket_)));
}

TEST_F(CommandsTest, EndsWithCode1AndTheProcessesWordsWhenItRefuses) {
  testing::RunningServer server(socket_, [](const json::object&, const AdminServer::Reply& reply) {
    reply(json::object{{"ok", false}, {"error", "a.yaml:1:1: error: one\na.yaml:2:1: error: two\n"}});
  });
  EXPECT_EQ(execute({"reload", "--socket", socket_}), 1);
  EXPECT_EQ(out(), "");
  EXPECT_EQ(err(), "a.yaml:1:1: error: one\na.yaml:2:1: error: two\n");
}

TEST_F(CommandsTest, PrintsAnErrorAsJsonAndInWords) {
  const auto error_in = [this] { return json::parse(out()).as_object().at("error").as_string(); };
  EXPECT_EQ(execute({"status", "--json", "--socket", socket_}), 2);
  EXPECT_THAT(err(), HasSubstr("steelyard is not running"));
  EXPECT_EQ(std::string(error_in()) + '\n', err());
  EXPECT_EQ(execute({"server", "weight", "web", "10.0.0.2:80", "101", "--json"}), 2);
  EXPECT_THAT(std::string(error_in()), HasSubstr("`101` is not a whole number from 0 to 100"));
  EXPECT_EQ(std::string(error_in()) + '\n', err());
  testing::RunningServer server(socket_, [](const json::object&, const AdminServer::Reply& reply) {
    reply(json::object{{"ok", false}, {"error", "a.yaml:1:1: error: one\na.yaml:2:1: error: two\n"}});
  });
  EXPECT_EQ(execute({"reload", "--json", "--socket", socket_}), 1);
  EXPECT_EQ(error_in(), "a.yaml:1:1: error: one\na.yaml:2:1: error: two");
  EXPECT_EQ(err(), "a.yaml:1:1: error: one\na.yaml:2:1: error: two\n");
}

TEST_F(CommandsTest, PrintsAFileThatCannotBeReadAsJson) {
  EXPECT_EQ(execute({"check", "--json", "-c", folder_ / "absent.yaml"}), 1);
  EXPECT_EQ(json::parse(out()).at("valid"), false);
  EXPECT_EQ(json::parse(out()).at("diagnostics").at(0).at("severity"), "error");
}

TEST_F(CommandsTest, PrintsAResultForPeopleAndAsJson) {
  testing::RunningServer server(socket_, [](const json::object& request, const AdminServer::Reply& reply) {
    EXPECT_EQ(request.at("client"), "198.51.100.7");
    reply(json::object{{"ok", true}, {"result", json::object{{"count", 8}}}});
  });
  EXPECT_EQ(execute({"flows", "count", "--client", "198.51.100.7", "--socket", socket_}), 0);
  EXPECT_EQ(out(), "8 flows\n");
  EXPECT_EQ(execute({"flows", "count", "--client", "198.51.100.7", "--socket", socket_, "--json"}), 0);
  EXPECT_EQ(out(), "{\n  \"count\": 8\n}\n");
}

TEST_F(CommandsTest, PrintsWarningsOfAReloadToStderr) {
  testing::RunningServer server(socket_, [](const json::object&, const AdminServer::Reply& reply) {
    reply(json::object{{"ok", true},
                       {"result", json::object{{"generation", 8}, {"warnings", {"a.yaml:1:1: warning: w"}}}}});
  });
  EXPECT_EQ(execute({"reload", "--socket", socket_}), 0);
  EXPECT_EQ(out(), "reloaded: generation 8 is in force\n");
  EXPECT_EQ(err(), "a.yaml:1:1: warning: w\n");
}

TEST_F(CommandsTest, SaysSoWhenOutputCannotBeWritten) {
  out_.setstate(std::ios::badbit);
  EXPECT_EQ(execute({"check", "-c", file(valid_file)}), 1);
  EXPECT_THAT(err(), HasSubstr("could not be written"));
}

}  // namespace
}  // namespace steelyard::control::cli
