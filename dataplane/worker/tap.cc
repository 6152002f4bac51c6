#include "dataplane/worker/tap.h"

namespace steelyard::worker {
namespace {

template <class Family>
PacketEnd end_of(const typename Family::Address& address, std::uint16_t port) {
  return {l4::to_service(address), __builtin_bswap16(port)};
}

}  // namespace

bool TapFilter::allows(const PacketEnd& client_end, const PacketEnd& service_end, std::uint8_t protocol,
                       bool has_ports) const {
  return (!client || client->contains(client_end.address)) &&
         (!service ||
          (service->address == service_end.address && static_cast<std::uint8_t>(service->protocol) == protocol &&
           (!has_ports || service->port == service_end.port)));
}

bool TapFilter::allows_either(const PacketEnd& source, const PacketEnd& destination, std::uint8_t protocol,
                              bool has_ports) const {
  return allows(source, destination, protocol, has_ports) || allows(destination, source, protocol, has_ports);
}

bool TapFilter::matches(const Passage& passage) const {
  if (passage.source.address.is_unspecified() && passage.destination.address.is_unspecified()) {
    return false;  // no IP packet
  }
  if (passage.flow) {
    const bool udp = passage.flow->state == l4::FlowState::udp;
    return allows({passage.flow->client, passage.flow->client_port}, {passage.flow->vip, passage.flow->vip_port},
                  udp ? packet::protocol_udp : packet::protocol_tcp, true);
  }
  const auto about = [this]<class Family>(const std::optional<packet::Tuple<Family>>& quoted) {
    return quoted &&
           allows_either(end_of<Family>(quoted->source, quoted->source_port),
                         end_of<Family>(quoted->destination, quoted->destination_port), quoted->protocol, true);
  };
  return allows_either(passage.source, passage.destination, passage.protocol, passage.has_ports) ||
         about(passage.quoted_v4) || about(passage.quoted_v6);
}

bool TapFilter::is_from_client(const Passage& passage) const {
  if (passage.flow) {
    return passage.from == l4::Side::client;
  }
  return allows(passage.source, passage.destination, passage.protocol, passage.has_ports) ||
         (client && client->contains(passage.source.address));
}

}  // namespace steelyard::worker
