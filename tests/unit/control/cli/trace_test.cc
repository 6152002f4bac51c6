#include "control/cli/trace.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <boost/json/parse.hpp>
#include <fstream>
#include <sstream>

#include "control/admin/base64.h"
#include "control/cli/render.h"
#include "tests/unit/control/admin/running_server.h"
#include "tests/unit/control/temporary_folder.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

std::string rendered(const char* text) {
  return render_trace_line(json::parse(text).as_object());
}

TEST(RenderTrace, ShowsAPacketAsALine) {
  EXPECT_EQ(rendered(R"({"time":"2024-05-01T10:00:00.000001Z","worker":0,"from":"client","protocol":"tcp",
                         "source":"198.51.100.7:4321","destination":"192.0.2.10:80","payload":0,"flags":"S",
                         "sequence":7,"acknowledgment":0,"verdict":["opened","forwarded","waits"],
                         "server":"10.0.0.1:8080"})"),
            "2024-05-01T10:00:00.000001Z worker 0  198.51.100.7:4321 > 192.0.2.10:80  tcp S seq 7 ack 0 payload 0  "
            "opened -> 10.0.0.1:8080, waits\n");
  EXPECT_EQ(rendered(R"({"time":"t","worker":1,"from":"server","protocol":"tcp","source":"a","destination":"b",
                         "payload":5,"flags":"PA","sequence":1,"acknowledgment":2,"verdict":["forwarded"],
                         "server":"10.0.0.1:8080","handed_in":true})"),
            "t worker 1* a > b  tcp PA seq 1 ack 2 payload 5  forwarded <- 10.0.0.1:8080\n");
}

TEST(RenderTrace, ShowsWhatWentWrong) {
  EXPECT_THAT(rendered(R"({"protocol":"tcp","payload":0,"verdict":["dropped","reset"],"reason":"no_server"})"),
              HasSubstr("  dropped: no_server, answered by a reset\n"));
  EXPECT_THAT(rendered(R"({"protocol":"udp","fragment_offset":1480,"payload":9,"verdict":["handed_over"]})"),
              HasSubstr("udp fragment at 1480 payload 9  handed over to another worker\n"));
  EXPECT_THAT(rendered(R"({"protocol":"icmp","icmp_type":3,"icmp_code":4,"verdict":["translated","forwarded"]})"),
              HasSubstr("icmp type 3 code 4  translated\n"));
  EXPECT_EQ(rendered(R"({"lost":7})"), "... 7 lost so far because there were too many\n");
}

TEST(RenderTrace, SurvivesALineOfAnotherShape) {
  EXPECT_NO_THROW(static_cast<void>(rendered("{}")));
  EXPECT_NO_THROW(static_cast<void>(rendered(R"({"verdict":7,"flags":[],"source":{}})")));
}

// These lines, one after the other.
class Lines final : public AdminStream {
 public:
  explicit Lines(std::vector<json::value> lines) : lines_(std::move(lines)) {}
  std::optional<json::value> next() override {
    return at_ < lines_.size() ? std::optional(lines_[at_++]) : std::nullopt;
  }
  bool ended() const override { return at_ == lines_.size(); }
  void stop() override {}

 private:
  std::vector<json::value> lines_;
  std::size_t at_ = 0;
};

class TraceTest : public ::testing::Test {
 protected:
  AdminServer::Handler lines(std::vector<json::value> some) {
    return [some](const json::object&, const AdminServer::Reply& reply) {
      reply.stream(json::object{{"ok", true}, {"result", nullptr}}, std::make_unique<Lines>(some));
    };
  }
  Environment environment() { return {out_, err_, {}}; }

  testing::TemporaryFolder folder_;
  const std::string socket_ = folder_ / "admin.sock";
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(TraceTest, PrintsPacketsToStdoutAndTheSumToStderr) {
  const json::value packet = json::object{{"source", "a"}, {"destination", "b"}};
  const json::value end = json::object{{"end", json::object{{"events", 1}, {"lost", 2}}}};
  testing::RunningServer server(socket_, lines({packet, end}));
  EXPECT_EQ(run_trace({{}, socket_, false}, environment()), 0);
  EXPECT_THAT(out_.str(), HasSubstr(" a > b "));
  EXPECT_EQ(err_.str(), "1 packet, 2 lost because there were too many\n");
  out_.str("");
  EXPECT_EQ(run_trace({{}, socket_, true}, environment()), 0);
  EXPECT_EQ(out_.str(), "{\"source\":\"a\",\"destination\":\"b\"}\n{\"end\":{\"events\":1,\"lost\":2}}\n");
}

TEST_F(TraceTest, SaysWhyItIsRefused) {
  testing::RunningServer server(socket_, [](const json::object&, const AdminServer::Reply& reply) {
    reply(json::object{{"ok", false}, {"error", "too many"}});
  });
  EXPECT_EQ(run_trace({{}, socket_, false}, environment()), 1);
  EXPECT_EQ(err_.str(), "too many\n");
}

TEST_F(TraceTest, WritesACaptureForItsUserAlone) {
  const auto piece = [](std::string_view bytes) {
    return json::value(json::object{{"pcapng", to_base64(std::as_bytes(std::span(bytes)))}});
  };
  testing::RunningServer server(
      socket_, lines({piece("one"), piece("two"), json::object{{"end", json::object{{"packets", 2}, {"lost", 0}}}}}));
  const std::string file = folder_ / "a.pcapng";
  EXPECT_EQ(run_capture({{}, socket_, file}, environment()), 0);
  EXPECT_EQ(err_.str(), "2 packets in " + file + "\n");
  std::stringstream content;
  content << std::ifstream(file).rdbuf();
  EXPECT_EQ(content.str(), "onetwo");
  struct stat made {};
  ASSERT_EQ(::stat(file.c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 0777U, 0600U);
}

TEST_F(TraceTest, SaysThatTheFileCannotBeWritten) {
  testing::RunningServer server(socket_, lines({json::object{{"pcapng", "Zm9v"}}}));
  EXPECT_EQ(run_capture({{}, socket_, folder_ / "absent/a.pcapng"}, environment()), 1);
  EXPECT_THAT(err_.str(), HasSubstr("No such file or directory"));
}

}  // namespace
}  // namespace steelyard::control::cli
