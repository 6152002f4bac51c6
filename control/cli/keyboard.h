// The terminal while a live view has it: keys come one by one and are not shown, the view draws on a screen of its own
// and leaves what stood there before. Put back by the destructor, whatever ends the view.
#pragma once

#include <termios.h>

#include <optional>

namespace steelyard::control::cli {

class Keyboard {
 public:
  // `descriptor`: of the terminal that keys come from; nothing is changed when it is none.
  explicit Keyboard(int descriptor);
  ~Keyboard();
  Keyboard(const Keyboard&) = delete;
  Keyboard& operator=(const Keyboard&) = delete;

  // Where keys come from; -1: from nowhere, or no longer.
  [[nodiscard]] int descriptor() const { return before_ ? descriptor_ : -1; }
  // A key that is there, or 0.
  [[nodiscard]] char read();

  // Gives the terminal back for a while, and takes it again.
  void leave();
  void enter();

 private:
  int descriptor_;
  std::optional<termios> before_;
};

}  // namespace steelyard::control::cli
