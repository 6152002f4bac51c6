// Real probes against servers of the test on loopback. Timeouts are short because silence can only be waited for.
#include "healthcheck/socket_prober.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "healthcheck/asio_timers.h"
#include "healthcheck/scheduler.h"
#include "tests/unit/healthcheck/fakes.h"
#include "tests/unit/healthcheck/loopback.h"

namespace steelyard::healthcheck {
namespace {

using testing::HttpServer;
using testing::UdpServer;
using namespace std::chrono_literals;
namespace asio = boost::asio;

class SocketProberTest : public ::testing::Test {
 protected:
  ProbeSpec spec(ProbeType type, std::uint16_t port, std::chrono::milliseconds timeout = 2s,
                 const char* address = "127.0.0.1") {
    ProbeSpec made;
    made.type = type;
    made.address = asio::ip::make_address(address);
    made.port = port;
    made.timeout = timeout;
    return made;
  }
  // Makes one probe and runs everything until it is done.
  ProbeResult probe(const ProbeSpec& what) {
    std::optional<ProbeResult> result;
    prober.start(what, [&](ProbeResult done) { result = std::move(done); });
    run_until([&] { return result.has_value(); });
    return result.value_or(ProbeResult{.reason = "the test gave up"});
  }
  template <typename Condition>
  void run_until(Condition condition) {
    const auto deadline = Clock::now() + 10s;
    while (!condition() && Clock::now() < deadline)
      io.run_one_for(100ms);
    EXPECT_TRUE(condition());
  }
  // A port of loopback that nobody listens on.
  std::uint16_t free_port() {
    return asio::ip::tcp::acceptor(io, {asio::ip::make_address("127.0.0.1"), 0}).local_endpoint().port();
  }
  ProbeResult probe_http(HttpServer::Behaviour behaviour, HttpMethod method = HttpMethod::head,
                         std::chrono::milliseconds timeout = 2s) {
    HttpServer server(io, std::move(behaviour));
    ProbeSpec what = spec(ProbeType::http, server.port(), timeout);
    what.method = method;
    return probe(what);
  }

