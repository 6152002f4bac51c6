// Which requests end before their time: those of servers that have failed, are drained or were removed, or those that
// an administrator names. All conditions that are set must hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/service/address.h"
#include "dataplane/service/ids.h"

namespace steelyard::http {

struct Withdrawal {
  std::optional<service::Address> client;
  std::optional<service::Address> server;
  std::optional<std::uint16_t> server_port;  // host order
  std::optional<service::ListenerId> listener;
  std::optional<std::span<const service::BackendId>> backends;  // sorted

  // Is it the servers that are named? Then their requests may go on at others.
  [[nodiscard]] bool of_servers() const { return server || server_port || backends; }
};

struct WithdrawalProgress {
  std::optional<std::uint32_t> next;  // where to go on; nothing: that was all
  std::size_t ended = 0;              // requests, those that have gone to other servers included
};

}  // namespace steelyard::http
