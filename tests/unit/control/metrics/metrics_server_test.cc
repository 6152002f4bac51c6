#include "control/metrics/metrics_server.h"

#include <gmock/gmock.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <stdexcept>
#include <vector>

namespace steelyard::control {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Both ends on one io_context, turned by the test: no thread but its own.
class MetricsServerTest : public ::testing::Test {
 protected:
  struct Client {
    explicit Client(asio::io_context& io) : socket(io) {}
    asio::ip::tcp::socket socket;
    std::string request;
    std::string answer;
    bool ended = false;
  };

  void serve(MetricsServer::Text text, MetricsLimits limits = {}) {
    server_ = std::make_unique<MetricsServer>(io_, "127.0.0.1", 0, std::move(text), limits);
  }
  std::unique_ptr<Client> start(std::string request) {
    auto client = std::make_unique<Client>(io_);
    client->request = std::move(request);
    client->socket.connect({asio::ip::make_address("127.0.0.1"), server_->port()});
    asio::async_write(client->socket, asio::buffer(client->request), [](auto, auto) {});
    asio::async_read(client->socket, asio::dynamic_buffer(client->answer),
                     [raw = client.get()](auto, auto) { raw->ended = true; });
    return client;
  }
  void finish(const Client& client) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!client.ended && std::chrono::steady_clock::now() < limit) {
      io_.run_one_for(milliseconds(100));
    }
    EXPECT_TRUE(client.ended);
  }
  std::string ask(std::string request) {
    const auto client = start(std::move(request));
    finish(*client);
    return client->answer;
  }

  asio::io_context io_{1};
  std::unique_ptr<MetricsServer> server_;
};

TEST_F(MetricsServerTest, ServesTheTextAsPrometheusExpectsIt) {
  int calls = 0;
  serve([&calls] { return "up " + std::to_string(++calls) + "\n"; });
  EXPECT_THAT(
      ask("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
      AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Type: text/plain; version=0.0.4"),
            HasSubstr("Content-Length: 5\r\n"), HasSubstr("Connection: close\r\n"), EndsWith("\r\n\r\nup 1\n")));
  EXPECT_THAT(ask("GET /metrics?name=x HTTP/1.0\r\n\r\n"), EndsWith("up 2\n"));
}

TEST_F(MetricsServerTest, ServesALargeText) {
  serve([] { return std::string(10'000'000, 'x'); });
  EXPECT_GT(ask("GET /metrics HTTP/1.1\r\n\r\n").size(), 10'000'000U);
}

TEST_F(MetricsServerTest, HasNothingElse) {
  serve([] { return "secret"; });
  for (const char* path : {"/", "/metrics/", "/metricsx", "/../metrics", "http://a/metrics", "*"}) {
    EXPECT_THAT(ask("GET " + std::string(path) + " HTTP/1.1\r\n\r\n"),
                AllOf(StartsWith("HTTP/1.1 404 "), ::testing::Not(HasSubstr("secret"))))
        << path;
  }
}

TEST_F(MetricsServerTest, AllowsOnlyGet) {
  serve([] { return "secret"; });
  for (const char* method : {"POST", "PUT", "DELETE", "HEAD", "BREW"}) {
    EXPECT_THAT(ask(std::string(method) + " /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
                AllOf(StartsWith("HTTP/1.1 405 "), HasSubstr("Allow: GET\r\n"), ::testing::Not(HasSubstr("secret"))))
        << method;
  }
}

TEST_F(MetricsServerTest, RefusesWhatIsNoRequest) {
  serve([] { return ""; });
  EXPECT_THAT(ask("hello\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask(std::string("\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 11)), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask("GET /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"), StartsWith("HTTP/1.1 400 "));
}

TEST_F(MetricsServerTest, RefusesALargeHeader) {
  serve([] { return ""; });
  const std::string field = "X: " + std::string(100, 'x') + "\r\n";
  std::string request = "GET /metrics HTTP/1.1\r\n";
  while (request.size() < 20'000) {
    request += field;
  }
  EXPECT_THAT(ask(request + "\r\n"), StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(ask(std::string(20'000, 'G')), StartsWith("HTTP/1.1 4"));
}

TEST_F(MetricsServerTest, AnswersAnErrorWhenTheTextCannotBeMade) {
  serve([]() -> std::string { throw std::runtime_error("ouch"); });
  EXPECT_THAT(ask("GET /metrics HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 500 "));
}

TEST_F(MetricsServerTest, ClosesAConnectionWithoutACompleteRequest) {
  serve([] { return ""; }, {.timeout = milliseconds(20)});
  EXPECT_EQ(ask("GET /metrics HTT"), "");
  EXPECT_EQ(ask(""), "");
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(MetricsServerTest, ClosesConnectionsBeyondTheLimitAndServesAgainWhenOneEnds) {
  serve([] { return "up 1\n"; });
  std::vector<std::unique_ptr<Client>> held;
  for (int count = 0; count < 16; ++count) {
    held.push_back(start("GET "));
  }
  EXPECT_EQ(ask("GET /metrics HTTP/1.1\r\n\r\n"), "");
  EXPECT_EQ(server_->connections(), 16U);
  held.front()->socket.shutdown(asio::ip::tcp::socket::shutdown_send);
  finish(*held.front());
  EXPECT_THAT(ask("GET /metrics HTTP/1.1\r\n\r\n"), EndsWith("up 1\n"));
}

TEST_F(MetricsServerTest, ClosesItsConnectionsAtItsEnd) {
  serve([] { return ""; });
  const auto client = start("GET ");
  while (server_->connections() == 0) {
    io_.run_one();
  }
  server_.reset();
  finish(*client);
  EXPECT_EQ(client->answer, "");
}

TEST_F(MetricsServerTest, SaysWhyItCannotListen) {
  serve([] { return ""; });
  try {
    const MetricsServer second(io_, "127.0.0.1", server_->port(), [] { return ""; });
    FAIL() << "two servers on one port";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("metrics: cannot listen on 127.0.0.1 port"), HasSubstr("in use")));
  }
  EXPECT_THROW(MetricsServer(io_, "nowhere", 1, [] { return ""; }), std::runtime_error);
}

}  // namespace
}  // namespace steelyard::control
