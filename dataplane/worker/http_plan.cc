#include "dataplane/worker/http_plan.h"

#include <algorithm>

#include "dataplane/service/ids.h"

namespace steelyard::worker {
namespace {

// Below that a flood would turn to cookies, which know fewer options, before there is need.
constexpr std::size_t least_half_open = 4'096;
// Of 64 octets each. Clients close first as a rule, and have the waiting.
constexpr std::size_t most_time_wait = 131'072;
constexpr std::uint32_t least_payload_buffers = 8'192;
constexpr std::uint32_t most_payload_buffers = 131'072;
// A compressor serves one answer from its first octet to the last that its server sends: some milliseconds. Each has 71
// KB.
constexpr std::size_t connections_a_compressor = 1'024;
constexpr std::size_t least_compressors = 4;
constexpr std::size_t most_compressors = 64;

}  // namespace

LocalPortHalves halves_of(const l4::PortRange& ports) {
  const auto half = static_cast<std::uint16_t>((unsigned{ports.last} - ports.first + 1) / 2);
  return {.layer4 = {ports.first, static_cast<std::uint16_t>(ports.first + half - 1)},
          .layer7 = {static_cast<std::uint16_t>(ports.first + half), ports.last}};
}

http::ProxySetup proxy_setup(const HttpPlan& plan) {
  return {.connections = plan.connections,
          .exchanges = plan.exchanges != 0 ? plan.exchanges : std::max<std::size_t>(plan.connections / 2, 1),
          .compressors = std::clamp(plan.connections / connections_a_compressor, least_compressors, most_compressors),
          .cookie_key = plan.cookie_key};
}

TcpPlan tcp_plan(const HttpPlan& plan, std::span<const service::Address> local_addresses, const l4::PortRange& ports,
                 std::uint32_t packet_buffers) {
  TcpPlan tcp;
  tcp.addresses.assign(local_addresses.begin(), local_addresses.end());
  tcp.all_ports = false;
  tcp.local_ports = ports;
  tcp.limits.connections = plan.connections;
  tcp.limits.half_open = std::max(least_half_open, plan.connections / 4);
  tcp.limits.time_wait = std::min(plan.connections, most_time_wait);
  tcp.limits.listeners = service::max_listeners;
  // Heads that were rewritten, until they are acknowledged: a round trip, of the exchanges under way a part.
  tcp.payload_buffers = static_cast<std::uint32_t>(
      std::clamp<std::size_t>(proxy_setup(plan).exchanges / 2, least_payload_buffers, most_payload_buffers));
  // A buffer that came is cut two or three times on its way (head, body, the next head), and sent in segments of
  // another size than it came in; and FINs need nodes, too.
  tcp.queue_nodes = 4 * (std::size_t{packet_buffers} + tcp.payload_buffers) + plan.connections / 8;
  return tcp;
}

}  // namespace steelyard::worker
