// The stand that the pure TCP stack is measured on: a stack with N open connections and the peer that answers them by
// formula (tcp_peer.h). Its application notes what it is told and acts after each burst, as a worker's would. Buffers
// are counters of references: whoever copied payload would have to know what a buffer is.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "bench/shuffled.h"
#include "bench/tcp_peer.h"
#include "dataplane/tcp/stack.h"
#include "dataplane/worker/large_pages.h"

namespace steelyard::bench {

inline constexpr std::size_t tcp_burst = 32;  // what a worker receives at once

// Payload that is only counted.
class CountedBuffer {
 public:
  // One more reference to it, as a slice of `octets`.
  [[nodiscard]] tcp::Slice slice(std::uint32_t octets) {
    ++references_;
    return {reinterpret_cast<tcp::Buffer*>(&references_), 0, octets};
  }
  [[nodiscard]] std::int64_t references() const { return references_; }
  [[nodiscard]] static tcp::BufferOperations operations() {
    return {[](tcp::Buffer* buffer) { ++*reinterpret_cast<std::int64_t*>(buffer); },
            [](tcp::Buffer* buffer) { --*reinterpret_cast<std::int64_t*>(buffer); }};
  }

 private:
  std::int64_t references_ = 0;
};

class TcpStand final : private tcp::StackOutput {
 public:
  // With room for `spare` more connections. All are open when it is made. Throws std::runtime_error when one is not.
  TcpStand(PeerRole role, std::size_t connections, std::size_t spare = 0);

  // `count` open connections, drawn anew, in no order; all of them when there are no more.
  [[nodiscard]] std::vector<std::uint32_t> draw(std::size_t count) { return order_.draw(count); }

  [[nodiscard]] TcpPeer& peer() { return peer_; }
  [[nodiscard]] tcp::Stack& stack() { return stack_; }
  [[nodiscard]] tcp::Memory& memory() { return memory_; }
  [[nodiscard]] CountedBuffer& buffer() { return buffer_; }
  [[nodiscard]] tcp::Time now() const { return now_; }
  [[nodiscard]] std::uint32_t now_ms() const { return tcp::milliseconds_of(now_); }
  void advance(tcp::Duration by) { now_ += by; }

  // What follows is what may be timed; nothing of it allocates.
  void receive(std::span<tcp::Arrival> arrivals) {
    for (std::size_t at = 0; at < arrivals.size(); at += tcp_burst) {
      stack_.on_segments(arrivals.subspan(at, std::min(tcp_burst, arrivals.size() - at)), now_);
      act();
    }
  }
  void send(std::uint64_t n, tcp::Slice slice) {
    if (stack_.send(ids_[n], {&slice, 1}, now_) != 1) {
      throw std::runtime_error("a slice was not taken");
    }
  }
  void close(std::uint64_t n) { stack_.close(ids_[n], now_); }
  void connect(std::uint64_t n) { ids_[n] = stack_.connect(peer_.endpoints(n), settings_, now_); }
  void run_timers() { stack_.on_timer(now_); }

  // Lets the peer hear what was sent; returns how many segments it was. Not timed.
  std::size_t settle();
  // Opens these connections; not timed.
  void open(std::span<const std::uint32_t> numbers);
  [[nodiscard]] std::vector<tcp::Arrival> arrivals(std::span<const std::uint32_t> numbers, auto&& segment) {
    std::vector<tcp::Arrival> all;
    all.reserve(numbers.size());
    for (const std::uint32_t n : numbers) {
      all.push_back({peer_.endpoints(n), segment(n)});
    }
    return all;
  }

  [[nodiscard]] std::uint64_t delivered() const { return delivered_octets_; }
  // Whether the application closes when the peer has finished.
  void set_closing(bool closing) { closing_ = closing; }

 private:
  static constexpr std::size_t log_size = 1U << 20U;

  void transmit(const tcp::Endpoints& endpoints, const tcp::Outgoing& segment) override {
    sent_.push_back(peer_.read(endpoints, segment));
  }
  void accepted(tcp::ConnectionId id, tcp::ListenerIndex) override { accepted_.push_back(id); }
  void deliver(tcp::ConnectionId id, const tcp::Slice& slice) override { delivered_.push_back({id, slice}); }
  void notify(tcp::ConnectionId id, tcp::Event event) override {
    if (event == tcp::Event::peer_finished) {
      finished_.push_back(id);
    }
  }
  void over(tcp::ConnectionId, tcp::Cause) override {}
  // The application's turn.
  void act();

  struct Delivered {
    tcp::ConnectionId id;
    tcp::Slice slice;
  };

  tcp::Time now_{std::chrono::seconds{1'000}};
  TcpPeer peer_;
  CountedBuffer buffer_;
  tcp::Settings settings_;
  worker::LargePages pages_;
  tcp::Memory memory_;
  tcp::Stack stack_;
  std::vector<tcp::ConnectionId> ids_;
  Shuffled order_;
  std::vector<TcpPeer::Heard> sent_;
  std::vector<tcp::ConnectionId> accepted_;
  std::vector<tcp::ConnectionId> finished_;
  std::vector<Delivered> delivered_;
  std::uint64_t delivered_octets_ = 0;
  bool closing_ = false;
  PeerRole role_;
};

}  // namespace steelyard::bench
