// What control asks of a worker through its mailbox: walks over its tables, in bounded steps. Control allocates a
// command with room for its results, posts it, and frees it after `done`; the worker never allocates.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "dataplane/l4/balancer.h"
#include "dataplane/service/snapshot.h"
#include "dataplane/worker/connection_record.h"
#include "dataplane/worker/tcp_host.h"

namespace steelyard::worker {

// What a worker lets a command touch.
struct Premises {
  l4::Balancer& balancer;
  TcpHost* tcp = nullptr;  // null: no TCP ends here
  const service::Snapshot& snapshot;
};

// Who talks to whom about what on a connection that there is; TCP's own numbers are not in it yet. Worker.
[[nodiscard]] ConnectionRecord record_of(const TcpHost& host, const service::Snapshot& snapshot,
                                         tcp::ConnectionId connection);

class Command {
 public:
  Command() = default;
  virtual ~Command() = default;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  // Worker: goes on for at most `budget` entries. True when all are done (or the list is full).
  virtual bool step(const Premises& premises, std::size_t budget) = 0;
  void finish() { done_.store(true, std::memory_order_release); }

  // Control; the results are valid once done.
  [[nodiscard]] bool done() const { return done_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint64_t matches() const { return matches_; }

 protected:
  std::uint64_t matches_ = 0;

 private:
  std::atomic<bool> done_{false};
};

// Of layer 4's flows. `reset` also takes servers away from requests of layer 7: those of which a flow would match.
class FlowCommand final : public Command {
 public:
  enum class Action : std::uint8_t { count, list, reset, keep_bandwidth };

  FlowCommand(Action action, l4::FlowFilter filter, std::size_t most_records)
      : action_(action), filter_(std::move(filter)), most_records_(most_records) {
    records_.reserve(most_records);
  }

  bool step(const Premises& premises, std::size_t budget) override;
  [[nodiscard]] const std::vector<l4::FlowRecord>& records() const { return records_; }
  // That were ended; not in matches().
  [[nodiscard]] std::uint64_t requests() const { return requests_; }

 private:
  [[nodiscard]] bool reset(const Premises& premises, std::size_t budget);

  Action action_;
  l4::FlowFilter filter_;
  std::size_t most_records_;
  std::vector<l4::FlowRecord> records_;
  std::uint64_t cursor_ = 0;
  bool flows_reset_ = false;  // all of them
  std::uint32_t request_cursor_ = 0;
  std::uint64_t requests_ = 0;
};

// Of TCP connections that end here, clients' and servers'. `clear` resets them.
class ConnectionCommand final : public Command {
 public:
  enum class Action : std::uint8_t { count, list, clear };

  ConnectionCommand(Action action, const ConnectionFilter& filter, std::size_t most_records)
      : action_(action), filter_(filter), most_records_(most_records) {
    records_.reserve(most_records);
  }

  bool step(const Premises& premises, std::size_t budget) override;
  [[nodiscard]] const std::vector<ConnectionRecord>& records() const { return records_; }

 private:
  void visit(const Premises& premises, tcp::ConnectionId connection);

  Action action_;
  ConnectionFilter filter_;
  std::size_t most_records_;
  std::vector<ConnectionRecord> records_;
  std::uint32_t cursor_ = 0;
};

}  // namespace steelyard::worker
