// Which flows an administrator means, and what is told of each.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/l4/flow.h"
#include "dataplane/service/access_control.h"
#include "dataplane/service/address.h"
#include "dataplane/service/ids.h"

namespace steelyard::l4 {

// The model's form of an address on the wire.
template <class Address>
[[nodiscard]] inline service::Address to_service(const Address& address) {
  if constexpr (sizeof(Address) == 4) {
    return service::Address::from_v4(address.bytes());
  } else {
    return service::Address::from_v6(address.bytes());
  }
}

// And back, for an address of the family.
template <class Family>
[[nodiscard]] inline typename Family::Address from_service(const service::Address& address) {
  if constexpr (Family::is_v6) {
    return packet::load<packet::Ipv6Address>(address.v6().data());
  } else {
    return packet::load<packet::Ipv4Address>(address.v4().data());
  }
}

// Whom a listener lets in.
struct Door {
  service::ListenerId listener;
  std::shared_ptr<const service::AccessControl> access;
};

// All conditions that are set must hold.
struct FlowFilter {
  std::optional<service::Address> client;
  std::optional<service::Address> server;
  std::optional<std::uint16_t> server_port;  // host order
  std::optional<service::ListenerId> listener;
  std::optional<std::vector<service::BackendId>> backends;  // sorted
  std::optional<std::vector<Door>> shut_out;  // sorted by listener: flows whose clients these do not let in
  bool include_lingering = true;

  // `flow_server` is the server's address, which the flow of a tunnel has not room for in every case.
  template <class Family>
  [[nodiscard]] bool matches(const Flow<Family>& flow, const service::Address& flow_server) const {
    return (include_lingering || flow.state() != FlowState::lingering) && (!listener || *listener == flow.listener) &&
           (!server_port || *server_port == __builtin_bswap16(flow.server_port)) &&
           (!backends || std::ranges::binary_search(*backends, flow.backend_id())) &&
           (!shut_out || is_shut_out(flow.listener, to_service(flow.client))) &&
           (!client || *client == to_service(flow.client)) && (!server || *server == flow_server);
  }

 private:
  [[nodiscard]] bool is_shut_out(service::ListenerId of, const service::Address& source) const {
    const auto door = std::ranges::lower_bound(*shut_out, of, {}, &Door::listener);
    return door != shut_out->end() && door->listener == of && !door->access->allows(source);
  }
};

// A flow as it is listed.
struct FlowRecord {
  service::Address client;
  service::Address vip;
  service::Address local;
  service::Address server;
  std::uint16_t client_port = 0;  // host order, as all ports here
  std::uint16_t vip_port = 0;
  std::uint16_t local_port = 0;
  std::uint16_t server_port = 0;
  service::ListenerId listener;
  FlowState state = FlowState::free;
  service::Mode mode = service::Mode::nat;
  std::uint32_t idle_seconds = 0;
};

}  // namespace steelyard::l4
