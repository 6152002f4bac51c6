#include "control/runtime/http_report.h"

#include <gtest/gtest.h>
#include <boost/json/serialize.hpp>

namespace steelyard::control::report {
namespace {

struct Listener {
  Listener() {
    balancer.name = "web";
    settings.port = 80;
    settings.http.emplace();
    settings.http->rules.push_back({"a", "example.org", "", "g", {}, {}, {}, {}, {}, {}, {}});
    target.rule = "a,b";
  }
  config::LoadBalancer balancer;
  config::Listener settings;
  ListenerPlan own;
  ListenerPlan target;
};

TEST(HttpReport, NamesTheListenerAndTheRulesOfATarget) {
  const Listener listener;
  EXPECT_EQ(text_of(listener.balancer, listener.settings, listener.own), "web:http:80");
  EXPECT_EQ(text_of(listener.balancer, listener.settings, listener.target), "web:http:80 rule a,b");
  EXPECT_EQ(boost::json::serialize(name_of(listener.settings, listener.own)), R"({"protocol":"http","port":80})");
  EXPECT_EQ(boost::json::serialize(name_of(listener.settings, listener.target)),
            R"({"protocol":"http","port":80,"rule":"a,b"})");
}

TEST(HttpReport, ShowsSessionsOfEveryTargetAndRulesOnce) {
  const Listener listener;
  service::HttpSettings http;
  boost::json::object own;
  add_http(own, listener.settings, listener.own, http);
  EXPECT_EQ(
      boost::json::serialize(own),
      R"({"client_address":"none","sticky_session":{"type":"off"},"forwarding":[{"name":"a","domain":"example.org","url":"","group":"g"}]})");
  http.cookie.kind = service::SessionCookie::Kind::insert;
  http.cookie.timeout = std::chrono::seconds{9};
  boost::json::object target;
  add_http(target, listener.settings, listener.target, http);
  EXPECT_EQ(boost::json::serialize(target),
            R"({"client_address":"none","sticky_session":{"type":"insert","cookie":"SERVERID","cookie_timeout":9}})");
}

TEST(HttpReport, ShowsWhoseHeadersAreTakenAndWhatServersAreTold) {
  Listener listener;
  listener.settings.http->rules.clear();
  listener.settings.http->accept_proxy = {*service::Prefix::parse("10.0.0.0/8"),
                                          *service::Prefix::parse("2001:db8::1")};
  listener.settings.client_address = config::ClientAddress::proxy_v1;
  boost::json::object own;
  add_http(own, listener.settings, listener.own, {});
  EXPECT_EQ(
      boost::json::serialize(own),
      R"({"accept_proxy":["10.0.0.0/8","2001:db8::1/128"],"client_address":"proxy_v1","sticky_session":{"type":"off"}})");
  boost::json::object target;
  add_http(target, listener.settings, listener.target, {});
  EXPECT_EQ(boost::json::serialize(target), R"({"client_address":"proxy_v1","sticky_session":{"type":"off"}})");
}

TEST(HttpReport, ShowsWhatIsGzipped) {
  Listener listener;
  listener.settings.http->rules.clear();
  service::HttpSettings http;
  http.gzip = service::Gzip{.least_octets = 5, .types = {"text/css"}};
  boost::json::object own;
  add_http(own, listener.settings, listener.own, http);
  EXPECT_EQ(boost::json::serialize(own),
            R"({"client_address":"none","sticky_session":{"type":"off"},"gzip":{"min_bytes":5,"types":["text/css"]}})");
}

TEST(HttpReport, ShowsWhereARedirectLeads) {
  const Listener listener;
  service::HttpSettings http;
  http.redirect.emplace();
  boost::json::object object;
  add_http(object, listener.settings, listener.own, http);
  EXPECT_EQ(boost::json::serialize(object), R"({"redirect":{"status":302,"scheme":"https","port":443}})");
}

TEST(HttpReport, ShowsAnswersInsteadOfServers) {
  Listener listener;
  service::HttpSettings http;
  http.fixed_answer.emplace();
  listener.settings.http->rules[0].server_group.clear();
  listener.settings.http->rules[0].changes.answer.emplace().status = 410;
  boost::json::object own;
  add_http(own, listener.settings, listener.own, http);
  EXPECT_EQ(boost::json::serialize(own),
            R"({"answer":403,"forwarding":[{"name":"a","domain":"example.org","url":"","answer":410}]})");
}

}  // namespace
}  // namespace steelyard::control::report
