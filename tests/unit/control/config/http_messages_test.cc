// What listeners and rules change of messages: what a file turns into, and every way to be wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control/config/config_text.h"

namespace steelyard::control::config {
namespace {

using testing::all_findings;
using ::testing::ElementsAre;
using testing::errors;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::warnings;
using testing::with_listener;

std::string http(std::string_view keys) {
  return with_listener("protocol: http, port: 80, server_group: g, " + std::string(keys));
}

HttpListener listener_of(const std::string& text) {
  const ParseResult result = load_text(text, "f");
  EXPECT_TRUE(result.config) << text << to_string(result.diagnostics.front());
  return result.config ? *result.config->load_balancers.at(0).listeners.at(0).http : HttpListener{};
}

TEST(HttpMessages, FieldsAreAddedSetAndRemovedInTheFilesOrder) {
  const std::string text = http(
      "request_headers: [{add: X-Tag, value: a b}, {set: Host, value: in.example}, {remove: X-Debug}], "
      "response_headers: [{set: Strict-Transport-Security, value: max-age=1}, {add: X-Empty, value: ''}]");
  EXPECT_THAT(all_findings(text), IsEmpty());
  const MessageChanges changes = listener_of(text).changes;
  using Kind = HeaderEdit::Kind;
  EXPECT_THAT(*changes.request_headers,
              ElementsAre(HeaderEdit{Kind::add, "X-Tag", "a b"}, HeaderEdit{Kind::set, "Host", "in.example"},
                          HeaderEdit{Kind::remove, "X-Debug", ""}));
  EXPECT_THAT(*changes.response_headers, ElementsAre(HeaderEdit{Kind::set, "Strict-Transport-Security", "max-age=1"},
                                                     HeaderEdit{Kind::add, "X-Empty", ""}));
  EXPECT_FALSE(changes.path_prefix);
  EXPECT_FALSE(changes.answer);
}

TEST(HttpMessages, APathsBeginningIsStrippedReplacedOrLeft) {
  EXPECT_EQ(listener_of(http("path_prefix: {strip: /api}")).changes.path_prefix, (PathEdit{"/api", ""}));
  EXPECT_EQ(listener_of(http("path_prefix: {replace: /, with: /site/}")).changes.path_prefix,
            (PathEdit{"/", "/site/"}));
  EXPECT_EQ(listener_of(http("path_prefix: off")).changes.path_prefix, PathEdit{});
}

TEST(HttpMessages, AListenerOrARuleMayAnswerWithoutServers) {
  const std::string text = with_listener(
      "protocol: http, port: 80, answer: {status: 404, content_type: application/json, body: '{}'}, "
      "rules: [{name: a, url: /in, server_group: g}, {name: b, url: /no, answer: deny}, "
      "{name: c, url: /ok, answer: {status: 204}}]");
  EXPECT_THAT(all_findings(text), IsEmpty());
  const HttpListener listener = listener_of(text);
  EXPECT_EQ(listener.changes.answer, (FixedAnswer{404, "application/json", "{}", false}));
  EXPECT_EQ(listener.rules.at(1).changes.answer, FixedAnswer{});
  EXPECT_EQ(listener.rules.at(2).changes.answer, (FixedAnswer{204, "text/plain", "", false}));
}

TEST(HttpMessages, HeaderChangesThatCannotBeAreRefused) {
  for (const auto& [edits, why] : {
           std::pair{"request_headers: [{value: x}]", "names no header"},
           {"request_headers: [{set: X, add: Y, value: x}]", "exclude each other"},
           {"request_headers: [{set: X}]", "`value`"},
           {"request_headers: [{remove: X, value: x}]", "`remove` takes away all"},
           {"request_headers: [{set: 'X Y', value: x}]", "the header's name"},
           {"request_headers: [{set: 'X:', value: x}]", "the header's name"},
           {"request_headers: [{set: X, value: ' x'}]", "neither in front"},
           {"request_headers: [{set: X, value: \"a\\r\\nb\"}]", "visible ones"},
           {"request_headers: [{set: Transfer-Encoding, value: chunked}]", "framing"},
           {"response_headers: [{remove: content-length}]", "framing"},
           {"request_headers: [{remove: Connection}]", "framing"},
           {"request_headers: [{remove: host}]", "one Host"},
           {"response_headers: [{set: Host, value: x}]", "one Host"},
           {"request_headers: [{set: x-forwarded-for, value: x}]", "`x_forwarded_for` of the listener"},
           {"slb_id: true, request_headers: [{remove: SLB-ID}]", "`slb_id` of the listener"},
       }) {
    EXPECT_THAT(errors(http(edits)), ElementsAre(HasSubstr(why))) << edits;
  }
  EXPECT_THAT(errors(http("x_forwarded_for: off, request_headers: [{set: X-Forwarded-For, value: x}]")), IsEmpty());
}

TEST(HttpMessages, PathsAndAnswersThatCannotBeAreRefused) {
  for (const auto& [keys, why] : {
           std::pair{"path_prefix: {}", "one of `strip` and `replace`"},
           {"path_prefix: {strip: /a, replace: /b}", "one of `strip` and `replace`"},
           {"path_prefix: {strip: a}", "starting with /"},
           {"path_prefix: {strip: /}", "2..256"},
           {"path_prefix: {replace: /a}", "`with`"},
           {"path_prefix: {replace: /a, with: '/b?c'}", "without query"},
           {"rules: [{name: a, url: /a}]", "`server_group`, or `answer`"},
           {"rules: [{name: a, url: /a, server_group: g, answer: deny}]", "sends no request to a server"},
           {"rules: [{name: a, url: /a, answer: {status: 302}}]", "redirect"},
           {"rules: [{name: a, url: /a, answer: {status: 100}}]", "200..599"},
           {"rules: [{name: a, url: /a, answer: {}}]", "`status`"},
           {"answer: deny", "needs no servers"},
       }) {
    EXPECT_THAT(errors(http(keys)), ElementsAre(HasSubstr(why))) << keys;
  }
  EXPECT_THAT(errors(with_listener("protocol: http, port: 80, redirect: {}, answer: deny")),
              ElementsAre(HasSubstr("sends no request to a server")));
  EXPECT_THAT(errors(with_listener("protocol: tcp, port: 80, server_group: g, path_prefix: off")),
              ElementsAre(HasSubstr("`protocol: http`")));
}

TEST(HttpMessages, ErrorPagesStandForOneStatusOrSeveral) {
  const std::string text = http(
      "error_pages: [{status: [502, 504], body: '<p>later'}, "
      "{status: 503, content_type: text/plain, body: ''}]");
  EXPECT_THAT(all_findings(text), IsEmpty());
  EXPECT_THAT(listener_of(text).error_pages,
              ElementsAre(FixedAnswer{502, "text/html", "<p>later", true},
                          FixedAnswer{504, "text/html", "<p>later", true}, FixedAnswer{503, "text/plain", "", true}));
  for (const auto& [page, why] : {std::pair{"{status: 200, body: x}", "400..599"},
                                  {"{body: x}", "`status`"},
                                  {"{status: 503}", "`body`"},
                                  {"{status: [503, 503], body: x}", "two error pages"}}) {
    EXPECT_THAT(errors(http("error_pages: [" + std::string(page) + "]")), ElementsAre(HasSubstr(why))) << page;
  }
}

TEST(HttpMessages, SchedulersByRequestAreForHttpAndHeaderNeedsAName) {
  EXPECT_THAT(all_findings(http("scheduler: uri")), IsEmpty());
  EXPECT_THAT(all_findings(http("scheduler: header, hash_header: X-User")), IsEmpty());
  EXPECT_THAT(
      all_findings(http("hash_header: X-User, rules: [{name: a, url: /a, server_group: g, scheduler: header}]")),
      IsEmpty());
  EXPECT_THAT(errors(http("scheduler: header")), ElementsAre(HasSubstr("does not say by which")));
  EXPECT_THAT(errors(http("rules: [{name: a, url: /a, server_group: g, scheduler: header}]")),
              ElementsAre(HasSubstr("rule `a` of listener http 192.0.2.10:80 has `scheduler: header`")));
  EXPECT_THAT(errors(http("scheduler: header, hash_header: 'a b'")), ::testing::Contains(HasSubstr("`hash_header`")));
  EXPECT_THAT(warnings(http("hash_header: X-User")), ElementsAre(HasSubstr("only `scheduler: header`")));
  EXPECT_THAT(errors(with_listener("protocol: tcp, port: 80, server_group: g, scheduler: uri")),
              ElementsAre(HasSubstr("`scheduler` is `uri`")));
}

}  // namespace
}  // namespace steelyard::control::config
