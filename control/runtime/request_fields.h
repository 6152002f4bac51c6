// What requests of the admin socket say, and the two shapes of an answer. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "control/runtime/builder.h"

namespace steelyard::control {

[[nodiscard]] boost::json::value ok(boost::json::value result);
[[nodiscard]] boost::json::value refused(std::string message);

// A member that is a string; else an empty one.
[[nodiscard]] std::string text_of(const boost::json::object& request, std::string_view key);
[[nodiscard]] std::optional<std::int64_t> number_of(const boost::json::object& request, std::string_view key);

// "10.0.0.1:80", "[2001:db8::1]:80"; a bare address has port 0.
struct Endpoint {
  service::Address address;
  std::uint16_t port = 0;
};
[[nodiscard]] std::optional<Endpoint> parse_endpoint(std::string_view text);
[[nodiscard]] std::string endpoint_text(const service::Address& address, std::uint16_t port);

// Whose flows or connections a request is about: its members "client" and "server".
struct Whose {
  std::optional<service::Address> client;
  std::optional<service::Address> server;
  std::optional<std::uint16_t> server_port;  // host order
};
// Or a sentence for the administrator.
[[nodiscard]] tl::expected<Whose, std::string> read_whose(const boost::json::object& request);
// The same as a filter of flows or of connections that asks for nothing else.
template <class Filter>
[[nodiscard]] tl::expected<Filter, std::string> filter_of(const boost::json::object& request) {
  return read_whose(request).map([](const Whose& whose) {
    Filter filter;
    filter.client = whose.client;
    filter.server = whose.server;
    filter.server_port = whose.server_port;
    return filter;
  });
}
// How many elements of a list it asks for; 100 when it does not say.
[[nodiscard]] std::size_t limit_of(const boost::json::object& request);

// The listener that LOAD_BALANCER:PROTOCOL:PORT names; LOAD_BALANCER:PORT will do where one protocol has the port. Or a
// sentence for the administrator.
[[nodiscard]] tl::expected<const ListenerPlan*, std::string> find_listener(const Plan& plan, std::string_view text);
// The one that a request's member "listener" names; null: it has none.
[[nodiscard]] tl::expected<const ListenerPlan*, std::string> named_listener(const Plan& plan,
                                                                            const boost::json::object& request);

}  // namespace steelyard::control
