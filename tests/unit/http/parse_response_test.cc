// Servers' answers: how their bodies end, and the same strictness as with requests; a server is not trusted either.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/http/hostile.h"
#include "tests/unit/http/messages.h"

namespace steelyard::http {
namespace {

using namespace std::literals;

std::string status_with(int status, std::string_view fields) {
  return "HTTP/1.1 " + std::to_string(status) + " Reason\r\n" + std::string(fields) + "\r\n";
}

TEST(ParseResponse, AnAnswerIsReadAsItIs) {
  const auto parsed = response(ok_with("Server: nginx\r\nContent-Length: 12\r\nSet-Cookie: a=b\r\nX: \xe4\r\n"));
  ASSERT_TRUE(parsed.taken()) << parsed.fault();
  EXPECT_EQ(parsed.head->status, 200);
  EXPECT_EQ(parsed.head->reason, "OK");
  EXPECT_EQ(parsed.head->framing.kind, BodyKind::length);
  EXPECT_EQ(parsed.head->framing.length, 12U);
  EXPECT_TRUE(parsed.head->keep_alive);
  EXPECT_EQ(parsed.head->tier, Tier::compliant);
  EXPECT_FALSE(parsed.head->announced_length.has_value());
  EXPECT_EQ(parsed.head->fields.size(), 4U);
  EXPECT_EQ(parsed.value_of("x"), "\xe4");
}

TEST(ParseResponse, ReasonsAreAnyTextOrNone) {
  EXPECT_EQ(response("HTTP/1.1 404 Not  Found\t\xe4\r\nContent-Length: 0\r\n\r\n").head->reason, "Not  Found\t\xe4");
  EXPECT_EQ(response("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n").head->tier, Tier::compliant);
  const auto without_blank = response("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(without_blank.taken()) << without_blank.fault();
  EXPECT_EQ(without_blank.head->tier, Tier::acceptable);
  EXPECT_EQ(without_blank.head->reason, "");
}

TEST(ParseResponse, StatusesFrom100To599AreTaken) {
  for (int status = 100; status < 600; ++status) {
    const auto parsed = response(status_with(status, ""));
    ASSERT_TRUE(parsed.taken()) << status << parsed.fault();
    EXPECT_EQ(parsed.head->status, status);
    EXPECT_EQ(parsed.head->is_interim(), status < 200 && status != 101) << status;
  }
}

TEST(ParseResponse, MalformedStatusLinesAreRefused) {
  for (const std::string_view line :
       {"HTTP/1.1 099 X"sv,  "HTTP/1.1 000 X"sv,    "HTTP/1.1 600 X"sv,     "HTTP/1.1 999 X"sv,  "HTTP/1.1 20 X"sv,
        "HTTP/1.1 2000 X"sv, "HTTP/1.1 2x0 X"sv,    "HTTP/1.1 -20 X"sv,     "HTTP/1.1  200 X"sv, "HTTP/1.1 200\tX"sv,
        "HTTP/1.1 200X"sv,   "HTTP/1.1"sv,          "HTTP/1.1 "sv,          "HTTP/2.0 200 X"sv,  "HTTP/1.2 200 X"sv,
        "HTTP/0.9 200 X"sv,  "HTTP/1.10 200 X"sv,   "http/1.1 200 X"sv,     "ICY 200 OK"sv,      "200 OK"sv,
        " HTTP/1.1 200 X"sv, "HTTP/1.1 200 a\0b"sv, "HTTP/1.1 200 a\x1b"sv, "<html>"sv,          ""sv}) {
    const auto parsed = response(std::string(line) + "\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(parsed.status(), 502) << line;
    EXPECT_EQ(parsed.refusal->cause, Cause::bad_answer);
  }
}

TEST(ParseResponse, FramingFollowsMethodAndStatus) {
  struct Case {
    const char* what;
    Method method;
    int status;
    std::string_view fields;
    BodyKind kind;
    Tier tier;
  };
  constexpr std::string_view length = "Content-Length: 7\r\n";
  constexpr std::string_view no_length = "Content-Length: 0\r\n";
  constexpr std::string_view chunked = "Transfer-Encoding: chunked\r\n";
  for (const Case& one : {
           Case{"length", Method::get, 200, length, BodyKind::length, Tier::compliant},
           Case{"chunked", Method::post, 500, chunked, BodyKind::chunked, Tier::compliant},
           Case{"neither", Method::get, 200, "", BodyKind::until_close, Tier::compliant},
           Case{"HEAD with length", Method::head, 200, length, BodyKind::none, Tier::compliant},
           Case{"HEAD with chunked", Method::head, 200, chunked, BodyKind::none, Tier::compliant},
           Case{"HEAD with neither", Method::head, 200, "", BodyKind::none, Tier::compliant},
           Case{"304 with length", Method::get, 304, length, BodyKind::none, Tier::compliant},
           Case{"304 with chunked", Method::get, 304, chunked, BodyKind::none, Tier::compliant},
           Case{"204", Method::get, 204, "", BodyKind::none, Tier::compliant},
           Case{"204 with no length", Method::get, 204, no_length, BodyKind::none, Tier::acceptable},
           Case{"204 with length", Method::get, 204, length, BodyKind::none, Tier::ambiguous},
           Case{"204 with chunked", Method::get, 204, chunked, BodyKind::none, Tier::ambiguous},
           Case{"100", Method::post, 100, "", BodyKind::none, Tier::compliant},
           Case{"103 with length", Method::get, 103, length, BodyKind::none, Tier::ambiguous},
           Case{"101", Method::get, 101, "", BodyKind::none, Tier::compliant},
           Case{"101 with chunked", Method::get, 101, chunked, BodyKind::none, Tier::ambiguous},
           Case{"205 with no length", Method::get, 205, no_length, BodyKind::length, Tier::compliant},
           Case{"205", Method::get, 205, "", BodyKind::none, Tier::ambiguous},
           Case{"205 with chunked", Method::get, 205, chunked, BodyKind::chunked, Tier::ambiguous},
           Case{"205 with length", Method::get, 205, length, BodyKind::length, Tier::ambiguous},
       }) {
    const auto parsed = response(status_with(one.status, one.fields), one.method);
    ASSERT_TRUE(parsed.taken()) << one.what << ": " << parsed.fault();
    EXPECT_EQ(parsed.head->framing.kind, one.kind) << one.what;
    EXPECT_EQ(parsed.head->tier, one.tier) << one.what;
    EXPECT_EQ(parsed.head->keep_alive, one.kind != BodyKind::until_close) << one.what;
  }
}

TEST(ParseResponse, LengthsOfAnswersWithoutBodyAreAnnounced) {
  EXPECT_EQ(response(ok_with("Content-Length: 7\r\n"), Method::head).head->announced_length, 7U);
  EXPECT_EQ(response(status_with(304, "Content-Length: 7\r\n")).head->announced_length, 7U);
  EXPECT_EQ(response(status_with(304, "")).head->announced_length, std::nullopt);
  EXPECT_EQ(response(status_with(204, "Content-Length: 7\r\n")).head->announced_length, std::nullopt);
  EXPECT_EQ(response(ok_with("Content-Length: 7\r\n"), Method::head).head->framing.length, 0U);
}

TEST(ParseResponse, Http10AnswersEndWithTheConnectionUnlessTheySayOtherwise) {
  EXPECT_FALSE(response("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n").head->keep_alive);
  EXPECT_TRUE(response("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n").head->keep_alive);
  const auto until_close = response("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(until_close.head->framing.kind, BodyKind::until_close);
  EXPECT_FALSE(until_close.head->keep_alive);
  EXPECT_EQ(until_close.head->version, Version::http_1_0);
  EXPECT_FALSE(response(ok_with("Content-Length: 1\r\nConnection: close\r\n")).head->keep_alive);
}

TEST(ParseResponse, AnUpgradeIsReadWhereConnectionNamesIt) {
  const auto parsed = response(status_with(101, "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
  EXPECT_EQ(parsed.head->upgrade, "websocket");
  EXPECT_FALSE(parsed.head->is_interim());
}

class RefusedResponse : public testing::TestWithParam<Hostile> {};

TEST_P(RefusedResponse, IsABadAnswer) {
  for (const Method method : {Method::get, Method::head}) {
    const auto parsed = response(GetParam().octets, method);
    ASSERT_EQ(parsed.status(), 502) << parsed.fault();
    EXPECT_EQ(parsed.refusal->cause, Cause::bad_answer);
    EXPECT_FALSE(parsed.fault().empty());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Answers, RefusedResponse,
    testing::Values(
        Hostile{"ContentLengthBeforeTransferEncoding", ok_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")},
        Hostile{"TransferEncodingBeforeContentLength", ok_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")},
        Hostile{"TwoContentLengthsThatDiffer", ok_with("Content-Length: 5\r\nContent-Length: 6\r\n")},
        Hostile{"TwoContentLengthsThatAreEqual", ok_with("Content-Length: 5\r\nContent-Length: 5\r\n")},
        Hostile{"EmptyContentLength", ok_with("Content-Length: \r\n")},
        Hostile{"ContentLengthWithPlus", ok_with("Content-Length: +10\r\n")},
        Hostile{"ContentLengthWithUnderscore", ok_with("Content-Length: 1_0\r\n")},
        Hostile{"HexadecimalContentLength", ok_with("Content-Length: 0x10\r\n")},
        Hostile{"NegativeContentLength", ok_with("Content-Length: -48\r\n")},
        Hostile{"ContentLengthThatIsAList", ok_with("Content-Length: 42,42\r\n")},
        Hostile{"ContentLengthThatOverflows", ok_with("Content-Length: 18446744073709551617\r\n")},
        Hostile{"MalformedContentLengthOf204", status_with(204, "Content-Length: x\r\n")},
        Hostile{"CommaBeforeChunked", ok_with("Transfer-Encoding: ,chunked\r\n")},
        Hostile{"ChunkedTwice", ok_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")},
        Hostile{"TabAfterChunked", ok_with("Transfer-Encoding: chunked\t\r\n")},
        Hostile{"A0BeforeChunked", ok_with("Transfer-Encoding: \xa0"
                                           "chunked\r\n")},
        Hostile{"UnknownCoding", ok_with("Transfer-Encoding: gzip\r\n")},
        Hostile{"ChunkedIsNotTheLast", ok_with("Transfer-Encoding: chunked, gzip\r\n")},
        Hostile{"ChunkedOnHttp10", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
        Hostile{"BlankBeforeTheColon", ok_with("Content-Length : 5\r\n")},
        Hostile{"FoldedField", ok_with("Content-Length:\r\n 5\r\n")},
        Hostile{"BareLf", "HTTP/1.1 200 OK\nContent-Length: 5\n\n"},
        Hostile{"BareCr", ok_with("A: b\rContent-Length: 5\r\n")}, Hostile{"Nul", ok_with("A: \0\r\n"s)},
        Hostile{"EmptyName", ok_with(": b\r\n")}, Hostile{"NoColon", ok_with("abc\r\n")},
        Hostile{"EmptyLineBefore", "\r\n" + ok_with("")}, Hostile{"OctetsBehindTheHead", ok_with("") + "x"},
        Hostile{"TwoHeads", status_with(100, "") + ok_with("Content-Length: 0\r\n")}, Hostile{"Nothing", ""}),
    name_of);

TEST(ParseResponse, HeaderFloodsAreRefused) {
  std::string fields;
  for (int i = 0; i < 129; ++i) {
    fields += "A: b\r\n";
  }
  EXPECT_EQ(response(ok_with(fields)).status(), 502);
  EXPECT_TRUE(response(ok_with(fields.substr(6))).taken());
}

TEST(ParseResponse, LeadingZerosInALengthAreAmbiguous) {
  const auto parsed = response(ok_with("Content-Length: 010\r\n"));
  EXPECT_EQ(parsed.head->framing.length, 10U);
  EXPECT_EQ(parsed.head->tier, Tier::ambiguous);
}

}  // namespace
}  // namespace steelyard::http
