#include "control/admin/admin_server.h"

#include <gmock/gmock.h>

#include <boost/json/array.hpp>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/unit/control/admin/running_server.h"
#include "tests/unit/control/temporary_folder.h"

namespace steelyard::control {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using testing::RawClient;
using testing::RunningServer;

// Answers with the request itself.
void echo(json::object request, const AdminServer::Reply& reply) {
  reply(json::object{{"ok", true}, {"result", std::move(request)}});
}

std::string echoed(const std::string& request) {
  return R"({"ok":true,"result":)" + request + '}';
}

class AdminServerTest : public ::testing::Test {
 protected:
  testing::TemporaryFolder folder_;
  const std::string path_ = folder_ / "admin.sock";
};

TEST_F(AdminServerTest, AnswersALineWithALine) {
  RunningServer server(path_, echo);
  RawClient client(path_);
  ASSERT_TRUE(client.send("{\"command\":\"status\"}\n"));
  EXPECT_EQ(client.line(), echoed(R"({"command":"status"})"));
}

TEST_F(AdminServerTest, AnswersSeveralRequestsOfOneConnectionInOrder) {
  RunningServer server(path_, echo);
  RawClient client(path_);
  ASSERT_TRUE(client.send("{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n"));
  for (const char* request : {R"({"n":1})", R"({"n":2})", R"({"n":3})"}) {
    EXPECT_EQ(client.line(), echoed(request));
  }
}

TEST_F(AdminServerTest, PutsFragmentsOfARequestTogether) {
  RunningServer server(path_, echo);
  RawClient client(path_);
  for (const char character : std::string("{\"command\":\"status\"}\n")) {
    ASSERT_TRUE(client.send({&character, 1}));
  }
  EXPECT_EQ(client.line(), echoed(R"({"command":"status"})"));
}

TEST_F(AdminServerTest, AnswersAClientThatHasEndedItsSide) {
  RunningServer server(path_, echo);
  RawClient client(path_);
  ASSERT_TRUE(client.send("{}\n"));
  client.end_of_requests();
  EXPECT_EQ(client.line(), echoed("{}"));
  EXPECT_EQ(client.line(), "<closed>");
}

TEST_F(AdminServerTest, AnswersMalformedRequestsAndGoesOn) {
  RunningServer server(path_, echo);
  RawClient client(path_);
  ASSERT_TRUE(client.send("status\n[]\n{}\n"));
  EXPECT_THAT(client.line(), HasSubstr(R"("ok":false,"error":"the request is not JSON)"));
  EXPECT_THAT(client.line(), HasSubstr(R"("ok":false,"error":"the request is not a JSON object)"));
  EXPECT_EQ(client.line(), echoed("{}"));
}

TEST_F(AdminServerTest, TakesARequestOf64KiBAndRefusesALongerOne) {
  RunningServer server(path_, echo);
  RawClient client(path_);
  const std::string longest = "{\"a\":\"" + std::string(64 * 1024 - 8, 'x') + "\"}";
  ASSERT_EQ(longest.size(), 64U * 1024);
  ASSERT_TRUE(client.send(longest + '\n'));
  EXPECT_EQ(client.line(), echoed(longest));
  ASSERT_TRUE(client.send(std::string(64 * 1024 + 1, 'x')));
  EXPECT_THAT(client.line(), HasSubstr("longer than 65536 bytes"));
  EXPECT_EQ(client.line(), "<closed>");
}

TEST_F(AdminServerTest, SendsAnswersOfManyPieces) {
  RunningServer server(path_, [](const json::object&, const AdminServer::Reply& reply) {
    reply(json::array(200'000, json::value("0123456789")));
  });
  RawClient client(path_);
  ASSERT_TRUE(client.send("{}\n{}\n"));
  EXPECT_EQ(client.line().size(), 200'000U * 13 + 1);
  EXPECT_EQ(client.line().size(), 200'000U * 13 + 1);
}

TEST_F(AdminServerTest, ServesOthersWhileAClientDoesNotReadItsAnswer) {
  RunningServer server(path_, [](const json::object&, const AdminServer::Reply& reply) {
    reply(json::array(200'000, json::value("0123456789")));
  });
  RawClient lazy(path_);
  ASSERT_TRUE(lazy.send("{}\n"));
  RawClient client(path_);
  ASSERT_TRUE(client.send("{}\n"));
  EXPECT_EQ(client.line().size(), 200'000U * 13 + 1);
}

TEST_F(AdminServerTest, ServesOthersWhileARequestWaitsForItsReply) {
  AdminServer::Reply kept;
  RunningServer server(path_, [&kept](const json::object& request, const AdminServer::Reply& reply) {
    if (request.contains("later")) {
      kept = reply;
    } else {
      reply("now");
    }
  });
  RawClient waiting(path_);
  ASSERT_TRUE(waiting.send("{\"later\":1}\n{}\n"));
  RawClient client(path_);
  ASSERT_TRUE(client.send("{}\n"));
  EXPECT_EQ(client.line(), "\"now\"");
  server.on_thread([&kept] {
    kept("later");
    kept("twice");
  });
  EXPECT_EQ(waiting.line(), "\"later\"");
  EXPECT_EQ(waiting.line(), "\"now\"") << "the second reply to the first request counts for nothing";
}

TEST_F(AdminServerTest, TellsTheClientWhenTheHandlerThrows) {
  RunningServer server(path_, [](const json::object&, const AdminServer::Reply&) { throw std::runtime_error("ouch"); });
  RawClient client(path_);
  ASSERT_TRUE(client.send("{}\n"));
  EXPECT_EQ(client.line(), R"({"ok":false,"error":"internal error: ouch"})");
}

TEST_F(AdminServerTest, TellsTheClientWhenNoReplyComes) {
  AdminServer::Reply kept;
  RunningServer server(path_, [&kept](const json::object&, const AdminServer::Reply& reply) { kept = reply; },
                       {.answer = milliseconds(20)});
  RawClient client(path_);
  ASSERT_TRUE(client.send("{}\n"));
  EXPECT_THAT(client.line(), HasSubstr("no answer in time"));
  EXPECT_EQ(client.line(), "<closed>");
  server.on_thread([&kept] { kept("late"); });
}

TEST_F(AdminServerTest, ClosesAConnectionWithoutACompleteRequest) {
  RunningServer server(path_, echo, {.idle = milliseconds(20)});
  RawClient silent(path_);
  RawClient slow(path_);
  ASSERT_TRUE(slow.send("{"));
  EXPECT_EQ(silent.line(), "<closed>");
  EXPECT_EQ(slow.line(), "<closed>");
  EXPECT_EQ(server.connections(), 0U);
}

TEST_F(AdminServerTest, RefusesConnectionsBeyondTheLimitAndTakesNewOnesWhenOldOnesGo) {
  RunningServer server(path_, echo);
  std::vector<RawClient> clients;
  for (int count = 0; count < 32; ++count) {
    clients.emplace_back(path_);
    ASSERT_TRUE(clients.back().send("{}\n"));
    ASSERT_EQ(clients.back().line(), echoed("{}"));
  }
  EXPECT_EQ(server.connections(), 32U);
  RawClient surplus(path_);
  EXPECT_THAT(surplus.line(), HasSubstr("too many connections"));
  EXPECT_EQ(surplus.line(), "<closed>");
  clients.front().end_of_requests();
  EXPECT_EQ(clients.front().line(), "<closed>");
  RawClient next(path_);
  ASSERT_TRUE(next.send("{}\n"));
  EXPECT_EQ(next.line(), echoed("{}"));
}

TEST_F(AdminServerTest, ReliesOnNothingOfAClientThatGoesBeforeItsReply) {
  AdminServer::Reply kept;
  RunningServer server(path_, [&kept](const json::object& request, const AdminServer::Reply& reply) {
    if (request.contains("later")) {
      kept = reply;
    } else {
      reply("now");
    }
  });
  {
    RawClient gone(path_);
    ASSERT_TRUE(gone.send("{\"later\":1}\n"));
    RawClient client(path_);
    ASSERT_TRUE(client.send("{}\n"));
    EXPECT_EQ(client.line(), "\"now\"");
  }
  server.on_thread([&kept] { kept("nobody listens"); });
  RawClient client(path_);
  ASSERT_TRUE(client.send("{}\n"));
  EXPECT_EQ(client.line(), "\"now\"");
}

TEST_F(AdminServerTest, ClosesConnectionsAndRemovesTheSocketAtItsEndAndIgnoresLaterReplies) {
  AdminServer::Reply kept;
  RunningServer server(path_, [&kept](const json::object&, const AdminServer::Reply& reply) { kept = reply; });
  RawClient client(path_);
  ASSERT_TRUE(client.send("{}\n"));
  while (server.on_thread([&kept] { return !kept; })) {
    std::this_thread::yield();
  }
  server.destroy_server();
  EXPECT_EQ(client.line(), "<closed>");
  server.on_thread([&kept] { kept("too late"); });
  EXPECT_FALSE(RawClient(path_).connected());
}

}  // namespace
}  // namespace steelyard::control
