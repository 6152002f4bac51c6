#include "control/cli/watch.h"

#include <boost/json/serialize.hpp>
#include <ostream>
#include <string>

#include "control/cli/live.h"
#include "control/cli/render.h"
#include "control/cli/screen.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;

std::string as_json_line(const tl::expected<Reading, AdminError>& reading) {
  if (!reading) {
    return json::serialize(json::object{{"error", reading.error().message}}) + '\n';
  }
  json::object document = reading->stats;
  if (reading->rates) {
    document["rates"] = *reading->rates;
  }
  if (reading->restarted) {
    document["restarted"] = true;
  }
  return json::serialize(document) + '\n';
}

class WatchView final : public View {
 public:
  WatchView(const WatchCommand& command, const Environment& environment)
      : json_(command.json), terminal_(environment.terminal), out_(environment.out) {}
  ~WatchView() override {
    if (on_screen_) {
      out_ << '\n';
    }
  }

  void show(const tl::expected<Reading, AdminError>& reading) override {
    if (json_) {
      out_ << as_json_line(reading);
      return;
    }
    const std::string text =
        reading ? heading(*reading) + render_stats(reading->stats, reading->rates.value_or(json::object{}))
                : reading.error().message + "; asking again\n";
    if (const auto size = screen_size(terminal_)) {
      out_ << redrawn(fitted(text, *size));
      on_screen_ = true;
    } else {
      out_ << (first_ ? "" : "\n") << text;
      first_ = false;
    }
  }
  bool handle(Session::Event event) override {
    if (event == Session::Event::suspend) {
      Session::suspend();
    }
    return true;
  }

 private:
  bool json_;
  int terminal_;
  std::ostream& out_;
  bool first_ = true;
  bool on_screen_ = false;
};

}  // namespace

int watch_stats(const WatchCommand& command, const Environment& environment) {
  return run_live({command.socket_path, command.interval, command.count, command.json}, environment,
                  [&] { return std::make_unique<WatchView>(command, environment); });
}

}  // namespace steelyard::control::cli
