#include "control/cli/live.h"

#include <algorithm>
#include <ostream>

namespace steelyard::control::cli {

using std::chrono::steady_clock;

int run_live(const LiveSettings& settings, const Environment& environment,
             const std::function<std::unique_ptr<View>()>& make_view) {
  Session session;
  Readings readings(settings.socket_path, session.ending());
  const auto interrupted = [](const auto& reading) {
    return !reading && reading.error().kind == AdminError::Kind::interrupted;
  };
  if (const auto first = readings.next(); !first) {
    return interrupted(first) ? exit_done : print_error(first.error(), settings.json, environment);
  }
  const std::unique_ptr<View> view = make_view();
  steady_clock::time_point next = steady_clock::now();
  for (std::uint64_t shown = 0; !settings.count || shown < *settings.count; ++shown) {
    next = std::max(next + settings.interval, steady_clock::now());
    for (auto event = Session::Event::input; event != Session::Event::time;) {
      event = session.wait_until(next, view->input());
      if (event == Session::Event::end || (event != Session::Event::time && !view->handle(event))) {
        return exit_done;
      }
    }
    const auto reading = readings.next();
    if (interrupted(reading)) {
      return exit_done;
    }
    view->show(reading);
    environment.out.flush();
    if (!environment.out) {
      environment.out.clear();  // who closes a pipe has seen enough
      return exit_done;
    }
  }
  return exit_done;
}

}  // namespace steelyard::control::cli
