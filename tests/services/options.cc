#include "tests/services/options.h"

#include <array>
#include <limits>

namespace steelyard::test {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();

struct Option {
  const char* name;
  std::int64_t least;
  std::int64_t largest;
  std::int64_t (*get)(const tcp::Settings& settings);
  void (*set)(tcp::Settings& settings, std::int64_t value);
};

// Keepalive that was switched on without a time: RFC 9293 section 3.8.4, two hours at least by default.
constexpr seconds usual_idle{7'200};

constexpr std::array options{
    Option{"mss", 48, 0xffff, [](const tcp::Settings& settings) -> std::int64_t { return settings.largest_segment; },
           [](tcp::Settings& settings, std::int64_t value) {
             settings.largest_segment = static_cast<std::uint16_t>(value);
           }},
    Option{
        "send_buffer", 1'024, 1 << 30,
        [](const tcp::Settings& settings) -> std::int64_t { return settings.send_buffer; },
        [](tcp::Settings& settings, std::int64_t value) { settings.send_buffer = static_cast<std::uint32_t>(value); }},
    Option{"receive_buffer", 256, 1 << 30,
           [](const tcp::Settings& settings) -> std::int64_t { return settings.receive_buffer; },
           [](tcp::Settings& settings, std::int64_t value) {
             settings.receive_buffer = static_cast<std::uint32_t>(value);
           }},
    Option{"nodelay", 0, 1, [](const tcp::Settings& settings) -> std::int64_t { return settings.nagle ? 0 : 1; },
           [](tcp::Settings& settings, std::int64_t value) { settings.nagle = value == 0; }},
    Option{"cork", 0, 1, [](const tcp::Settings& settings) -> std::int64_t { return settings.cork ? 1 : 0; },
           [](tcp::Settings& settings, std::int64_t value) { settings.cork = value != 0; }},
    Option{"keepalive", 0, 1,
           [](const tcp::Settings& settings) -> std::int64_t { return settings.keepalive_idle.count() != 0 ? 1 : 0; },
           [](tcp::Settings& settings, std::int64_t value) {
             settings.keepalive_idle = value == 0 ? tcp::Duration{0} : tcp::Duration{usual_idle};
           }},
    Option{"keepalive_idle_ms", 1, most,
           [](const tcp::Settings& settings) -> std::int64_t {
             return duration_cast<milliseconds>(settings.keepalive_idle).count();
           },
           [](tcp::Settings& settings, std::int64_t value) { settings.keepalive_idle = milliseconds{value}; }},
    Option{"keepalive_interval_ms", 1, most,
           [](const tcp::Settings& settings) -> std::int64_t {
             return duration_cast<milliseconds>(settings.keepalive_interval).count();
           },
           [](tcp::Settings& settings, std::int64_t value) { settings.keepalive_interval = milliseconds{value}; }},
    Option{"keepalive_probes", 1, 127,
           [](const tcp::Settings& settings) -> std::int64_t { return settings.keepalive_probes; },
           [](tcp::Settings& settings, std::int64_t value) {
             settings.keepalive_probes = static_cast<std::uint8_t>(value);
           }},
    Option{"user_timeout_ms", 1, most,
           [](const tcp::Settings& settings) -> std::int64_t {
             return duration_cast<milliseconds>(settings.user_timeout).count();
           },
           [](tcp::Settings& settings, std::int64_t value) { settings.user_timeout = milliseconds{value}; }},
    Option{"syn_timeout_ms", 1, most,
           [](const tcp::Settings& settings) -> std::int64_t {
             return duration_cast<milliseconds>(settings.syn_timeout).count();
           },
           [](tcp::Settings& settings, std::int64_t value) { settings.syn_timeout = milliseconds{value}; }},
    Option{"fin_wait_2_timeout_ms", 1, most,
           [](const tcp::Settings& settings) -> std::int64_t {
             return duration_cast<milliseconds>(settings.finwait2_timeout).count();
           },
           [](tcp::Settings& settings, std::int64_t value) { settings.finwait2_timeout = milliseconds{value}; }},
    Option{"delayed_ack_ms", 0, 499,
           [](const tcp::Settings& settings) -> std::int64_t {
             return duration_cast<milliseconds>(settings.delayed_acknowledgment).count();
           },
           [](tcp::Settings& settings, std::int64_t value) { settings.delayed_acknowledgment = milliseconds{value}; }},
};

}  // namespace

std::string apply_options(const Call::Options& wanted, tcp::Settings& settings) {
  tcp::Settings changed = settings;
  // Times of keepalive after the switch, whatever the order of names.
  for (const Option& option : options) {
    const auto found = wanted.find(option.name);
    if (found == wanted.end()) {
      continue;
    }
    if (found->second < option.least || found->second > option.largest) {
      return std::string("option ") + option.name + " is " + std::to_string(found->second) + ": allowed are " +
             std::to_string(option.least) + " to " + std::to_string(option.largest);
    }
    option.set(changed, found->second);
  }
  for (const auto& [name, value] : wanted) {
    bool known = name == "linger_ms" || name == "congestion";
    for (const Option& option : options) {
      known = known || name == option.name;
    }
    if (!known) {
      return "there is no option " + name;
    }
  }
  settings = changed;
  return {};
}

Call::Options options_of(const tcp::Settings& settings) {
  Call::Options all;
  for (const Option& option : options) {
    all[option.name] = option.get(settings);
  }
  return all;
}

}  // namespace steelyard::test
