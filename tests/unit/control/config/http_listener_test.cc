// Listeners of `protocol: http`: what a file turns into, and every way to be wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/unit/control/config/config_text.h"

namespace steelyard::control::config {
namespace {

using namespace std::chrono_literals;
using testing::all_findings;
using ::testing::Contains;
using ::testing::ElementsAre;
using testing::errors;
using testing::findings;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::warnings;
using testing::with_listener;
using testing::with_ports;

std::string http(std::string_view keys) {
  return with_listener("protocol: http, port: 80, server_group: g" + (keys.empty() ? "" : ", " + std::string(keys)));
}

std::string rule(std::string_view keys) {
  return http("rules: [{" + std::string(keys) + "}]");
}

Listener listener_of(const std::string& text) {
  const ParseResult result = load_text(text, "f");
  EXPECT_TRUE(result.config) << text << to_string(result.diagnostics.front());
  return result.config ? result.config->load_balancers.at(0).listeners.at(0) : Listener{};
}

// ---- What is read
// --------------------------------------------------------------------------------------------------------

TEST(HttpListener, IsATcpListenerWithDefaultsOfItsOwn) {
  const Listener listener = listener_of(http(""));
  EXPECT_THAT(all_findings(http("")), IsEmpty());
  EXPECT_EQ(listener.protocol, Protocol::tcp);
  EXPECT_EQ(protocol_name(listener), "http");
  EXPECT_EQ(listener.mode, Mode::fullnat);
  EXPECT_EQ(listener.health_check, HealthCheck::for_http());
  EXPECT_EQ(listener.health_check.type, CheckType::http);
  EXPECT_EQ(listener.health_check.method, CheckMethod::head);
  ASSERT_TRUE(listener.http);
  EXPECT_EQ(*listener.http, HttpListener{});
  EXPECT_EQ(listener.http->idle_timeout, 15s);
  EXPECT_EQ(listener.http->request_timeout, 60s);
  EXPECT_EQ(listener.http->x_forwarded_for, ForwardedFor::append);
  EXPECT_FALSE(listener_of(with_listener("protocol: tcp, port: 80, server_group: g")).http);
}

TEST(HttpListener, ReadsEverythingThatItCanBeTold) {
  const Listener listener = listener_of(
      http("idle_timeout: 1, request_timeout: 180, header_timeout: 60, connect_timeout: 2, tunnel_timeout: 86400, "
           "queue_timeout: 0, queue_length: 65536, "
           "max_header_bytes: 1024, max_headers: 256, max_url_bytes: 64, max_body_bytes: 10000000000, "
           "max_requests_per_connection: 100, x_forwarded_for: replace, x_forwarded_proto: on, x_forwarded_port: true, "
           "x_forwarded_client_srcport: yes, slb_id: true, slb_ip: true, scheduler: sch, "
           "sticky_session: {type: insert, cookie_timeout: 500, cookie: MY_ID, strict: true, drain: false, same_site: "
           "lax}"));
  HttpListener wanted;
  wanted.idle_timeout = 1s;
  wanted.request_timeout = 180s;
  wanted.header_timeout = 60s;
  wanted.connect_timeout = 2s;
  wanted.tunnel_timeout = 86400s;
  wanted.queue_timeout = 0s;
  wanted.queue_length = 65536;
  wanted.max_header_bytes = 1024;
  wanted.max_headers = 256;
  wanted.max_url_bytes = 64;
  wanted.max_body_bytes = 10'000'000'000;
  wanted.max_requests_per_connection = 100;
  wanted.x_forwarded_for = ForwardedFor::replace;
  wanted.x_forwarded_proto = true;
  wanted.x_forwarded_port = true;
  wanted.x_forwarded_client_srcport = true;
  wanted.slb_id = true;
  wanted.slb_ip = true;
  wanted.sticky_session = {SessionCookie::Kind::insert, "MY_ID", 500s, true, false, SameSite::lax};
  EXPECT_EQ(listener.http, wanted);
  EXPECT_EQ(listener.scheduler, Scheduler::sch);
}

TEST(HttpListener, TakesPROXYHeadersFromNetworksAndAddresses) {
  const std::string text = http("accept_proxy: {from: [10.0.0.0/8, 192.0.2.7, '2001:db8::/32']}");
  EXPECT_THAT(all_findings(text), IsEmpty());
  EXPECT_THAT(listener_of(text).http->accept_proxy,
              ElementsAre(*Prefix::parse("10.0.0.0/8"), *Prefix::parse("192.0.2.7"), *Prefix::parse("2001:db8::/32")));
  EXPECT_THAT(warnings(with_listener("protocol: http, port: 80, redirect: {}, accept_proxy: {from: [10.0.0.1]}")),
              ElementsAre(HasSubstr("server group `g` is used by no listener")));
  EXPECT_THAT(warnings(http("accept_proxy: {from: [0.0.0.0/0, 10.0.0.1, '::/0']}")),
              ElementsAre(HasSubstr("`0.0.0.0/0` in `from` of `accept_proxy`: every client may say that it is another"),
                          HasSubstr("`::/0` in `from`")));
}

TEST(HttpListener, TellsServersTheClientByAHeaderThatTheirChecksDoNotHave) {
  EXPECT_EQ(listener_of(http("")).client_address, ClientAddress::none);
  for (const auto& [word, meaning] : {std::pair{"none", ClientAddress::none},
                                      {"proxy_v1", ClientAddress::proxy_v1},
                                      {"proxy_v2", ClientAddress::proxy_v2}}) {
    const std::string said = std::string("client_address: ") + word;
    EXPECT_EQ(listener_of(http(said)).client_address, meaning) << word;
    EXPECT_THAT(warnings(http(said + ", health_check: {port: 81}")), IsEmpty()) << word;
    EXPECT_THAT(warnings(http(said + ", health_check: {type: tcp}")), IsEmpty()) << word;
  }
  EXPECT_THAT(warnings(http("client_address: proxy_v1")),
              ElementsAre(HasSubstr("6:9: warning: the check speaks HTTP without a PROXY header")));
  EXPECT_THAT(warnings(http("client_address: proxy_v2, health_check: {type: tcp}, rules: [{name: a, url: /a, "
                            "server_group: g, health_check: {path: /up}}]")),
              ElementsAre(HasSubstr("warning: the check speaks HTTP without a PROXY header")));
  EXPECT_THAT(
      warnings(with_listener("protocol: http, port: 80, redirect: {}, client_address: proxy_v2")),
      ElementsAre(HasSubstr("`client_address` has no effect here; the listener answers everything by `redirect`"),
                  HasSubstr("server group `g` is used by no listener")));
}

TEST(HttpListener, TakesXForwardedForAsASwitchToo) {
  for (const auto& [word, meaning] : {std::pair{"append", ForwardedFor::append},
                                      {"true", ForwardedFor::append},
                                      {"on", ForwardedFor::append},
                                      {"replace", ForwardedFor::replace},
                                      {"off", ForwardedFor::off},
                                      {"false", ForwardedFor::off}}) {
    EXPECT_EQ(listener_of(http(std::string("x_forwarded_for: ") + word)).http->x_forwarded_for, meaning) << word;
  }
}

TEST(HttpListener, TakesAHealthCheckOfAnyTcpKind) {
  EXPECT_EQ(listener_of(http("health_check: {type: tcp}")).health_check.type, CheckType::tcp);
  const HealthCheck check = listener_of(http("health_check: {path: /up, method: get, interval: 7}")).health_check;
  EXPECT_EQ(check.type, CheckType::http);
  EXPECT_EQ(check.path, "/up");
  EXPECT_FALSE(listener_of(http("health_check: {enabled: false}")).health_check.enabled);
}

TEST(HttpListener, MarksACookieOfTheServersWhenToldItsName) {
  const SessionCookie session =
      listener_of(http("sticky_session: {type: server, cookie: JSESSIONID}")).http->sticky_session;
  EXPECT_EQ(session.kind, SessionCookie::Kind::rewrite);
  EXPECT_EQ(session.name, "JSESSIONID");
  EXPECT_EQ(listener_of(http("sticky_session: {type: insert, cookie_timeout: 9}")).http->sticky_session.name,
            "SERVERID");
  EXPECT_EQ(listener_of(http("sticky_session: off")).http->sticky_session.kind, SessionCookie::Kind::off);
}

TEST(HttpListener, GzipIsOffOrOnOrSaysWhatIsCompressed) {
  const auto gzip = [](std::string_view value) { return listener_of(http("gzip: " + std::string(value))).http->gzip; };
  EXPECT_FALSE(listener_of(http("")).http->gzip);
  EXPECT_FALSE(gzip("off"));
  EXPECT_EQ(gzip("on"), Gzip{});
  EXPECT_EQ(gzip("true"), Gzip{});
  EXPECT_EQ(gzip("{}"), Gzip{});
  EXPECT_EQ(gzip("{min_bytes: 1, types: [Text/HTML, application/vnd.a+json]}"),
            (Gzip{1, {"text/html", "application/vnd.a+json"}}));
  EXPECT_EQ(gzip("{min_bytes: 1073741824}")->types, Gzip{}.types);
}

TEST(HttpListener, RulesSayWhatTheyMatchAndWhatIsTheirOwn) {
  const Listener listener = listener_of(
      http("rules: [{name: api, domain: '*.Example.ORG', url: /v1, server_group: g}, {name: img/2, url: /img, "
           "server_group: g, scheduler: rr, sticky_session: off, health_check: {type: tcp}}]"));
  ASSERT_EQ(listener.http->rules.size(), 2U);
  const HttpRule& plain = listener.http->rules[0];
  EXPECT_EQ(plain.name, "api");
  EXPECT_EQ(plain.domain, "*.example.org");
  EXPECT_EQ(plain.url, "/v1");
  EXPECT_EQ(plain.server_group, "g");
  EXPECT_FALSE(plain.scheduler || plain.sticky_session || plain.health_check);
  const HttpRule& own = listener.http->rules[1];
  EXPECT_EQ(own.domain, "");
  EXPECT_EQ(own.scheduler, Scheduler::rr);
  ASSERT_TRUE(own.sticky_session);
  EXPECT_EQ(own.sticky_session->kind, SessionCookie::Kind::off);
  ASSERT_TRUE(own.health_check);
  EXPECT_EQ(own.health_check->type, CheckType::tcp);
}

TEST(HttpListener, DomainsAreNamesWithOneWildcardInFront) {
  for (const char* good :
       {"a", "www.example.org", "*.example.org", "*.org", "a-b.c_d.e1", "192.0.2.1", "xn--bcher-kva.ch"}) {
    EXPECT_THAT(errors(rule("name: r, server_group: g, domain: '" + std::string(good) + "'")), IsEmpty()) << good;
  }
  const std::string label(63, 'a');
  EXPECT_THAT(
      errors(rule("name: r, server_group: g, domain: " + label + '.' + label + '.' + label + '.' + label.substr(2))),
      IsEmpty());
  for (const std::string& bad :
       {std::string("*"), std::string("*."), std::string("a.*.org"), std::string("*a.org"), std::string("a..b"),
        std::string(".a"), std::string("a."), std::string("-a"), std::string("a-.b"), std::string("a b"),
        std::string("a:80"), std::string("b\xc3\xbc.ch"), 'a' + label,
        label + '.' + label + '.' + label + '.' + label}) {
    EXPECT_THAT(errors(rule("name: r, server_group: g, domain: '" + bad + "'")),
                ElementsAre(HasSubstr("; allowed: a name such as www.example.org, or *.example.org for what is below")))
        << bad;
  }
}

TEST(HttpListener, ARedirectNeedsNoServers) {
  const auto redirect = [](std::string_view keys) {
    return with_listener("protocol: http, port: 80, redirect: {" + std::string(keys) + "}");
  };
  EXPECT_EQ(listener_of(redirect("")).http->redirect, (Redirect{302, true, 443}));
  EXPECT_EQ(listener_of(redirect("status: 308, port: 8443")).http->redirect, (Redirect{308, true, 8443}));
  EXPECT_EQ(listener_of(with_listener("protocol: http, port: 81, redirect: {scheme: http}")).http->redirect,
            (Redirect{302, false, 80}));
  EXPECT_THAT(
      errors(with_listener("protocol: http, port: 80, redirect: {}, server_group: g")),
      ElementsAre("6:50: error: `server_group` has no place here; a listener with `redirect` sends no request to "
                  "a server"));
  EXPECT_THAT(errors(with_listener("protocol: http, port: 80, redirect: {}, rules: [{}]")),
              ElementsAre(HasSubstr("error: `rules` has no place here; a listener with `redirect`")));
  EXPECT_THAT(warnings(with_listener("protocol: http, port: 80, redirect: {}, scheduler: rr")),
              ElementsAre(HasSubstr("`scheduler` has no effect here; the listener answers everything by `redirect`"),
                          HasSubstr("server group `g` is used by no listener")));
  EXPECT_THAT(errors(with_listener("protocol: http, port: 80, redirect: {scheme: http, port: 80}")),
              ElementsAre("6:9: error: `redirect` of listener http 192.0.2.10:80 leads to its own port 80; allowed: "
                          "another listener's port"));
}

TEST(HttpListener, AFileSaysHowManyConnectionsMayEndHereAndWhereTheCookieKeyIs) {
  const auto config = [](std::string_view text) { return load_text(with_ports(text), "f").config.value_or(Config{}); };
  EXPECT_EQ(config("").memory.connections, 65536U);
  EXPECT_EQ(config("memory: {connections: 0}\n").memory.connections, 0U);
  EXPECT_EQ(config("memory: {connections: 16777216}\n").memory.connections, 16777216U);
  EXPECT_EQ(config("").cookie_key_file, "");
  EXPECT_EQ(config("cookie_key_file: /etc/steelyard/cookie.key\n").cookie_key_file, "/etc/steelyard/cookie.key");
}

TEST(HttpListener, AFileSaysWhereRequestsAreLoggedAndHow) {
  const auto log = [](std::string_view text) {
    return load_text(with_ports(text), "f").config.value_or(Config{}).access_log;
  };
  using To = AccessLog::To;
  EXPECT_EQ(log(""), AccessLog{});
  EXPECT_EQ(log("access_log: {to: stdout}\n").to, To::standard_output);
  EXPECT_EQ(log("access_log: {to: syslog, format: json}\n").to, To::syslog);
  const AccessLog file = log("access_log: {to: /var/log/a.log, format: \"$remote_addr %ST\"}\n");
  EXPECT_EQ(file.to, To::file);
  EXPECT_EQ(file.file, "/var/log/a.log");
  EXPECT_EQ(file.format, "$remote_addr %ST");
}

// ---- What is refused
// -----------------------------------------------------------------------------------------------------

struct Wrong {
  std::string text;
  const char* finding;
};

class WrongHttpListener : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongHttpListener, IsRefusedWithPlaceReasonAndWhatIsAllowed) {
  EXPECT_THAT(errors(GetParam().text), ElementsAre(HasSubstr(GetParam().finding))) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Values, WrongHttpListener,
    ::testing::Values(
        Wrong{http("idle_timeout: 0"), "6:67: error: `idle_timeout` is `0`; allowed: 1..60"},
        Wrong{http("request_timeout: 181"), "`request_timeout` is `181`; allowed: 1..180"},
        Wrong{http("header_timeout: 61"), "`header_timeout` is `61`; allowed: 1..60"},
        Wrong{http("connect_timeout: 61"), "`connect_timeout` is `61`; allowed: 1..60"},
        Wrong{http("tunnel_timeout: 86401"), "`tunnel_timeout` is `86401`; allowed: 1..86400"},
        Wrong{http("queue_timeout: 61"), "`queue_timeout` is `61`; allowed: 0..60"},
        Wrong{http("queue_length: 0"), "`queue_length` is `0`; allowed: 1..65536"},
        Wrong{http("max_header_bytes: 1023"), "`max_header_bytes` is `1023`; allowed: 1024..65536"},
        Wrong{http("max_headers: 257"), "`max_headers` is `257`; allowed: 1..256"},
        Wrong{http("max_url_bytes: 63"), "`max_url_bytes` is `63`; allowed: 64..65536"},
        Wrong{http("max_body_bytes: 1099511627777"), "`max_body_bytes` is `1099511627777`; allowed: 0..1099511627776"},
        Wrong{http("max_body_bytes: 99999999999999999999999"), "allowed: 0..1099511627776"},
        Wrong{http("max_requests_per_connection: -1"),
              "`max_requests_per_connection` is `-1`; allowed: a plain decimal"},
        Wrong{http("x_forwarded_for: maybe"), "`x_forwarded_for` is `maybe`; allowed: `append`, `replace`, `off`"},
        Wrong{http("x_forwarded_proto: append"), "`x_forwarded_proto` is `append`; allowed: `true` or `false`"},
        Wrong{http("scheduler: tch"), "`scheduler` is `tch`; allowed: `wrr`, `wlc`, `rr`, `sch`"},
        Wrong{http("health_check: {type: udp}"), "`type` is `udp`; allowed: `tcp`, `http`"},
        Wrong{http("health_check: {healthy_threshold: 1}"), "`healthy_threshold` is `1`; allowed: 2..10"},
        Wrong{http("rule: []"), "6:53: error: unknown key `rule` in a listener; did you mean `rules`?"},
        Wrong{with_listener("protocol: http, port: 80"), "6:9: error: a listener names no servers"},
        Wrong{with_ports("memory: {connections: 1023}\n"),
              "1:23: error: `connections` is `1023`; allowed: 1024..16777216, or 0 without layer 7"},
        Wrong{with_ports("memory: {connections: 16777217}\n"), "`connections` is `16777217`; allowed: 0..16777216"},
        Wrong{with_ports("access_log: {to: a.log}\n"),
              "1:18: error: `to` is `a.log`; allowed: stdout, syslog or the absolute path of a file"},
        Wrong{with_ports("access_log: {to: stdout, format: \"$nothing\"}\n"), "error: `format` at character 1: "},
        Wrong{with_ports("cookie_key_file: cookie.key\n"),
              "1:18: error: `cookie_key_file` is `cookie.key`; allowed: an absolute path"},
        Wrong{with_ports("cookie_key_file: [a]\n"),
              "`cookie_key_file` is a list; allowed: 1..4095 characters: an absolute path"}));

INSTANTIATE_TEST_SUITE_P(
    ForeignKeys, WrongHttpListener,
    ::testing::Values(
        Wrong{http("mode: nat"),
              "6:53: error: `mode` has no place here; an http listener always opens connections of its own"},
        Wrong{http("persistence_timeout: 60"),
              "`persistence_timeout` has no place here; clients of an http listener keep their server by "
              "`sticky_session`"},
        Wrong{http("client_address: toa"),
              "6:69: error: `client_address` is `toa`; allowed: `none`, `proxy_v1`, `proxy_v2`"},
        Wrong{http("strip_timestamps: true"),
              "`strip_timestamps` has no place here; servers of an http listener see connections of our own"},
        Wrong{http("established_timeout: 60"),
              "`established_timeout` has no place here; connections of an http listener end by `idle_timeout`"},
        Wrong{http("when_full: drop"),
              "`when_full` has no place here; a request that no server has room for waits for `queue_timeout`"},
        Wrong{with_listener("protocol: tcp, port: 80, server_group: g, idle_timeout: 5"),
              "6:52: error: `idle_timeout` has no place here; it is for listeners of `protocol: http`"},
        Wrong{with_listener("protocol: tcp, port: 80, server_group: g, accept_proxy: {from: [10.0.0.1]}"),
              "6:52: error: `accept_proxy` has no place here; it is for listeners of `protocol: http`"},
        Wrong{with_listener("protocol: tcp, mode: fullnat, port: 80, server_group: g, client_address: proxy_v1"),
              "`client_address` is `proxy_v1`; allowed: `none`, `toa`, `proxy_v2`"},
        Wrong{with_listener("protocol: udp, port: 80, server_group: g, rules: []"),
              "`rules` has no place here; it is for listeners of `protocol: http`"},
        // What is wrong with the protocol is no reason to refuse the rest.
        Wrong{with_listener("protocol: https, port: 80, server_group: g, idle_timeout: 5"),
              "`https` is not supported in this version"}));

INSTANTIATE_TEST_SUITE_P(
    Proxies, WrongHttpListener,
    ::testing::Values(
        Wrong{http("accept_proxy: true"), "6:67: error: `accept_proxy` is `true`; allowed: a mapping"},
        Wrong{http("accept_proxy: {}"), "error: `from` is missing in `accept_proxy`; it has no default"},
        Wrong{http("accept_proxy: {from: 10.0.0.1}"),
              "error: `from` is `10.0.0.1`; allowed: a list of the networks and addresses of proxies, at most 1000"},
        Wrong{http("accept_proxy: {from: []}"), "error: `from` is an empty list; allowed: a list of the networks"},
        Wrong{http("accept_proxy: {from: [10.0.0.1/8]}"),
              "an entry of `from` is `10.0.0.1/8`, which has host bits; allowed: the network `10.0.0.0/8`"},
        Wrong{http("accept_proxy: {from: [proxy.example.org]}"), "an entry of `from` is `proxy.example.org`"},
        Wrong{http("accept_proxy: {from: [10.0.0.1], version: 2}"), "unknown key `version` in `accept_proxy`"},
        Wrong{http("client_address: proxy"), "`client_address` is `proxy`; allowed: `none`, `proxy_v1`, `proxy_v2`"}));

INSTANTIATE_TEST_SUITE_P(
    Sessions, WrongHttpListener,
    ::testing::Values(
        Wrong{http("sticky_session: {}"), "error: `type` is missing in `sticky_session`; it has no default"},
        Wrong{http("sticky_session: on"), "`sticky_session` is `on`; allowed: a mapping"},
        Wrong{http("sticky_session: {type: both, cookie: a}"), "`type` is `both`; allowed: `insert`, `server`"},
        Wrong{http("sticky_session: {type: insert}"), "error: `cookie_timeout` is missing in `sticky_session`"},
        Wrong{http("sticky_session: {type: insert, cookie_timeout: 0}"), "`cookie_timeout` is `0`; allowed: 1..86400"},
        Wrong{http("sticky_session: {type: server}"), "error: `cookie` is missing in `sticky_session`"},
        Wrong{http("sticky_session: {type: server, cookie: $a}"),
              "`cookie` is `$a`; allowed: 1..200 characters: letters, digits, - and _"},
        Wrong{http("sticky_session: {type: server, cookie: 'a;b'}"), "`cookie` is `a;b`; allowed"},
        Wrong{http("sticky_session: {type: server, cookie: " + std::string(201, 'a') + "}"),
              "allowed: 1..200 characters"},
        Wrong{http("sticky_session: {type: server, cookie: a, same_site: no}"),
              "`same_site` is `no`; allowed: `lax`, `strict`, `none`"},
        Wrong{http("sticky_session: {type: server, cookie: a, strict: 1}"),
              "`strict` is `1`; allowed: `true` or `false`"},
        Wrong{http("sticky_session: {type: server, cookies: a, cookie: b}"),
              "unknown key `cookies` in `sticky_session`; did you mean `cookie`?"}));

INSTANTIATE_TEST_SUITE_P(
    Compression, WrongHttpListener,
    ::testing::Values(
        Wrong{http("gzip: 5"), "6:59: error: `gzip` is `5`; allowed: `true` or `false`"},
        Wrong{http("gzip: [text/html]"), "`gzip` is a list; allowed: `true` or `false`"},
        Wrong{http("gzip: {min_bytes: 0}"), "`min_bytes` is `0`; allowed: 1..1073741824"},
        Wrong{http("gzip: {types: text/html}"), "`types` is `text/html`; allowed: a list of 1..64 media types"},
        Wrong{http("gzip: {types: []}"), "`types` is a list of 0; allowed: a list of 1..64 media types"},
        Wrong{http("gzip: {types: [text]}"),
              "a type of `gzip` is `text`; allowed: a media type such as text/html, without parameters"},
        Wrong{http("gzip: {types: [text/]}"), "a type of `gzip` is `text/`; allowed: a media type"},
        Wrong{http("gzip: {types: [a/b/c]}"), "a type of `gzip` is `a/b/c`; allowed: a media type"},
        Wrong{http("gzip: {types: ['text/*']}"), "a type of `gzip` is `text/*`; allowed: 3..127 characters: a media"},
        Wrong{http("gzip: {types: ['text/html; charset=utf-8']}"), "allowed: 3..127 characters: a media type"},
        Wrong{http("gzip: {type: [a/b]}"), "unknown key `type` in `gzip`; did you mean `types`?"},
        Wrong{with_listener("protocol: tcp, port: 80, server_group: g, gzip: on"),
              "`gzip` has no place here; it is for listeners of `protocol: http`"}));

INSTANTIATE_TEST_SUITE_P(Redirects, WrongHttpListener,
                         ::testing::Values(Wrong{with_listener("protocol: http, port: 80, redirect: {status: 300}"),
                                                 "`status` is `300`; allowed: 301, 302, 303, 307, 308"},
                                           Wrong{with_listener("protocol: http, port: 80, redirect: {status: '301'}"),
                                                 "`status` is `301`; allowed: 301"},
                                           Wrong{with_listener("protocol: http, port: 80, redirect: {port: 0}"),
                                                 "`port` is `0`; allowed: 1..65535"},
                                           Wrong{with_listener("protocol: http, port: 80, redirect: {scheme: ftp}"),
                                                 "`scheme` is `ftp`; allowed: `http`, `https`"},
                                           Wrong{with_listener("protocol: http, port: 80, redirect: on"),
                                                 "`redirect` is `on`; allowed: a mapping"}));

INSTANTIATE_TEST_SUITE_P(
    Rules, WrongHttpListener,
    ::testing::Values(
        Wrong{http("rules: {}"), "`rules` is a mapping; allowed: a list"},
        Wrong{rule("url: /a, server_group: g"), "error: `name` is missing in a rule"},
        Wrong{rule("name: '', url: /a, server_group: g"),
              "`name` is ``; allowed: 1..40 characters: letters, digits and . _ - /"},
        Wrong{rule("name: 'a,b', url: /a, server_group: g"), "`name` is `a,b`; allowed: 1..40 characters"},
        Wrong{rule("name: " + std::string(41, 'a') + ", url: /a, server_group: g"), "allowed: 1..40 characters"},
        Wrong{rule("name: a, server_group: g"),
              "error: a rule says neither `domain` nor `url`; allowed: one of them, or both"},
        Wrong{rule("name: a, url: /a"),
              "error: a rule does not say what becomes of its requests; allowed: `server_group`, or `answer`"},
        Wrong{rule("name: a, url: /a, server_group: h1"), "there is no server group `h1`"},
        Wrong{
            rule("name: a, url: a, server_group: g"),
            "`url` is `a`; allowed: 2..80 characters: those of a path, without query, starting with / and not / alone"},
        Wrong{rule("name: a, url: /, server_group: g"), "`url` is `/`; allowed: 2..80 characters"},
        Wrong{rule("name: a, url: '/a?b', server_group: g"),
              "`url` is `/a?b`; allowed: 2..80 characters: those of a path, without query"},
        Wrong{rule("name: a, url: '/a b', server_group: g"), "`url` is `/a b`; allowed"},
        Wrong{rule("name: a, url: /" + std::string(80, 'a') + ", server_group: g"), "; allowed: 2..80 characters"},
        Wrong{rule("name: a, url: /a, server_group: g, scheduler: tch"),
              "`scheduler` is `tch`; allowed: `wrr`, `wlc`, `rr`, `sch`"},
        Wrong{rule("name: a, url: /a, server_group: g, sticky_session: {type: insert}"), "`cookie_timeout` is missing"},
        Wrong{rule("name: a, url: /a, server_group: g, health_check: {interval: 0}"),
              "`interval` is `0`; allowed: 1..50"},
        Wrong{rule("name: a, url: /a, server_group: g, server_port: 80"), "unknown key `server_port` in a rule"},
        Wrong{http("rules: [{name: a, url: /a, server_group: g}, {name: a, url: /b, server_group: g}]"),
              "error: a second rule of the listener is named `a`, after line 6; names must differ"},
        Wrong{http("rules: [{name: a, domain: a.org, url: /a, server_group: g}, {name: b, domain: A.org, url: /a, "
                   "server_group: g}]"),
              "error: domain `a.org` and url `/a` of rule `b` is already what rule `a` in line 6 matches; allowed: "
              "each domain and url together once in a listener"},
        Wrong{http("rules: [{name: a, url: /a, server_group: g}, {name: b, url: /a, server_group: g}]"),
              "error: url `/a` of rule `b` is already what rule `a`"}));

TEST(HttpListener, EmptySettingsAreWarnedOf) {
  EXPECT_THAT(
      warnings(http("sticky_session: {type: server, cookie: a, cookie_timeout: 9, strict: true, same_site: lax}")),
      ElementsAre(HasSubstr("`cookie_timeout` has no effect here; the server makes its cookie"),
                  HasSubstr("`strict` has no effect here"), HasSubstr("`same_site` has no effect here")));
  EXPECT_THAT(warnings(http("sticky_session: {type: insert, cookie_timeout: 9, same_site: none}")),
              ElementsAre(HasSubstr("browsers take a cookie with `same_site: none` over HTTPS only")));
  for (const char* setting : {"connection_drain: 10", "on_unhealthy: reset", "on_removed: run"}) {
    EXPECT_THAT(warnings(http(setting)), ElementsAre()) << setting;
    EXPECT_THAT(warnings(with_listener("protocol: http, port: 80, redirect: {}, " + std::string(setting))),
                Contains(HasSubstr("has no effect here; the listener answers everything by `redirect`")))
        << setting;
  }
  EXPECT_THAT(warnings(http("scheduler: sch, slow_start: 9")),
              ElementsAre(HasSubstr("`slow_start` has no effect here")));
}

// ---- Together with the rest of a file
// ------------------------------------------------------------------------------------

TEST(HttpListener, NeedsConnectionsThatEndHere) {
  EXPECT_THAT(errors("memory: {connections: 0}\n" + http("")),
              ElementsAre("7:9: error: listener http 192.0.2.10:80 needs connections that end here, and `memory: "
                          "{connections: 0}` leaves it none; allowed: 1024..16777216"));
}

std::string families(std::string_view vip, std::string_view locals, std::string_view listener) {
  return with_ports(
      "local_addresses: [" + std::string(locals) + "]\nload_balancers: [{name: a, address: '" + std::string(vip) +
      "', listeners: [{protocol: http, port: 80, " + std::string(listener) +
      "}]}]\nserver_groups:\n"
      "  - {name: four, servers: [{address: 10.0.0.7, port: 80}]}\n"
      "  - {name: six, servers: [{address: '2001:db8:1::7', port: 80}]}\n"
      "  - {name: both, servers: [{address: 10.0.0.8, port: 80}, {address: '2001:db8:1::8', port: 80}]}\n");
}

TEST(HttpListener, ServersMayBeOfAnyFamilyThatALocalAddressIsOf) {
  const std::string rules =
      "server_group: four, rules: [{name: a, url: /a, server_group: six}, {name: b, url: /b, "
      "server_group: both}]";
  for (const char* vip : {"192.0.2.10", "2001:db8::10"}) {
    EXPECT_THAT(errors(families(vip, "10.0.0.100, '2001:db8:1::100'", rules)), IsEmpty()) << vip;
    EXPECT_THAT(errors(families(vip, "'2001:db8:1::100'", "server_group: six")), IsEmpty()) << vip;
  }
  EXPECT_THAT(errors(families("2001:db8::10", "", "server_group: four")),
              ElementsAre(HasSubstr("error: listener http [2001:db8::10]:80 needs an IPv4 address in `local_addresses` "
                                    "for server 10.0.0.7 (line 4) of group `four`, and there is none")));
  EXPECT_THAT(errors(families("192.0.2.10", "10.0.0.100", rules)),
              ElementsAre(HasSubstr("error: rule `a` of listener http 192.0.2.10:80 needs an IPv6 address in "
                                    "`local_addresses` for server 2001:db8:1::7 (line 5) of group `six`"),
                          HasSubstr("error: rule `b` of listener http 192.0.2.10:80 needs an IPv6 address in "
                                    "`local_addresses` for server 2001:db8:1::8 (line 6) of group `both`")));
}

TEST(HttpListener, HasItsVipAndPortForItself) {
  EXPECT_THAT(errors(with_listener("protocol: http, port: 80, server_group: g}\n      - {protocol: tcp, port: 80, "
                                   "server_group: g")),
              ElementsAre(HasSubstr("listener tcp 192.0.2.10:80 already stands in line 6")));
}

// A client port that meets itself on the way back, servers that call their VIP: both are troubles of `nat` alone.
TEST(HttpListener, SharesServersWithAnyListener) {
  EXPECT_THAT(
      all_findings(with_listener("protocol: http, port: 80, server_group: g}\n      - {protocol: http, port: 81, "
                                 "server_group: g")),
      IsEmpty());
}

TEST(HttpListener, ItsRulesUseGroupsAndMeetTheirLimits) {
  EXPECT_THAT(all_findings(families("192.0.2.10", "10.0.0.100, '2001:db8:1::100'",
                                    "server_group: four, rules: [{name: a, url: /a, server_group: six}, {name: b, url: "
                                    "/b, server_group: both}]")),
              IsEmpty());
  EXPECT_THAT(errors(families("192.0.2.10", "10.0.0.100",
                              "server_group: four, rules: [{name: a, url: /a, server_group: fuor}]")),
              ElementsAre(HasSubstr("there is no server group `fuor`; did you mean `four`?")));
}

TEST(HttpListener, LayerSevenTakesHalfOfTheLocalPorts) {
  EXPECT_THAT(
      errors(with_ports("workers: {count: 2}\nlocal_ports: 2000-2002\n")),
      ElementsAre(HasSubstr("2:14: error: `local_ports` has 3 ports for 2 workers; allowed: at least two ports for "
                            "each worker, one for layer 4 and one for layer 7 (without layer 7, `memory: "
                            "{connections: 0}`, one is enough)")));
  EXPECT_THAT(errors(with_ports("workers: {count: 2}\nlocal_ports: 2000-2003\n")), IsEmpty());
}

TEST(HttpListener, ThousandsOfRulesAreRead) {
  std::string rules;
  for (int index = 0; index < 4'000; ++index) {
    rules += "      - {name: r" + std::to_string(index) + ", domain: d" + std::to_string(index) +
             ".example.org, server_group: g}\n";
  }
  const std::string text = with_ports(
      "local_addresses: [10.0.0.100]\nload_balancers:\n- name: a\n  address: 192.0.2.10\n"
      "  listeners:\n  - protocol: http\n    port: 80\n    server_group: g\n    rules:\n" +
      rules + "server_groups: [{name: g, servers: [{address: 10.0.0.7, port: 80}]}]\n");
  EXPECT_THAT(all_findings(text), IsEmpty());
}

}  // namespace
}  // namespace steelyard::control::config
