#include "control/runtime/request_fields.h"

#include <algorithm>
#include <charconv>
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

std::optional<Endpoint> parse_endpoint(std::string_view text) {
  std::string_view host = text;
  std::string_view port;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) {
      return std::nullopt;
    }
    host = text.substr(1, close - 1);
    port = text.substr(close + 1);
  } else if (std::ranges::count(text, ':') == 1) {
    host = text.substr(0, text.find(':'));
    port = text.substr(text.find(':'));
  }
  const auto address = service::Address::parse(host);
  if (!address) {
    return std::nullopt;
  }
  Endpoint endpoint{*address, 0};
  if (!port.empty()) {
    const auto [end, error] = std::from_chars(port.data() + 1, port.data() + port.size(), endpoint.port);
    if (port[0] != ':' || error != std::errc{} || end != port.data() + port.size()) {
      return std::nullopt;
    }
  }
  return endpoint;
}

std::string endpoint_text(const service::Address& address, std::uint16_t port) {
  return (address.is_v4() ? address.to_string() : '[' + address.to_string() + ']') + ':' + std::to_string(port);
}

tl::expected<Whose, std::string> read_whose(const json::object& request) {
  Whose whose;
  if (const std::string client = text_of(request, "client"); !client.empty()) {
    whose.client = service::Address::parse(client);
    if (!whose.client) {
      return tl::unexpected("'" + client + "' is no address");
    }
  }
  if (const std::string server = text_of(request, "server"); !server.empty()) {
    const auto endpoint = parse_endpoint(server);
    if (!endpoint) {
      return tl::unexpected("'" + server + "' is neither ADDRESS nor ADDRESS:PORT");
    }
    whose.server = endpoint->address;
    if (endpoint->port != 0) {
      whose.server_port = endpoint->port;
    }
  }
  return whose;
}

std::size_t limit_of(const json::object& request) {
  constexpr std::int64_t most = 100'000;
  return static_cast<std::size_t>(std::clamp<std::int64_t>(number_of(request, "limit").value_or(100), 1, most));
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

tl::expected<const ListenerPlan*, std::string> named_listener(const Plan& plan, const json::object& request) {
  const std::string listener = text_of(request, "listener");
  if (listener.empty()) {
    return nullptr;
  }
  return find_listener(plan, listener);
}

}  // namespace steelyard::control
