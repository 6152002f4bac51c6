// A crowd of idle connections to a service that gives back what it gets, with real bytes by formula: what an idle
// connection holds, and whether any of them still works. Nothing of payload is ever copied: the very buffer that has
// come must go out again. Shared by the unit tests and the benchmark; pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <numeric>
#include <span>
#include <vector>

#include "bench/tcp_peer.h"
#include "dataplane/tcp/stack.h"

namespace steelyard::bench {

class TcpEcho final : private tcp::StackOutput {
 public:
  static constexpr std::uint32_t message = 200;        // octets
  static constexpr std::size_t most_at_once = 10'000;  // connections that speak

  // Opens all connections. `upstream` gives the memory.
  TcpEcho(std::size_t connections, std::pmr::memory_resource* upstream)
      : resource_(upstream),
        peer_(PeerRole::client, connections),
        buffers_(most_at_once),
        memory_(2 * most_at_once, operations()),
        stack_({.connections = connections, .half_open = 4'096, .time_wait = 1'024}, secrets, memory_, *this, now_,
               &resource_),
        exact_(connections) {
    stack_.listen({}, TcpPeer::service_port, settings_);
    for (std::uint64_t begin = 0; begin < connections; begin += opened_at_once) {
      const std::uint64_t end = std::min<std::uint64_t>(begin + opened_at_once, connections);
      for (std::uint64_t n = begin; n < end; ++n) {
        receive(n, peer_.syn(n, tcp::milliseconds_of(now_)));
      }
      flush();
      for (std::uint64_t n = begin; n < end; ++n) {
        receive(n, peer_.acknowledgment(n, tcp::milliseconds_of(now_)));
      }
      flush();
    }
  }

  // All these connections, at most `most_at_once`, speak before any of them is answered. Returns how many have got back
  // what they said, octet by octet and in the buffer that it came in.
  [[nodiscard]] std::size_t exchange(std::span<const std::uint32_t> numbers) {
    std::fill(exact_.begin(), exact_.end(), false);
    for (std::size_t place = 0; place < numbers.size(); ++place) {
      Buffer& buffer = buffers_[place];
      buffer.number = numbers[place];
      buffer.references = 1;
      for (std::uint32_t octet = 0; octet < message; ++octet) {
        buffer.octets[octet] = octet_of(numbers[place], octet);
      }
      receive(numbers[place], peer_.data(numbers[place], {reinterpret_cast<tcp::Buffer*>(&buffer), 0, message},
                                         tcp::milliseconds_of(now_)));
    }
    flush();
    for (const Delivered& delivered : delivered_) {
      static_cast<void>(stack_.send(delivered.id, {&delivered.slice, 1}, now_));
      stack_.consume(delivered.id, delivered.slice.length, now_);
    }
    delivered_.clear();
    now_ += std::chrono::milliseconds{1};
    flush();
    for (const std::uint32_t n : numbers) {
      receive(n, peer_.acknowledgment(n, tcp::milliseconds_of(now_)));
    }
    flush();
    return static_cast<std::size_t>(std::ranges::count(exact_, true));
  }
  // Time passes, timers run.
  void wait(tcp::Duration duration) {
    now_ += duration;
    while (stack_.deadline(now_) <= now_) {
      stack_.on_timer(now_);
    }
    flush();
  }

  [[nodiscard]] const tcp::Stack& stack() const { return stack_; }
  [[nodiscard]] std::size_t nodes() const { return memory_.used(); }
  [[nodiscard]] std::int64_t buffers_held() const {
    return std::transform_reduce(buffers_.begin(), buffers_.end(), std::int64_t{0}, std::plus<>{},
                                 [](const Buffer& buffer) { return buffer.references; });
  }
  [[nodiscard]] double bytes_a_connection() const {
    return static_cast<double>(resource_.bytes) / static_cast<double>(peer_.count());
  }

 private:
  static constexpr std::uint64_t opened_at_once = 1'024;
  static constexpr tcp::StackSecrets secrets{
      .lookup = {{0x243f6a8885a308d3U, 0x13198a2e03707344U, 0xa4093822299f31d0U, 0x082efa98ec4e6c89U}},
      .numbers = {{0x452821e638d01377U, 0xbe5466cf34e90c6cU}},
      .cookies = {{0xc0ac29b7c97c50ddU, 0x3f84d5b5b5470917U}}};

  struct Buffer {
    std::int64_t references = 0;
    std::uint32_t number = 0;
    std::array<std::uint8_t, message> octets{};
  };
  struct Delivered {
    tcp::ConnectionId id;
    tcp::Slice slice;
  };
  // Counts what the tables take.
  struct Counted final : std::pmr::memory_resource {
    explicit Counted(std::pmr::memory_resource* from) : upstream(from) {}
    void* do_allocate(std::size_t size, std::size_t alignment) override {
      bytes += size;
      return upstream->allocate(size, alignment);
    }
    void do_deallocate(void* memory, std::size_t size, std::size_t alignment) override {
      upstream->deallocate(memory, size, alignment);
    }
    [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

    std::pmr::memory_resource* upstream;
    std::size_t bytes = 0;
  };

  [[nodiscard]] static std::uint8_t octet_of(std::uint64_t n, std::uint32_t place) {
    return static_cast<std::uint8_t>((n * 0x9e3779b97f4a7c15U + place * 0x2545f491U) >> 24U);
  }
  [[nodiscard]] static tcp::BufferOperations operations() {
    return {[](tcp::Buffer* buffer) { ++reinterpret_cast<Buffer*>(buffer)->references; },
            [](tcp::Buffer* buffer) { --reinterpret_cast<Buffer*>(buffer)->references; }};
  }
  void receive(std::uint64_t n, const tcp::Segment& segment) { arrivals_.push_back({peer_.endpoints(n), segment}); }
  void flush() {
    stack_.on_segments(arrivals_, now_);
    arrivals_.clear();
  }

  void transmit(const tcp::Endpoints& endpoints, const tcp::Outgoing& segment) override {
    const TcpPeer::Heard heard = peer_.read(endpoints, segment);
    peer_.heard(heard);
    if (segment.payload.size() == 1 && heard.payload == message) {
      const auto* buffer = reinterpret_cast<const Buffer*>(segment.payload[0].buffer);
      bool right = buffer->number == heard.n;
      for (std::uint32_t octet = 0; octet < message; ++octet) {
        right = right && buffer->octets[octet + segment.payload[0].offset] == octet_of(heard.n, octet);
      }
      exact_[heard.n] = right;
    }
  }
  void accepted(tcp::ConnectionId, tcp::ListenerIndex) override {}
  void deliver(tcp::ConnectionId id, const tcp::Slice& slice) override { delivered_.push_back({id, slice}); }
  void notify(tcp::ConnectionId, tcp::Event) override {}
  void over(tcp::ConnectionId, tcp::Cause) override {}

  tcp::Time now_{std::chrono::seconds{1'000}};
  tcp::Settings settings_;
  Counted resource_;
  TcpPeer peer_;
  std::vector<Buffer> buffers_;
  tcp::Memory memory_;
  tcp::Stack stack_;
  std::vector<bool> exact_;
  std::vector<tcp::Arrival> arrivals_;
  std::vector<Delivered> delivered_;
};

}  // namespace steelyard::bench
