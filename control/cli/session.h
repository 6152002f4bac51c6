// A command that runs until it is told to stop: the signals that end it are taken as events, so that what it has
// changed (the terminal) is put back on every way out. One at a time, on the main thread; for command-line programs.
#pragma once

#include <signal.h>

#include <chrono>
#include <cstdint>

#include "control/admin/file_descriptor.h"

namespace steelyard::control::cli {

class Session {
 public:
  enum class Event : std::uint8_t {
    time,     // the time has come
    end,      // SIGINT, SIGTERM, SIGHUP or SIGQUIT
    resized,  // SIGWINCH
    suspend,  // SIGTSTP
    input,    // the descriptor has something to read, or has ended
  };
  static constexpr int no_input = -1;

  // Blocks these signals in the calling thread, and SIGPIPE. Throws std::system_error.
  Session();
  // Lets them do what they did before.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The next event. `input`: a descriptor that is looked at, too.
  [[nodiscard]] Event wait_until(std::chrono::steady_clock::time_point time, int input = no_input);
  // What SIGTSTP asks for: stops the process; returns when it goes on.
  static void suspend();
  // Readable once the session is to end; stays so.
  [[nodiscard]] int ending() const { return ending_.get(); }

 private:
  sigset_t before_{};
  FileDescriptor ending_;
  FileDescriptor changes_;  // SIGWINCH and SIGTSTP
};

}  // namespace steelyard::control::cli
