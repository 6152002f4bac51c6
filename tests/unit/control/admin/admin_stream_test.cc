// Streams of lines over the admin socket, from both ends.
#include "control/admin/admin_stream.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/json/serialize.hpp>
#include <functional>
#include <vector>

#include "control/admin/admin_client.h"
#include "tests/unit/control/admin/running_server.h"
#include "tests/unit/control/temporary_folder.h"

namespace steelyard::control {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;
using testing::RawClient;
using testing::RunningServer;

// What the streams of a test have come to; outlives them.
struct Story {
  std::atomic<int> open = 0;
  std::atomic<int> stopped = 0;
};

// Numbers from 1 on, every second time nothing; after `last`, or when stopped, an end.
class Numbers final : public AdminStream {
 public:
  Numbers(Story& story, int last) : story_(story), last_(last) { ++story_.open; }
  ~Numbers() override { --story_.open; }

  std::optional<json::value> next() override {
    if (over_ || (silent_ = !silent_)) {
      return std::nullopt;
    }
    if (stopped_ || number_ == last_) {
      over_ = true;
      return json::object{{"end", number_}};
    }
    return json::object{{"number", ++number_}};
  }
  bool ended() const override { return over_; }
  void stop() override {
    stopped_ = true;
    ++story_.stopped;
  }

 private:
  Story& story_;
  int last_;
  int number_ = 0;
  bool silent_ = false;
  bool stopped_ = false;
  bool over_ = false;
};

class AdminStreamTest : public ::testing::Test {
 protected:
  AdminServer::Handler numbers(int last) {
    return [this, last](const json::object&, const AdminServer::Reply& reply) {
      reply.stream(json::object{{"ok", true}, {"result", "numbers"}}, std::make_unique<Numbers>(story_, last));
    };
  }
  static AdminLimits limits() {
    AdminLimits some;
    some.stream_pause = std::chrono::milliseconds(1);
    return some;
  }
  // Waits for what the server's thread does in its own time.
  static void until(const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!holds() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_TRUE(holds());
  }

  testing::TemporaryFolder folder_;
  const std::string path_ = folder_ / "admin.sock";
  Story story_;
};

TEST_F(AdminStreamTest, LinesFollowTheAnswerUntilTheEnd) {
  RunningServer server(path_, numbers(3), limits());
  RawClient client(path_);
  ASSERT_TRUE(client.send("{}\n"));
  EXPECT_EQ(client.line(), R"({"ok":true,"result":"numbers"})");
  EXPECT_EQ(client.line(), R"({"number":1})");
  EXPECT_EQ(client.line(), R"({"number":2})");
  EXPECT_EQ(client.line(), R"({"number":3})");
  EXPECT_EQ(client.line(), R"({"end":3})");
  EXPECT_EQ(client.line(), "<closed>");
  until([this] { return story_.open == 0; });
}

TEST_F(AdminStreamTest, AClientThatClosesItsSideStillGetsTheEnd) {
  RunningServer server(path_, numbers(1'000'000'000), limits());
  RawClient client(path_);
  ASSERT_TRUE(client.send("{}\n"));
  EXPECT_EQ(client.line(), R"({"ok":true,"result":"numbers"})");
  EXPECT_EQ(client.line(), R"({"number":1})");
  client.end_of_requests();
  std::string line = client.line();
  while (line.starts_with(R"({"number")")) {
    line = client.line();
  }
  EXPECT_THAT(line, HasSubstr(R"("end")"));
  EXPECT_EQ(client.line(), "<closed>");
  EXPECT_EQ(story_.stopped, 1);
}

TEST_F(AdminStreamTest, AStreamEndsWithItsClient) {
  RunningServer server(path_, numbers(1'000'000'000), limits());
  {
    RawClient client(path_);
    ASSERT_TRUE(client.send("{}\n"));
    EXPECT_EQ(client.line(), R"({"ok":true,"result":"numbers"})");
    EXPECT_EQ(story_.open, 1);
  }
  until([this] { return story_.open == 0; });
  until([&server] { return server.connections() == 0; });
}

TEST_F(AdminStreamTest, AStreamEndsWithTheServer) {
  RunningServer server(path_, numbers(1'000'000'000), limits());
  RawClient client(path_);
  ASSERT_TRUE(client.send("{}\n"));
  EXPECT_EQ(client.line(), R"({"ok":true,"result":"numbers"})");
  server.destroy_server();
  EXPECT_EQ(story_.open, 0);
}

TEST_F(AdminStreamTest, AStreamWhoseClientHasGoneBeforeIsNotKept) {
  AdminServer::Reply kept;
  RunningServer server(
      path_, [&kept](const json::object&, const AdminServer::Reply& reply) { kept = reply; }, limits());
  {
    RawClient client(path_);
    ASSERT_TRUE(client.send("{}\n"));
    until([&] { return server.on_thread([&kept] { return static_cast<bool>(kept); }); });
  }
  server.destroy_server();
  server.on_thread([&] { kept.stream(json::object{}, std::make_unique<Numbers>(story_, 1)); });
  EXPECT_EQ(story_.open, 0);
}

TEST_F(AdminStreamTest, TheClientTakesLinesUntilTheEndOrUntilItHasEnough) {
  RunningServer server(path_, numbers(3), limits());
  std::vector<std::string> lines;
  const auto result = AdminClient(path_).stream({}, [&lines](const json::object& line) {
    lines.push_back(json::serialize(line));
    return true;
  });
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(*result, "numbers");
  EXPECT_THAT(lines, ::testing::ElementsAre(R"({"number":1})", R"({"number":2})", R"({"number":3})", R"({"end":3})"));
  int taken = 0;
  EXPECT_TRUE(AdminClient(path_).stream({}, [&taken](const json::object&) { return ++taken < 2; }));
  EXPECT_EQ(taken, 2);
}

TEST_F(AdminStreamTest, AnInterruptedClientStillTakesTheEnd) {
  RunningServer server(path_, numbers(1'000'000'000), limits());
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const FileDescriptor interrupt(pipe[0]);
  const FileDescriptor wake(pipe[1]);
  bool ended = false;
  const auto result =
      AdminClient(path_, std::chrono::seconds(20), interrupt.get()).stream({}, [&](const json::object& line) {
        if (line.contains("number") && line.at("number") == 2) {
          EXPECT_EQ(::write(wake.get(), "x", 1), 1);
        }
        ended = ended || line.contains("end");
        return true;
      });
  EXPECT_TRUE(result);
  EXPECT_TRUE(ended);
}

TEST_F(AdminStreamTest, ARefusalIsNoStream) {
  RunningServer server(path_, [](const json::object&, const AdminServer::Reply& reply) {
    reply(json::object{{"ok", false}, {"error", "not today"}});
  });
  const auto result = AdminClient(path_).stream({}, [](const json::object&) { return true; });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "not today");
}

}  // namespace
}  // namespace steelyard::control
