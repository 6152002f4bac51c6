#include "control/cli/top.h"

#include <memory>
#include <optional>
#include <ostream>

#include "control/cli/keyboard.h"
#include "control/cli/live.h"
#include "control/cli/render_top.h"
#include "control/cli/screen.h"

namespace steelyard::control::cli {
namespace {

// The alternate screen, without a cursor; and back (xterm's control sequences, which all terminals of today have).
constexpr const char* enter_screen = "\x1b[?1049h\x1b[?25l\x1b[2J";
constexpr const char* leave_screen = "\x1b[?25h\x1b[?1049l";

class TopView final : public View {
 public:
  TopView(const TopCommand& command, const Environment& environment)
      : terminal_(environment.terminal),
        on_screen_(screen_size(environment.terminal).has_value()),
        keyboard_(on_screen_ ? environment.keyboard : -1),
        out_(environment.out) {
    settings_.sort = command.sort;
    if (on_screen_) {
      out_ << enter_screen << "waiting for the first interval" << std::flush;
    }
  }
  ~TopView() override {
    if (on_screen_) {
      out_ << leave_screen << std::flush;
    }
  }

  void show(const tl::expected<Reading, AdminError>& reading) override {
    last_ = reading;
    draw();
  }
  bool handle(Session::Event event) override {
    if (event == Session::Event::suspend) {
      suspend();
    } else if (event == Session::Event::input) {
      const char key = keyboard_.read();
      constexpr char end_of_file = '\x04';
      if (key == 'q' || key == 'Q' || key == end_of_file) {
        return false;
      }
      settings_.sort = sort_key(key).value_or(settings_.sort);
    }
    if (on_screen_) {
      draw();
    }
    return true;
  }
  [[nodiscard]] int input() const override { return keyboard_.descriptor(); }

 private:
  void draw() {
    if (!last_) {
      return;
    }
    settings_.size = on_screen_ ? screen_size(terminal_) : std::nullopt;
    settings_.keys = keyboard_.descriptor() >= 0;
    std::string text = *last_ ? render_top(**last_, settings_) : last_->error().message + "; asking again\n";
    if (settings_.size) {
      out_ << redrawn(fitted(text, *settings_.size)) << std::flush;
    } else {
      out_ << (first_ ? "" : "\n") << text;
      first_ = false;
    }
  }
  void suspend() {
    if (on_screen_) {
      out_ << leave_screen << std::flush;
    }
    keyboard_.leave();
    Session::suspend();
    keyboard_.enter();
    if (on_screen_) {
      out_ << enter_screen << std::flush;
    }
  }

  int terminal_;
  bool on_screen_;
  Keyboard keyboard_;
  std::ostream& out_;
  TopSettings settings_;
  std::optional<tl::expected<Reading, AdminError>> last_;
  bool first_ = true;
};

}  // namespace

int run_top(const TopCommand& command, const Environment& environment) {
  return run_live({command.socket_path, command.interval, command.count}, environment,
                  [&] { return std::make_unique<TopView>(command, environment); });
}

}  // namespace steelyard::control::cli
