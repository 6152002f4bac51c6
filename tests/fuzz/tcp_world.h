// A stack for the fuzz targets of TCP: counted buffers whose octets are known, an application that reads when it is
// told to, and the invariants that must hold after every step (tests/simulation has both).
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/tcp/stack.h"
#include "tests/fuzz/input.h"
#include "tests/simulation/buffers.h"
#include "tests/simulation/invariants.h"

namespace steelyard::fuzz {

using tcp::Connection;
using tcp::ConnectionId;
using tcp::Endpoints;
using tcp::Slice;

// Octet `place` of a stream.
inline std::uint8_t octet_at(std::uint64_t place) {
  return static_cast<std::uint8_t>(place * 31 + place / 251);
}

// The simulated world's buffers (tests/simulation), of one process.
class TcpBuffers {
 public:
  // One reference, which is the caller's, of octets that begin at `from` in their stream.
  [[nodiscard]] static Slice make(std::uint64_t from, std::uint32_t length) {
    std::string octets(length, '\0');
    for (std::uint32_t place = 0; place < length; ++place) {
      octets[place] = static_cast<char>(octet_at(from + place));
    }
    return buffers().slice(octets);
  }
  [[nodiscard]] static const std::uint8_t* octets(const Slice& slice) {
    return reinterpret_cast<const std::uint8_t*>(simulation::Buffers::bytes(slice).data());
  }
  static void release(tcp::Buffer* buffer) { simulation::Buffers::release(buffer); }
  // Buffers that somebody still holds.
  [[nodiscard]] static int live() { return buffers().live(); }

 private:
  static simulation::Buffers& buffers() {
    static simulation::Buffers all;
    return all;
  }
};

class TcpWorld : public tcp::StackOutput {
 public:
  struct Peer {
    std::uint64_t received = 0;
    std::uint32_t unread = 0;
    bool finished = false;
    simulation::Invariants invariants;
  };

  explicit TcpWorld(std::uint64_t key)
      : stack_(std::make_unique<tcp::Stack>(
            tcp::StackLimits{.connections = 6, .half_open = 4, .time_wait = 4},
            tcp::StackSecrets{.lookup = {{key, 2, 3, 4}}, .numbers = {{5, key}}, .cookies = {{key, 8}}}, memory_, *this,
            now_)) {
    settings_.receive_buffer = 20'000;
    settings_.send_buffer = 20'000;
    stack_->listen({}, port, settings_);
  }
  virtual ~TcpWorld() {
    for (const auto& [index, id] : std::map(ids_)) {
      stack_->abort(id, now_);
    }
    require(stack_->connections() == 0);
    stack_.reset();
    require(memory_.used() == 0);
    require(memory_.pressure().holders() == 0);
  }

  static constexpr std::uint16_t port = 80;

  [[nodiscard]] tcp::Stack& stack() { return *stack_; }
  [[nodiscard]] tcp::Settings& settings() { return settings_; }
  [[nodiscard]] tcp::Memory& memory() { return memory_; }
  [[nodiscard]] tcp::Time now() const { return now_; }
  [[nodiscard]] const std::map<std::uint32_t, ConnectionId>& ids() const { return ids_; }
  // One of the connections; names nothing when there is none.
  [[nodiscard]] ConnectionId any(std::uint8_t choice) const {
    return ids_.empty() ? ConnectionId{} : std::next(ids_.begin(), choice % static_cast<int>(ids_.size()))->second;
  }
  void add(ConnectionId id) {
    if (stack_->find(id) != nullptr) {
      ids_[id.index] = id;
      peers_[id.index] = {};
    }
  }

