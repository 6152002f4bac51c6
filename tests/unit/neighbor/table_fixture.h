// A neighbour table on a virtual clock whose output is remembered. Packets are places in an array: the table never
// looks into them.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <vector>

#include "dataplane/neighbor/neighbor_table.h"
#include "tests/unit/neighbor/frames.h"

namespace steelyard::neighbor {

using namespace std::chrono_literals;

class RememberedOutput final : public NeighborOutput {
 public:
  struct Sent {
    std::uint16_t port;
    test::Frame frame;
  };
  void send_frame(std::uint16_t port, std::span<const std::uint8_t> frame) override {
    sent.push_back({port, {{frame.begin(), frame.end()}}});
  }
  void release(rte_mbuf* packet, HopIndex hop) override { released.emplace_back(packet, hop.value); }
  void give_up(rte_mbuf* packet, packet::DropReason reason) override { given_up.emplace_back(packet, reason); }

  std::vector<Sent> sent;
  std::vector<std::pair<rte_mbuf*, std::uint16_t>> released;
  std::vector<std::pair<rte_mbuf*, packet::DropReason>> given_up;
};

class NeighborTableTest : public ::testing::Test {
 protected:
  // Two ports: 192.0.2.2/24 and 2001:db8:1::2/64 on the first, 10.0.0.254/24 alone on the second.
  static std::vector<PortAddresses> ports() {
    return {{test::mac(0xa0), {{test::key("192.0.2.2"), 96 + 24}, {test::key("2001:db8:1::2"), 64}}},
            {test::mac(0xa1), {{test::key("10.0.0.254"), 96 + 24}}}};
  }

  std::optional<HopIndex> find(const std::string& address, std::uint16_t port = 0) {
    return table.find(test::key(address), port, now());
  }
  HopIndex hop(const std::string& address, std::uint16_t port = 0) {
    const auto found = find(address, port);
    EXPECT_TRUE(found) << address;
    return found.value_or(HopIndex{});
  }
  // A hop that has answered just now; the output is forgotten.
  HopIndex known_hop(const std::string& address, const MacAddress& mac, std::uint16_t port = 0) {
    const HopIndex index = hop(address, port);
    answer(address, mac, port);
    table[index].used = false;
    output = {};
    return index;
  }
  void answer(const std::string& address, const MacAddress& mac, std::uint16_t port = 0) {
    NeighborMessage message;
    message.kind = NeighborMessage::Kind::answer;
    message.sender = test::key(address);
    message.sender_mac = mac;
    message.has_sender_mac = true;
    message.solicited = true;
    learn(message, port);
  }
  void learn(const NeighborMessage& message, std::uint16_t port = 0) { table.learn(message, port, now()); }
  [[nodiscard]] bool wait(HopIndex index, std::size_t packet) { return table.wait(index, packet_at(packet)); }
  rte_mbuf* packet_at(std::size_t place) { return reinterpret_cast<rte_mbuf*>(&places_.at(place)); }

  // Lets time pass as a worker's turns do.
  void pass(std::chrono::nanoseconds duration) {
    const auto end = now_ + duration;
    while (now_ < end) {
      now_ = std::min(end, now_ + 50ms);
      table.tick(now());
    }
  }
  [[nodiscard]] std::uint64_t now() const { return static_cast<std::uint64_t>(now_.count()); }
  [[nodiscard]] std::size_t requests() const { return output.sent.size(); }
  // Requests that went to one station, since the output was last forgotten.
  [[nodiscard]] std::size_t requests_to(const MacAddress& mac) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(output.sent, [&](const auto& sent) { return test::to_mac(sent.frame) == mac; }));
  }

  RememberedOutput output;
  NeighborTable table{ports(), {}, {{1, 2, 3, 4}}, output};

 private:
  std::chrono::nanoseconds now_ = 100s;
  std::array<char, 2'048> places_{};
};

}  // namespace steelyard::neighbor
