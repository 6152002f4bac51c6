#include "control/cli/top.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <sstream>

#include "control/admin/file_descriptor.h"
#include "tests/unit/control/admin/running_server.h"
#include "tests/unit/control/temporary_folder.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A terminal of 100 by 30, of which the test holds the other end.
class Terminal {
 public:
  Terminal() : user_(::posix_openpt(O_RDWR | O_NOCTTY)) {
    EXPECT_EQ(::grantpt(user_.get()), 0);
    EXPECT_EQ(::unlockpt(user_.get()), 0);
    program_ = FileDescriptor(::open(::ptsname(user_.get()), O_RDWR | O_NOCTTY));
    const winsize size{.ws_row = 30, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
    EXPECT_EQ(::ioctl(program_.get(), TIOCSWINSZ, &size), 0);
  }
  [[nodiscard]] int program() const { return program_.get(); }
  void press(char key) const { EXPECT_EQ(::write(user_.get(), &key, 1), 1); }
  [[nodiscard]] bool shows_what_is_typed() const {
    termios now{};
    EXPECT_EQ(::tcgetattr(program_.get(), &now), 0);
    return (now.c_lflag & ECHO) != 0 && (now.c_lflag & ICANON) != 0;
  }

 private:
  FileDescriptor user_;
  FileDescriptor program_;
};

class TopTest : public ::testing::Test {
 protected:
  int top(std::uint64_t pictures, const Terminal* terminal = nullptr,
          std::chrono::seconds interval = std::chrono::seconds(0)) {
    const int descriptor = terminal != nullptr ? terminal->program() : -1;
    return run_top({socket_, interval, pictures, SortKey::bits}, {out_, err_, {}, descriptor, descriptor});
  }
  AdminServer::Handler process(std::function<void(int)> before_reading = {}) {
    return [this, before_reading](const json::object&, const AdminServer::Reply& reply) {
      const int reading = ++readings_;
      if (before_reading) {
        before_reading(reading);
      }
      reply(json::object{{"ok", true}, {"result", json::object{{"started", "x"}, {"uptime_s", reading}}}});
    };
  }

  testing::TemporaryFolder folder_;
  const std::string socket_ = folder_ / "admin.sock";
  std::ostringstream out_;
  std::ostringstream err_;
  std::atomic<int> readings_ = 0;
};

TEST_F(TopTest, PrintsPlainPicturesWithoutATerminal) {
  testing::RunningServer server(socket_, process());
  EXPECT_EQ(top(2), 0);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("up 2s"), HasSubstr("\n\n20"), HasSubstr("up 3s"), Not(HasSubstr("\x1b"))));
}

TEST_F(TopTest, LeavesTheTerminalAsItWas) {
  const Terminal terminal;
  bool raw = false;
  testing::RunningServer server(
      socket_, process([&](int reading) { raw = raw || (reading == 2 && !terminal.shows_what_is_typed()); }));
  ASSERT_TRUE(terminal.shows_what_is_typed());
  EXPECT_EQ(top(2, &terminal), 0);
  EXPECT_TRUE(raw) << "keys must come without a return";
  EXPECT_TRUE(terminal.shows_what_is_typed());
  EXPECT_THAT(out_.str(), AllOf(StartsWith("\x1b[?1049h"), EndsWith("\x1b[?25h\x1b[?1049l")));
}

TEST_F(TopTest, SortsAnewAtAKeyAndQuitsAtQ) {
  const Terminal terminal;
  terminal.press('x');
  testing::RunningServer server(socket_, process([&](int reading) {
                                  if (reading == 2) {
                                    terminal.press('c');
                                    terminal.press('q');
                                  }
                                }));
  EXPECT_EQ(top(1'000, &terminal), 0);
  EXPECT_THAT(out_.str(), HasSubstr("sorted by connections"));
  EXPECT_LE(readings_, 5) << "q was not heard";
  EXPECT_TRUE(terminal.shows_what_is_typed());
}

TEST_F(TopTest, PutsTheTerminalBackAtASignal) {
  sigset_t signals{};
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // so that the server's thread does not take it
  const Terminal terminal;
  testing::RunningServer server(socket_, process([](int reading) {
                                  if (reading == 2) {
                                    ::kill(::getpid(), SIGTERM);
                                  }
                                }));
  EXPECT_EQ(top(1'000, &terminal), 0);
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  EXPECT_TRUE(terminal.shows_what_is_typed());
  EXPECT_THAT(out_.str(), EndsWith("\x1b[?1049l"));
}

TEST_F(TopTest, NeedsAProcessBeforeItTakesTheScreen) {
  const Terminal terminal;
  EXPECT_EQ(top(1, &terminal), 2);
  EXPECT_EQ(out_.str(), "");
  EXPECT_THAT(err_.str(), HasSubstr("steelyard is not running"));
}

}  // namespace
}  // namespace steelyard::control::cli
