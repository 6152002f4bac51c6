#include "control/runtime/request_fields.h"

#include <gmock/gmock.h>

#include <tuple>

#include "dataplane/worker/connection_record.h"

namespace steelyard::control {
namespace {

using ::testing::HasSubstr;

TEST(RequestFields, TellAbsentAndOddMembersFromGivenOnes) {
  const boost::json::object request{{"text", "a"}, {"number", 7}, {"fraction", 1.5}, {"null", nullptr}};
  EXPECT_EQ(text_of(request, "text"), "a");
  EXPECT_EQ(text_of(request, "number"), "");
  EXPECT_EQ(number_of(request, "number"), 7);
  EXPECT_EQ(number_of(request, "text"), std::nullopt);
  EXPECT_EQ(number_of(request, "fraction"), std::nullopt);
  EXPECT_EQ(number_of(request, "absent"), std::nullopt);
}

TEST(RequestFields, ReadEndpointsOfBothFamiliesWithAndWithoutPorts) {
  EXPECT_EQ(parse_endpoint("10.0.0.1")->port, 0);
  EXPECT_EQ(parse_endpoint("10.0.0.1:80")->port, 80);
  EXPECT_EQ(parse_endpoint("2001:db8::1")->port, 0);
  EXPECT_EQ(parse_endpoint("[2001:db8::1]:80")->port, 80);
  for (const char* wrong : {"", "a", "10.0.0.1:", "10.0.0.1:x", "10.0.0.1:65536", "[2001:db8::1", "[2001:db8::1]80"}) {
    EXPECT_FALSE(parse_endpoint(wrong)) << wrong;
  }
  EXPECT_EQ(endpoint_text(*service::Address::parse("2001:db8::1"), 80), "[2001:db8::1]:80");
}

TEST(RequestFields, SayWhoseConnectionsAreMeantAndHowMany) {
  const auto whose = read_whose({{"client", "198.51.100.7"}, {"server", "[2001:db8::1]:80"}});
  ASSERT_TRUE(whose);
  EXPECT_EQ(whose->client->to_string(), "198.51.100.7");
  EXPECT_EQ(whose->server->to_string(), "2001:db8::1");
  EXPECT_EQ(whose->server_port, 80);
  EXPECT_EQ(read_whose({{"server", "10.0.0.1"}})->server_port, std::nullopt);
  EXPECT_EQ(read_whose({})->client, std::nullopt);
  const auto filter = filter_of<worker::ConnectionFilter>({{"client", "198.51.100.7"}, {"server", "10.0.0.1:80"}});
  EXPECT_EQ(std::tie(filter->client, filter->server, filter->server_port),
            std::tuple(service::Address::parse("198.51.100.7"), service::Address::parse("10.0.0.1"), 80));
  EXPECT_THAT(read_whose({{"client", "a"}}).error(), HasSubstr("'a' is no address"));
  EXPECT_THAT(read_whose({{"server", "a:1"}}).error(), HasSubstr("neither ADDRESS nor ADDRESS:PORT"));
  EXPECT_EQ(limit_of({}), 100U);
  EXPECT_EQ(limit_of({{"limit", 7}}), 7U);
  EXPECT_EQ(limit_of({{"limit", -7}}), 1U);
  EXPECT_EQ(limit_of({{"limit", 1'000'000}}), 100'000U);
}

class FindListener : public ::testing::Test {
 protected:
  FindListener() {
    auto made = std::make_shared<config::Config>();
    config::LoadBalancer balancer;
    balancer.name = "web";
    for (const auto& [protocol, port] : {std::pair{config::Protocol::tcp, 80}, std::pair{config::Protocol::tcp, 53},
                                         std::pair{config::Protocol::udp, 53}}) {
      config::Listener listener;
      listener.protocol = protocol;
      listener.port = static_cast<std::uint16_t>(port);
      ListenerPlan plan;
      plan.balancer = 0;
      plan.listener = balancer.listeners.size();
      plan_.listeners.push_back(plan);
      balancer.listeners.push_back(listener);
    }
    made->load_balancers.push_back(balancer);
    plan_.config = made;
  }
  // The place of what is found in the plan, or the words.
  std::string find(std::string_view text) const {
    const auto found = find_listener(plan_, text);
    return found ? std::to_string(*found - plan_.listeners.data()) : found.error();
  }

  Plan plan_;
};

TEST_F(FindListener, FindsAnHttpListenerByThatNameAndNeverATargetOfItsRules) {
  auto changed = std::make_shared<config::Config>(*plan_.config);
  changed->load_balancers[0].listeners[0].http.emplace();
  plan_.config = changed;
  ListenerPlan target = plan_.listeners[0];
  target.rule = "a";
  plan_.listeners.insert(plan_.listeners.begin(), target);
  EXPECT_EQ(find("web:http:80"), "1");
  EXPECT_EQ(find("web:80"), "1");
  EXPECT_THAT(find("web:tcp:80"), HasSubstr("no listener"));
}

TEST_F(FindListener, TakesTheProtocolWhereItIsNeeded) {
  EXPECT_EQ(find("web:tcp:80"), "0");
  EXPECT_EQ(find("web:80"), "0");
  EXPECT_EQ(find("web:udp:53"), "2");
  EXPECT_THAT(find("web:53"), HasSubstr("is a TCP and a UDP listener"));
  EXPECT_THAT(find("web:81"), HasSubstr("no listener 'web:81'"));
  EXPECT_THAT(find("web"), HasSubstr("LOAD_BALANCER:PROTOCOL:PORT"));
}

}  // namespace
}  // namespace steelyard::control
