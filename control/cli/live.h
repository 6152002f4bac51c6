// The loop of live views: takes readings at equal intervals and hands each to a view, until a signal, a number of
// pictures or the reader's end. A process that does not answer is waited for, but not at the first reading.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "control/cli/commands.h"
#include "control/cli/readings.h"
#include "control/cli/session.h"

namespace steelyard::control::cli {

class View {
 public:
  View() = default;
  View(const View&) = delete;
  View& operator=(const View&) = delete;
  virtual ~View() = default;

  // A new picture, written to where it goes.
  virtual void show(const tl::expected<Reading, AdminError>& reading) = 0;
  // What came in between: `resized`, `suspend` or `input`. False: the user wants no more.
  [[nodiscard]] virtual bool handle(Session::Event event) = 0;
  // Where keys come from.
  [[nodiscard]] virtual int input() const { return Session::no_input; }
};

struct LiveSettings {
  std::string socket_path;
  std::chrono::seconds interval{1};
  std::optional<std::uint64_t> count = std::nullopt;  // of pictures; none: until told to stop
  bool json = false;                                  // how an error of the first reading is said
};

// Returns the exit code. `make_view` is called once there is something to show, and what it makes is gone at the end.
[[nodiscard]] int run_live(const LiveSettings& settings, const Environment& environment,
                           const std::function<std::unique_ptr<View>()>& make_view);

}  // namespace steelyard::control::cli
