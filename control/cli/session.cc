#include "control/cli/session.h"

#include <poll.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <initializer_list>
#include <system_error>

namespace steelyard::control::cli {
namespace {

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) {
    sigaddset(&set, signal);
  }
  return set;
}

FileDescriptor opened(const sigset_t& signals) {
  FileDescriptor descriptor(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!descriptor.valid()) {
    throw std::system_error(errno, std::generic_category(), "signalfd");
  }
  return descriptor;
}

}  // namespace

Session::Session()
    : ending_(opened(set_of({SIGINT, SIGTERM, SIGHUP, SIGQUIT}))), changes_(opened(set_of({SIGWINCH, SIGTSTP}))) {
  const sigset_t all = set_of({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGPIPE});
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &all, &before_); error != 0) {
    throw std::system_error(error, std::generic_category(), "pthread_sigmask");
  }
}

// What has been answered by ending, or by an error of write(), must not come once more.
Session::~Session() {
  const sigset_t answered = set_of({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGPIPE});
  const timespec now{};
  while (::sigtimedwait(&answered, nullptr, &now) > 0) {
  }
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void Session::suspend() {
  ::raise(SIGSTOP);
}

Session::Event Session::wait_until(std::chrono::steady_clock::time_point time, int input) {
  for (;;) {
    const auto left = std::max(time - std::chrono::steady_clock::now(), std::chrono::steady_clock::duration::zero());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const timespec limit{.tv_sec = seconds.count(),
                         .tv_nsec = std::chrono::duration_cast<std::chrono::nanoseconds>(left - seconds).count()};
    std::array<pollfd, 3> watched{pollfd{ending_.get(), POLLIN, 0}, pollfd{changes_.get(), POLLIN, 0},
                                  pollfd{input, POLLIN, 0}};  // poll() passes over -1
    if (::ppoll(watched.data(), watched.size(), &limit, nullptr) == 0) {
      return Event::time;
    }
    if (watched[0].revents != 0) {
      return Event::end;
    }
    if (watched[1].revents != 0) {
      signalfd_siginfo told{};
      if (::read(changes_.get(), &told, sizeof told) == sizeof told) {
        return told.ssi_signo == SIGTSTP ? Event::suspend : Event::resized;
      }
    }
    if (watched[2].revents != 0) {
      return Event::input;
    }
  }
}

}  // namespace steelyard::control::cli
