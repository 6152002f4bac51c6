// What fields say about the connection: options, upgrades, expectations, and which fields end at this hop.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/unit/http/messages.h"

namespace steelyard::http {
namespace {

TEST(ConnectionFields, ConnectionOptionsSayWhetherItGoesOn) {
  struct Case {
    std::string_view version;
    std::string_view fields;
    bool keep_alive;
  };
  for (const Case& one :
       {Case{"1.1", "", true}, Case{"1.0", "", false}, Case{"1.1", "Connection: close\r\n", false},
        Case{"1.0", "Connection: keep-alive\r\n", true}, Case{"1.0", "Connection: Keep-Alive, x\r\n", true},
        Case{"1.1", "Connection: x, ,CLOSE\t,\r\n", false}, Case{"1.1", "Connection: keep-alive, close\r\n", false},
        Case{"1.0", "Connection: close, keep-alive\r\n", false}, Case{"1.1", "Connection: closed\r\n", true},
        Case{"1.1", "Connection: xclose\r\n", true},
        Case{"1.1", "Connection: keep-alive\r\nConnection: close\r\n", false},
        Case{"1.1", "Connection: close\r\nConnection: keep-alive\r\n", false},
        Case{"1.0", "Proxy-Connection: keep-alive\r\n", false}, Case{"1.1", "Connection:\r\n", true}}) {
    const auto parsed =
        request("GET / HTTP/" + std::string(one.version) + "\r\nHost: a\r\n" + std::string(one.fields) + "\r\n");
    ASSERT_TRUE(parsed.taken()) << one.fields << parsed.fault();
    EXPECT_EQ(parsed.head->keep_alive, one.keep_alive) << one.version << " " << one.fields;
    EXPECT_EQ(parsed.head->tier, Tier::compliant) << one.fields;
  }
}

TEST(ConnectionFields, ConnectionOptionsThatAreNoneOrNameFramingAreAmbiguous) {
  for (const auto* const option : {"Host", "content-length", "x, transfer-encoding", "close\x85", "a b", "\"close\""}) {
    EXPECT_EQ(request(get_with("Connection: " + std::string(option) + "\r\n")).head->tier, Tier::ambiguous) << option;
  }
}

TEST(ConnectionFields, AListOfConnectionOptionsHasALimit) {
  EXPECT_TRUE(request(get_with("Connection: " + std::string(512, 'a') + "\r\n")).taken());
  EXPECT_EQ(request(get_with("Connection: " + std::string(513, 'a') + "\r\n")).status(), 431);
  const std::string half = "Connection: " + std::string(300, 'a') + "\r\n";
  EXPECT_EQ(request(get_with(half + half)).status(), 431);
}

TEST(ConnectionFields, HopByHopFieldsAreTheKnownOnesAndWhatConnectionNames) {
  const auto parsed = request(get_with("Connection: close, X-Secret ,\r\nX-Secret: 1\r\n"));
  for (const auto* const name : {"connection", "KEEP-ALIVE", "proxy-connection", "te", "transfer-encoding", "upgrade",
                                 "content-length", "host", "http2-settings", "x-secret", "X-SECRET", "close"}) {
    EXPECT_TRUE(is_hop_by_hop(*parsed.head, name)) << name;
  }
  for (const auto* const name :
       {"trailer", "cookie", "x-secre", "x-secrets", "", "tea", "content-type", "keep-alivE2"}) {
    EXPECT_FALSE(is_hop_by_hop(*parsed.head, name)) << name;
  }
}

TEST(ConnectionFields, OptionsOfEveryConnectionFieldAreHopByHop) {
  const auto parsed = request(get_with("Connection: one\r\nConnection: two\r\nConnection:\r\n"));
  EXPECT_TRUE(is_hop_by_hop(*parsed.head, "One"));
  EXPECT_TRUE(is_hop_by_hop(*parsed.head, "Two"));
  EXPECT_FALSE(is_hop_by_hop(*parsed.head, "Three"));
}

TEST(ConnectionFields, UpgradeCountsWhenConnectionNamesIt) {
  const auto upgrade_of = [](std::string_view text) { return std::string(request(text).head->upgrade); };
  EXPECT_EQ(upgrade_of(get_with("Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n")), "websocket");
  EXPECT_EQ(upgrade_of(get_with("Connection: upgrade\r\nUpgrade: a/1, b\r\n")), "a/1, b");
  EXPECT_EQ(upgrade_of(get_with("Upgrade: websocket\r\n")), "");
  EXPECT_EQ(upgrade_of("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), "");
  EXPECT_EQ(upgrade_of(get_with("Connection: upgrade\r\n")), "");
}

// What is spoken after an upgrade to HTTP/2 would be requests that nobody looks at.
TEST(ConnectionFields, NobodyUpgradesToHttp2) {
  for (const auto* const protocol : {"h2c", "H2C", "websocket, h2c", "HTTP/2.0", "h2"}) {
    const auto parsed =
        request(get_with("Connection: upgrade, http2-settings\r\nHTTP2-Settings: AAMAAABk\r\nUpgrade: " +
                         std::string(protocol) + "\r\n"));
    ASSERT_TRUE(parsed.taken());
    EXPECT_EQ(parsed.head->upgrade, "") << protocol;
  }
}

TEST(ConnectionFields, TwoUpgradesAreNone) {
  const auto parsed = request(get_with("Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n"));
  EXPECT_EQ(parsed.head->upgrade, "");
  EXPECT_EQ(parsed.head->tier, Tier::ambiguous);
}

TEST(ConnectionFields, TheOnlyExpectationIs100Continue) {
  EXPECT_TRUE(request(post_with("Content-Length: 1\r\nExpect: 100-Continue\r\n")).head->expects_continue);
  EXPECT_TRUE(request(post_with("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n")).head->expects_continue);
  EXPECT_FALSE(request(post_with("Expect: 100-continue\r\n")).head->expects_continue) << "nothing to wait for";
  EXPECT_FALSE(request("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n").head->expects_continue);
  for (const auto* const fields :
       {"Expect: 200-ok\r\n", "Expect:\r\n", "Expect: 100-continue, x\r\n", "Expect: 100-continue\x85\r\n",
        "Expect: 100-continue\r\nExpect: 100-continue\r\n"}) {
    const auto parsed = request(post_with("Content-Length: 1\r\n" + std::string(fields)));
    EXPECT_EQ(parsed.status(), 417) << fields;
    EXPECT_EQ(parsed.refusal->cause, Cause::bad_request);
  }
}

TEST(Names, AreComparedWithoutCaseInAsciiAlone) {
  EXPECT_TRUE(same_name("Content-Length", "content-LENGTH"));
  EXPECT_TRUE(same_name("", ""));
  EXPECT_FALSE(same_name("a", "ab"));
  EXPECT_FALSE(same_name("[", "{")) << "0x20 apart, and no letters";
  EXPECT_FALSE(same_name("@", "`"));
  EXPECT_FALSE(same_name("\xc4", "\xe4"));
}

TEST(Names, TokensAreFoundInLists) {
  EXPECT_TRUE(has_token("a, B ,c", "b"));
  EXPECT_TRUE(has_token("a", "A"));
  EXPECT_TRUE(has_token(",,\ta\t,", "a"));
  EXPECT_FALSE(has_token("ab, ca", "a"));
  EXPECT_FALSE(has_token("a b", "a"));
  EXPECT_FALSE(has_token("", "a"));
  EXPECT_FALSE(has_token("a,,b", ""));
}

}  // namespace
}  // namespace steelyard::http
