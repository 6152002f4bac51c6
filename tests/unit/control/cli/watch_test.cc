#include "control/cli/watch.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <boost/json/parse.hpp>
#include <sstream>

#include "tests/unit/control/admin/running_server.h"
#include "tests/unit/control/temporary_folder.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class WatchTest : public ::testing::Test {
 protected:
  // With no time between the pictures; the process's own time goes on by a second with each reading.
  int watch(std::uint64_t pictures, bool as_json = false) {
    return watch_stats({socket_, as_json, std::chrono::seconds(0), pictures}, {out_, err_, {}});
  }
  // A process that has received 10 packets a second, and restarts before the `restart`-th reading.
  AdminServer::Handler process(int restart = 0) {
    return [this, restart](const json::object& request, const AdminServer::Reply& reply) {
      EXPECT_EQ(request.at("command"), "stats");
      ++readings_;
      const int reading = readings_;
      const bool second = restart != 0 && reading >= restart;
      const int time = second ? reading - restart + 1 : reading;
      json::object worker{{"worker", 0},
                          {"accounting", json::object{{"inputs", json::object{{"received", time * 10}}}}}};
      reply(json::object{{"ok", true},
                         {"result", json::object{{"started", second ? "later" : "first"},
                                                 {"uptime_s", time},
                                                 {"workers", json::array{std::move(worker)}}}}});
    };
  }
  std::vector<json::object> documents() const {
    std::istringstream lines(out_.str());
    std::vector<json::object> all;
    for (std::string line; std::getline(lines, line);) {
      all.push_back(json::parse(line).as_object());
    }
    return all;
  }

  testing::TemporaryFolder folder_;
  const std::string socket_ = folder_ / "admin.sock";
  std::ostringstream out_;
  std::ostringstream err_;
  std::atomic<int> readings_ = 0;
};

TEST_F(WatchTest, ShowsRatesBesideTotals) {
  testing::RunningServer server(socket_, process());
  EXPECT_EQ(watch(1), 0);
  EXPECT_THAT(out_.str(),
              AllOf(HasSubstr("steelyard up 2s  rates of the last 1.0 s\n"),
                    HasSubstr("PACKETS      WORKER 0  /S\nin received        20  10\n"), Not(HasSubstr("\x1b"))));
}

TEST_F(WatchTest, PrintsOneDocumentALineAsJson) {
  testing::RunningServer server(socket_, process());
  EXPECT_EQ(watch(3, true), 0);
  ASSERT_EQ(documents().size(), 3U);
  for (const json::object& document : documents()) {
    EXPECT_EQ(document.at("rates").at("workers").at(0).at("accounting").at("inputs").at("received").as_double(), 10);
  }
}

TEST_F(WatchTest, GoesOnWhenTheProcessWasRestarted) {
  testing::RunningServer server(socket_, process(3));
  EXPECT_EQ(watch(3), 0);
  EXPECT_THAT(out_.str(), HasSubstr("steelyard up 1s  it was restarted"));
  EXPECT_THAT(out_.str(), HasSubstr("steelyard up 2s  rates of the last 1.0 s"));
}

TEST_F(WatchTest, SaysThatTheProcessIsGoneAndGoesOn) {
  testing::RunningServer server(
      socket_, [this, answer = process()](const json::object& request, const AdminServer::Reply& reply) {
        if (readings_ == 1) {
          reply(json::object{{"ok", false}, {"error", "not now"}});
          ++readings_;
        } else {
          answer(request, reply);
        }
      });
  EXPECT_EQ(watch(2), 0);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("not now; asking again\n"), HasSubstr("rates of the last 2.0 s")));
}

TEST_F(WatchTest, NeedsAProcessAtTheFirstReading) {
  EXPECT_EQ(watch(1), 2);
  EXPECT_THAT(err_.str(), HasSubstr("steelyard is not running"));
  EXPECT_EQ(out_.str(), "");
}

TEST_F(WatchTest, EndsWithASignal) {
  sigset_t signals{};
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // so that the server's thread does not take it
  testing::RunningServer server(socket_,
                                [answer = process()](const json::object& request, const AdminServer::Reply& reply) {
                                  ::kill(::getpid(), SIGTERM);
                                  answer(request, reply);
                                });
  EXPECT_EQ(watch_stats({socket_, true, std::chrono::hours(1), std::nullopt}, {out_, err_, {}}), 0);
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  EXPECT_EQ(out_.str(), "");
}

TEST_F(WatchTest, EndsWhenNobodyReadsItAnyMore) {
  testing::RunningServer server(socket_, process());
  out_.setstate(std::ios::badbit);
  EXPECT_EQ(watch(1'000'000), 0);
}

}  // namespace
}  // namespace steelyard::control::cli
