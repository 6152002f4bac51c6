// A socket of the control channel: what a kernel would keep for a process that calls.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/tcp/slice_queue.h"
#include "dataplane/tcp/stack.h"
#include "tests/services/call.h"

namespace steelyard::test {

struct Socket {
  std::uint32_t number = 0;
  std::uint64_t client = 0;
  bool listening = false;
  tcp::ListenerIndex listener = 0;
  std::shared_ptr<tcp::Settings> settings;     // the listener's for those that it accepts, until one is changed
  std::deque<std::uint32_t> waiting_accepted;  // sockets that nobody has accepted yet

  tcp::ConnectionId id;
  tcp::Endpoints endpoints{};
  bool connected = false;      // has been
  bool peer_finished = false;  // no more will come
  bool write_shut = false;
  bool read_shut = false;           // what comes is thrown away
  bool closed = false;              // by the caller: it goes when the connection is over
  std::optional<tcp::Cause> cause;  // the connection is over
  tcp::SliceQueue received;
  std::optional<tcp::Duration> linger;

  std::vector<Call*> waiting;  // calls that block, in their order

  [[nodiscard]] bool over() const { return cause.has_value(); }
  [[nodiscard]] bool failed() const { return over() && *cause != tcp::Cause::finished; }
  [[nodiscard]] bool at_end() const { return received.empty() && (peer_finished || read_shut || over()); }
};

}  // namespace steelyard::test