  asio::io_context io;
  AsioTimers timers{io};
  SocketProber prober{io, timers};
};

TEST_F(SocketProberTest, TcpConnectsAndEndsByReset) {
  HttpServer server(io, {});
  const ProbeResult result = probe(spec(ProbeType::tcp, server.port()));
  EXPECT_TRUE(result.success());
  EXPECT_EQ(result.reason, "connected");
  EXPECT_GT(result.duration, 0ns);
  run_until([&] { return bool(server.end()); });
  EXPECT_EQ(server.end(), asio::error::connection_reset);
  EXPECT_EQ(server.request(), "");
  EXPECT_EQ(prober.active(), 0U);
}

TEST_F(SocketProberTest, TcpConnectsOverIpv6) {
  HttpServer server(io, {}, "::1");
  EXPECT_TRUE(probe(spec(ProbeType::tcp, server.port(), 2s, "::1")).success());
}

TEST_F(SocketProberTest, TcpToAClosedPortIsRefused) {
  const ProbeResult result = probe(spec(ProbeType::tcp, free_port()));
  EXPECT_EQ(result.outcome, ProbeOutcome::failure);
  EXPECT_EQ(result.reason, "connection refused");
}

TEST_F(SocketProberTest, TcpToAServerThatDoesNotAnswerTimesOut) {
  // A listener whose accept queue is full drops SYNs.
  asio::ip::tcp::acceptor full(io, {asio::ip::make_address("127.0.0.1"), 0});
  full.listen(0);
  std::vector<asio::ip::tcp::socket> fillers;
  for (int i = 0; i < 4; ++i) {
    fillers.emplace_back(io, asio::ip::tcp::v4());
    fillers.back().native_non_blocking(true);
    const auto server = full.local_endpoint();
    ::connect(fillers.back().native_handle(), server.data(), static_cast<socklen_t>(server.size()));
  }
  const ProbeResult result = probe(spec(ProbeType::tcp, full.local_endpoint().port(), 60ms));
  EXPECT_EQ(result.outcome, ProbeOutcome::failure);
  EXPECT_EQ(result.reason, "timeout after 60 ms");
  EXPECT_GE(result.duration, 60ms);
}

TEST_F(SocketProberTest, TcpUsesTheGivenSourceAddress) {
  HttpServer server(io, {});
  ProbeSpec what = spec(ProbeType::tcp, server.port());
  what.source = asio::ip::make_address("127.0.0.77");
  EXPECT_TRUE(probe(what).success());
  what.source = asio::ip::make_address("192.0.2.77");
  const ProbeResult foreign = probe(what);
  EXPECT_EQ(foreign.outcome, ProbeOutcome::local_error);
  EXPECT_TRUE(foreign.reason.starts_with("cannot probe: bind to source address: ")) << foreign.reason;
}

TEST_F(SocketProberTest, TcpIsBoundToTheGivenInterface) {
  HttpServer server(io, {});
  ProbeSpec what = spec(ProbeType::tcp, server.port());
  what.interface = "lo";
  EXPECT_TRUE(probe(what).success());
}

TEST_F(SocketProberTest, AnInterfaceThatDoesNotExistIsALocalError) {
  ProbeSpec what = spec(ProbeType::tcp, 80);
  what.interface = "sy-name-that-is-too-long";
  EXPECT_EQ(probe(what).outcome, ProbeOutcome::local_error);
  what.interface = "sy-nowhere";
  for (const ProbeType type : {ProbeType::tcp, ProbeType::http, ProbeType::udp}) {
    what.type = type;
    const ProbeResult result = probe(what);
    EXPECT_EQ(result.outcome, ProbeOutcome::local_error);
    EXPECT_TRUE(result.reason.starts_with("cannot probe: bind to interface: ")) << result.reason;
  }
}

TEST_F(SocketProberTest, HttpIsJudgedByItsStatus) {
  const ProbeResult good = probe_http({.answer = "HTTP/1.1 200 OK\r\n\r\n"});
  EXPECT_TRUE(good.success());
  EXPECT_EQ(good.reason, "HTTP 200");
  const ProbeResult bad = probe_http({.answer = "HTTP/1.1 503 Service Unavailable\r\n\r\n"});
  EXPECT_EQ(bad.outcome, ProbeOutcome::failure);
  EXPECT_EQ(bad.reason, "HTTP 503, allowed 2xx 3xx");
}

TEST_F(SocketProberTest, HttpSendsThePlainRequestAndEndsByReset) {
  HttpServer server(io, {.answer = "HTTP/1.1 200 OK\r\n\r\n", .keep_open = true});
  ProbeSpec what = spec(ProbeType::http, server.port());
  what.host = "example.org";
  what.path = "/check";
  EXPECT_TRUE(probe(what).success());
  EXPECT_EQ(server.request(),
            "HEAD /check HTTP/1.0\r\nHost: example.org\r\nUser-Agent: steelyard-health-check\r\n"
            "Connection: close\r\n\r\n");
  run_until([&] { return bool(server.end()); });
  EXPECT_EQ(server.end(), asio::error::connection_reset);
}

TEST_F(SocketProberTest, HttpToAClosedPortIsRefused) {
  EXPECT_EQ(probe(spec(ProbeType::http, free_port())).reason, "connection refused");
}

TEST_F(SocketProberTest, HttpGarbageIsAFailure) {
  const ProbeResult result = probe_http({.answer = "SSH-2.0-nothing\r\n"});
  EXPECT_EQ(result.outcome, ProbeOutcome::failure);
  EXPECT_TRUE(result.reason.starts_with("not an HTTP answer: ")) << result.reason;
}

TEST_F(SocketProberTest, HttpOversizedHeadIsAFailureAndAnOversizedBodyIsNot) {
  const std::string large(100'000, 'x');
  EXPECT_EQ(probe_http({.answer = "HTTP/1.1 200 OK\r\nX: " + large + "\r\n\r\n"}).reason, "HTTP head larger than 8 KB");
  EXPECT_TRUE(probe_http({.answer = "HTTP/1.1 200 OK\r\n\r\n" + large}, HttpMethod::get).success());
}

TEST_F(SocketProberTest, HttpHeadThatComesByteByByteIsRead) {
  EXPECT_TRUE(probe_http({.answer = "HTTP/1.1 200 OK\r\nServer: slow\r\n\r\n", .dribble = true}).success());
}

TEST_F(SocketProberTest, HttpTimeoutSaysHowFarItCame) {
  EXPECT_EQ(probe_http({.answer = "HTTP/1.1 200", .keep_open = true}, HttpMethod::head, 60ms).reason,
            "timeout after 60 ms, connected but without a complete answer");
  EXPECT_EQ(
      probe_http({.answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", .keep_open = true}, HttpMethod::get, 60ms)
          .reason,
      "timeout after 60 ms in the middle of the answer's body");
}

TEST_F(SocketProberTest, HttpConnectionClosedWithoutAnAnswerIsAFailure) {
  EXPECT_EQ(probe_http({.answer = ""}).reason, "closed without an answer");
}

TEST_F(SocketProberTest, UdpSilenceIsHealthy) {
  UdpServer server(io, std::nullopt);
  const ProbeResult result = probe(spec(ProbeType::udp, server.port(), 60ms));
  EXPECT_TRUE(result.success());
  EXPECT_EQ(result.reason, "no ICMP error");
  EXPECT_EQ(server.received(), 1);
  EXPECT_EQ(server.last(), "");
}

TEST_F(SocketProberTest, UdpPortUnreachableIsAFailure) {
  const ProbeResult result = probe(spec(ProbeType::udp, free_port()));
  EXPECT_EQ(result.outcome, ProbeOutcome::failure);
  EXPECT_EQ(result.reason, "ICMP port unreachable");
  EXPECT_LT(result.duration, 1s);
}

TEST_F(SocketProberTest, UdpExpectedTextMustComeBack) {
  UdpServer server(io, "status=ok;load=1");
  ProbeSpec what = spec(ProbeType::udp, server.port());
  what.request = "hello";
  what.expect = "ok";
  const ProbeResult good = probe(what);
  EXPECT_TRUE(good.success());
  EXPECT_EQ(good.reason, "expected answer");
  EXPECT_EQ(server.last(), "hello");
  what.expect = "fine";
  const ProbeResult bad = probe(what);
  EXPECT_EQ(bad.outcome, ProbeOutcome::failure);
  EXPECT_EQ(bad.reason, "the answer lacks the expected text");
}

TEST_F(SocketProberTest, UdpSilenceIsAFailureWhenAnAnswerIsExpected) {
  UdpServer server(io, std::nullopt);
  ProbeSpec what = spec(ProbeType::udp, server.port(), 60ms);
  what.expect = "ok";
  EXPECT_EQ(probe(what).reason, "timeout after 60 ms without an answer");
}

TEST_F(SocketProberTest, UdpAnyAnswerEndsTheProbeWhenNoneIsExpected) {
  UdpServer server(io, "whatever");
  const ProbeResult result = probe(spec(ProbeType::udp, server.port()));
  EXPECT_TRUE(result.success());
  EXPECT_LT(result.duration, 1s);
}

TEST_F(SocketProberTest, ACancelledProbeStaysSilentAndItsHandleIsSpent) {
  UdpServer server(io, std::nullopt);
  const ProbeSpec what = spec(ProbeType::udp, server.port(), 30ms);
  bool told = false;
  const ProbeHandle handle = prober.start(what, [&](const ProbeResult&) { told = true; });
  EXPECT_EQ(prober.active(), 1U);
  prober.cancel(handle);
  EXPECT_EQ(prober.active(), 0U);
  bool second = false;
  prober.start(what, [&](const ProbeResult&) { second = true; });
  prober.cancel(handle);  // the slot serves another probe by now
  run_until([&] { return second; });
  EXPECT_FALSE(told);
}

TEST_F(SocketProberTest, RunningOutOfDescriptorsIsALocalError) {
  HttpServer server(io, {});
  const ProbeSpec what = spec(ProbeType::tcp, server.port());
  EXPECT_TRUE(probe(what).success());
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  rlimit low = old;
  low.rlim_cur = 3;
  std::optional<ProbeResult> told;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  prober.start(what, [&](ProbeResult done) { told = std::move(done); });
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);  // soon: sanitizers need descriptors of their own
  EXPECT_FALSE(told) << "never from inside start()";
  run_until([&] { return told.has_value(); });
  const ProbeResult result = told.value_or(ProbeResult{});
  EXPECT_EQ(result.outcome, ProbeOutcome::local_error);
  EXPECT_TRUE(result.reason.starts_with("cannot probe: socket: ")) << result.reason;
  EXPECT_TRUE(probe(what).success()) << "and it passes";
}

TEST_F(SocketProberTest, HundredsOfProbesAtOnceAreAllAnswered) {
  HttpServer server(io, {});
  const ProbeSpec open = spec(ProbeType::tcp, server.port());
  const ProbeSpec closed = spec(ProbeType::tcp, free_port());
  int good = 0;
  int bad = 0;
  for (int i = 0; i < 300; ++i) {
    prober.start(open, [&](const ProbeResult& result) { good += result.success() ? 1 : 0; });
    prober.start(closed, [&](const ProbeResult& result) { bad += result.success() ? 0 : 1; });
  }
  run_until([&] { return good + bad == 600; });
  EXPECT_EQ(good, 300);
  EXPECT_EQ(bad, 300);
}

TEST_F(SocketProberTest, AnAnswerThatCameInTimeCountsEvenWhenTheThreadLooksTooLate) {
  asio::ip::tcp::acceptor listener(io, {asio::ip::make_address("127.0.0.1"), 0});
  testing::ManualTimers clock;
  SocketProber late(io, clock);
  std::optional<ProbeResult> result;
  const ProbeSpec what = spec(ProbeType::tcp, listener.local_endpoint().port(), 50ms);
  late.start(what, [&](ProbeResult done) { result = std::move(done); });
  clock.pass(1h);  // nobody has looked at the socket meanwhile
  ASSERT_TRUE(result);
  EXPECT_EQ(result->reason, "connected");
}

TEST_F(SocketProberTest, PartsMayGoWhileHandlersAreQueued) {
  auto other_timers = std::make_unique<AsioTimers>(io);
  auto other = std::make_unique<SocketProber>(io, *other_timers);
  HttpServer server(io, {});
  const ProbeSpec what = spec(ProbeType::tcp, server.port(), 10ms);
  other->start(what, [](const ProbeResult&) { ADD_FAILURE() << "told after its prober was gone"; });
  other.reset();
  other_timers.reset();
  io.run_for(50ms);
}

TEST_F(SocketProberTest, ACheckerOnRealSocketsSeesAServerGoAndComeBack) {
  auto server = std::make_unique<HttpServer>(io, HttpServer::Behaviour{});
  const std::uint16_t port = server->port();
  std::vector<Status> changes;
  Checker checker(prober, timers, {}, 1,
                  [&](TargetId, const TargetStatus& status) { changes.push_back(status.status); });
  Target target{.id = {1}, .probe = spec(ProbeType::tcp, port), .thresholds = {.healthy = 2, .unhealthy = 2}};
  target.probe.interval = 20ms;
  checker.set_targets({target});
  run_until([&] { return checker.status({1})->proven; });
  EXPECT_TRUE(checker.is_up({1}));
  server.reset();
  run_until([&] { return changes.size() == 1; });
  EXPECT_FALSE(checker.is_up({1}));
  EXPECT_EQ(checker.status({1})->last->reason, "connection refused");
  asio::ip::tcp::acceptor again(io, {asio::ip::make_address("127.0.0.1"), port});
  run_until([&] { return changes.size() == 2; });
  EXPECT_TRUE(checker.is_up({1}));
}

}  // namespace
}  // namespace steelyard::healthcheck
