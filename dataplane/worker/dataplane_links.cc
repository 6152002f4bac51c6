// The data plane's links: devices, VLANs, the kernel's side of ports, rings between workers and to them, multicast
// groups, and what cables do.
#include <algorithm>
#include <functional>
#include <iterator>

#include "dataplane/worker/dataplane.h"
#include "dataplane/worker/multicast_groups.h"

namespace steelyard::worker {
namespace {

constexpr unsigned hand_off_ring_size = 4'096;
constexpr unsigned relay_ring_size = 4'096;

}  // namespace

nic::Result<void> Dataplane::open_ports(const DataplaneSettings& settings) {
  std::uint16_t largest_mtu = 1280;
  for (const PortPlan& plan : settings.ports) {
    largest_mtu = std::max(largest_mtu, plan.mtu);
  }
  std::vector<rte_mempool*> receive;
  for (std::size_t worker = 0; worker < worker_count_; ++worker) {
    auto pools = nic::WorkerPools::create(
        {static_cast<std::uint16_t>(worker), settings.packet_buffers, largest_mtu, SOCKET_ID_ANY});
    if (!pools) {
      return tl::unexpected(pools.error());
    }
    receive.push_back(pools->receive.raw());
    report_.packet_buffer_bytes += pools->receive.buffer_bytes() * pools->receive.capacity();
    pools_.push_back(std::move(*pools));
    if (settings.tcp) {
      auto tcp_pools = TcpPools::create(*settings.tcp, worker);
      if (!tcp_pools) {
        return tl::unexpected(tcp_pools.error());
      }
      tcp_pools_.push_back(std::move(*tcp_pools));
      report_.packet_buffer_bytes += buffer_bytes(*settings.tcp);
    }
  }
  for (const PortPlan& plan : settings.ports) {
    Link link;
    link.name = plan.name;
    link.device = devices_.size();
    link.carrier = links_.size();
    std::ranges::transform(plan.addresses, std::back_inserter(link.addresses), &service::Prefix::address);
    links_.push_back(std::move(link));
    if (plan.vlan) {
      continue;
    }
    nic::PortSettings port_settings;
    port_settings.name = plan.name;
    port_settings.device = plan.device;
    port_settings.mtu = plan.mtu;
    port_settings.workers = static_cast<std::uint16_t>(worker_count_);
    for (const PortPlan& other : settings.ports) {
      if (other.vlan && other.vlan->carrier == links_.size() - 1) {
        port_settings.vlans.push_back(other.vlan->id);
      }
    }
    auto port = nic::Port::open(port_settings, receive);
    if (!port) {
      return tl::unexpected(port.error());
    }
    devices_.push_back(std::move(*port));
  }
  for (std::size_t place = 0; place < links_.size(); ++place) {
    if (const auto& vlan = settings.ports[place].vlan) {
      links_[place].vlan = vlan->id;
      links_[place].carrier = vlan->carrier;
      links_[place].device = links_[vlan->carrier].device;
    }
  }
  local_addresses_ = settings.local_addresses;
  return {};
}

nic::Result<void> Dataplane::open_exceptions(const DataplaneSettings& settings) {
  std::vector<nic::ExceptionAttachment> attachments;
  exception_of_port_.resize(links_.size());
  for (std::size_t place = 0; place < links_.size(); ++place) {
    const PortPlan& plan = settings.ports[place];
    if (!plan.exception) {
      continue;
    }
    nic::ExceptionSettings exception;
    exception.name = plan.exception->name;
    exception.network_namespace = plan.exception->network_namespace;
    exception.manage = plan.exception->manage;
    exception.mac = device(place).mac();
    exception.mtu = plan.mtu;
    for (const service::Prefix& prefix : plan.addresses) {
      exception.addresses.push_back(prefix.to_string());
    }
    exception.routes = plan.kernel_routes;
    auto interface = nic::ExceptionInterface::create(exception);
    if (!interface) {
      return tl::unexpected(interface.error());
    }
    if (exception.manage && std::ranges::any_of(links_[place].addresses, std::not_fn(&service::Address::is_v4))) {
      links_[place].groups.emplace(exception);
    }
    exception_of_port_[place] = attachments.size();
    attachments.push_back({std::move(*interface), 0});
  }
  if (attachments.empty()) {
    return {};
  }
  nic::ExceptionThreadSettings thread_settings;
  thread_settings.workers = static_cast<std::uint16_t>(worker_count_);
  nic::MbufPoolSettings pool_settings;
  pool_settings.name = "exception";
  pool_settings.buffers = nic::ExceptionThread::buffers_needed(thread_settings, attachments.size());
  for (const PortPlan& plan : settings.ports) {
    pool_settings.frame_room = std::max(pool_settings.frame_room, nic::frame_room(plan.mtu));
  }
  auto pool = nic::MbufPool::create(pool_settings);
  if (!pool) {
    return tl::unexpected(pool.error());
  }
  exception_pool_ = std::move(*pool);
  auto thread = nic::ExceptionThread::start(thread_settings, std::move(attachments), *exception_pool_);
  if (!thread) {
    return tl::unexpected(thread.error());
  }
  exception_thread_ = std::move(*thread);
  return {};
}

void Dataplane::make_rings() {
  const auto ring = [](const std::string& kind, std::size_t first, std::size_t second, unsigned size) {
    return std::make_unique<PacketRing>(kind + std::to_string(first) + '_' + std::to_string(second), size);
  };
  for (std::size_t from = 0; from < worker_count_; ++from) {
    for (std::size_t to = 0; to < worker_count_; ++to) {
      hand_off_.push_back(from == to ? nullptr : ring("hand_off_", from, to, hand_off_ring_size));
    }
  }
  for (std::size_t device = 0; device < devices_.size(); ++device) {
    for (std::size_t from = 0; from < worker_count_; ++from) {
      relays_.push_back(from < devices_[device].queue_pairs() ? nullptr
                                                              : ring("relay_", device, from, relay_ring_size));
    }
  }
}

// How a worker receives and sends on a port.
PortLink Dataplane::link_of(std::size_t worker, std::size_t place) const {
  const Link& own = links_[place];
  PortLink link;
  link.port = &devices_[own.device];
  std::ranges::copy(link.port->mac().addr_bytes, link.mac.begin());
  link.vlan = own.vlan;
  link.carrier = static_cast<std::uint16_t>(own.carrier);
  if (own.vlan != 0) {
    return link;
  }
  for (std::size_t other = 0; other < links_.size(); ++other) {
    if (links_[other].vlan != 0 && links_[other].carrier == place) {
      link.vlans.push_back({links_[other].vlan, static_cast<std::uint16_t>(other)});
    }
  }
  link.has_queue = worker < link.port->queue_pairs();
  // Workers without a queue send through worker 0, which every port has.
  link.relay = relays_[own.device * worker_count_ + worker].get();
  for (std::size_t from = 0; worker == 0 && from < worker_count_; ++from) {
    if (PacketRing* ring = relays_[own.device * worker_count_ + from].get(); ring != nullptr) {
      link.relays_in.push_back(ring);
    }
  }
  return link;
}

// Every link may be asked for every VIP, so each port hears the groups of all.
void Dataplane::join_groups() {
  joined_vips_ = current_->vips;
  for (std::size_t device = 0; device < devices_.size(); ++device) {
    std::vector<service::Address> addresses = local_addresses_;
    std::ranges::copy(joined_vips_->all(), std::back_inserter(addresses));
    for (const Link& link : links_) {
      if (link.device == device) {
        std::ranges::copy(link.addresses, std::back_inserter(addresses));
      }
    }
    devices_[device].set_multicast_groups(multicast_groups(addresses, devices_[device].mac()));
  }
  // The kernel listens for its own addresses by itself.
  std::vector<nic::Ipv6Bytes> answered_for;
  for (const auto& addresses : {std::span<const service::Address>(local_addresses_), joined_vips_->all()}) {
    for (const service::Address& address : addresses) {
      if (!address.is_v4()) {
        std::ranges::copy(address.v6(), answered_for.emplace_back().begin());
      }
    }
  }
  refused_memberships_ = 0;
  for (Link& link : links_) {
    if (link.groups) {
      refused_memberships_ += link.groups->listen_for(answered_for);
    }
  }
}

std::optional<nic::ExceptionCounters> Dataplane::exception_counters(std::size_t port) const {
  if (!exception_of_port_[port]) {
    return std::nullopt;
  }
  return exception_thread_->counters(*exception_of_port_[port]);
}

std::vector<Dataplane::LinkChange> Dataplane::watch_links() {
  std::vector<LinkChange> changes;
  for (std::size_t place = 0; place < links_.size(); ++place) {
    if (links_[place].vlan != 0) {
      continue;
    }
    const nic::LinkStatus now = device(place).link();
    if (std::exchange(links_[place].was_up, now.up) == now.up) {
      continue;
    }
    changes.push_back({place, now});
    if (now.up) {
      links_came_up_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  return changes;
}

}  // namespace steelyard::worker
