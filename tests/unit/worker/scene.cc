#include "tests/unit/worker/scene.h"

#include <array>
#include <vector>

#include "dataplane/worker/scratch.h"

namespace steelyard::test {
namespace {

service::Prefix prefix(const std::string& text) {
  return service::Prefix::parse(text).value();
}
service::Route on_link(const std::string& to, std::uint16_t port) {
  return {prefix(to), {}, true, {port}};
}
service::Route via(const std::string& gateway) {
  const service::Address address = model_address(gateway);
  return {prefix(address.is_v4() ? "0.0.0.0/0" : "::/0"), address, false, {wan}};
}

template <class Family>
std::vector<std::shared_ptr<service::Listener>> listeners_of(std::size_t workers, std::uint16_t first_id) {
  struct Kind {
    std::uint16_t port;
    service::Mode mode;
  };
  std::vector<std::shared_ptr<service::Listener>> listeners;
  for (const Kind kind :
       {Kind{nat_port, service::Mode::nat}, Kind{fullnat_port, service::Mode::fullnat},
        Kind{persistent_port, service::Mode::nat}, Kind{datagram_port, service::Mode::nat},
        Kind{fullnat_datagram_port, service::Mode::fullnat}, Kind{direct_datagram_port, service::Mode::dr},
        Kind{tunnel_datagram_port, service::Mode::tunnel}}) {
    auto listener = std::make_shared<service::Listener>();
    listener->id = {static_cast<std::uint16_t>(first_id + listeners.size())};
    listener->key = {model_address(Scene<Family>::vip), kind.port,
                     is_for_datagrams(kind.port) ? service::Protocol::udp : service::Protocol::tcp};
    listener->mode = kind.mode;
    listener->persistence_timeout = kind.port == persistent_port ? 60s : 0s;
    listener->servers_generation = 1;
    for (const char* server : {Scene<Family>::server, Scene<Family>::other_server}) {
      listener->servers.push_back({model_address(server),
                                   service::is_one_sided(kind.mode) ? kind.port : server_port,
                                   100,
                                   {listener->id.value * 2U + static_cast<std::uint32_t>(listener->servers.size())}});
    }
    listener->state = std::make_shared<service::ListenerState>(listener->servers.size());
    for (std::size_t worker = 0; worker < workers; ++worker) {
      listener->scratch.emplace_back(
          std::make_unique<std::uint32_t[]>(worker::scratch_words(listener->scheduler, listener->servers.size())));
    }
    listeners.push_back(std::move(listener));
  }
  return listeners;
}

}  // namespace

std::shared_ptr<service::Snapshot> make_snapshot(std::size_t workers) {
  auto snapshot = std::make_shared<service::Snapshot>();
  std::vector<service::ListenerIndex::Entry> entries;
  std::vector<service::VipKey> endpoints;
  snapshot->listeners.push_back(nullptr);
  const auto add = [&](const std::vector<std::shared_ptr<service::Listener>>& listeners) {
    for (const auto& listener : listeners) {
      entries.push_back({listener->key, listener->id});
      snapshot->listeners.push_back(listener);
      if (service::is_one_sided(listener->mode)) {
        continue;
      }
      for (const service::Server& server : listener->servers) {
        endpoints.push_back({server.address, server.port, listener->key.protocol});
      }
    }
  };
  add(listeners_of<packet::Ipv4>(workers, 1));
  add(listeners_of<packet::Ipv6>(workers, static_cast<std::uint16_t>(snapshot->listeners.size())));
  snapshot->index = std::make_shared<service::ListenerIndex>(entries);
  snapshot->nat_servers = std::make_shared<service::EndpointSet>(endpoints);
  const std::array vips{model_address(Scene<packet::Ipv4>::vip), model_address(Scene<packet::Ipv6>::vip)};
  snapshot->vips = std::make_shared<service::AddressSet>(vips);
  snapshot->routes = {on_link("2001:db8:1::/64", wan),   on_link("2001:db8:2::/64", lan),
                      on_link("192.0.2.0/24", wan),      on_link("10.0.0.0/24", lan),
                      via(Scene<packet::Ipv4>::gateway), via(Scene<packet::Ipv6>::gateway)};
  return snapshot;
}

}  // namespace steelyard::test
