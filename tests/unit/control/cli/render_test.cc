#include "control/cli/render.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

json::object object(const char* text) {
  return json::parse(text).as_object();
}

constexpr const char* status_text = R"({
  "version": "0.1.0", "uptime_s": 3723.4, "config_file": "/etc/steelyard.yaml", "generation": 7, "workers": 2,
  "overrides": 1, "memory": {"flow_tables": 536870912, "connection_tables": 77594624, "packet_buffers": 41943040},
  "load_balancers": [
    {"name": "web", "address": "192.0.2.10", "status": "active", "listeners": [
      {"protocol": "tcp", "port": 80, "status": "running", "mode": "nat", "scheduler": "wrr", "group": "pages",
       "persistence_timeout": 300, "connections": 1, "servers": [
        {"name": "a", "address": "10.0.0.1", "port": 8080, "weight": 100, "configured_weight": 100,
         "admin": "enabled", "override": false, "health": "up", "since": "2024-05-01T10:00:00Z", "since_s": 125.9,
         "check": "tcp 10.0.0.1:8080", "last_result": "connected", "last_time_s": 1.2,
         "connections": 1, "max_connections": 20, "total_connections": 1234},
        {"name": "", "address": "10.0.0.2", "port": 8080, "weight": 5, "configured_weight": 50,
         "admin": "draining", "override": true, "health": "down", "since": "2024-05-01T10:02:03Z", "since_s": 14.0,
         "check": "http HEAD http://10.0.0.2:8080/", "last_result": "HTTP 200", "last_time_s": 1.7,
         "down_check": "http HEAD http://10.0.0.2:8080/", "down_because": "HTTP 503, allowed 2xx 3xx",
         "connections": 0, "max_connections": 0, "total_connections": 12},
        {"name": "c", "address": "10.0.0.3", "port": 8080, "weight": 0, "configured_weight": 0,
         "admin": "disabled", "override": true, "health": "unchecked", "connections": 0, "total_connections": 0}]},
      {"protocol": "udp", "port": 53, "status": "stopped", "mode": "fullnat", "scheduler": "rr", "group": "web",
       "persistence_timeout": 0, "connections": 0, "servers": []}]},
    {"name": "six", "address": "2001:db8::10", "status": "inactive", "listeners": []}],
  "groups": [
    {"name": "pages", "servers": 3, "servers_down": 1, "connections": 1, "used_by": ["web:tcp:80"]},
    {"name": "spare", "servers": 2, "servers_down": 0, "connections": 0, "used_by": []},
    {"name": "web", "servers": 4, "servers_down": 0, "connections": 0,
     "used_by": ["a:tcp:1", "b:tcp:1", "c:tcp:1", "d:tcp:1", "e:tcp:1"]}]})";

TEST(RenderStatus, ShowsServersInTablesAndWhyOneIsDown) {
  EXPECT_EQ(render_status(object(status_text)),
            R"(steelyard 0.1.0, up 1h02m, configuration /etc/steelyard.yaml (generation 7), 2 workers
1 server changed by `steelyard server`, until the next reload (*)
memory: flow tables 512 MiB, connections 74 MiB, packet buffers 40 MiB

web 192.0.2.10 active
  tcp/80 running, nat, wrr, group pages, persistence 300 s, 1 connection
    SERVER  ADDRESS        WEIGHT  ADMIN      HEALTH     SINCE  CONNECTIONS  TOTAL
    a       10.0.0.1:8080     100  enabled    up         2m05s         1/20   1234
    -       10.0.0.2:8080  5 (50)  draining*  down         14s            0     12
        down since 2024-05-01T10:02:03Z (14s ago): check http HEAD http://10.0.0.2:8080/ failed: HTTP 503, allowed 2xx 3xx; last answer 1s ago: HTTP 200
    c       10.0.0.3:8080       0  disabled*  unchecked      -            0      0
  udp/53 stopped, fullnat, rr, group web, 0 connections
    no servers

six 2001:db8::10 inactive

GROUP  SERVERS  DOWN  CONNECTIONS  USED BY
pages        3     1            1  web:tcp:80
spare        2     0            0  -
web          4     0            0  a:tcp:1, b:tcp:1, c:tcp:1 and 2 more
)");
}

