// Which addresses a machine can have. The one place that knows them; both the reader of single values and the checks
// between objects ask here.
#pragma once

#include <string_view>

#include "control/config/model.h"

namespace steelyard::control::config {

// The addresses for which is_host_address() is false, in the words of messages.
inline constexpr std::string_view host_address_rule =
    "a unicast address outside of 0.0.0.0/8, 127.0.0.0/8, 240.0.0.0/4, :: and ::1";

// False: no machine on a link can have the address or be reached at it, whatever the networks are (RFC 6890, sections
// 2.2.2 and 2.2.3: "this network", loopback, reserved, limited broadcast; RFC 4291: unspecified, loopback, multicast).
// IPv4-mapped texts never become an Address.
[[nodiscard]] bool is_host_address(const Address& address);

// Why the address is no host's within its network: "is the network's ..."; empty: it can be one. IPv4 networks of four
// and more addresses keep the first and the last for themselves (RFC 1122, section 3.2.1.3; RFC 3021 for two).
[[nodiscard]] std::string_view fault_in_network(const Prefix& prefix);

}  // namespace steelyard::control::config
