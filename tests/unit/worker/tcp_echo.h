// An application on a worker's TCP for tests: one connection at a time, whose payload goes back to its sender.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <optional>

#include "dataplane/worker/tcp_host.h"
#include "tests/unit/packet_builder.h"

namespace steelyard::test {

// Gives back what it gets, when it is told to.
class Echo final : public worker::TcpApplication {
 public:
  static constexpr std::uint16_t port = 8'000;

  void attach(worker::TcpHost& host) override {
    host_ = &host;
    listener_ = host.stack().listen({}, port, settings);
  }
  void detach() override {
    for (const tcp::Slice& slice : received) {
      worker::TcpHost::release(slice);
    }
  }
  void accepted(tcp::ConnectionId id, tcp::ListenerIndex listener) override {
    EXPECT_EQ(listener, listener_);
    connection = id;
  }
  void deliver(tcp::ConnectionId id, const tcp::Slice& slice) override {
    EXPECT_EQ(id, connection);
    received.push_back(slice);
  }
  void notify(tcp::ConnectionId, tcp::Event) override {}
  void over(tcp::ConnectionId, tcp::Cause why) override { cause = why; }
  std::size_t turn(tcp::Time now) override {
    const std::size_t count = answering ? received.size() : 0;
    for (; answering && !received.empty(); received.pop_front()) {
      const tcp::Slice slice = received.front();
      EXPECT_EQ(host_->stack().send(connection, std::span{&slice, 1}, now), 1u);
      host_->stack().consume(connection, slice.length, now);
    }
    return count;
  }

  [[nodiscard]] Bytes octets() const {
    Bytes all;
    for (const tcp::Slice& slice : received) {
      append(all, {worker::TcpHost::data_of(slice), slice.length});
    }
    return all;
  }

  tcp::Settings settings;
  tcp::ConnectionId connection;
  std::deque<tcp::Slice> received;
  std::optional<tcp::Cause> cause;
  bool answering = true;

 private:
  worker::TcpHost* host_ = nullptr;
  tcp::ListenerIndex listener_ = 0;
};

}  // namespace steelyard::test
