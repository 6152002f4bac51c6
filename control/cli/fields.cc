#include "control/cli/fields.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cmath>

namespace steelyard::control::cli {
namespace {

const boost::json::value* find(const boost::json::object& object, std::string_view key) {
  return object.if_contains({key.data(), key.size()});
}

std::string two_digits(std::uint64_t value) {
  std::string digits = std::to_string(value);
  return value < 10 ? '0' + digits : digits;
}

}  // namespace

std::string text(const boost::json::value& value) {
  if (value.is_string()) {
    return std::string(value.get_string());
  }
  if (value.is_double()) {
    return std::to_string(value.get_double());
  }
  return value.is_primitive() && !value.is_null() ? boost::json::serialize(value) : "-";
}

std::string text(const boost::json::object& object, std::string_view key) {
  const boost::json::value* value = find(object, key);
  return value != nullptr ? text(*value) : "-";
}

std::uint64_t number(const boost::json::object& object, std::string_view key) {
  const boost::json::value* value = find(object, key);
  if (value == nullptr) {
    return 0;
  }
  if (value->is_uint64()) {
    return value->get_uint64();
  }
  if (value->is_int64()) {
    return value->get_int64() < 0 ? 0 : static_cast<std::uint64_t>(value->get_int64());
  }
  constexpr double limit = 1e18;
  if (value->is_double() && value->get_double() > 0 && value->get_double() < limit) {
    return static_cast<std::uint64_t>(value->get_double());
  }
  return 0;
}

double real(const boost::json::object& object, std::string_view key) {
  const boost::json::value* value = find(object, key);
  if (value == nullptr || !value->is_number()) {
    return 0;
  }
  return value->is_double()  ? value->get_double()
         : value->is_int64() ? static_cast<double>(value->get_int64())
                             : static_cast<double>(value->get_uint64());
}

bool flag(const boost::json::object& object, std::string_view key) {
  const boost::json::value* value = find(object, key);
  return value != nullptr && value->is_bool() && value->get_bool();
}

bool has(const boost::json::object& object, std::string_view key) {
  const boost::json::value* value = find(object, key);
  return value != nullptr && !value->is_null();
}

const boost::json::array& list(const boost::json::object& object, std::string_view key) {
  static const boost::json::array none;
  const boost::json::value* value = find(object, key);
  return value != nullptr && value->is_array() ? value->get_array() : none;
}

const boost::json::object& as_object(const boost::json::value& value) {
  static const boost::json::object none;
  return value.is_object() ? value.get_object() : none;
}

const boost::json::object& member(const boost::json::object& object, std::string_view key) {
  static const boost::json::value none;
  const boost::json::value* value = find(object, key);
  return as_object(value != nullptr ? *value : none);
}

std::string endpoint(std::string_view address, std::uint64_t port) {
  std::string out(address);
  if (port == 0) {
    return out;
  }
  if (address.find(':') != std::string_view::npos) {
    out = '[' + out + ']';
  }
  return out + ':' + std::to_string(port);
}

std::string listener_name(const boost::json::object& listener) {
  return text(listener, "load_balancer") + ':' + text(listener, "protocol") + ':' + text(listener, "port") +
         (has(listener, "rule") ? " rule " + text(listener, "rule") : "");
}

std::string duration(std::uint64_t seconds) {
  const std::uint64_t minutes = seconds / 60;
  const std::uint64_t hours = minutes / 60;
  if (minutes == 0) {
    return std::to_string(seconds) + 's';
  }
  if (hours == 0) {
    return std::to_string(minutes) + 'm' + two_digits(seconds % 60) + 's';
  }
  if (hours < 24) {
    return std::to_string(hours) + 'h' + two_digits(minutes % 60) + 'm';
  }
  return std::to_string(hours / 24) + 'd' + two_digits(hours % 24) + 'h';
}

std::string per_second(const boost::json::object& rates, std::string_view key) {
  if (!has(rates, key)) {
    return "-";
  }
  const double rate = real(rates, key);
  const auto tenths = static_cast<std::uint64_t>(std::llround(std::max(rate, 0.0) * 10));
  if (tenths == 0) {
    return rate > 0 ? "0.1" : "0";  // something is not nothing
  }
  return tenths < 100 ? std::to_string(tenths / 10) + '.' + std::to_string(tenths % 10)
                      : std::to_string(std::llround(rate));
}

std::string counted(std::uint64_t count, std::string_view one, std::string_view many) {
  return std::to_string(count) + ' ' + std::string(count == 1 ? one : many);
}

std::string nonzero(const boost::json::object& counters, const boost::json::object& rates) {
  std::string out;
  for (const boost::json::key_value_pair& entry : counters) {
    const std::string_view key(entry.key().data(), entry.key().size());
    if (number(counters, key) != 0) {
      out += (out.empty() ? "" : ", ") + std::string(key) + ' ' + text(entry.value());
      out += has(rates, key) ? " (" + per_second(rates, key) + "/s)" : "";
    }
  }
  return out;
}

}  // namespace steelyard::control::cli
