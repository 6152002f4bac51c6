#include "control/cli/rates.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <unordered_map>

#include "control/cli/fields.h"

namespace steelyard::control::cli {
namespace {

namespace json = boost::json;

// What tells an element of a list from the others, of one kind or another.
constexpr std::array<std::string_view, 8> identity_keys{"worker", "load_balancer", "protocol", "address",
                                                        "port",   "rule",          "name",     "below_ns"};
// Numbers that also fall, or say nothing when they rise.
constexpr std::array<std::string_view, 25> gauges{"active",      "queued",    "waiting",           "ipv4",
                                                  "ipv6",        "half_open", "datagrams_tracked", "targets",
                                                  "probes",      "in_flight", "retired_snapshots", "longest_ns",
                                                  "adoption_ms", "uptime_s",  "bandwidth",         "clients",
                                                  "servers",     "idle",      "exchanges",         "p50_us",
                                                  "p90_us",      "p99_us",    "p999_us",           "size",
                                                  "used"};

bool among(const auto& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

std::string identity(const json::object& object) {
  std::string all;
  for (const std::string_view key : identity_keys) {
    all += text(object, key) + '\n';
  }
  return all;
}

json::object growth(const json::object* before, const json::object& now, double seconds);

json::array growth(const json::array& before, const json::array& now, double seconds) {
  std::unordered_map<std::string, const json::object*> known;
  for (const json::value& each : before) {
    known.emplace(identity(as_object(each)), &as_object(each));
  }
  json::array rates;
  for (const json::value& each : now) {
    const auto found = known.find(identity(as_object(each)));
    rates.push_back(growth(found != known.end() ? found->second : nullptr, as_object(each), seconds));
  }
  return rates;
}

json::object growth(const json::object* before, const json::object& now, double seconds) {
  json::object rates;
  for (const json::key_value_pair& entry : now) {
    const std::string_view key(entry.key().data(), entry.key().size());
    const json::value& value = entry.value();
    if (among(identity_keys, key)) {
      rates[entry.key()] = value;
    } else if (value.is_array()) {
      rates[entry.key()] = growth(before != nullptr ? list(*before, key) : json::array{}, value.get_array(), seconds);
    } else if (value.is_object()) {
      const bool known = before != nullptr && has(*before, key);
      rates[entry.key()] = growth(known ? &member(*before, key) : nullptr, value.get_object(), seconds);
    } else if (value.is_number() && before != nullptr && !among(gauges, key)) {
      // One that was not named before was 0: drops come up so. One that fell counts other things than before.
      if (const double grown = real(now, key) - real(*before, key); grown >= 0) {
        rates[entry.key()] = grown / seconds;
      }
    }
  }
  return rates;
}

}  // namespace

bool same_process(const json::object& before, const json::object& now) {
  return text(before, "started") == text(now, "started") && real(before, "uptime_s") <= real(now, "uptime_s");
}

std::optional<json::object> rates_between(const json::object& before, const json::object& now) {
  const double seconds = real(now, "uptime_s") - real(before, "uptime_s");
  if (!same_process(before, now) || seconds <= 0) {
    return std::nullopt;
  }
  json::object rates = growth(&before, now, seconds);
  rates["interval_s"] = seconds;
  return rates;
}

}  // namespace steelyard::control::cli