TEST(RenderStatus, ShowsHttpListenersWithTheirRulesAndRedirects) {
  const std::string text = render_status(object(R"({"load_balancers":[{"name":"a","listeners":[
    {"protocol":"http","port":80,"status":"running","scheduler":"wrr","group":"g","clients":1,"connections":2,"servers":[],
     "sticky_session":{"type":"insert","cookie":"SERVERID","cookie_timeout":60}},
    {"protocol":"http","port":80,"rule":"api,v2","status":"running","scheduler":"rr","group":"h","connections":1,
     "servers":[],"sticky_session":{"type":"server","cookie":"JS"},"client_address":"none"},
    {"protocol":"http","port":82,"status":"running","scheduler":"rr","group":"g","connections":0,"servers":[],
     "accept_proxy":["10.0.0.0/8","192.0.2.7","192.0.2.8","192.0.2.9"],"client_address":"proxy_v1"},
    {"protocol":"http","port":83,"status":"running","redirect":{"status":302,"scheme":"https","port":443},
     "accept_proxy":["2001:db8::/32"]},
    {"protocol":"http","port":81,"status":"running","scheduler":"wrr","group":"","connections":0,"servers":[],
     "redirect":{"status":302,"scheme":"https","port":443}}]}]})"));
  EXPECT_THAT(text, HasSubstr("  http/80 running, wrr, group g, 1 client, cookie SERVERID for 60 s, 2 connections\n"));
  EXPECT_THAT(text, HasSubstr("  http/80 rule api,v2 running, rr, group h, cookie JS of the servers, 1 connection\n"));
  EXPECT_THAT(text, HasSubstr("  http/81 running, redirect 302 to https:443\n"));
  EXPECT_THAT(text,
              HasSubstr("  http/82 running, rr, group g, PROXY headers from 10.0.0.0/8, 192.0.2.7, 192.0.2.8 and 1 "
                        "more, proxy_v1 to servers, 0 connections\n"));
  EXPECT_THAT(text, HasSubstr("  http/83 running, redirect 302 to https:443, PROXY headers from 2001:db8::/32\n"));
}

std::string status_of_server(const char* server) {
  return render_status(
      object((R"({"load_balancers":[{"listeners":[{"servers":[)" + std::string(server) + "]}]}]}").c_str()));
}

TEST(RenderStatus, NamesBothChecksWhenTheOneThatTookAServerOutHasChanged) {
  EXPECT_THAT(
      status_of_server(R"({"health":"down","since":"T","check":"tcp 10.0.0.1:81","last_result":"connected",
                                   "down_check":"tcp 10.0.0.1:80","down_because":"connection refused"})"),
      HasSubstr("down since T: check tcp 10.0.0.1:80 failed: connection refused; now check tcp 10.0.0.1:81, last "
                "answer: connected\n"));
}

TEST(RenderStatus, SaysWhyTheHealthOfAServerIsUnknown) {
  EXPECT_THAT(status_of_server(R"({"health":"unknown","since":"T","since_s":3,"check":"tcp 10.0.0.1:80",
                                   "unknown_because":"not yet checked"})"),
              HasSubstr("unknown since T (3s ago): not yet checked (check tcp 10.0.0.1:80); used meanwhile\n"));
}

TEST(RenderStatus, SaysOfAServerThatIsDownAlsoThatItsProbesCannotBeMade) {
  EXPECT_THAT(
      status_of_server(R"({"health":"down","since":"T","check":"c","down_check":"c","down_because":"refused",
                                   "last_result":"cannot probe: connect: Network is unreachable",
                                   "local_error":"cannot probe: connect: Network is unreachable",
                                   "local_error_since":"U"})"),
      HasSubstr("last answer: cannot probe: connect: Network is unreachable (probes cannot be made since U)\n"));
}

TEST(RenderStatus, ShowsWhatAnAnswerOfAnotherVersionHas) {
  EXPECT_THAT(render_status({}), HasSubstr("no load balancers"));
  EXPECT_THAT(render_status(object(R"({"load_balancers":[7,{"listeners":[{"servers":["x",{"health":"down"}]}]}]})")),
              HasSubstr("down since -: check -, last answer: -"));
}

constexpr const char* stats_text = R"({
  "workers": [
    {"worker": 0, "accounting": {"inputs": {"received": 100, "handed_in": 0}, "outputs": {"transmitted": 90},
      "drops": {"no_flow": 10}, "queued": 0, "exact": true},
     "flows": {"created": 5}, "turns": {"longest_ns": 40000, "histogram": [{"below_ns": 2, "turns": 1}]}},
    {"worker": 1, "accounting": {"inputs": {"received": 7, "handed_in": 1}, "outputs": {"transmitted": 5},
      "drops": {"bad_checksum": 1}, "queued": 1, "exact": false},
     "flows": {"created": 6}, "turns": {"longest_ns": 500}}],
  "listeners": [{"load_balancer": "web", "protocol": "tcp", "port": 80, "active": 1, "connections": 11,
    "packets_in": 50, "bytes_in": 5000, "packets_out": 45, "bytes_out": 123456, "turned_away": 2, "servers": [
      {"address": "2001:db8::1", "port": 80, "active": 1, "connections": 11, "packets_in": 50, "bytes_in": 5000,
       "packets_out": 45, "bytes_out": 123456, "turned_away": 2}]}],
  "ports": [{"name": "wan", "link_up": true, "rx_packets": 100}, {"name": "lan", "link_up": false, "rx_packets": 7,
    "exception": {"to_kernel": 3}}],
  "health_checks": {"probes": 3, "failed": 1}})";

