#include "control/cli/session.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>

namespace steelyard::control::cli {
namespace {

using std::chrono::steady_clock;
using Event = Session::Event;

// Further away than any test waits: what comes before has come by itself.
steady_clock::time_point far() {
  return steady_clock::now() + std::chrono::hours(1);
}

TEST(Session, WaitsForATime) {
  Session session;
  EXPECT_EQ(session.wait_until(steady_clock::now() - std::chrono::seconds(1)), Event::time);
}

TEST(Session, TakesSignalsAsEventsAndStaysEnded) {
  Session session;
  ::raise(SIGWINCH);
  EXPECT_EQ(session.wait_until(far()), Event::resized);
  ::raise(SIGTSTP);
  EXPECT_EQ(session.wait_until(far()), Event::suspend);
  ::raise(SIGINT);
  EXPECT_EQ(session.wait_until(far()), Event::end);
  EXPECT_EQ(session.wait_until(far()), Event::end);
}

TEST(Session, LooksAtAnInput) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const FileDescriptor read_end(pipe[0]);
  const FileDescriptor write_end(pipe[1]);
  Session session;
  ASSERT_EQ(::write(write_end.get(), "q", 1), 1);
  EXPECT_EQ(session.wait_until(far(), read_end.get()), Event::input);
}

TEST(Session, LeavesNoSignalBehindThatItHasTaken) {
  sigset_t before{};
  ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
  {
    Session session;
    ::raise(SIGTERM);
    ::raise(SIGPIPE);
  }
  sigset_t after{};
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  EXPECT_EQ(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
  sigset_t pending{};
  ::sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGTERM), 0);
}

}  // namespace
}  // namespace steelyard::control::cli
