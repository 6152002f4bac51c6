// A TCP connection that ends in a worker as it is listed, and which of them somebody asks for. Plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "dataplane/http/link_report.h"
#include "dataplane/service/address.h"
#include "dataplane/service/listener_index.h"
#include "dataplane/tcp/state_name.h"

namespace steelyard::worker {

struct ConnectionEnd {
  service::Address address;
  std::uint16_t port = 0;  // host order
  friend bool operator==(const ConnectionEnd&, const ConnectionEnd&) = default;
};

struct ConnectionRecord {
  http::Side side = http::Side::none;
  http::Activity activity = http::Activity::none;
  tcp::State state = tcp::State::closed;
  ConnectionEnd local;
  ConnectionEnd remote;
  std::optional<ConnectionEnd> listener;  // that the client came to; of an idle server's connection, the target's
  std::optional<ConnectionEnd> other;     // of a request under way: its server, or its client
  std::uint32_t requests = 0;             // that the connection has carried
  std::uint32_t window = 0;               // cwnd, octets
  std::uint32_t threshold = 0;            // ssthresh, octets
  std::uint32_t unacknowledged = 0;       // octets
  std::uint32_t unsent = 0;               // octets that wait to be sent
  std::uint32_t unread = 0;               // octets that have come and are not read
  std::uint32_t retransmitted = 0;        // segments
  std::chrono::microseconds round_trip{0};
  std::chrono::microseconds timeout{0};
  std::chrono::microseconds idle{0};  // since the peer was last heard, or sent data to

  [[nodiscard]] const ConnectionEnd* client() const {
    return side == http::Side::client ? &remote : side == http::Side::server && other ? &*other : nullptr;
  }
  [[nodiscard]] const ConnectionEnd* server() const {
    return side == http::Side::server ? &remote : side == http::Side::client && other ? &*other : nullptr;
  }
};

// All conditions that are set must hold. With a request under way the connections on both its sides are its client's,
// its server's and its listener's.
struct ConnectionFilter {
  std::optional<service::Address> client;
  std::optional<service::Address> server;
  std::optional<std::uint16_t> server_port;  // host order
  std::optional<service::VipKey> listener;

  [[nodiscard]] bool matches(const ConnectionRecord& record) const {
    const ConnectionEnd* from = record.client();
    const ConnectionEnd* to = record.server();
    return (!client || (from != nullptr && from->address == *client)) &&
           (!server || (to != nullptr && to->address == *server)) &&
           (!server_port || (to != nullptr && to->port == *server_port)) &&
           (!listener || record.listener == ConnectionEnd{listener->address, listener->port});
  }
};

}  // namespace steelyard::worker
