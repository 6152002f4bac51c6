#include "control/cli/keyboard.h"

#include <unistd.h>

#include <cerrno>

namespace steelyard::control::cli {

Keyboard::Keyboard(int descriptor) : descriptor_(descriptor) {
  termios now{};
  if (descriptor >= 0 && ::tcgetattr(descriptor, &now) == 0) {
    before_ = now;
    enter();
  }
}

Keyboard::~Keyboard() {
  leave();
}

// Signals stay the terminal's: ^C and ^Z do what they always do.
void Keyboard::enter() {
  if (before_) {
    termios changed = *before_;
    changed.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    changed.c_cc[VMIN] = 0;
    changed.c_cc[VTIME] = 0;
    ::tcsetattr(descriptor_, TCSADRAIN, &changed);
  }
}

void Keyboard::leave() {
  if (before_) {
    ::tcsetattr(descriptor_, TCSADRAIN, &*before_);
  }
}

char Keyboard::read() {
  char key = 0;
  const ssize_t length = ::read(descriptor_, &key, 1);
  // Called when there is something: nothing is the end.
  if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR)) {
    leave();
    before_.reset();  // the terminal is gone
  }
  return length == 1 ? key : '\0';
}

}  // namespace steelyard::control::cli
