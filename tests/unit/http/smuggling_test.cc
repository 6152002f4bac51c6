// Hostile requests, each by its name: refused ones with the status that the client is told, and those that pass as
// ambiguous, after which both connections are closed. The same faults in answers are in parse_response_test.cc.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/http/hostile.h"
#include "tests/unit/http/messages.h"

namespace steelyard::http {
namespace {

using namespace std::literals;

std::string line_with(std::string_view request_line) {
  return std::string(request_line) + "\r\nHost: example.com\r\n\r\n";
}

class RefusedRequest : public testing::TestWithParam<Hostile> {};

TEST_P(RefusedRequest, IsRefused) {
  const auto parsed = request(GetParam().octets);
  EXPECT_EQ(parsed.status(), GetParam().status) << parsed.fault();
  EXPECT_FALSE(parsed.taken() || parsed.fault().empty()) << "a fault has a name";
}

INSTANTIATE_TEST_SUITE_P(
    Length, RefusedRequest,
    testing::Values(Hostile{"ContentLengthBeforeTransferEncoding",
                            post_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")},
                    Hostile{"TransferEncodingBeforeContentLength",
                            post_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")},
                    Hostile{"ZeroContentLengthBesideTransferEncoding",
                            post_with("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n")},
                    Hostile{"ContentLengthBesideUnknownTransferEncoding",
                            post_with("Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n")},
                    Hostile{"TwoContentLengthsThatDiffer", post_with("Content-Length: 5\r\nContent-Length: 6\r\n")},
                    Hostile{"TwoContentLengthsThatAreEqual", post_with("Content-Length: 5\r\nContent-Length: 5\r\n")},
                    Hostile{"TwoContentLengthsInDifferentCase",
                            post_with("Content-Length: 5\r\ncontent-length: 6\r\n")},
                    Hostile{"EmptyContentLength", post_with("Content-Length:\r\n")},
                    Hostile{"BlankContentLength", post_with("Content-Length:  \t \r\n")},
                    Hostile{"ContentLengthWithPlus", post_with("Content-Length: +10\r\n")},
                    Hostile{"ContentLengthWithUnderscore", post_with("Content-Length: 1_0\r\n")},
                    Hostile{"HexadecimalContentLength", post_with("Content-Length: 0x10\r\n")},
                    Hostile{"NegativeContentLength", post_with("Content-Length: -48\r\n")},
                    Hostile{"ContentLengthThatIsAList", post_with("Content-Length: 42,42\r\n")},
                    Hostile{"ContentLengthThatIsAListWithBlank", post_with("Content-Length: 42, 42\r\n")},
                    Hostile{"ContentLengthWithEmptyListElement", post_with("Content-Length: 42,\r\n")},
                    Hostile{"ContentLengthWithBlankInside", post_with("Content-Length: 4 2\r\n")},
                    Hostile{"ContentLengthWithPoint", post_with("Content-Length: 1.0\r\n")},
                    Hostile{"ContentLengthWithExponent", post_with("Content-Length: 1e1\r\n")},
                    Hostile{"QuotedContentLength", post_with("Content-Length: \"5\"\r\n")},
                    Hostile{"ContentLengthOf2To63", post_with("Content-Length: 9223372036854775808\r\n")},
                    Hostile{"ContentLengthOf2To64", post_with("Content-Length: 18446744073709551616\r\n")},
                    Hostile{"ContentLengthOf2To64And5", post_with("Content-Length: 18446744073709551621\r\n")},
                    Hostile{"ContentLengthOf100Digits", post_with("Content-Length: " + std::string(100, '9') + "\r\n")},
                    Hostile{"ContentLengthWith85Behind", post_with("Content-Length: 5\x85\r\n")},
                    Hostile{"ContentLengthWithFfBefore", post_with("Content-Length: \xff"
                                                                   "5\r\n")},
                    Hostile{"ContentLengthInFullWidthDigits", post_with("Content-Length: \xef\xbc\x95\r\n")},
                    Hostile{"ContentLengthWithVerticalTab", post_with("Content-Length: \v5\r\n")},
                    Hostile{"ContentLengthWithUnderscoreInItsName", post_with("Content_Length: 5\r\n")}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    TransferEncoding, RefusedRequest,
    testing::Values(
        Hostile{"CommaBeforeChunked", post_with("Transfer-Encoding: ,chunked\r\n")},
        Hostile{"CommaAfterChunked", post_with("Transfer-Encoding: chunked,\r\n")},
        Hostile{"ChunkedTwiceInOneField", post_with("Transfer-Encoding: chunked, chunked\r\n")},
        Hostile{"ChunkedInTwoFields", post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")},
        Hostile{"IdentityInASecondField", post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")},
        Hostile{"IdentityInAFirstField", post_with("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n")},
        Hostile{"TabAfterChunked", post_with("Transfer-Encoding: chunked\t\r\n")},
        Hostile{"BlankAndTabAfterChunked", post_with("Transfer-Encoding: chunked \t\r\n")},
        Hostile{"TabBeforeChunked", post_with("Transfer-Encoding:\tchunked\r\n")},
        Hostile{"VerticalTabBeforeChunked", post_with("Transfer-Encoding: \vchunked\r\n")},
        Hostile{"FormFeedAfterChunked", post_with("Transfer-Encoding: chunked\f\r\n")},
        Hostile{"A0BeforeChunked", post_with("Transfer-Encoding: \xa0"
                                             "chunked\r\n")},
        Hostile{"A0AfterChunked", post_with("Transfer-Encoding: chunked\xa0\r\n")},
        Hostile{"Byte85AfterChunked", post_with("Transfer-Encoding: chunked\x85\r\n")},
        Hostile{"ByteFfAfterChunked", post_with("Transfer-Encoding: chunked\xff\r\n")},
        Hostile{"NulAfterChunked", post_with("Transfer-Encoding: chunked\0\r\n"s)},
        Hostile{"QuotedChunked", post_with("Transfer-Encoding: \"chunked\"\r\n")},
        Hostile{"ChunkedWithParameter", post_with("Transfer-Encoding: chunked;q=1\r\n")},
        Hostile{"ChunkedIsNotTheLast", post_with("Transfer-Encoding: chunked, gzip\r\n")},
        Hostile{"EmptyTransferEncoding", post_with("Transfer-Encoding:\r\n")},
        Hostile{"UnknownCoding", post_with("Transfer-Encoding: xchunked\r\n"), 501},
        Hostile{"LongerThanChunked", post_with("Transfer-Encoding: chunkedx\r\n"), 501},
        Hostile{"IdentityCoding", post_with("Transfer-Encoding: identity\r\n"), 501},
        Hostile{"GzipBeforeChunked", post_with("Transfer-Encoding: gzip, chunked\r\n"), 501},
        Hostile{"ChunkedOnHttp10", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
        Hostile{"BlankBeforeTheColon", post_with("Transfer-Encoding : chunked\r\n")},
        Hostile{"TabBeforeTheColon", post_with("Transfer-Encoding\t: chunked\r\n")},
        Hostile{"FoldedValue", post_with("Transfer-Encoding:\r\n chunked\r\n")},
        Hostile{"FoldedValueBehindAnotherField", post_with("X: y\r\n\tTransfer-Encoding: chunked\r\n")},
        Hostile{"FoldedName", post_with("Transfer-\r\n Encoding: chunked\r\n")},
        Hostile{"TransferEncodingWithUnderscoreInItsName", post_with("Transfer_Encoding: chunked\r\n")},
        Hostile{"TransferEncodingWithControlInItsName", post_with("Transfer-Encoding\x01: chunked\r\n")}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Lines, RefusedRequest,
    testing::Values(
        Hostile{"BareLfAfterTheRequestLine", "GET / HTTP/1.1\nHost: a\r\n\r\n"},
        Hostile{"BareLfAfterAField", get_with("A: b\nC: d\r\n")},
        Hostile{"BareLfForTheEmptyLine", "GET / HTTP/1.1\r\nHost: a\r\n\n"},
        Hostile{"BareLfEverywhere", "GET / HTTP/1.1\nHost: a\n\n"},
        Hostile{"BareCrInAValue", get_with("A: b\rTransfer-Encoding: chunked\r\n")},
        Hostile{"BareCrForTheEmptyLine", "GET / HTTP/1.1\r\nHost: a\r\n\r"},
        Hostile{"BareCrInTheRequestLine", "GET /\rX HTTP/1.1\r\nHost: a\r\n\r\n"},
        Hostile{"BareCrBeforeAName", get_with("A: b\r\n\rC: d\r\n")}, Hostile{"CrCrLf", get_with("A: b\r\r\n")},
        Hostile{"NulInAValue", get_with("A: b\0c\r\n"s)}, Hostile{"NulInAName", get_with("A\0B: c\r\n"s)},
        Hostile{"NulInTheTarget", line_with("GET /\0a HTTP/1.1"s)},
        Hostile{"EscapeInAValue", get_with("A: \x1b[31m\r\n")}, Hostile{"DeleteInAValue", get_with("A: \x7f\r\n")},
        Hostile{"FoldedField", get_with("A: b\r\n c\r\n")}, Hostile{"FoldedFieldWithTab", get_with("A: b\r\n\tc\r\n")},
        Hostile{"BlankBeforeTheFirstField", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
        Hostile{"LineOfBlanks", get_with("A: b\r\n  \r\n")}, Hostile{"EmptyName", get_with(": b\r\n")},
        Hostile{"NoColon", get_with("Transfer-Encoding chunked\r\n")}, Hostile{"NoColonInAToken", get_with("abc\r\n")},
        Hostile{"BlankInAName", get_with("A B: c\r\n")}, Hostile{"BlankBeforeAColon", get_with("A : c\r\n")},
        Hostile{"Byte85InAName", get_with("A\x85: c\r\n")},
        Hostile{"ByteFfBeforeAName", get_with("\xff"
                                              "A: c\r\n")},
        Hostile{"OctetsBehindTheHead", get_with("") + "G"},
        Hostile{"ARequestBehindTheHead", get_with("") + get_with("")},
        Hostile{"NoEmptyLine", "GET / HTTP/1.1\r\nHost: a\r\n"}, Hostile{"Nothing", ""},
        Hostile{"OnlyAnEmptyLine", "\r\n"}, Hostile{"TlsHandshake", "\x16\x03\x01\x02\x00\x01\r\n\r\n"s}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    RequestLine, RefusedRequest,
    testing::Values(
        Hostile{"Http132", line_with("GET / HTTP/1.32"), 505}, Hostile{"Http12", line_with("GET / HTTP/1.2"), 505},
        Hostile{"Http09WithVersion", line_with("GET / HTTP/0.9"), 505},
        Hostile{"Http09WithoutVersion", "GET /\r\n\r\n", 505}, Hostile{"Http2", line_with("GET / HTTP/2.0"), 505},
        Hostile{"Http2Preface", "PRI * HTTP/2.0\r\n\r\n", 505},
        Hostile{"Http11WithZero", line_with("GET / HTTP/01.1"), 505},
        Hostile{"Http1WithoutMinor", line_with("GET / HTTP/1"), 505},
        Hostile{"Http1WithComma", line_with("GET / HTTP/1,1"), 505}, Hostile{"SmallHttp", line_with("GET / http/1.1")},
        Hostile{"AnotherProtocol", line_with("GET / ICE/1.0")},
        Hostile{"NoSlashInTheVersion", line_with("GET / HTTP1.1")},
        Hostile{"BlankBehindTheVersion", line_with("GET / HTTP/1.1 ")},
        Hostile{"TabBehindTheVersion", line_with("GET / HTTP/1.1\t"), 505},
        Hostile{"TwoBlanksBeforeTheTarget", line_with("GET  / HTTP/1.1")},
        Hostile{"TwoBlanksBeforeTheVersion", line_with("GET /  HTTP/1.1")},
        Hostile{"TabBeforeTheTarget", line_with("GET\t/ HTTP/1.1")},
        Hostile{"BlankBeforeTheMethod", line_with(" GET / HTTP/1.1")},
        Hostile{"BlankInTheTarget", line_with("GET /a HTTP/1.1 HTTP/1.1")},
        Hostile{"NoTarget", line_with("GET  HTTP/1.1")}, Hostile{"OnlyAMethod", line_with("GET")},
        Hostile{"SmallMethod", line_with("get / HTTP/1.1")}, Hostile{"MixedMethod", line_with("Get / HTTP/1.1")},
        Hostile{"SmallConnect", line_with("connect a:443 HTTP/1.1")},
        Hostile{"MethodThatIsNoToken", line_with("G@T / HTTP/1.1")},
        Hostile{"MethodWithHighOctet", line_with("GET\x85 / HTTP/1.1")},
        Hostile{"FragmentInTheTarget", line_with("GET /a#b HTTP/1.1")},
        Hostile{"FragmentInAnAbsoluteTarget", line_with("GET http://example.com/#/../x HTTP/1.1")},
        Hostile{"UserInTheTarget", line_with("GET http://example.com@evil.example/ HTTP/1.1")},
        Hostile{"TwoHosts", get_with("Host: other.example\r\n")},
        Hostile{"TwoEqualHosts", get_with("Host: example.com\r\n")},
        Hostile{"TwoHostsOnHttp10", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"},
        Hostile{"NoHost", "GET / HTTP/1.1\r\n\r\n"}, Hostile{"EmptyHost", "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
        Hostile{"HostWithBlankBeforeItsColon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
        Hostile{"HostWithPath", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
        Hostile{"HostWith85Behind", "GET / HTTP/1.1\r\nHost: a\x85\r\n\r\n"}),
    name_of);

class AmbiguousRequest : public testing::TestWithParam<Hostile> {};

TEST_P(AmbiguousRequest, PassesAndIsTheConnectionsLast) {
  const auto parsed = request(GetParam().octets);
  ASSERT_TRUE(parsed.taken()) << parsed.fault();
  EXPECT_EQ(parsed.head->tier, Tier::ambiguous);
}

INSTANTIATE_TEST_SUITE_P(Requests, AmbiguousRequest,
                         testing::Values(Hostile{"LeadingZeroInContentLength", post_with("Content-Length: 010\r\n")},
                                         Hostile{"SeveralZerosForNoLength", post_with("Content-Length: 00\r\n")},
                                         Hostile{"AbsoluteTargetAgainstHost",
                                                 line_with("GET http://other.example/ HTTP/1.1")},
                                         Hostile{"ConnectionNamesContentLength",
                                                 post_with("Connection: Content-Length\r\nContent-Length: 1\r\n")},
                                         Hostile{"BodyWithGetInHttp10", "GET / HTTP/1.0\r\nContent-Length: 1\r\n\r\n"},
                                         Hostile{"HostWithComma", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"},
                                         Hostile{"ConnectionWith85Behind", get_with("Connection: close\x85\r\n")}),
                         name_of);

TEST(Smuggling, ALengthWithLeadingZerosIsDecimal) {
  EXPECT_EQ(request(post_with("Content-Length: 010\r\n")).head->framing.length, 10U);
  EXPECT_EQ(request(post_with("Content-Length: 00\r\n")).head->framing.length, 0U);
}

// RFC 9110 section 5.5: obs-text is opaque. It is no white space either, so nothing of it gets lost.
TEST(Smuggling, HighOctetsAroundAnOrdinaryValueStay) {
  for (const auto* const value : {"\x85", "\xff", "\xa0v\xa0", "\x85v", "v\x85", "\xffv\xff", "gr\xc3\xbc\xc3\x9f"}) {
    const auto parsed = request(get_with("A: " + std::string(value) + "\r\n"));
    ASSERT_TRUE(parsed.taken()) << parsed.fault();
    EXPECT_EQ(parsed.value_of("A"), value);
    EXPECT_EQ(parsed.head->tier, Tier::compliant);
  }
}

// Names that only resemble the framing fields' frame nothing.
TEST(Smuggling, FieldsThatResembleFramingAreOrdinary) {
  const auto parsed = request(
      post_with("X-Content-Length: 5\r\nContent-Lengthx: 5\r\nContent-Lengt: 5\r\nX-Transfer-Encoding: chunked\r\n"
                "Transfer-Encodin: chunked\r\nTransferxEncoding: chunked\r\nContent.Length: 5\r\n"));
  ASSERT_TRUE(parsed.taken()) << parsed.fault();
  EXPECT_EQ(parsed.head->framing.kind, BodyKind::none);
  EXPECT_EQ(parsed.head->fields.size(), 8U);
}

TEST(Smuggling, EveryOctetOfANameIsATokensOrRefused) {
  for (int octet = 0; octet < 256; ++octet) {
    const char character = static_cast<char>(octet);
    const bool token =
        std::isalnum(octet) != 0 ? octet < 0x80 : octet != 0 && "!#$%&'*+-.^_`|~"s.find(character) != std::string::npos;
    EXPECT_EQ(request(get_with(std::string("X") + character + "Y: v\r\n")).taken(), token || character == ':') << octet;
    EXPECT_EQ(request(get_with(std::string(1, character) + "Y: v\r\n")).taken(), token) << octet;
    EXPECT_EQ(request(get_with(std::string("X") + character + ": v\r\n")).taken(), token || character == ':') << octet;
  }
}

TEST(Smuggling, TheLogSaysWhatIsWrongWithALine) {
  EXPECT_EQ(request(get_with("A : c\r\n")).fault(), "a blank before a colon");
  EXPECT_EQ(request(get_with("abc\r\n")).fault(), "a field without a colon");
  EXPECT_EQ(request(get_with(": c\r\n")).fault(), "a field without a name");
  EXPECT_EQ(request(get_with("A(B): c\r\n")).fault(), "a field's name is no token");
  EXPECT_EQ(request(get_with("A: b\nC: d\r\n")).fault(), "a LF without CR");
}

}  // namespace
}  // namespace steelyard::http
