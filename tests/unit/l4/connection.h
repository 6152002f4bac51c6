// One client's connection or exchange with a service of a World, seen from both ends: what either sends is what
// the other gets, or the test has failed. And the fixture that the tests of the balancer share.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/l4/balancer_world.h"

namespace steelyard::l4 {

template <class Family>
class Connection {
 public:
  using Tuple = packet::Tuple<Family>;
  using Service = typename World<Family>::Service;

  Connection(World<Family>& world, const Service& to, std::size_t client = 1, std::uint16_t port = 40'000)
      : world_(world), client_side(World<Family>::to_service(to, client, port)) {}

  // The client sends; the server's end of the connection is where the packet arrives. Returns what arrives.
  Frame from_client(const TcpFields& fields) { return client_sends(test::tcp(client_side, fields)); }
  Frame from_client(const UdpFields& fields) { return client_sends(test::udp(client_side, fields)); }
  // The server answers on the connection that it knows. Returns what the client gets.
  Frame from_server(const TcpFields& fields) { return server_sends(test::tcp(server_side, fields)); }
  Frame from_server(const UdpFields& fields) { return server_sends(test::udp(server_side, fields)); }
  // The same without the demand that it passes.
  std::string try_client(const TcpFields& fields) {
    Frame frame = test::tcp(client_side, fields);
    return text(world_.receive(frame));
  }
  std::string try_server(const TcpFields& fields) {
    Frame frame = test::tcp(server_side, fields);
    return text(world_.receive(frame));
  }

  // The handshake, step by step. Servers number from 700,000 on.
  Frame send_syn(Sequence isn = {1'000}) {
    client_next = isn + 1;
    Frame seen = from_client({.sequence = isn, .flags = syn});
    delta = packet::distance(isn, seen.sequence());
    return seen;
  }
  Frame send_syn_ack(Sequence isn = {700'000}) {
    server_next = isn + 1;
    return from_server({.sequence = isn, .acknowledgment = client_next + delta, .flags = syn | ack});
  }
  Frame send_ack() { return from_client({.sequence = client_next, .acknowledgment = server_next}); }
  void open(Sequence client_isn = {1'000}, Sequence server_isn = {700'000}) {
    send_syn(client_isn);
    send_syn_ack(server_isn);
    send_ack();
  }
  // Data or a FIN from either side, acknowledging everything. Counted.
  Frame client_data(std::size_t octets, std::uint8_t flags = ack) {
    const Sequence from = client_next;
    client_next = client_next + static_cast<std::uint32_t>(octets + ((flags & fin) != 0 ? 1U : 0U));
    return from_client({.sequence = from, .acknowledgment = server_next, .flags = flags, .payload = octets});
  }
  Frame server_data(std::size_t octets, std::uint8_t flags = ack) {
    const Sequence from = server_next;
    server_next = server_next + static_cast<std::uint32_t>(octets + ((flags & fin) != 0 ? 1U : 0U));
    return from_server({.sequence = from, .acknowledgment = client_next + delta, .flags = flags, .payload = octets});
  }
  // Four segments; afterwards the flow lingers.
  void close() {
    client_data(0, fin | ack);
    server_data(0, fin | ack);
    client_data(0);
  }

  // Which server it went to.
  [[nodiscard]] std::size_t server() const {
    for (std::size_t number = 0; number < 16; ++number) {
      if (World<Family>::server(number) == server_side.source) {
        return number;
      }
    }
    return 99;
  }

 private:
  Frame client_sends(Frame frame) {
    EXPECT_EQ(text(world_.receive(frame)), "forward");
    server_side = frame.parse().tuple<Family>().reversed();
    return frame;
  }
  Frame server_sends(Frame frame) {
    EXPECT_EQ(text(world_.receive(frame)), "forward");
    return frame;
  }

  World<Family>& world_;

 public:
  Tuple client_side;     // of packets from the client, as it sends them
  Tuple server_side{};   // of packets from the server, as it sends them
  Sequence client_next;  // in the client's own numbers
  Sequence server_next;
  std::uint32_t delta = 0;  // the server's numbers of the client's data minus the client's own
};

// A fixture with one world and short names.
template <class Family>
class BalancerTest : public testing::Test {
 protected:
  using TestWorld = World<Family>;
  using Options = typename TestWorld::Options;
  using Service = typename TestWorld::Service;
  using TestConnection = Connection<Family>;
  static constexpr Service nat_tcp{Protocol::tcp, Mode::nat};
  static constexpr Service fullnat_tcp{Protocol::tcp, Mode::fullnat};
  static constexpr Service nat_udp{Protocol::udp, Mode::nat};
  static constexpr Service fullnat_udp{Protocol::udp, Mode::fullnat};
  static constexpr Service dr_tcp{Protocol::tcp, Mode::dr};
  static constexpr Service dr_udp{Protocol::udp, Mode::dr};
  static constexpr Service tunnel_tcp{Protocol::tcp, Mode::tunnel};
  static constexpr Service tunnel_udp{Protocol::udp, Mode::tunnel};
  static constexpr Service other_vip_tcp{Protocol::tcp, Mode::nat, true};
};

}  // namespace steelyard::l4
