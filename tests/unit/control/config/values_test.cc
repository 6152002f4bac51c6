// Each value by itself: the edges of every range, spellings, types, and what is said about what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control/config/config_text.h"

namespace steelyard::control::config {
namespace {

using ::testing::ElementsAre;
using testing::errors;
using testing::findings;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::warnings;
using testing::with_listener;
using testing::with_ports;

// ---- Ranges
// ----------------------------------------------------------------------------------------------------------

struct NumberRange {
  const char* name;
  std::string before;  // the text up to the number
  std::string after;
  std::uint64_t min;
  std::uint64_t max;
};

class Ranges : public ::testing::TestWithParam<NumberRange> {
 protected:
  static std::vector<std::string> errors_with(std::uint64_t value) {
    return errors(GetParam().before + std::to_string(value) + GetParam().after);
  }
};

TEST_P(Ranges, AcceptBothEnds) {
  EXPECT_THAT(errors_with(GetParam().min), IsEmpty());
  EXPECT_THAT(errors_with(GetParam().max), IsEmpty());
}

TEST_P(Ranges, RefuseWhatIsOutside) {
  const std::string allowed = std::to_string(GetParam().min) + ".." + std::to_string(GetParam().max);
  if (GetParam().min > 0) {
    EXPECT_THAT(errors_with(GetParam().min - 1), ElementsAre(HasSubstr("; allowed: " + allowed)));
  }
  EXPECT_THAT(errors_with(GetParam().max + 1), ElementsAre(HasSubstr("; allowed: " + allowed)));
}

NumberRange top(const char* name, const char* section, const char* key, std::uint64_t min, std::uint64_t max) {
  return {name, std::string(section) + ": {" + key + ": ", "}\n" + std::string(testing::ports), min, max};
}

NumberRange listener(const char* name, const char* keys, std::uint64_t min, std::uint64_t max) {
  std::string text = with_listener(std::string(keys) + "@");
  const auto place = text.find('@');
  return {name, text.substr(0, place), text.substr(place + 1), min, max};
}

NumberRange check(const char* name, const char* protocol, const char* key, std::uint64_t min, std::uint64_t max) {
  std::string text = with_listener("protocol: " + std::string(protocol) +
                                   ", port: 80, server_group: g, health_check: {" + key + ": @}");
  const auto place = text.find('@');
  return {name, text.substr(0, place), text.substr(place + 1), min, max};
}

INSTANTIATE_TEST_SUITE_P(
    Numbers, Ranges,
    ::testing::Values(
        top("workers", "workers", "count", 1, 64), top("coalesce_us", "workers", "coalesce_us", 0, 1000),
        top("flows_ipv4", "memory", "flows_ipv4", 1024, 134217728),
        top("flows_ipv6", "memory", "flows_ipv6", 1024, 134217728),
        top("packet_buffers", "memory", "packet_buffers", 2048, 1048576), top("drain", "shutdown", "drain", 0, 3600),
        NumberRange{"mtu", "ports: [{name: a, device: net_tap0, mtu: ", "}]", 1280, 9000},
        NumberRange{"weight", "server_groups: [{name: g, servers: [{address: 10.0.0.8, port: 1, weight: ",
                    "}]}]\n" + std::string(testing::ports), 0, 100},
        NumberRange{"max_connections",
                    "server_groups: [{name: g, servers: [{address: 10.0.0.8, port: 1, max_connections: ",
                    "}]}]\n" + std::string(testing::ports), 0, 4294967295},
        NumberRange{"group_max_connections", "server_groups: [{name: g, servers: [], max_connections: ",
                    "}]\n" + std::string(testing::ports), 0, 4294967295},
        NumberRange{"server_port", "server_groups: [{name: g, servers: [{address: 10.0.0.8, port: ",
                    "}]}]\n" + std::string(testing::ports), 1, 65535},
        NumberRange{"default_weight",
                    "load_balancers: [{name: b, address: 192.0.2.9, default_group: [{address: 10.0.0.8, weight: ",
                    "}]}]\n" + std::string(testing::ports), 0, 100},
        listener("port", "protocol: tcp, server_group: g, port: ", 1, 65535),
        listener("default_server_port", "protocol: tcp, port: 80, server_port: ", 1, 65535),
        listener("persistence", "protocol: tcp, port: 80, server_group: g, persistence_timeout: ", 0, 3600),
        listener("established", "protocol: tcp, port: 80, server_group: g, established_timeout: ", 10, 900),
        listener("slow_start", "protocol: tcp, port: 80, server_group: g, slow_start: ", 0, 3600),
        listener("bandwidth", "protocol: tcp, port: 80, server_group: g, bandwidth: ", 1, 5120),
        listener("connection_drain", "protocol: tcp, port: 80, server_group: g, connection_drain: ", 10, 900),
        check("interval", "tcp", "interval", 1, 50), check("timeout", "tcp", "timeout", 1, 300),
        check("udp_interval", "udp", "interval", 1, 50), check("udp_timeout", "udp", "timeout", 1, 300),
        check("healthy", "tcp", "healthy_threshold", 2, 10), check("unhealthy", "tcp", "unhealthy_threshold", 2, 10),
        check("udp_healthy", "udp", "healthy_threshold", 1, 10),
        check("udp_unhealthy", "udp", "unhealthy_threshold", 1, 10), check("check_port", "tcp", "port", 1, 65535)),
    [](const ::testing::TestParamInfo<NumberRange>& param) { return param.param.name; });

TEST(Integers, MustBePlainDecimal) {
  for (const char* value :
       {"0x10", "010", "+4", "-1", "1e1", "4.0", "\"4\"", "'4'", "4k", "four", "true", "4_0", "１"}) {
    EXPECT_THAT(errors(with_ports("workers: {count: " + std::string(value) + "}\n")),
                ElementsAre(HasSubstr("1:18: error: `count` is `")))
        << value;
  }
  EXPECT_THAT(errors(with_ports("workers: {count: [1]}\n")),
              ElementsAre("1:18: error: `count` is a list; allowed: a plain decimal number, 1..64"));
  EXPECT_THAT(errors(with_ports("workers: {count: {}}\n")),
              ElementsAre("1:18: error: `count` is a mapping; allowed: a plain decimal number, 1..64"));
  EXPECT_THAT(errors(with_ports("workers: {count: 184467440737095516170000000000001}\n")),
              ElementsAre("1:18: error: `count` is `184467440737095516170000000000001`; allowed: 1..64"));
  EXPECT_THAT(errors(with_ports("workers: {count: 18446744073709551617}\n")),
              ElementsAre(HasSubstr("; allowed: 1..64")));
}

TEST(Booleans, AreSixWordsWithoutQuotes) {
  for (const char* value : {"true", "false", "on", "off", "yes", "no"}) {
    EXPECT_THAT(errors(with_ports("pass_unmatched: " + std::string(value) + "\n")), IsEmpty()) << value;
  }
  for (const char* value : {"TRUE", "True", "1", "0", "y", "'true'", "enabled", "[]"}) {
    EXPECT_THAT(errors(with_ports("pass_unmatched: " + std::string(value) + "\n")),
                ElementsAre(HasSubstr("1:17: error: `pass_unmatched` is ")))
        << value;
  }
}

// ---- Words and texts
// ---------------------------------------------------------------------------------------------------

struct Wrong {
  std::string text;
  const char* finding;
};

class WrongValue : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongValue, IsRefusedWithItsPlaceAndWhatIsAllowed) {
  EXPECT_THAT(errors(GetParam().text), ElementsAre(HasSubstr(GetParam().finding)));
}

std::string port_with(std::string_view keys) {
  return "ports: [{name: a, device: net_tap0, " + std::string(keys) + "}]";
}

INSTANTIATE_TEST_SUITE_P(
    Process, WrongValue,
    ::testing::Values(
        Wrong{with_ports("worker: {}\n"), "1:1: error: unknown key `worker` in the file; did you mean `workers`?"},
        Wrong{with_ports("xyzzy: {}\n"), "1:1: error: unknown key `xyzzy` in the file; allowed: `workers`, `memory`"},
        Wrong{with_ports("unmatched: drop\n"),
              "1:1: error: unknown key `unmatched` in the file; did you mean `pass_unmatched`?"},
        Wrong{with_ports("workers:\n"), "1:1: error: `workers` has no value; write one or leave the key out"},
        Wrong{with_ports("workers: 2\n"), "1:10: error: `workers` is `2`; allowed: a mapping"},
        Wrong{with_ports("workers: {idle: lazy}\n"), "1:17: error: `idle` is `lazy`; allowed: `busy`, `adaptive`"},
        Wrong{with_ports("workers: {idle: adaptiv}\n"), "(did you mean `adaptive`?)"},
        Wrong{with_ports("workers: {cpus: 0}\n"), "1:17: error: `cpus` is `0`; allowed: a list"},
        Wrong{with_ports("workers: {count: 2, cpus: [0, 0]}\n"), "1:31: error: CPU 0 stands twice in `cpus`"},
        Wrong{with_ports("workers: {count: 2, cpus: [0]}\n"), "1:27: error: `cpus` names 1 CPUs for 2 workers"},
        Wrong{with_ports("workers: {cpus: [1024]}\n"), "1:18: error: a CPU is `1024`; allowed: 0..1023"},
        Wrong{with_ports("memory: {hugepages: maybe}\n"),
              "1:21: error: `hugepages` is `maybe`; allowed: `auto`, `required`, `off`"},
        Wrong{with_ports("log: {level: verbose}\n"),
              "1:14: error: `level` is `verbose`; allowed: `trace`, `debug`, `info`"},
        Wrong{with_ports("metrics: {}\n"), "1:10: error: `listen` is missing in `metrics`"},
        Wrong{with_ports("metrics: {listen: 9464}\n"),
              "1:19: error: `listen` is `9464`; allowed: an address and a port"},
        Wrong{with_ports("metrics: {listen: '::1:9464'}\n"), "1:19: error: `listen` is `::1:9464`"},
        Wrong{with_ports("metrics: {listen: '127.0.0.1:0'}\n"), "1:19: error: `listen` is"},
        Wrong{with_ports("local_ports: 0-10\n"), "1:14: error: `local_ports` is `0-10`; allowed: a port or a range"},
        Wrong{with_ports("local_ports: 20-10\n"), "1:14: error: `local_ports` is `20-10`"},
        Wrong{with_ports("local_ports: 1024-65536\n"), "1:14: error: `local_ports` is `1024-65536`"},
        Wrong{with_ports("local_ports: 1024-\n"), "1:14: error: `local_ports` is `1024-`"},
        Wrong{with_ports("allowed_ports: []\n"), "1:16: error: `allowed_ports` is an empty list"},
        Wrong{with_ports("allowed_ports: [80, http]\n"), "1:21: error: an entry of `allowed_ports` is `http`"},
        Wrong{with_ports("? [a]\n: b\n"), "1:3: error: a key of the file is a list; allowed: a word"},
        Wrong{with_ports("log: {}\nlog: {}\n"),
              "2:1: error: duplicate key `log` in the file; it already stands in line 1"}));

INSTANTIATE_TEST_SUITE_P(
    Network, WrongValue,
    ::testing::Values(
        Wrong{"log: {}", "1:1: error: the file has no ports; `ports` needs at least one"},
        Wrong{"ports: []", "1:8: error: the file has no ports; `ports` needs at least one"},
        Wrong{"ports: {}", "1:8: error: `ports` is a mapping; allowed: a list"},
        Wrong{"ports: [{device: net_tap0}]", "1:9: error: `name` is missing in a port"},
        Wrong{"ports: [{name: a}]", "1:9: error: `device` is missing in a port"},
        Wrong{"ports: [{name: 1a, device: net_tap0}]", "1:16: error: `name` is `1a`; allowed: 1..80 characters"},
        Wrong{"ports: [{name: a b, device: net_tap0}]", "1:16: error: `name` is `a b`"},
        Wrong{"ports: [{name: '', device: net_tap0}]", "1:16: error: `name` is ``"},
        Wrong{"ports: [{name: " + std::string(81, 'a') + ", device: net_tap0, exception: {name: x}}]",
              "1:16: error: `name` is"},
        Wrong{"ports: [{name: a, device: 'net tap'}]",
              "1:27: error: `device` is `net tap`; allowed: 1..256 characters"},
        Wrong{"ports: [{name: abcdefghijklm, device: net_tap0}]",
              "1:16: error: the kernel-side interface of this port would be `sy-abcdefghijklm`"},
        Wrong{port_with("exception: {name: abcdefghijklmnop}"),
              "1:55: error: `name` is `abcdefghijklmnop`; allowed: 1..15"},
        Wrong{port_with("exception: {name: 'a/b'}"), "1:55: error: `name` is `a/b`"},
        Wrong{port_with("exception: {name: ..}"), "1:55: error: `name` is `..`, which the kernel refuses"},
        Wrong{port_with("exception: {namespace: a/../b}"), "1:60: error: `namespace` is `a/../b`"},
        Wrong{port_with("addresses: [10.0.0.1]"),
              "1:49: error: an address of the port is `10.0.0.1`; allowed: an address with a prefix length"},
        Wrong{port_with("addresses: [10.0.0.1/33]"), "1:49: error: an address of the port is `10.0.0.1/33`"},
        Wrong{port_with("addresses: [10.0.0.1/024]"), "1:49: error: an address of the port is `10.0.0.1/024`"},
        Wrong{port_with("addresses: [\"10.0.0.1\\0/24\"]"),
              "1:49: error: an address of the port is `10.0.0.1\\x00/24`"},
        Wrong{port_with("addresses: [10.0.0.0/24]"), "1:49: error: an address of the port is the network's address"},
        Wrong{port_with("addresses: [10.0.0.255/24]"),
              "1:49: error: an address of the port is the network's broadcast address"},
        Wrong{port_with("addresses: [224.0.0.1/24]"), "1:49: error: an address of the port is no unicast address"},
        Wrong{port_with("addresses: ['::/64']"), "1:49: error: an address of the port is no unicast address"},
        Wrong{port_with("addresses: [10.0.0.1/0]"), "1:49: error: an address of the port has a prefix length of 0"},
        Wrong{"ports: [{name: a, device: net_af_packet0, mtu: 1501}]",
              "1:48: error: `mtu` is `1501` on an af_packet device"},
        Wrong{with_ports("routes: [{to: 198.51.100.1/24, via: 192.0.2.1}]\n"),
              "1:15: error: `to` is `198.51.100.1/24`, which has host bits; allowed: the network `198.51.100.0/24`"},
        Wrong{with_ports("routes: [{to: 198.51.100.0/24}]\n"), "1:10: error: `via` is missing in a route"},
        Wrong{with_ports("routes: [{to: 198.51.100.0, via: 192.0.2.1}]\n"), "1:15: error: `to` is `198.51.100.0`"},
        Wrong{with_ports("routes: [{to: '::/0', via: 192.0.2.1}]\n"),
              "1:28: error: `via` is `192.0.2.1`, of another address family than `to`; allowed: an IPv6 address"},
        Wrong{with_ports("gateway: [192.0.2.1, 192.0.2.3]\n"), "1:22: error: `gateway` names a second IPv4 address"},
        Wrong{with_ports("gateway: 0.0.0.0\n"), "1:10: error: `gateway` is `0.0.0.0`; allowed: a unicast address"},
        Wrong{with_ports("local_addresses: [10.0.0.9/24]\n"),
              "1:19: error: a local address is `10.0.0.9/24`; allowed: an IPv4 or IPv6 address"}));

std::string tcp(std::string_view keys) {
  return with_listener("protocol: tcp, port: 80, server_group: g, " + std::string(keys));
}
std::string http(std::string_view keys) {
  return tcp("health_check: {type: http, " + std::string(keys) + "}");
}
std::string udp(std::string_view keys) {
  return with_listener("protocol: udp, port: 80, server_group: g, health_check: {" + std::string(keys) + "}");
}

INSTANTIATE_TEST_SUITE_P(
    Services, WrongValue,
    ::testing::Values(
        Wrong{with_listener("port: 80, server_group: g"),
              "6:9: error: `protocol` is missing in a listener; it has no default"},
        Wrong{with_listener("protocol: tcp, server_group: g"), "6:9: error: `port` is missing in a listener"},
        Wrong{with_listener("protocol: tcp, port: 80"),
              "6:9: error: a listener names no servers; allowed: `server_group`, or `server_port`"},
        Wrong{with_listener("protocol: https, port: 80, server_group: g"),
              "6:20: error: `protocol` `https` is not supported in this version; allowed: `tcp`, `udp`, `http`"},
        Wrong{with_listener("protocol: sctp, port: 80, server_group: g"),
              "6:20: error: `protocol` is `sctp`; allowed: `tcp`, `udp`, `http`"},
        Wrong{tcp("mode: gre"), "6:58: error: `mode` is `gre`; allowed: `nat`, `fullnat`, `dr`, `tunnel`"},
        Wrong{tcp("scheduler: qch"),
              "6:63: error: `scheduler` `qch` is not supported in this version; allowed: `wrr`, `wlc`, `rr`, `sch`, "
              "`tch`"},
        Wrong{tcp("scheduler: ring"), "6:63: error: `scheduler` is `ring`; allowed: `wrr`, `wlc`, `rr`, `sch`, `tch`"},
        Wrong{tcp("when_full: queue"), "6:63: error: `when_full` is `queue`; allowed: `reset`, `drop`"},
        Wrong{tcp("status: active"), "6:60: error: `status` is `active`; allowed: `running`, `stopped`"},
        Wrong{tcp("server_port: 80"), "6:65: error: `server_port` goes with the default group only"},
        Wrong{tcp("connection_drain: on"),
              "6:70: error: `connection_drain` is `on`; allowed: a plain decimal number, 10..900"},
        Wrong{tcp("on_removed: drop"), "6:64: error: `on_removed` is `drop`; allowed: `run`, `reset`"},
        Wrong{tcp("helth_check: {}"),
              "6:52: error: unknown key `helth_check` in a listener; did you mean `health_check`?"},
        Wrong{tcp("health_check: {type: udp}"), "6:73: error: `type` is `udp`; allowed: `tcp`, `http`"},
        Wrong{udp("type: tcp"), "`type` is `tcp`; allowed: `udp`"},
        Wrong{http("method: post"), "`method` is `post`; allowed: `head`, `get`"},
        Wrong{http("path: index.html"),
              "`path` is `index.html`; allowed: 1..80 characters: letters, digits and - / . % ? # &, starting with /"},
        Wrong{http("path: '/a b'"), "`path` is `/a b`"},
        Wrong{http("path: \"/a\\r\\nX: y\""), "`path` is `/a\\x0d\\x0aX: y`"},
        Wrong{http("path: /" + std::string(80, 'a')), "`path` is `/aaa"}, Wrong{http("host: 'a b'"), "`host` is `a b`"},
        Wrong{http("status: []"), "`status` is an empty list; allowed: some of `2xx`, `3xx`, `4xx`, `5xx`"},
        Wrong{http("status: [200]"), "an entry of `status` is `200`; allowed: `2xx`"},
        Wrong{udp("request: 'a b'"), "`request` is `a b`; allowed: 1..64 characters: letters and digits"},
        Wrong{udp("expect: " + std::string(65, 'a')), "`expect` is `aaa"},
        Wrong{with_ports("load_balancers: [{name: a}]\n"), "1:18: error: `address` is missing in a load balancer"},
        Wrong{with_ports("load_balancers: [{name: a, address: 192.0.2.10/24}]\n"),
              "1:37: error: `address` is `192.0.2.10/24`; allowed: an IPv4 or IPv6 address without a prefix length"},
        Wrong{with_ports("load_balancers: [{name: a, address: 127.0.0.1}]\n"),
              "1:37: error: `address` is `127.0.0.1`; allowed: a unicast address"},
        Wrong{with_ports("load_balancers: [{name: a, address: '::ffff:192.0.2.1'}]\n"),
              "1:37: error: `address` is `::ffff:192.0.2.1`"},
        Wrong{with_ports("load_balancers: [{name: a, address: 192.0.2.9, status: off}]\n"),
              "1:56: error: `status` is `off`; allowed: `active`, `inactive`"},
        Wrong{with_ports(
                  "load_balancers: [{name: a, address: 192.0.2.9, default_group: [{address: 10.0.0.1, port: 80}]}]\n"),
              "1:84: error: unknown key `port` in a server of the default group"},
        Wrong{with_ports("server_groups: [{name: a}]\n"), "1:17: error: `servers` is missing in a server group"},
        Wrong{with_ports("server_groups: [{name: a, servers: 10.0.0.1}]\n"),
              "1:36: error: `servers` is `10.0.0.1`; allowed: a list"},
        Wrong{with_ports("server_groups: [{name: a, servers: [{address: 10.0.0.1}]}]\n"),
              "1:37: error: `port` is missing in a server"},
        Wrong{with_ports("server_groups: [{name: a, servers: [10.0.0.1]}]\n"),
              "1:37: error: a server is `10.0.0.1`; allowed: a mapping"}));

// ---- The client's address
// ------------------------------------------------------------------------------------------------

std::vector<std::string> told(const char* keys) {
  return findings(with_listener("port: 80, server_group: g, " + std::string(keys)));
}

TEST(Values, AClientsAddressIsToldInFullNatAndToTcpServersOnly) {
  EXPECT_THAT(told("protocol: tcp, mode: fullnat, client_address: proxy_v2"), IsEmpty());
  EXPECT_THAT(told("protocol: tcp, mode: fullnat, client_address: toa, strip_timestamps: false"), IsEmpty());
  EXPECT_THAT(told("protocol: udp, mode: fullnat, client_address: toa"),
              ElementsAre(HasSubstr("`client_address` is `toa`, and the listener is a udp one")));
  for (const char* keys :
       {"protocol: tcp", "protocol: udp", "protocol: udp, mode: dr", "protocol: tcp, mode: fullnat"}) {
    EXPECT_THAT(told((std::string(keys) + ", client_address: none").c_str()), IsEmpty()) << keys;
  }
  EXPECT_THAT(told("protocol: udp, mode: fullnat, client_address: proxy_v2"),
              ElementsAre(HasSubstr("error: `client_address` is `proxy_v2`, and the listener is a udp one: each "
                                    "datagram is forwarded by itself")));
  for (const std::string mode : {"nat", "dr"}) {
    EXPECT_THAT(told(("protocol: tcp, client_address: proxy_v2, mode: " + mode).c_str()),
                ElementsAre(HasSubstr("error: `client_address` is `proxy_v2`, and the mode is " + mode +
                                      ", in which servers see the client's own address; allowed: none")));
  }
}

TEST(Values, AProxyHeaderGoesWithoutTimestamps) {
  EXPECT_THAT(told("protocol: tcp, mode: fullnat, client_address: proxy_v2, strip_timestamps: false"),
              ElementsAre(HasSubstr("error: `strip_timestamps` is off, and `client_address` is `proxy_v2`")));
}

TEST(Values, AnHttpCheckOfAPortThatExpectsAProxyHeaderIsWarnedOf) {
  const std::string keys = "protocol: tcp, mode: fullnat, client_address: proxy_v2, health_check: ";
  EXPECT_THAT(told((keys + "{type: http}").c_str()), ElementsAre(HasSubstr("warning: the check speaks HTTP")));
  for (const char* check : {"{type: http, port: 81}", "{type: tcp}", "{type: http, enabled: false}"}) {
    EXPECT_THAT(told((keys + check).c_str()), IsEmpty()) << check;
  }
}

TEST(Values, SettingsThatDoNothingAreWarnedOf) {
  EXPECT_THAT(warnings(tcp("strip_timestamps: false")),
              ElementsAre("6:52: warning: `strip_timestamps` has no effect here; only mode fullnat uses it"));
  EXPECT_THAT(warnings(tcp("health_check: {path: /a}")), ElementsAre(HasSubstr("only a check of type http uses it")));
  EXPECT_THAT(warnings(tcp("health_check: {expect: a}")), ElementsAre(HasSubstr("only a check of type udp uses it")));
  for (const char* setting : {"established_timeout: 10", "connection_drain: 10", "strip_timestamps: true",
                              "mode: fullnat, strip_timestamps: false"}) {
    EXPECT_THAT(warnings(with_listener("protocol: udp, port: 80, server_group: g, " + std::string(setting))),
                ElementsAre(HasSubstr("only a tcp listener uses it")))
        << setting;
  }
  EXPECT_THAT(warnings(tcp("scheduler: rr, slow_start: 60")),
              ElementsAre("6:67: warning: `slow_start` has no effect here; scheduler rr gives every server the same "
                          "share; use wrr or wlc"));
  EXPECT_THAT(warnings(tcp("scheduler: tch, slow_start: 60")),
              ElementsAre("6:68: warning: `slow_start` has no effect here; a weight that grows would move clients "
                          "between servers; use wrr or wlc"));
  for (const char* setting : {"scheduler: sch, slow_start: 0", "scheduler: rr, slow_start: 0",
                              "scheduler: wlc, slow_start: 60", "slow_start: 60"}) {
    EXPECT_THAT(warnings(tcp(setting)), ::testing::IsEmpty()) << setting;
  }
}

TEST(Values, EveryErrorOfAFileIsReportedAtOnceInItsOrder) {
  EXPECT_THAT(findings("worker: {}\n"
                       "ports:\n"
                       "  - name: wan\n"
                       "    device: net_null0\n"
                       "    mtu: 20\n"
                       "load_balancers:\n"
                       "  - name: web\n"
                       "    address: 192.0.2.10\n"
                       "    listeners:\n"
                       "      - protocol: tcp\n"
                       "        port: 70000\n"
                       "        server_group: wbe\n"
                       "      - protocol: tcp\n"
                       "        port: 80\n"
                       "        server_group: web\n"
                       "        mode: fullnat\n"
                       "server_groups:\n"
                       "  - name: web\n"
                       "    servers:\n"
                       "      - {address: 10.0.0.1, port: 80, weight: 200}\n"
                       "      - {address: 10.0.0.1, port: 80}\n"),
              ElementsAre(HasSubstr("1:1: error: unknown key `worker`"), HasSubstr("5:10: error: `mtu` is `20`"),
                          HasSubstr("11:15: error: `port` is `70000`"),
                          HasSubstr("12:23: error: there is no server group `wbe`; did you mean `web`?"),
                          HasSubstr("13:9: error: mode fullnat needs an IPv4 address in `local_addresses`"),
                          HasSubstr("20:47: error: `weight` is `200`"),
                          HasSubstr("21:9: error: server 10.0.0.1:80 already stands in line 20")));
}

}  // namespace
}  // namespace steelyard::control::config
