#include "control/admin/admin_client.h"

#include <gmock/gmock.h>
#include <sys/socket.h>

#include <boost/json/parse.hpp>
#include <thread>

#include "control/admin/file_descriptor.h"
#include "control/admin/unix_address.h"
#include "tests/unit/control/admin/running_server.h"
#include "tests/unit/control/temporary_folder.h"

namespace steelyard::control {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::RunningServer;
using Kind = AdminError::Kind;

class AdminClientTest : public ::testing::Test {
 protected:
  [[nodiscard]] AdminError error_of(milliseconds timeout = std::chrono::seconds(20)) const {
    const auto result = AdminClient(path_, timeout).call({{"command", "status"}});
    return result ? AdminError{Kind::refused, "there was no error"} : result.error();
  }
  FileDescriptor listener(int backlog) const {
    const auto address = unix_address(path_);
    FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(socket.get(), generic(*address), sizeof *address), 0);
    EXPECT_EQ(::listen(socket.get(), backlog), 0);
    return socket;
  }

  testing::TemporaryFolder folder_;
  const std::string path_ = folder_ / "admin.sock";
};

TEST_F(AdminClientTest, GivesTheResultOfTheAnswer) {
  RunningServer server(path_, [](json::object request, const AdminServer::Reply& reply) {
    reply(json::object{{"ok", true}, {"result", request["command"]}});
  });
  EXPECT_EQ(AdminClient(path_).call({{"command", "status"}}).value(), "status");
}

TEST_F(AdminClientTest, GivesTheProcessesRefusal) {
  RunningServer server(path_, [](const json::object&, const AdminServer::Reply& reply) {
    reply(json::object{{"ok", false}, {"error", "first line\nsecond line"}});
  });
  const AdminError error = error_of();
  EXPECT_EQ(error.kind, Kind::refused);
  EXPECT_EQ(error.message, "first line\nsecond line");
}

TEST_F(AdminClientTest, ReadsAnAnswerOfMegabytes) {
  RunningServer server(path_, [](const json::object&, const AdminServer::Reply& reply) {
    reply(json::object{{"ok", true}, {"result", json::array(300'000, json::value("0123456789"))}});
  });
  EXPECT_EQ(AdminClient(path_).call({}).value().as_array().size(), 300'000U);
}

TEST_F(AdminClientTest, SaysHowToStartAProcessThatDoesNotRun) {
  const AdminError error = error_of();
  EXPECT_EQ(error.kind, Kind::unreachable);
  EXPECT_EQ(error.message,
            "steelyard is not running: no socket at " + path_ + "; start it with `steelyard run -c FILE`");
}

TEST_F(AdminClientTest, SaysSoWhenOnlyTheSocketOfADeadProcessIsLeft) {
  { const FileDescriptor dead = listener(1); }
  EXPECT_THAT(error_of().message, AllOf(HasSubstr("not running"), HasSubstr(path_), HasSubstr("steelyard run -c")));
}

TEST_F(AdminClientTest, SaysSoWhenNoAnswerComesInTime) {
  const FileDescriptor silent = listener(8);
  const AdminError error = error_of(milliseconds(30));
  EXPECT_EQ(error.kind, Kind::unreachable);
  EXPECT_THAT(error.message, HasSubstr("did not answer within"));
}

TEST_F(AdminClientTest, DoesNotWaitForeverForAProcessThatTakesNoConnections) {
  const FileDescriptor full = listener(0);
  const testing::RawClient first(path_);
  EXPECT_THAT(error_of(milliseconds(30)).message, HasSubstr("takes no connections"));
}

TEST_F(AdminClientTest, SaysSoWhenTheConnectionEndsWithoutAnAnswer) {
  const FileDescriptor listening = listener(8);
  std::thread closer([&listening] { ::close(::accept(listening.get(), nullptr, nullptr)); });
  EXPECT_THAT(error_of().message, HasSubstr("closed the connection without a complete answer"));
  closer.join();
}

TEST_F(AdminClientTest, DoesNotTrustAnAnswerThatIsNotOfTheProtocol) {
  for (const char* answer : {"{}", "[]", "7", "{\"ok\":1}"}) {
    RunningServer server(
        path_, [answer](const json::object&, const AdminServer::Reply& reply) { reply(json::parse(answer)); });
    EXPECT_THAT(error_of().message, HasSubstr("the answer is not steelyard's")) << answer;
  }
}

TEST_F(AdminClientTest, ReadsTheWordsOfAServerThatIsFull) {
  RunningServer server(path_, [](const json::object&, const AdminServer::Reply& reply) { reply(nullptr); },
                       {.connections = 0});
  EXPECT_THAT(error_of().message, HasSubstr("too many connections"));
}

}  // namespace
}  // namespace steelyard::control
