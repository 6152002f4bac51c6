// One end of a simulated world: a stack with its own clock, and an application that writes a known stream in slices of
// any size, reads what it gets when it likes, compares it with what the other end has written, and ends the connection
// as its plan says.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dataplane/tcp/stack.h"
#include "tests/simulation/buffers.h"
#include "tests/simulation/invariants.h"
#include "tests/simulation/plan.h"
#include "tests/simulation/random.h"

namespace steelyard::simulation {

using tcp::ConnectionId;
using tcp::Endpoints;

// What a host sends goes to here.
class Wire {
 public:
  virtual void transmit(std::uint8_t from, const Endpoints& endpoints, const tcp::Outgoing& segment) = 0;

 protected:
  ~Wire() = default;
};

class Host final : public tcp::StackOutput {
 public:
  static constexpr std::uint16_t listening_port = 80;
  static constexpr std::uint16_t client_port = 4'000;

  // `endpoints`: of the connection, this host's end being the local one. `now` is the world's time, as everywhere
  // below.
  Host(std::uint8_t number, const Plan& plan, const Endpoints& endpoints, Random& random, Wire& wire, Time now);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  void listen();
  void connect(Time now);
  void on_segment(const tcp::Segment& segment, Time now);
  void on_path_mtu(tcp::Sequence quoted, std::uint32_t mtu, Time now);
  // Timers, and what the application does by itself.
  void on_time(Time now);
  [[nodiscard]] Time deadline(Time now) const;

  // What is wrong; empty while nothing is. Asked after every event.
  [[nodiscard]] const std::string& failure() const { return failure_; }
  void check(const Host& peer);
  // Is anything left of any connection?
  [[nodiscard]] bool is_empty() const;
  // At the end: that nothing is held, and that everything has come.
  void check_end(const Host& peer, bool orderly);

  [[nodiscard]] Buffers& buffers() { return buffers_; }
  [[nodiscard]] std::uint64_t received() const { return received_; }
  [[nodiscard]] std::uint32_t retransmitted() const { return retransmitted_; }
  [[nodiscard]] bool has_all() const { return received_ == expected_; }
  [[nodiscard]] bool opened() const { return opened_; }
  [[nodiscard]] std::optional<tcp::Cause> cause() const { return cause_; }
  [[nodiscard]] std::string progress() const;
  // nullptr when there is none.
  [[nodiscard]] const tcp::Connection* connection() const { return stack_.find(id_); }
  [[nodiscard]] const tcp::Settings& settings() const { return settings_; }

  // tcp::StackOutput
  void transmit(const Endpoints& to, const tcp::Outgoing& segment) override;
  void accepted(ConnectionId connection, tcp::ListenerIndex listener) override;
  void deliver(ConnectionId connection, const tcp::Slice& slice) override;
  void notify(ConnectionId connection, tcp::Event event) override;
  void over(ConnectionId connection, tcp::Cause cause) override;

 private:
  [[nodiscard]] Time local(Time now) const { return now + clock_; }
  [[nodiscard]] tcp::StackSecrets draw_secrets();
  [[nodiscard]] Duration draw_clock(Time now) const;
  void act(Time now);
  void read(Time now);
  void write(Time now);
  void end(Time now);
  void fail(std::string_view what);

  std::uint8_t number_;
  HostPlan plan_;
  std::uint64_t expected_;
  Endpoints endpoints_;
  Random& random_;
  Wire& wire_;
  tcp::Settings settings_;
  tcp::StackSecrets secrets_;
  Duration clock_;  // what this host's clock says more than the world's
  Time closing_at_;
  Buffers buffers_;
  tcp::Memory memory_{2'048, Buffers::operations()};
  tcp::Stack stack_;
  Invariants invariants_;
  ConnectionId id_;
  std::vector<ConnectionId> strangers_;  // of old duplicates: nobody has begun them
  std::optional<tcp::Cause> cause_;
  std::string failure_;
  Time next_read_ = tcp::never;
  std::uint64_t written_ = 0;
  std::uint64_t received_ = 0;
  std::uint32_t unread_ = 0;
  std::uint32_t retransmitted_ = 0;
  bool opened_ = false;
  bool established_ = false;
  bool finished_writing_ = false;
  bool peer_finished_ = false;
  bool ended_ = false;
};

}  // namespace steelyard::simulation
