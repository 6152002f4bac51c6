// The PROXY protocol between clients, us and servers: whom a trusted proxy may name, what becomes of those that name
// nobody, and what servers are told. The header itself is proxy_protocol_test.cc's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "dataplane/http/proxy_protocol.h"
#include "tests/unit/http/proxy_world.h"

namespace steelyard::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;
using namespace std::string_literals;

constexpr const char* trusted = "198.51.100.7";
constexpr const char* stranger = "198.51.100.99";
const std::string line = "PROXY TCP4 203.0.113.5 192.0.2.80 51000 8443\r\n";
const std::string binary =
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x05\xc0\0\x02\x50\xc7\x38\x20\xfb"s;  // the same
const std::string local = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"s;
const std::string get{ProxyWorld::get};

ProxyWorld::Options trusting(std::size_t piece = 1'448) {
  const std::array<service::Prefix, 2> proxies{*service::Prefix::parse(trusted),
                                               *service::Prefix::parse("2001:db8::/32")};
  ProxyWorld::Options options;
  options.piece = piece;
  options.http.proxies = std::make_shared<service::AccessControl>(service::AccessType::white, proxies);
  options.http.forwarded_port = options.http.forwarded_client_port = options.http.slb_ip = true;
  return options;
}

// What the last server was asked, which then answers.
std::string asked(ProxyWorld& world) {
  std::string request = world.heard(world.last_opened());
  world.says(world.last_opened(), ProxyWorld::ok);
  return request;
}

// --- headers of clients' connections -------------------------------------------------------------------------------

class ClientHeader : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(BothVersions, ClientHeader, testing::Values(line, binary),
                         [](const auto& row) { return row.param[0] == 'P' ? "Line" : "Binary"; });

