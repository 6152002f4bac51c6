// Answers of HTTP servers, good and bad, and the verdict on each.
#include "healthcheck/http_answer.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "healthcheck/http_probe.h"

namespace steelyard::healthcheck {
namespace {

using Verdict = HttpAnswer::Verdict;

constexpr StatusClasses usual = StatusClasses{}.allow(2).allow(3);

// The verdict on a whole answer, cut into pieces of `piece` bytes and followed by the end of the connection.
Verdict judge(HttpMethod method, std::string_view answer, std::size_t piece = 100'000) {
  HttpAnswer reader(method, usual);
  for (std::string_view rest = answer; !rest.empty();) {
    const auto part = rest.substr(0, piece);
    if (auto verdict = reader.feed(part))
      return *verdict;
    rest.remove_prefix(part.size());
  }
  return reader.finish();
}

struct Case {
  const char* name;
  HttpMethod method;
  std::string answer;
  Verdict expected;
};

const Case cases[] = {
    {"HEAD with an accepted status",
     HttpMethod::head,
     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
     {true, "HTTP 200"}},
    {"redirect", HttpMethod::head, "HTTP/1.0 302 Found\r\nLocation: /x\r\n\r\n", {true, "HTTP 302"}},
    {"refused status",
     HttpMethod::head,
     "HTTP/1.1 503 Service Unavailable\r\n\r\n",
     {false, "HTTP 503, allowed 2xx 3xx"}},
    {"a HEAD answered with a body all the same",
     HttpMethod::head,
     "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhello, this is more than two",
     {true, "HTTP 200"}},
    {"GET with a length", HttpMethod::get, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", {true, "HTTP 200"}},
    {"GET until the end of the connection", HttpMethod::get, "HTTP/1.0 200 OK\r\n\r\nbody", {true, "HTTP 200"}},
    {"GET in chunks",
     HttpMethod::get,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
     {true, "HTTP 200"}},
    {"GET without a body", HttpMethod::get, "HTTP/1.1 204 No Content\r\n\r\n", {true, "HTTP 204"}},
    {"GET with a body that is cut off",
     HttpMethod::get,
     "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok",
     {false, "closed before the answer was complete"}},
    {"GET with a refused status needs no body",
     HttpMethod::get,
     "HTTP/1.1 404 Not Found\r\nContent-Length: 2000\r\n\r\n",
     {false, "HTTP 404, allowed 2xx 3xx"}},
    {"GET larger than the cap",
     HttpMethod::get,
     "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + std::string(100'000, 'x'),
     {true, "HTTP 200"}},
    {"interim answers before the final one",
     HttpMethod::head,
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
     {true, "HTTP 200"}},
    {"a switch of protocols that nobody asked for",
     HttpMethod::head,
     "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
     {false, "HTTP 101, allowed 2xx 3xx"}},
    {"nothing", HttpMethod::head, "", {false, "closed without an answer"}},
    {"half a head", HttpMethod::head, "HTTP/1.1 200 OK\r\nServer:", {false, "closed before the answer was complete"}},
    {"a head larger than the cap",
     HttpMethod::head,
     "HTTP/1.1 200 OK\r\nX: " + std::string(9'000, 'x') + "\r\n\r\n",
     {false, "HTTP head larger than 8 KB"}},
    {"a status beyond the classes",
     HttpMethod::head,
     "HTTP/1.1 999 What\r\n\r\n",
     {false, "HTTP 999, allowed 2xx 3xx"}},
};

TEST(HttpAnswer, GivesTheVerdictOfTheTableHoweverTheAnswerIsCut) {
  for (const Case& entry : cases) {
    for (const std::size_t piece : {100'000U, 1'000U, 7U, 1U}) {
      const Verdict verdict = judge(entry.method, entry.answer, piece);
      EXPECT_EQ(verdict.success, entry.expected.success) << entry.name << " in pieces of " << piece;
      EXPECT_EQ(verdict.reason, entry.expected.reason) << entry.name << " in pieces of " << piece;
    }
  }
}

TEST(HttpAnswer, RefusesWhatIsNotHttpWithoutRepeatingIt) {
  for (const std::string garbage : {"SSH-2.0-OpenSSH_9.2p1\r\n", "220 mail.example.org ESMTP\r\n",
                                    "HTTP/1.1 abc OK\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n", "\x16\x03\x01\x02",
                                    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                                    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\rX: y\r\n\r\n"}) {
    const Verdict verdict = judge(HttpMethod::get, garbage);
    EXPECT_FALSE(verdict.success) << garbage;
    EXPECT_TRUE(verdict.reason.starts_with("not an HTTP answer: ")) << garbage << " -> " << verdict.reason;
    EXPECT_EQ(verdict.reason.find("mail"), std::string::npos);
  }
}

// llhttp accepts the blank in a field name unless LLHTTP_STRICT_MODE is 1 (RFC 9112 section 5.1 forbids it).
TEST(HttpAnswer, IsParsedInStrictMode) {
  static_assert(LLHTTP_STRICT_MODE == 1);
  const Verdict verdict = judge(HttpMethod::head, "HTTP/1.1 200 OK\r\nX Header: y\r\n\r\n");
  EXPECT_FALSE(verdict.success);
  EXPECT_TRUE(verdict.reason.starts_with("not an HTTP answer: ")) << verdict.reason;
}

TEST(HttpAnswer, TheVerdictIsFinal) {
  HttpAnswer answer(HttpMethod::head, usual);
  const auto first = answer.feed(std::string_view("HTTP/1.1 200 OK\r\n\r\n"));
  ASSERT_TRUE(first);
  EXPECT_EQ(answer.feed(std::string_view("HTTP/1.1 500 No\r\n\r\n")), first);
  EXPECT_EQ(answer.finish(), *first);
}

ProbeSpec http_spec(const char* address, std::uint16_t port) {
  ProbeSpec spec;
  spec.type = ProbeType::http;
  spec.address = boost::asio::ip::make_address(address);
  spec.port = port;
  return spec;
}

TEST(HttpRequest, NamesTheServersAddressUnlessAHostIsGiven) {
  ProbeSpec spec = http_spec("10.0.0.1", 80);
  EXPECT_EQ(http_request(spec),
            "HEAD / HTTP/1.0\r\nHost: 10.0.0.1\r\nUser-Agent: steelyard-health-check\r\nConnection: close\r\n\r\n");
  spec = http_spec("2001:db8::1", 8080);
  spec.method = HttpMethod::get;
  spec.path = "/check?a=1";
  ASSERT_TRUE(http_request(spec));
  EXPECT_TRUE(http_request(spec)->starts_with("GET /check?a=1 HTTP/1.0\r\nHost: [2001:db8::1]:8080\r\n"));
  spec.host = "example.org";
  EXPECT_TRUE(http_request(spec)->starts_with("GET /check?a=1 HTTP/1.0\r\nHost: example.org\r\n"));
}

TEST(HttpRequest, IsNotBuiltFromTextThatCouldForgeAHead) {
  for (const char* path : {"/a b", "/a\r\nX: y", "", "relative", "/\x7f", "/\x80"}) {
    ProbeSpec spec = http_spec("10.0.0.1", 80);
    spec.path = path;
    EXPECT_FALSE(http_request(spec)) << path;
  }
  ProbeSpec spec = http_spec("10.0.0.1", 80);
  spec.host = "a\r\nX: y";
  EXPECT_FALSE(http_request(spec));
}

}  // namespace
}  // namespace steelyard::healthcheck