  void pass(tcp::Duration time) {
    const tcp::Time until = now_ + time;
    for (int turns = 0; stack_->deadline(now_) <= until; ++turns) {
      require(turns < 100'000);  // a timer that does not let time pass
      now_ = std::max(now_, stack_->deadline(now_));
      stack_->on_timer(now_);
    }
    now_ = until;
    check();
  }
  void read(ConnectionId id) {
    if (stack_->find(id) != nullptr) {
      const std::uint32_t octets = std::exchange(peers_[id.index].unread, 0);
      stack_->consume(id, octets, now_);
    }
  }
  void write(ConnectionId id, std::uint64_t from, std::uint32_t length) {
    const Slice slice = TcpBuffers::make(from, length);
    if (stack_->send(id, std::span{&slice, 1}, now_) == 0) {
      TcpBuffers::release(slice.buffer);
    } else {
      written_ += length;
    }
    check();
  }
  [[nodiscard]] std::uint64_t written() const { return written_; }

  void check() {
    require(memory_.used() <= memory_.capacity());
    require(stack_->connections() == ids_.size());
    for (const auto& [index, id] : ids_) {
      const Connection* connection = stack_->find(id);
      require(connection != nullptr);
      require(peers_[index].invariants.broken(*connection, *stack_->settings_of(id)).empty());
    }
  }

  // tcp::StackOutput
  void transmit(const Endpoints& /*to*/, const tcp::Outgoing& segment) override {
    for (const Slice& slice : segment.payload) {
      require(slice.length != 0);
      sum_ += TcpBuffers::octets(slice)[slice.length - 1];  // that it is still there
    }
  }
  void accepted(ConnectionId id, tcp::ListenerIndex /*listener*/) override {
    ids_[id.index] = id;
    peers_[id.index] = {};
  }
  void deliver(ConnectionId id, const Slice& slice) override {
    require(slice.length != 0);
    Peer& peer = peers_[id.index];
    check_delivered(peer, slice);
    peer.received += slice.length;
    peer.unread += slice.length;
    TcpBuffers::release(slice.buffer);
  }
  void notify(ConnectionId id, tcp::Event event) override {
    require(event != tcp::Event::over);
    if (event == tcp::Event::peer_finished) {
      require(!std::exchange(peers_[id.index].finished, true));
    }
  }
  void over(ConnectionId id, tcp::Cause /*cause*/) override { ids_.erase(id.index); }

 protected:
  virtual void check_delivered(const Peer& /*peer*/, const Slice& /*slice*/) {}

 private:
  tcp::Memory memory_{256, simulation::Buffers::operations()};
  tcp::Settings settings_;
  tcp::Time now_{std::chrono::seconds{1'000}};
  std::map<std::uint32_t, ConnectionId> ids_;
  std::map<std::uint32_t, Peer> peers_;
  std::uint64_t written_ = 0;
  std::uint64_t sum_ = 0;
  std::unique_ptr<tcp::Stack> stack_;
};

// Calls of an application and what else happens beside segments; `choice` says what.
inline void act(TcpWorld& world, std::uint8_t choice, Bytes& input) {
  const ConnectionId id = world.any(input.byte());
  switch (choice % 11) {
    case 0:
      return world.pass(std::chrono::milliseconds{input.byte()});
    case 1:
      return world.pass(std::chrono::seconds{input.byte()});
    case 2:
      return world.read(id);
    case 3:
      return world.write(id, world.written(), 1U + input.word() % 4'000U);
    case 4:
      return world.stack().shutdown(id, world.now());
    case 5:
      return world.stack().close(id, world.now());
    case 6:
      return world.stack().abort(id, world.now());
    case 7:
      world.memory().pressure().update(input.byte(), 255);
      if (world.memory().pressure().full()) {
        world.stack().relieve(world.now());
      }
      return;
    case 8: {
      tcp::Settings& settings = world.settings();
      const std::uint8_t bits = input.byte();
      settings.nagle = (bits & 1U) != 0;
      settings.cork = (bits & 2U) != 0;
      settings.keepalive_idle = std::chrono::seconds{(bits & 4U) != 0 ? 5 : 0};
      settings.receive_buffer = (bits & 8U) != 0 ? 3'000 : 20'000;
      return world.stack().change_settings(id, settings, world.now());
    }
    case 9:
    case 10: {
      const Connection* connection = world.stack().find(id);
      if (connection == nullptr) {
        return;
      }
      const Endpoints endpoints = *world.stack().endpoints_of(id);
      const tcp::Sequence quoted = connection->report(world.settings()).send_unacknowledged + input.byte();
      if (choice % 11 == 9) {
        world.stack().on_path_mtu(endpoints, quoted, input.word(), world.now());
      } else {
        world.stack().on_unreachable(endpoints, quoted, input.byte() % 2 != 0, world.now());
      }
      return;
    }
    default:
      return;
  }
}

}  // namespace steelyard::fuzz