TEST(RenderStats, ShowsCountersByNameWithAColumnPerWorkerAndPort) {
  EXPECT_EQ(render_stats(object(stats_text)), R"(PACKETS               WORKER 0  WORKER 1  TOTAL
in received                100         7    107
in handed_in                 0         1      1
out transmitted             90         5     95
queued                       0         1      1
dropped no_flow             10         0     10
dropped bad_checksum         0         1      1
in flight while this was read, or unaccounted for: worker 1

FLOWS    WORKER 0  WORKER 1  TOTAL
created         5         6     11

LOOP        WORKER 0  WORKER 1
longest_ns     40000       500

LISTENER            ACTIVE  CONNECTIONS  PACKETS IN  BYTES IN  PACKETS OUT  BYTES OUT  TURNED AWAY
web:tcp:80               1           11          50      5000           45     123456            2
  [2001:db8::1]:80       1           11          50      5000           45     123456            2

PORTS                 wan    lan
link_up              true  false
rx_packets            100      7
exception to_kernel     0      3

HEALTH CHECKS
probes         3
failed         1
)");
}

TEST(RenderStatus, TellsWhoMayComeInAndHowManyCouldNot) {
  EXPECT_THAT(render_status(object(R"({"load_balancers":[{"listeners":[{"protocol":"tcp","port":80,
      "rules":{"access_control":{"type":"white","lists":["office","lab"]}},
      "refused":{"access_denied":12,"other":0},"servers":[]}]}]})")),
              HasSubstr("connections\n    white list office, lab\n    refused: access_denied 12\n    no servers\n"));
}

TEST(RenderStatus, TellsHowManyMayComeIn) {
  EXPECT_THAT(render_status(object(R"({"load_balancers":[{"listeners":[{"protocol":"tcp","port":80,"servers":[],
      "rules":{"max_connection_rate":500,"per_source":{"max_connections":100,"max_connection_rate":20,"ipv6_prefix":56}}
      }]}]})")),
              HasSubstr("    at most 500 new connections a second; of one source (IPv6 /56) 100 connections, 20 new a "
                        "second\n"));
  EXPECT_THAT(render_status(object(R"({"load_balancers":[{"listeners":[{"protocol":"tcp","port":80,"servers":[],
      "rules":{"per_source":{"max_connections":1,"max_connection_rate":0,"ipv6_prefix":64}}}]}]})")),
              HasSubstr("    at most of one source (IPv6 /64) 1 connection\n"));
}

TEST(RenderStatus, ShowsTheRolesOfAPrimarySecondaryGroupInsteadOfWeights) {
  const std::string shown = render_status(object(R"({"load_balancers":[{"listeners":[{"servers":[
      {"name":"a","address":"10.0.0.1","port":80,"role":"primary","weight":100,"admin":"enabled","health":"up"},
      {"name":"b","address":"10.0.0.2","port":80,"role":"secondary","weight":100,"admin":"enabled","health":"up"}]}]}]})"));
  EXPECT_THAT(shown, HasSubstr("SERVER  ADDRESS      ROLE       ADMIN"));
  EXPECT_THAT(shown, HasSubstr("b       10.0.0.2:80  secondary  enabled"));
}

TEST(RenderStats, TellsWhatAListenerHasRefused) {
  EXPECT_THAT(render_stats(object(R"({"listeners":[{"load_balancer":"web","protocol":"tcp","port":80,
      "refused":{"access_denied":12,"other":0}}]})")),
              HasSubstr("refused: access_denied 12\n"));
}

TEST(RenderStats, SaysThatEveryPacketIsAccountedForWhenItIs) {
  EXPECT_THAT(render_stats(object(R"({"workers":[{"worker":0,"accounting":{"queued":0,"exact":true}}]})")),
              HasSubstr("every packet is accounted for\n"));
}

TEST(RenderStats, SurvivesAnAnswerOfAnotherShape) {
  EXPECT_NO_THROW(static_cast<void>(render_stats({})));
  EXPECT_NO_THROW(static_cast<void>(
      render_stats(object(R"({"workers":[1,{}],"listeners":[null],"ports":["x"],"health_checks":[]})"))));
}

