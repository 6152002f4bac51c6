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
      R"({"sticky_session":{"type":"off"},"forwarding":[{"name":"a","domain":"example.org","url":"","group":"g"}]})");
  http.cookie.kind = service::SessionCookie::Kind::insert;
  http.cookie.timeout = std::chrono::seconds{9};
  boost::json::object target;
  add_http(target, listener.settings, listener.target, http);
  EXPECT_EQ(boost::json::serialize(target),
            R"({"sticky_session":{"type":"insert","cookie":"SERVERID","cookie_timeout":9}})");
}

TEST(HttpReport, ShowsWhatIsGzipped) {
  Listener listener;
  listener.settings.http->rules.clear();
  service::HttpSettings http;
  http.gzip = service::Gzip{.least_octets = 5, .types = {"text/css"}};
  boost::json::object own;
  add_http(own, listener.settings, listener.own, http);
  EXPECT_EQ(boost::json::serialize(own),
            R"({"sticky_session":{"type":"off"},"gzip":{"min_bytes":5,"types":["text/css"]}})");
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
