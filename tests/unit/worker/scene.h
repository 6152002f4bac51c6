// Who is there in the workers' tests: a link to clients (`wan`) and one to servers (`lan`), VIPs, listeners of every
// mode and family; and the packets that pass between them.
//
//   clients 198.51.100.0/24, 2001:db8:77::/64 - gateway .1 - wan - workers - lan - servers 10.0.0.1, .2 and ::1, ::2
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "dataplane/service/snapshot.h"
#include "tests/unit/neighbor/frames.h"

namespace steelyard::test {

using namespace std::chrono_literals;

// Places of the two ports.
inline constexpr std::uint16_t wan = 0;
inline constexpr std::uint16_t lan = 1;

template <class Family>
struct Scene {
  static constexpr bool v6 = Family::is_v6;
  static constexpr const char* vip = v6 ? "2001:db8:1::10" : "192.0.2.10";
  static constexpr const char* gateway = v6 ? "2001:db8:1::1" : "192.0.2.1";
  static constexpr const char* own = v6 ? "2001:db8:1::2" : "192.0.2.2";
  static constexpr const char* client = v6 ? "2001:db8:77::7" : "198.51.100.7";
  static constexpr const char* server = v6 ? "2001:db8:2::1" : "10.0.0.1";
  static constexpr const char* other_server = v6 ? "2001:db8:2::2" : "10.0.0.2";
  static constexpr const char* local = v6 ? "2001:db8:2::200" : "10.0.0.200";
};

// Ports of the VIP, by what listens there. All are TCP but those for datagrams.
inline constexpr std::uint16_t nat_port = 80;
inline constexpr std::uint16_t fullnat_port = 81;
inline constexpr std::uint16_t persistent_port = 82;
inline constexpr std::uint16_t datagram_port = 53;
inline constexpr std::uint16_t fullnat_datagram_port = 54;
inline constexpr std::uint16_t direct_datagram_port = 55;
inline constexpr std::uint16_t tunnel_datagram_port = 56;
inline constexpr std::uint16_t server_port = 8080;

[[nodiscard]] constexpr bool is_for_datagrams(std::uint16_t vip_port) {
  return vip_port == datagram_port || vip_port == fullnat_datagram_port || vip_port == direct_datagram_port ||
         vip_port == tunnel_datagram_port;
}

[[nodiscard]] constexpr MacAddress own_mac(std::uint16_t link) {
  return {0x02, 0x00, 0x5e, 0xa0, 0x00, static_cast<std::uint8_t>(link)};
}
// Of the host on a link whose address ends with this byte.
[[nodiscard]] constexpr MacAddress host_mac(std::uint16_t link, std::uint8_t last) {
  return {0x02, 0x00, 0x5e, 0xb0, static_cast<std::uint8_t>(link), last};
}
// Where clients' packets come from.
inline constexpr MacAddress gateway_mac = host_mac(wan, 1);

[[nodiscard]] inline service::Address model_address(const std::string& text) {
  return service::Address::parse(text).value();
}

// The configuration: listeners with two servers each, routes over both links, no kernel for what is unmatched.
[[nodiscard]] std::shared_ptr<service::Snapshot> make_snapshot(std::size_t workers);

// An echo request, right in all its fields.
template <class Family>
[[nodiscard]] Frame echo_request(const std::string& from, const std::string& to, std::size_t payload = 32) {
  Bytes message{Family::is_v6 ? std::uint8_t{128} : std::uint8_t{8}, 0, 0, 0, 0x12, 0x34, 0, 1};
  for (std::size_t at = 0; at < payload; ++at) {
    message.push_back(static_cast<std::uint8_t>('a' + at % 26));
  }
  Frame frame = ip<Family>(address<Family>(from), address<Family>(to),
                           Family::is_v6 ? packet::protocol_icmpv6 : packet::protocol_icmp, message, {.ttl = 3});
  frame.fix_checksums();
  return frame;
}

// The first packet of a connection to the VIP.
template <class Family>
[[nodiscard]] Frame first_packet(std::uint16_t vip_port, std::uint16_t client_port = 4'321,
                                 const std::string& client = Scene<Family>::client) {
  const bool datagram = is_for_datagrams(vip_port);
  const auto ends = tuple<Family>(datagram ? packet::protocol_udp : packet::protocol_tcp, client, client_port,
                                  Scene<Family>::vip, vip_port);
  return datagram ? udp(ends, {.payload = 20}) : tcp(ends, {.sequence = {1'000}, .flags = packet::tcp_flag::syn});
}

// What a server answers to a packet that was sent to it: a SYN with ACK, or a datagram.
template <class Family>
[[nodiscard]] Frame answer_to(Frame forwarded) {
  const auto ends = forwarded.parse().template tuple<Family>().reversed();
  if (ends.protocol == packet::protocol_udp) {
    return udp(ends, {.payload = 30});
  }
  return tcp(ends, {.sequence = {5'000},
                    .acknowledgment = forwarded.sequence() + 1,
                    .flags = packet::tcp_flag::syn | packet::tcp_flag::ack});
}

}  // namespace steelyard::test
