// Records by templates: what each variable says, and what is said about templates that are wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "control/access_log/format.h"
#include "tests/unit/control/access_log/sample.h"

namespace steelyard::control::access_log {
namespace {

using access_log::testing::line_of;
using access_log::testing::sample_record;
using ::testing::HasSubstr;

std::string made(std::string_view text, const http::AccessRecord& record = sample_record()) {
  const auto format = LineFormat::from_template(text);
  if (!format) {
    return "error: " + format.error().text;
  }
  std::string line = line_of(*format, record);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  line.pop_back();
  return line;
}

TEST(Template, NginxsVariablesSayWhatTheyDoThere) {
  EXPECT_EQ(made("$remote_addr $remote_port [$time_local] \"$request\" $status $bytes_sent"),
            "198.51.100.9 40000 [26/Nov/2026:12:00:00 +0000] \"GET /a/b?c=d&e HTTP/1.1\" 200 6789");
  EXPECT_EQ(made("$time_iso8601 $msec $request_method $host $uri $request_uri $args $query_string $server_protocol"),
            "2026-11-26T12:00:00+00:00 1795694400.123 GET www.example.org /a/b /a/b?c=d&e c=d&e c=d&e HTTP/1.1");
  EXPECT_EQ(made("$request_length $request_time $upstream_addr $upstream_connect_time $upstream_header_time "
                 "$upstream_queue_time"),
            "345 2.100 192.0.2.80:8080 2.000 0.030 0.000");
}

TEST(Template, TheGzipRatioIsNginxs) {
  http::AccessRecord record = sample_record();
  EXPECT_EQ(made("$gzip_ratio", record), "-");
  record.gzip_in = 1'000;
  record.gzip_out = 300;
  EXPECT_EQ(made("$gzip_ratio", record), "3.33");
  record.gzip_out = 1'020;
  EXPECT_EQ(made("$gzip_ratio", record), "0.98");
}

TEST(Template, HaproxysVariablesSayWhatTheyDoThere) {
  EXPECT_EQ(
      made("%ci:%cp [%tr] %f %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %U %ts %rc \"%r\""),
      "198.51.100.9:40000 [26/Nov/2026:12:00:00.123] web/443 shop/192.0.2.80:8080 1/0/2000/30/2100 200 6789 345 -- "
      "1 \"GET /a/b?c=d&e HTTP/1.1\"");
  EXPECT_EQ(made("%Ts.%ms %HM %HU %HP %HQ %HV"), "1795694400.123 GET /a/b?c=d&e /a/b ?c=d&e HTTP/1.1");
}

TEST(Template, WhatOnlySteelyardKnowsHasNamesOfItsOwn) {
  EXPECT_EQ(made("$listener $server_group $cause $session $retries $request_head_time"),
            "web/443 shop -- valid 1 0.001");
}

TEST(Template, WhatWasNeverReachedIsADashOrMinusOne) {
  EXPECT_EQ(made("$listener $server_group $upstream_addr $upstream_connect_time $upstream_header_time "
                 "$upstream_queue_time $request_head_time $host $request_method $uri $args $status",
                 {}),
            "- - - - - - - - - - - 000");
  EXPECT_EQ(made("%f %b %s %TR %Tw %Tc %Tr %Ta %ST %HM %HP|%HQ|%r", {}), "- - - -1 -1 -1 -1 0 -1 - -||- - HTTP/1.1");
}

TEST(Template, NamesEndWhereTheyCanEndAndBracesEndThemSooner) {
  EXPECT_EQ(made("${status}s $status. $status$cause %ST%ts %ST1 %ST_ ${host}"),
            "200s 200. 200-- 200-- 2001 200_ www.example.org");
}

TEST(Template, ADoubledSignIsTheSignAndTheRestIsText) {
  EXPECT_EQ(made("$$status 100%% {}\t\"'\\n \xc3\xbc"), "$status 100% {}\t\"'\\n \xc3\xbc");
  EXPECT_EQ(made("nothing"), "nothing");
}

TEST(Template, WhatClientsSendIsEscaped) {
  http::AccessRecord record = sample_record();
  record.target_text.assign("/\"\\\r\n\x1b[31m\xff?\"\n");
  record.host.assign("a\nb");
  record.method.assign("G\"T");
  EXPECT_EQ(made("\"$request\" $host $uri", record),
            R"("G\x22T /\x22\x5c\x0d\x0a\x1b[31m\xff?\x22\x0a HTTP/1.1" a\x0ab /\x22\x5c\x0d\x0a\x1b[31m\xff)");
  EXPECT_EQ(made("%HU %HQ %HM", record), R"(/\x22\x5c\x0d\x0a\x1b[31m\xff?\x22\x0a ?\x22\x0a G\x22T)");
}

TEST(Template, EveryVariableCanBeUsedAndNoNameStandsTwice) {
  std::set<std::string_view> names;
  for (const Variable& variable : variables()) {
    EXPECT_TRUE(names.insert(variable.name).second) << variable.name;
    EXPECT_THAT(made(variable.name), ::testing::Not(HasSubstr("error")));
  }
  EXPECT_EQ(names.size(), 52U);
}

struct Wrong {
  std::string text;
  std::size_t position;
  std::string said;
};

TEST(Template, AnErrorSaysWhereWhatAndWhatIsAllowed) {
  const std::string all_of_nginx = "$remote_addr, $remote_port, ";
  const std::vector<Wrong> table{
      {"$remote_addr $nothing", 13, "unknown variable `$nothing`; known are " + all_of_nginx},
      {"$status_", 0, "unknown variable `$status_`; known are "},
      {"ab ${nothing}", 3, "unknown variable `$nothing`; known are "},
      {"%ci %hr", 4, "unknown variable `%hr`; known are %ci, %cp, "},
      {"%STx", 0, "unknown variable `%STx`; known are "},
      {"%ST %", 4, "no name after \"%\"; write \"%%\" for the sign itself, or one of %ci, "},
      {"100% of", 3, "no name after \"%\""},
      {"a$", 1, "no name after \"$\"; write \"$$\" for the sign itself, or one of " + all_of_nginx},
      {"${}", 0, "no name after \"$\""},
      {"x${status", 9, "does not end with \"}\""},
      {"x${status x}", 9, "does not end with \"}\""},
      {"$$$", 2, "no name after \"$\""},
      {"%{+Q}r", 0, "no name after \"%\""},
      {"ab\ncd", 2, "control character `\\x0a`; a template is one line of text"},
      {std::string("a\0b", 3), 1, "control character `\\x00`"},
      {"a\x7f", 1, "control character"},
      {"", 0, "1 to 4096 bytes"},
      {std::string(4'097, 'x'), 0, "1 to 4096 bytes"},
      {"$body_bytes_sent", 0, "$bytes_sent"},
  };
  for (const Wrong& wrong : table) {
    const auto format = LineFormat::from_template(wrong.text);
    ASSERT_FALSE(format) << wrong.text;
    EXPECT_EQ(format.error().position, wrong.position) << wrong.text;
    EXPECT_THAT(format.error().text, HasSubstr(wrong.said));
    EXPECT_LT(format.error().text.size(), 1'000U);
  }
}

}  // namespace
}  // namespace steelyard::control::access_log
