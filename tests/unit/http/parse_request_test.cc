// Requests as clients send them, every form of target and authority, and the limits.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/http/messages.h"

namespace steelyard::http {
namespace {

using namespace std::literals;

std::span<const std::uint8_t> octets_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

TEST(ParseRequest, ABrowsersRequestIsReadAsItIs) {
  const auto parsed = request(
      "GET /shop/cart?item=7&item=8 HTTP/1.1\r\nHost: Shop.example.com:8080\r\nUser-Agent:Mozilla/5.0 (X11)\r\n"
      "Accept:  */*\t \r\nX-Empty:\r\nCookie: a=1; b=\"2\"\r\nConnection: keep-alive\r\n\r\n");
  ASSERT_TRUE(parsed.taken()) << parsed.fault();
  const RequestHead& head = *parsed.head;
  EXPECT_EQ(head.method, Method::get);
  EXPECT_EQ(head.method_name, "GET");
  EXPECT_EQ(head.target, "/shop/cart?item=7&item=8");
  EXPECT_EQ(head.path, "/shop/cart");
  EXPECT_EQ(head.host, "Shop.example.com");
  EXPECT_EQ(head.authority, "Shop.example.com:8080");
  EXPECT_EQ(head.version, Version::http_1_1);
  EXPECT_EQ(head.tier, Tier::compliant);
  EXPECT_EQ(head.framing.kind, BodyKind::none);
  EXPECT_TRUE(head.keep_alive);
  EXPECT_EQ(head.connection, "keep-alive");
  ASSERT_EQ(head.fields.size(), 6U);
  EXPECT_EQ(head.fields.all()[1].name, "User-Agent");
  EXPECT_EQ(head.fields.all()[1].value, "Mozilla/5.0 (X11)");
  EXPECT_EQ(parsed.value_of("accept"), "*/*");
  EXPECT_EQ(parsed.value_of("x-empty"), "");
  EXPECT_EQ(parsed.value_of("cookie"), "a=1; b=\"2\"");
}

TEST(ParseRequest, NothingOfTheRequestBeforeIsLeftInAHead) {
  RequestHead head;
  ASSERT_TRUE(parse_request(octets_of("POST http://a.example/x HTTP/1.0\r\nHost: b.example\r\nContent-Length: 5\r\n"
                                      "Connection: upgrade\r\nConnection: keep-alive\r\nUpgrade: w\r\n\r\n"sv),
                            {}, head));
  ASSERT_TRUE(parse_request(octets_of("GET / HTTP/1.0\r\n\r\n"sv), {}, head));
  EXPECT_EQ(head.fields.size(), 0U);
  EXPECT_EQ(head.framing.kind, BodyKind::none);
  EXPECT_EQ(head.framing.length, 0U);
  EXPECT_EQ(head.tier, Tier::compliant);
  EXPECT_EQ(head.host, "");
  EXPECT_EQ(head.authority, "");
  EXPECT_EQ(head.connection, "");
  EXPECT_EQ(head.upgrade, "");
  EXPECT_FALSE(head.several_connections);
  EXPECT_FALSE(head.keep_alive);
}

TEST(ParseRequest, WhatWasReadOfARefusedRequestIsThereForTheLog) {
  const auto parsed = request("PUT /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
  EXPECT_EQ(parsed.status(), 400);
  EXPECT_EQ(parsed.head->method_name, "PUT");
  EXPECT_EQ(parsed.head->target, "/a");
}

TEST(ParseRequest, OneEmptyLineBeforeARequestIsSkippedAndASecondIsNot) {
  EXPECT_TRUE(request("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").taken());
  EXPECT_EQ(request("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").status(), 400);
  EXPECT_EQ(request("\r\n\r\n").status(), 400);
}

struct MethodCase {
  std::string_view name;
  Method method;
  bool idempotent;
};

TEST(ParseRequest, MethodsAreTokensWithoutSmallLettersAndUnknownOnesPass) {
  for (const MethodCase& known :
       {MethodCase{"GET", Method::get, true}, MethodCase{"HEAD", Method::head, true},
        MethodCase{"POST", Method::post, false}, MethodCase{"PUT", Method::put, true},
        MethodCase{"DELETE", Method::del, true}, MethodCase{"OPTIONS", Method::options, true},
        MethodCase{"PATCH", Method::patch, false}, MethodCase{"PROPFIND", Method::other, false},
        MethodCase{"VERSION-CONTROL", Method::other, false}, MethodCase{"M-SEARCH", Method::other, false},
        MethodCase{"PRI", Method::other, false}, MethodCase{"SOURCE", Method::other, false},
        MethodCase{"DESCRIBE", Method::other, false}, MethodCase{"GE", Method::other, false},
        MethodCase{"GETT", Method::other, false}, MethodCase{"X!#$%&'*+.^_`|~9", Method::other, false}}) {
    const auto parsed = request(std::string(known.name) + " /p HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_TRUE(parsed.taken()) << known.name << ": " << parsed.fault();
    EXPECT_EQ(parsed.head->method, known.method) << known.name;
    EXPECT_EQ(parsed.head->method_name, known.name);
    EXPECT_EQ(is_idempotent(parsed.head->method), known.idempotent) << known.name;
  }
  EXPECT_EQ(request(std::string(65, 'A') + " / HTTP/1.1\r\nHost: a\r\n\r\n").status(), 400);
  EXPECT_TRUE(request(std::string(64, 'A') + " / HTTP/1.1\r\nHost: a\r\n\r\n").taken());
}

TEST(ParseRequest, ConnectAndTraceAreRefusedWhateverTheirTarget) {
  for (const auto* const line : {"CONNECT example.com:443", "CONNECT /", "TRACE /", "TRACE *"}) {
    const auto parsed = request(std::string(line) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(parsed.status(), 405) << line;
    EXPECT_EQ(parsed.refusal->cause, Cause::bad_method);
  }
}

TEST(ParseRequest, AnAsteriskIsATargetOfOptionsAlone) {
  EXPECT_EQ(request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").head->target, "*");
  EXPECT_EQ(request("GET * HTTP/1.1\r\nHost: a\r\n\r\n").status(), 400);
  EXPECT_EQ(request("OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n").status(), 400);
  const auto whole_server = request("OPTIONS http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n");
  EXPECT_EQ(whole_server.head->target, "*");
}

TEST(ParseRequest, AnAbsoluteTargetBecomesAPathAndItsAuthorityWins) {
  const auto same = request("GET hTTp://Example.com/a?b HTTP/1.1\r\nHost: example.COM:80\r\n\r\n");
  ASSERT_TRUE(same.taken()) << same.fault();
  EXPECT_EQ(same.head->target, "/a?b");
  EXPECT_EQ(same.head->path, "/a");
  EXPECT_EQ(same.head->host, "Example.com");
  EXPECT_EQ(same.head->authority, "Example.com");
  EXPECT_EQ(same.head->tier, Tier::acceptable);

  const auto https = request("GET https://example.com:443/ HTTP/1.1\r\nHost: example.com\r\n\r\n");
  EXPECT_EQ(https.head->tier, Tier::acceptable);
  EXPECT_EQ(https.head->authority, "example.com:443");

  const auto no_path = request("GET http://example.com HTTP/1.1\r\nHost: example.com\r\n\r\n");
  EXPECT_EQ(no_path.head->target, "/");
  EXPECT_EQ(no_path.head->path, "/");

  const auto old = request("GET http://example.com/x HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.head->host, "example.com");
}

// RFC 9112 section 3.2.2 has the target win; whoever read Host has seen another request.
TEST(ParseRequest, AnAbsoluteTargetAgainstHostIsAmbiguous) {
  for (const auto* const host : {"other.example", "example.com:81", "example.com.", "xexample.com"}) {
    const auto parsed = request("GET http://example.com/ HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n");
    ASSERT_TRUE(parsed.taken()) << host;
    EXPECT_EQ(parsed.head->tier, Tier::ambiguous) << host;
    EXPECT_EQ(parsed.head->host, "example.com");
    EXPECT_EQ(parsed.head->authority, "example.com");
  }
}

TEST(ParseRequest, TargetsInNoFormAreRefused) {
  for (const auto* const target : {"example.com:80",
                                   "path",
                                   "?query",
                                   "ftp://a.example/",
                                   "http:/a.example/",
                                   "http:a",
                                   "http://",
                                   "http:///path",
                                   "http://user@a.example/",
                                   "http://user:word@a.example/",
                                   "http://a.example:x/",
                                   "http://a.example:65536/",
                                   "//",
                                   "/a b",
                                   "/a\tb",
                                   "/a#b",
                                   "#",
                                   "/a\x7f",
                                   "/\xc3\xa4",
                                   "/\x80",
                                   "/\xff",
                                   "/\x01"}) {
    const bool is_path = std::string_view{target} == "//";
    EXPECT_EQ(request("GET " + std::string(target) + " HTTP/1.1\r\nHost: a.example\r\n\r\n").status(),
              is_path ? 0 : 400)
        << target;
  }
}

TEST(ParseRequest, CharactersThatBrowsersShouldEscapeAreAcceptable) {
  for (const char odd : "\"<>\\^`{|}"sv) {
    const auto parsed = request(std::string("GET /?a=") + odd + " HTTP/1.1\r\nHost: a\r\n\r\n");
    ASSERT_TRUE(parsed.taken()) << odd << ": " << parsed.fault();
    EXPECT_EQ(parsed.head->tier, Tier::acceptable) << odd;
  }
  EXPECT_EQ(request("GET /%zz/../a;b=c,(d)*'e'~!$&+:@[]?x=y/?z HTTP/1.1\r\nHost: a\r\n\r\n").head->tier,
            Tier::compliant);
}

TEST(ParseRequest, EveryOctetOfATargetIsEitherVisibleOrRefused) {
  for (int octet = 0; octet < 256; ++octet) {
    const std::string target = std::string("/a") + static_cast<char>(octet) + "b";
    const bool allowed = octet > ' ' && octet < 0x7f && octet != '#';
    EXPECT_EQ(request("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n").taken(), allowed) << octet;
  }
}

TEST(ParseRequest, ATargetOverTheLimitIs414) {
  const ParseLimits limits{.target_octets = 20};
  const std::string path = "/" + std::string(19, 'a');
  EXPECT_TRUE(request("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n", limits).taken());
  const auto longer = request("GET " + path + "a HTTP/1.1\r\nHost: a\r\n\r\n", limits);
  EXPECT_EQ(longer.status(), 414);
  EXPECT_EQ(longer.refusal->cause, Cause::target_too_long);
}

TEST(ParseRequest, HeaderFloodsAre431) {
  std::string fields;
  for (int i = 0; i < 9; ++i) {
    fields += "A: b\r\n";
  }
  EXPECT_TRUE(request(get_with(fields), {.fields = 10}).taken());
  const auto more = request(get_with(fields + "A: b\r\n"), {.fields = 10});
  EXPECT_EQ(more.status(), 431);
  EXPECT_EQ(more.refusal->cause, Cause::head_too_large);

  std::string flood;
  for (std::size_t i = 0; i <= Fields::capacity; ++i) {
    flood += "A: b\r\n";
  }
  EXPECT_EQ(request(get_with(flood), {.fields = 100'000}).status(), 431) << "the array is a limit as well";
}

TEST(ParseRequest, NamesOverTheLimitAre431) {
  EXPECT_TRUE(request(get_with(std::string(256, 'n') + ": v\r\n")).taken());
  EXPECT_EQ(request(get_with(std::string(257, 'n') + ": v\r\n")).status(), 431);
}

TEST(ParseRequest, AGiantCookieIsAField) {
  const std::string cookie(30'000, 'c');
  EXPECT_EQ(request(get_with("Cookie: " + cookie + "\r\n")).value_of("Cookie"), cookie);
}

TEST(ParseRequest, HostsOfTheGrammarAreTaken) {
  struct Case {
    std::string_view value;
    std::string_view host;
    Tier tier;
  };
  for (const Case& good :
       {Case{"a", "a", Tier::compliant}, Case{"a-b.c_d.example.", "a-b.c_d.example.", Tier::compliant},
        Case{"10.0.0.1:8080", "10.0.0.1", Tier::compliant}, Case{"[2001:db8::1]", "[2001:db8::1]", Tier::compliant},
        Case{"[::ffff:10.0.0.1]:443", "[::ffff:10.0.0.1]", Tier::compliant}, Case{"a:", "a", Tier::compliant},
        Case{"a:65535", "a", Tier::compliant}, Case{"a%41", "a%41", Tier::ambiguous},
        Case{"a,b", "a,b", Tier::ambiguous}, Case{"a;b", "a;b", Tier::ambiguous}}) {
    const auto parsed = request("GET / HTTP/1.1\r\nHost: " + std::string(good.value) + "\r\n\r\n");
    ASSERT_TRUE(parsed.taken()) << good.value << ": " << parsed.fault();
    EXPECT_EQ(parsed.head->host, good.host);
    EXPECT_EQ(parsed.head->authority, good.value);
    EXPECT_EQ(parsed.head->tier, good.tier) << good.value;
  }
}

TEST(ParseRequest, MalformedHostsAreRefused) {
  for (const std::string& host : {""s,        ":80"s,    "user@a"s,   "a b"s,
                                  "a/b"s,     "a?b"s,    "a#b"s,      "a\\b"s,
                                  "a:b"s,     "a:-1"s,   "a:65536"s,  "a:000080"s,
                                  "a:80:80"s, "::1"s,    "[::1"s,     "::1]"s,
                                  "[]"s,      "[::1]x"s, "[::1]:x"s,  "[fe80::1%25eth0]"s,
                                  "[v1.x]"s,  "a\x80"s,  "\xff"s,     "a<b"s,
                                  "a\"b"s,    "a\tb"s,   "http://a"s, std::string(256, 'a')}) {
    EXPECT_EQ(request("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n").status(), 400) << host;
    EXPECT_EQ(request("GET / HTTP/1.0\r\nHost: " + host + "\r\n\r\n").status(), 400) << host;
    EXPECT_EQ(request("GET http://a/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n").status(), 400) << host;
  }
  EXPECT_TRUE(request("GET / HTTP/1.1\r\nHost: " + std::string(255, 'a') + "\r\n\r\n").taken());
}

TEST(ParseRequest, OnlyHttp10NeedsNoHost) {
  EXPECT_TRUE(request("GET / HTTP/1.0\r\n\r\n").taken());
  EXPECT_EQ(request("GET / HTTP/1.1\r\n\r\n").status(), 400);
  EXPECT_EQ(request("GET http://a/ HTTP/1.1\r\n\r\n").status(), 400);
}

TEST(ParseRequest, LengthsFrameABody) {
  const auto parsed = request(post_with("Content-Length:\t 9223372036854775807 \r\n"));
  ASSERT_TRUE(parsed.taken()) << parsed.fault();
  EXPECT_EQ(parsed.head->framing.kind, BodyKind::length);
  EXPECT_EQ(parsed.head->framing.length, 9'223'372'036'854'775'807U);
  EXPECT_EQ(parsed.head->tier, Tier::compliant);
  EXPECT_EQ(request(post_with("Content-Length: 0\r\n")).head->framing.kind, BodyKind::length);
  EXPECT_EQ(request(post_with("")).head->framing.kind, BodyKind::none);
}

TEST(ParseRequest, ChunkedFramesABodyWhateverItsCase) {
  for (const auto* const value : {"chunked", "Chunked", "CHUNKED", " chunked", "chunked ", "  chunked  "}) {
    const auto parsed = request(post_with("Transfer-Encoding:" + std::string(value) + "\r\n"));
    ASSERT_TRUE(parsed.taken()) << value << ": " << parsed.fault();
    EXPECT_EQ(parsed.head->framing.kind, BodyKind::chunked);
  }
}

TEST(ParseRequest, ABodyWithGetIsAcceptableAndInHttp10Ambiguous) {
  EXPECT_EQ(request(get_with("Content-Length: 5\r\n")).head->tier, Tier::acceptable);
  EXPECT_EQ(request(get_with("Content-Length: 0\r\n")).head->tier, Tier::compliant);
  EXPECT_EQ(request("GET / HTTP/1.0\r\nContent-Length: 5\r\n\r\n").head->tier, Tier::ambiguous);
  EXPECT_EQ(request("HEAD / HTTP/1.0\r\nContent-Length: 5\r\n\r\n").head->tier, Tier::ambiguous);
  EXPECT_EQ(request("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n").head->tier, Tier::compliant);
}

TEST(ParseRequest, GarbageIsSeenAtItsFirstOctets) {
  for (const std::string_view begin : {""sv, "G"sv, "GET"sv, "GET "sv, "GET \x16"sv, "\r"sv, "\r\n"sv, "\r\nP"sv,
                                       "get /"sv, "M-SEARCH * HTTP/1.1\r\n"sv}) {
    EXPECT_TRUE(may_begin_request(octets_of(begin))) << begin;
  }
  const std::string long_method(65, 'A');
  for (const std::string_view garbage :
       {"\x16\x03\x01\x02"sv, "\x16"sv, "\0"sv, " GET"sv, "\n"sv, "\rG"sv, "\r\n\r\n"sv, "G\r\n"sv, "\xc3"sv,
        "GE\x80"sv, "<html>"sv, std::string_view{long_method}}) {
    EXPECT_FALSE(may_begin_request(octets_of(garbage))) << garbage;
  }
}

}  // namespace
}  // namespace steelyard::http