TEST_P(ClientHeader, NamesTheClientAndWhatItHasConnectedTo) {
  for (const std::size_t piece : {1'448U, 1U, 7U}) {
    ProxyWorld world(trusting(piece));
    world.listener().scheduler = service::Scheduler::sch;
    world.publish();
    const auto client = world.client(trusted);
    world.says(client, GetParam() + get);
    EXPECT_THAT(asked(world),
                AllOf(StartsWith("GET / HTTP/1.1\r\n"), HasSubstr("\r\nX-Forwarded-For: 203.0.113.5\r\n"),
                      HasSubstr("\r\nX-Forwarded-Client-srcport: 51000\r\n"),
                      HasSubstr("\r\nX-Forwarded-Port: 8443\r\n"), HasSubstr("\r\nSLB-IP: 192.0.2.80\r\n")));
    EXPECT_EQ(world.heard(client), ProxyWorld::ok);
    EXPECT_EQ(
        world.last_key().value,
        schedule::client_key(service::Scheduler::sch, *service::Address::parse("203.0.113.5"), 51'000, {}, 0).value);
    ASSERT_EQ(world.log().size(), 1U);
    EXPECT_EQ(world.log()[0].client.to_string(), "203.0.113.5");
    EXPECT_EQ(world.log()[0].client_port, 51'000);
    EXPECT_EQ(world.log()[0].octets_in, get.size());
  }
}

TEST_P(ClientHeader, IsGoodForAllRequestsOfItsConnection) {
  ProxyWorld world(trusting());
  const auto client = world.client(trusted);
  world.says(client, GetParam());
  world.advance(seconds{1});
  for (int request = 0; request < 3; ++request) {
    world.says(client, get);
    EXPECT_THAT(asked(world), HasSubstr("\r\nX-Forwarded-For: 203.0.113.5\r\n"));
    EXPECT_EQ(world.heard(client), ProxyWorld::ok);
  }
  // There is one at the beginning, and no other.
  world.says(client, GetParam() + get);
  EXPECT_THAT(world.heard(client), StartsWith("HTTP/1.1 400 "));
  EXPECT_EQ(world.log().back().client.to_string(), "203.0.113.5");
}

TEST_P(ClientHeader, OfAStrangerIsABadRequest) {
  ProxyWorld world(trusting());
  const auto client = world.client(stranger);
  world.says(client, GetParam() + get);
  EXPECT_THAT(world.heard(client), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(world.opened(), IsEmpty());
  EXPECT_EQ(world.log().at(0).cause, Cause::bad_request);
  EXPECT_EQ(world.log().at(0).client.to_string(), stranger);
  EXPECT_EQ(world.proxy().counters().bad_proxy_headers.get(), 0U);
}

TEST_P(ClientHeader, IsABadRequestWhereNobodyIsTrusted) {
  ProxyWorld world;
  const auto client = world.client(trusted);
  world.says(client, GetParam() + get);
  EXPECT_THAT(world.heard(client), StartsWith("HTTP/1.1 400 "));
}

TEST_P(ClientHeader, ThatEndsTooEarlyEndsTheConnectionWithoutAWord) {
  for (std::size_t size = 1; size < GetParam().size(); ++size) {
    ProxyWorld world(trusting());
    const auto client = world.client(trusted);
    world.says(client, GetParam().substr(0, size));
    EXPECT_FALSE(world.peer(client).gone);
    world.finishes(client);
    EXPECT_TRUE(world.peer(client).reset);
    EXPECT_THAT(world.heard(client), IsEmpty());
    EXPECT_EQ(world.log().at(0).cause, Cause::bad_proxy_header);
  }
}

TEST(ClientHeaders, OfTheLargestSizeComeInPieces) {
  ProxyWorld world(trusting(700));
  const auto client = world.client(trusted);
  const std::string extension = "\x04"s + std::string("\x0f\xe1", 2) + std::string(4'065, 'x');
  world.says(client, binary.substr(0, 14) + "\x0f\xf0" + binary.substr(16) + extension + get);
  EXPECT_THAT(asked(world), HasSubstr("\r\nX-Forwarded-For: 203.0.113.5\r\n"));
  EXPECT_EQ(world.peer(client).consumed, world.peer(client).delivered);
}

TEST(ClientHeaders, MayBeOfAnIpv6ClientOfAnIpv4Proxy) {
  ProxyWorld world(trusting());
  const auto client = world.client(trusted);
  world.says(client, "PROXY TCP6 2001:db8:5::1 2001:db8::a 51000 443\r\n" + get);
  EXPECT_THAT(asked(world),
              AllOf(HasSubstr("\r\nX-Forwarded-For: 2001:db8:5::1\r\n"), HasSubstr("\r\nSLB-IP: 2001:db8::a\r\n")));
}

TEST(ClientHeaders, ThatNameNobodyLeaveTheConnectionsOwnAddresses) {
  for (const std::string& header :
       {local, "PROXY UNKNOWN\r\n"s, "PROXY UNKNOWN 203.0.113.5 192.0.2.80 51000 8443\r\n"s}) {
    ProxyWorld world(trusting());
    const auto client = world.client(trusted);
    world.says(client, header + get);
    EXPECT_THAT(asked(world), AllOf(HasSubstr("\r\nX-Forwarded-For: 198.51.100.7\r\n"),
                                    HasSubstr("\r\nX-Forwarded-Client-srcport: 40000\r\n"),
                                    HasSubstr("\r\nX-Forwarded-Port: 80\r\n"), HasSubstr("\r\nSLB-IP: 192.0.2.1\r\n")));
    EXPECT_EQ(world.log().at(0).client.to_string(), trusted);
  }
}

TEST(ClientHeaders, AreNotExpectedOfStrangers) {
  ProxyWorld world(trusting());
  const auto client = world.client(stranger);
  world.says(client, get);
  EXPECT_THAT(asked(world), HasSubstr("\r\nX-Forwarded-For: 198.51.100.99\r\n"));
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
}

TEST(ClientHeaders, OfOneConnectionAreNotTheNextOnes) {
  ProxyWorld world(trusting());
  const auto first = world.client(trusted);
  world.says(first, line + get);
  static_cast<void>(asked(world));
  world.resets(first);
  const auto second = world.client(stranger);  // where the first one was
  world.says(second, get);
  EXPECT_THAT(asked(world), HasSubstr("\r\nX-Forwarded-For: 198.51.100.99\r\n"));
  world.resets(second);
  const auto third = world.client(trusted);
  world.says(third, local + get);
  EXPECT_THAT(asked(world), HasSubstr("\r\nX-Forwarded-For: 198.51.100.7\r\n"));
}

TEST(ClientHeaders, MustComeFromThoseWhoAreTrusted) {
  for (const std::string& instead :
       {get, "PROXY TCP4 203.0.113.5 192.0.2.80 51000 65536\r\n"s + get, "\x16\x03\x01"s, "\r\n"s + get}) {
    ProxyWorld world(trusting());
    const auto client = world.client(trusted);
    world.says(client, instead);
    EXPECT_TRUE(world.peer(client).reset);
    EXPECT_THAT(world.heard(client), IsEmpty());
    EXPECT_THAT(world.opened(), IsEmpty());
    ASSERT_EQ(world.log().size(), 1U);
    EXPECT_EQ(code_of(world.log()[0].cause), "PH");
    EXPECT_EQ(world.log()[0].status, 0);
    EXPECT_EQ(world.log()[0].client.to_string(), trusted);
    EXPECT_EQ(world.proxy().counters().bad_proxy_headers.get(), 1U);
  }
}

TEST(ClientHeaders, HaveTheHeaderTimeoutHoweverTheyTrickle) {
  auto options = trusting();
  options.http.header_timeout = seconds{3};
  for (const std::string& some : {""s, line.substr(0, 10)}) {
    ProxyWorld world(options);
    const auto client = world.client(trusted);
    for (const char octet : some) {
      world.advance(milliseconds{250});
      world.says(client, std::string(1, octet));
    }
    world.advance(seconds{3} - some.size() * milliseconds{250} - milliseconds{100});
    EXPECT_FALSE(world.peer(client).gone);
    world.advance(milliseconds{200});
    EXPECT_TRUE(world.peer(client).reset);
    EXPECT_THAT(world.heard(client), IsEmpty());
    EXPECT_EQ(world.log().at(0).cause, Cause::bad_proxy_header);
    EXPECT_EQ(world.proxy().counters().bad_proxy_headers.get(), 1U);
  }
}

TEST(ClientHeaders, AreNoRequests) {
  auto options = trusting();
  options.http.header_timeout = seconds{3};
  options.http.idle_timeout = seconds{10};
  ProxyWorld world(options);
  const auto silent = world.client(trusted);
  world.says(silent, line);
  world.advance(seconds{9});
  EXPECT_FALSE(world.peer(silent).finished);
  world.advance(seconds{2});  // as a client between requests
  EXPECT_TRUE(world.peer(silent).finished);
  EXPECT_THAT(world.heard(silent), IsEmpty());
  EXPECT_THAT(world.log(), IsEmpty());
  const auto slow = world.client(trusted);
  world.advance(seconds{2});
  world.says(slow, line + "GET ");  // which has its own time
  world.advance(milliseconds{2'900});
  EXPECT_THAT(world.heard(slow), IsEmpty());
  world.advance(milliseconds{200});
  EXPECT_THAT(world.heard(slow), StartsWith("HTTP/1.1 408 "));
  EXPECT_EQ(world.log().at(0).client.to_string(), "203.0.113.5");
}

TEST(ClientHeaders, AreNotMissedOfWhoOnlyAsksWhetherWeAreThere) {
  ProxyWorld world(trusting());
  const auto client = world.client(trusted);
  world.finishes(client);
  EXPECT_TRUE(world.peer(client).finished);
  EXPECT_THAT(world.log(), IsEmpty());
  EXPECT_EQ(world.proxy().counters().bad_proxy_headers.get(), 0U);
}

TEST(ClientHeaders, AreExpectedByWhatWasInForceWhenTheConnectionCame) {
  ProxyWorld world(trusting());
  const auto before = world.client(trusted);
  auto settings = *world.listener().http;
  settings.proxies = nullptr;
  world.listener().http = std::make_shared<service::HttpSettings>(settings);
  world.publish();
  const auto behind = world.client(trusted);
  world.says(before, line + get);
  EXPECT_THAT(asked(world), HasSubstr("\r\nX-Forwarded-For: 203.0.113.5\r\n"));
  world.says(behind, get);
  EXPECT_THAT(asked(world), HasSubstr("\r\nX-Forwarded-For: 198.51.100.7\r\n"));
}

// --- headers of ours to servers ------------------------------------------------------------------------------------

constexpr const char* v1_of_client = "PROXY TCP4 198.51.100.7 192.0.2.1 40000 80\r\n";

void tell_servers(ProxyWorld& world, service::ClientAddress how) {
  world.listener().client_address = how;
  world.publish();
}

TEST(ServerHeader, ComesBeforeTheFirstRequest) {
  ProxyWorld world;
  tell_servers(world, service::ClientAddress::proxy_v1);
  const auto client = world.client();
  world.says(client, get);
  EXPECT_THAT(asked(world), StartsWith(v1_of_client + "GET / HTTP/1.1\r\n"s));
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
  tell_servers(world, service::ClientAddress::proxy_v2);
  const auto other = world.client("2001:db8::7");
  world.says(other, get);
  EXPECT_THAT(asked(world), StartsWith("\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\x01\x0d\xb8"s));
}

TEST(ServerHeader, NamesWhomTheProxyBeforeUsHasNamed) {
  ProxyWorld world(trusting());
  tell_servers(world, service::ClientAddress::proxy_v1);
  const auto client = world.client(trusted);
  world.says(client, binary + get);
  EXPECT_THAT(asked(world), StartsWith(line + "GET / HTTP/1.1\r\n"));
  const auto check = world.client(trusted);
  world.says(check, local + get);
  EXPECT_THAT(asked(world), StartsWith(v1_of_client + "GET / HTTP/1.1\r\n"s));
}

TEST(ServerHeader, MakesAConnectionItsClientsAlone) {
  ProxyWorld world;
  tell_servers(world, service::ClientAddress::proxy_v1);
  const auto client = world.client();
  world.says(client, get);
  static_cast<void>(asked(world));
  const auto other = world.client("198.51.100.8");
  world.says(other, get);
  ASSERT_EQ(world.opened().size(), 2U);
  EXPECT_THAT(asked(world), StartsWith("PROXY TCP4 198.51.100.8 "));
  // Both go on upon their own.
  for (int request = 0; request < 3; ++request) {
    for (const std::size_t place : {0U, 1U}) {
      world.says(place == 0 ? client : other, get);
      EXPECT_THAT(world.heard(world.opened()[place]), StartsWith("GET / HTTP/1.1\r\n"));
      world.says(world.opened()[place], ProxyWorld::ok);
    }
  }
  EXPECT_EQ(world.opened().size(), 2U);
}

TEST(ServerHeader, MakesAConnectionThatEndsWithItsClient) {
  ProxyWorld world;
  tell_servers(world, service::ClientAddress::proxy_v2);
  for (const bool orderly : {true, false}) {
    const auto client = world.client();
    world.says(client, get);
    static_cast<void>(asked(world));
    EXPECT_FALSE(world.peer(world.last_opened()).gone);
    EXPECT_EQ(world.proxy().counters().idle.get(), 1U);
    orderly ? world.finishes(client) : world.resets(client);
    EXPECT_TRUE(world.peer(world.last_opened()).finished);
    EXPECT_EQ(world.proxy().counters().idle.get(), 0U);
  }
}

TEST(ServerHeader, IsNotKeptForAClientThatCloses) {
  ProxyWorld world;
  tell_servers(world, service::ClientAddress::proxy_v2);
  const auto client = world.client();
  world.says(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  static_cast<void>(asked(world));
  EXPECT_TRUE(world.peer(world.last_opened()).finished);
}

TEST(ServerHeader, IsWrittenAgainForAnotherServer) {
  ProxyWorld world({.servers = 3});
  world.accept_at_once = false;
  tell_servers(world, service::ClientAddress::proxy_v1);
  const auto client = world.client();
  world.says(client, get);
  world.refuses(world.last_opened());
  world.accepts(world.last_opened());
  EXPECT_THAT(world.heard(world.last_opened()), StartsWith(v1_of_client + "GET "s));
  world.resets(world.last_opened());  // without a word
  world.accepts(world.last_opened());
  EXPECT_THAT(world.heard(world.last_opened()), StartsWith(v1_of_client + "GET "s));
  EXPECT_EQ(world.opened().size(), 3U);
  world.says(world.last_opened(), ProxyWorld::ok);
  EXPECT_EQ(world.heard(client), ProxyWorld::ok);
}

TEST(ServerHeader, IsWrittenAgainWhenAKeptConnectionWasStale) {
  ProxyWorld world;
  tell_servers(world, service::ClientAddress::proxy_v1);
  const auto client = world.client();
  world.says(client, get);
  static_cast<void>(asked(world));
  world.says(client, get);
  const auto stale = world.last_opened();
  EXPECT_THAT(world.heard(stale), StartsWith("GET "));
  world.resets(stale);
  ASSERT_EQ(world.opened().size(), 2U);
  EXPECT_THAT(asked(world), StartsWith(v1_of_client + "GET "s));
  EXPECT_EQ(world.heard(client), std::string(ProxyWorld::ok) + std::string(ProxyWorld::ok));
}

TEST(ServerHeader, LeavesNoConnectionForOneThatHasEndedOrSaidMoreThanItWasAsked) {
  for (const bool says_more : {true, false}) {
    ProxyWorld world;
    tell_servers(world, service::ClientAddress::proxy_v1);
    const auto client = world.client();
    world.says(client, get);
    static_cast<void>(asked(world));
    says_more ? world.says(world.last_opened(), ProxyWorld::ok) : world.finishes(world.last_opened());
    EXPECT_TRUE(world.peer(world.last_opened()).gone);
    world.says(client, get);
    ASSERT_EQ(world.opened().size(), 2U);
    EXPECT_THAT(asked(world), StartsWith(v1_of_client + "GET "s));
  }
}

TEST(ServerHeader, KeepsOneConnectionForAClientWhereverItsRequestsGo) {
  ProxyWorld world({.servers = 2});
  tell_servers(world, service::ClientAddress::proxy_v1);
  const auto client = world.client();
  for (int request = 0; request < 4; ++request) {  // in turn to both servers
    world.says(client, get);
    EXPECT_THAT(asked(world), StartsWith(v1_of_client + "GET "s));
    EXPECT_EQ(world.proxy().counters().servers.get(), 1U);
  }
  EXPECT_EQ(world.opened().size(), 4U);
}

TEST(ServerHeader, MakesAConnectionThatDoesNotWaitForEver) {
  ProxyWorld::Options options;
  options.http.idle_timeout = seconds{1'000};
  ProxyWorld world(options);
  tell_servers(world, service::ClientAddress::proxy_v1);
  const auto client = world.client();
  world.says(client, get);
  static_cast<void>(asked(world));
  world.advance(seconds{58});
  EXPECT_FALSE(world.peer(world.last_opened()).gone);
  world.advance(seconds{4});
  EXPECT_TRUE(world.peer(world.last_opened()).finished);
  world.says(client, get);
  static_cast<void>(asked(world));
  world.set_up(0, false);
  world.advance(seconds{2});
  EXPECT_TRUE(world.peer(world.last_opened()).finished);
  EXPECT_FALSE(world.peer(client).finished);
}

TEST(ServerHeader, IsOnNoConnectionThatWasThereBefore) {
  ProxyWorld world;
  const auto client = world.client();
  world.says(client, get);
  EXPECT_THAT(asked(world), StartsWith("GET "));
  tell_servers(world, service::ClientAddress::proxy_v1);
  world.says(client, get);
  ASSERT_EQ(world.opened().size(), 2U);
  EXPECT_THAT(asked(world), StartsWith(v1_of_client));
  tell_servers(world, service::ClientAddress::none);
  world.says(client, get);
  EXPECT_EQ(world.opened().size(), 2U);
  EXPECT_THAT(world.heard(world.opened()[0]), StartsWith("GET "));
  world.says(world.opened()[0], ProxyWorld::ok);
}

TEST(ServerHeader, IsMissedByNobodyWhenThereIsNoBuffer) {
  ProxyWorld world;
  tell_servers(world, service::ClientAddress::proxy_v1);
  const auto client = world.client();
  world.without_rooms(true);
  world.says(client, get);
  world.without_rooms(false);
  EXPECT_THAT(world.opened(), IsEmpty());
  EXPECT_TRUE(world.peer(client).reset);
}

}  // namespace
}  // namespace steelyard::http
