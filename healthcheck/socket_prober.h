// The Prober on real sockets. All of them hang on one epoll descriptor of our own, and only that one is registered with
// Asio: a probe then costs its bare system calls (socket, options, connect, epoll_ctl, getsockopt, close) and a share
// of one epoll_wait, and allocates nothing in the steady state. Measured in bench/healthcheck_benchmark.cc. Must never
// block; one turn of the event loop serves at most `turn_budget` sockets.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "healthcheck/http_probe.h"
#include "healthcheck/probe.h"
#include "healthcheck/tcp_probe.h"
#include "healthcheck/timers.h"
#include "healthcheck/udp_probe.h"

namespace steelyard::healthcheck {

// Runs on the io_context's thread. io_context and timers must outlive it. While it lives it may keep io_context::run()
// from returning.
class SocketProber final : public Prober {
 public:
  // Throws boost::system::system_error when no epoll descriptor can be had (start-up only).
  SocketProber(boost::asio::io_context& io, Timers& timers);
  ~SocketProber() override;

  ProbeHandle start(const ProbeSpec& spec, Done done) override;
  void cancel(ProbeHandle handle) override;

  // Sockets open now.
  [[nodiscard]] std::size_t active() const { return active_; }

 private:
  static constexpr std::size_t turn_budget = 32;

  struct Slot {
    Slot(std::uint32_t slot_index, std::function<void()> on_timeout)
        : index(slot_index), timeout(std::move(on_timeout)) {}
    std::uint32_t index;
    ProbeSocket socket;
    std::variant<TcpProbe, HttpProbe, UdpProbe> protocol;
    const ProbeSpec* spec = nullptr;  // null: the slot is free
    Prober::Done done;
    TimePoint started;
    Timer timeout;
    std::optional<ProbeResult> early;  // known inside start(), told at the next tick
    std::uint32_t generation = 1;      // of the slot: tells a handle and an event from those of earlier probes
  };

  std::uint32_t take_slot();
  [[nodiscard]] std::optional<ProbeResult> open(Slot& slot, ProbeHandle handle);
  [[nodiscard]] Slot* find(ProbeHandle handle);
  void wait();
  void serve();
  void on_timeout(std::uint32_t index);
  void finish(Slot& slot, ProbeResult result);
  void release(Slot& slot);

  Timers& timers_;
  boost::asio::posix::stream_descriptor poll_;
  bool waiting_ = false;
  std::size_t active_ = 0;
  std::deque<Slot> slots_;  // grows to the most probes ever in flight; addresses are stable
  std::vector<std::uint32_t> free_;
  std::array<char, HttpAnswer::cap> scratch_{};
  std::shared_ptr<SocketProber*> self_;  // handlers hold it weakly
};

}  // namespace steelyard::healthcheck