TEST(RenderFlows, ListsFlowsAndSaysThatThereAreMore) {
  EXPECT_EQ(
      render_flows(object(R"({"flows":[{"protocol":"tcp","client":"198.51.100.7:1234","vip":"192.0.2.10:80",
    "local":"198.51.100.7:1234","server":"10.0.0.1:8080","state":"established","mode":"nat","idle_s":3,"worker":1}],
    "truncated":true})")),
      R"(PROTO  CLIENT             VIP            LOCAL              SERVER         STATE        MODE  IDLE  WORKER
tcp    198.51.100.7:1234  192.0.2.10:80  198.51.100.7:1234  10.0.0.1:8080  established  nat     3s       1
there are more; --limit N shows up to N, --client, --server and --listener narrow the list
)");
  EXPECT_EQ(render_flows(object(R"({"flows":[],"truncated":false})")), "no flows\n");
}

TEST(RenderFlows, CountsInWords) {
  EXPECT_EQ(render_flows(object(R"({"count":1})")), "1 flow\n");
  EXPECT_EQ(render_flows(object(R"({"cleared":8})")), "8 flows cleared\n");
  EXPECT_EQ(render_flows(object(R"({"cleared":8,"requests":1})")), "8 flows cleared, 1 request ended\n");
}

TEST(RenderConnections, ListsConnectionsWithWhatTheyDoAndTcpsNumbers) {
  const std::string shown = render_connections(object(R"({"connections":[{"side":"client","listener":"192.0.2.10:80",
    "client":"198.51.100.7:1234","server":null,"local":"192.0.2.10:80","remote":"198.51.100.7:1234",
    "state":"established","doing":"idle","requests":2,"cwnd":14480,"ssthresh":null,"srtt_us":850,"rto_us":3250000,
    "unacked":1,"unsent":2,"unread":3,"retransmits":4,"idle_s":65,"worker":1}],"truncated":true})"));
  EXPECT_THAT(shown, HasSubstr("SIDE    LISTENER       CLIENT             SERVER  LOCAL          STATE        DOING"));
  EXPECT_THAT(shown, HasSubstr("client  192.0.2.10:80  198.51.100.7:1234  -       192.0.2.10:80  established  idle"));
  EXPECT_THAT(shown, HasSubstr("14480         -  850us  3.2s"));
  EXPECT_THAT(shown, HasSubstr("there are more; --limit N"));
  EXPECT_EQ(render_connections(object(R"({"connections":[],"truncated":false})")), "no connections\n");
  EXPECT_EQ(render_connections(object(R"({"count":1})")), "1 connection\n");
  EXPECT_EQ(render_connections(object(R"({"cleared":8})")), "8 connections cleared\n");
}

TEST(Render, SaysWhatAServerCommandDid) {
  EXPECT_EQ(render(object(R"({"command":"server","action":"weight","group":"web","server":"a","value":10})"), {}),
            "a of group web has weight 10; until the next reload\n");
  EXPECT_EQ(
      render(object(R"({"command":"server","action":"drain","group":"web","server":"a","value":60})"), {}),
      "a of group web draining: no new connections, those that run are reset after 60 s; until the next reload\n");
  EXPECT_EQ(render(object(R"({"command":"server","action":"enable","group":"web","server":"a"})"), {}),
            "a of group web enabled; until the next reload\n");
  EXPECT_EQ(render(object(R"({"command":"server","action":"enable","group":"web","server":"a"})"),
                   object(R"({"generation":9,"weight":50,"configured_weight":100})")),
            "a of group web enabled, weight 50 (overridden; configured 100); until the next reload\n");
  EXPECT_EQ(render(object(R"({"command":"server","action":"enable","group":"web","server":"a"})"),
                   object(R"({"generation":9,"weight":100,"configured_weight":100})")),
            "a of group web enabled, weight 100; until the next reload\n");
}

TEST(Render, SaysWhichGenerationAReloadMade) {
  EXPECT_EQ(render(object(R"({"command":"reload"})"), object(R"({"generation":8,"warnings":[]})")),
            "reloaded: generation 8 is in force\n");
}

TEST(Pretty, IndentsAndReadsBackAsTheSame) {
  EXPECT_EQ(pretty(json::parse(R"({"a":[1,{"b":null}],"c":{},"d":[],"e\"\n":"x\u001b"})")),
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": null\n    }\n  ],\n  \"c\": {},\n  \"d\": [],\n"
            "  \"e\\\"\\n\": \"x\\u001b\"\n}\n");
  EXPECT_EQ(json::parse(pretty(json::parse(stats_text))), json::parse(stats_text));
}

}  // namespace
}  // namespace steelyard::control::cli
