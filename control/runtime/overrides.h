// What an administrator has changed at run time (`steelyard server ...`): in force until the next reload, and shown as
// such. Plain values; control thread.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "dataplane/service/address.h"

namespace steelyard::control {

// A server of a group. A default group goes by its load balancer's name.
struct ServerKey {
  std::string group;
  service::Address address;
  std::uint16_t port = 0;  // 0 in a default group
  friend auto operator<=>(const ServerKey&, const ServerKey&) = default;
};

enum class AdminState : std::uint8_t { enabled, disabled, draining };

struct ServerOverride {
  AdminState state = AdminState::enabled;
  std::optional<std::uint8_t> weight;
};

using Overrides = std::map<ServerKey, ServerOverride>;

}  // namespace steelyard::control
