#include "control/runtime/request_fields.h"

#include <utility>

namespace steelyard::control {

namespace json = boost::json;

json::value ok(json::value result) {
  return json::object{{"ok", true}, {"result", std::move(result)}};
}
json::value refused(std::string message) {
  return json::object{{"ok", false}, {"error", std::move(message)}};
}

std::string text_of(const json::object& request, std::string_view key) {
  const json::value* value = request.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string{};
}

std::optional<std::int64_t> number_of(const json::object& request, std::string_view key) {
  const json::value* value = request.if_contains(key);
  if (value == nullptr || !value->is_number()) {
    return std::nullopt;
  }
  boost::system::error_code error;
  const auto number = value->to_number<std::int64_t>(error);
  return error ? std::nullopt : std::optional(number);
}

tl::expected<const ListenerPlan*, std::string> find_listener(const Plan& plan, std::string_view text) {
  const ListenerPlan* found = nullptr;
  for (const ListenerPlan& listener : plan.listeners) {
    if (!listener.rule.empty()) {
      continue;
    }
    const config::LoadBalancer& balancer = plan.config->load_balancers[listener.balancer];
    const config::Listener& settings = balancer.listeners[listener.listener];
    const std::string port = ':' + std::to_string(settings.port);
    if (text == balancer.name + ':' + std::string(config::protocol_name(settings)) + port) {
      return &listener;
    }
    if (text == balancer.name + port) {
      if (found != nullptr) {
        return tl::unexpected("'" + std::string(text) +
                              "' is a TCP and a UDP listener; say LOAD_BALANCER:PROTOCOL:PORT");
      }
      found = &listener;
    }
  }
  if (found == nullptr) {
    return tl::unexpected("no listener '" + std::string(text) + "'; one is named LOAD_BALANCER:PROTOCOL:PORT");
  }
  return found;
}

}  // namespace steelyard::control
