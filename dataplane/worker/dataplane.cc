#include "dataplane/worker/dataplane.h"

#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>

#include <rte_launch.h>
#include <rte_malloc.h>

#include "dataplane/worker/secrets.h"

namespace steelyard::worker {
namespace {

constexpr unsigned mailbox_size = 64;

// Memory of a flow table: DPDK's (hugepages when there are some), zeroed and aligned.
struct FreeFlowMemory {
  void operator()(std::byte* memory) const { rte_free(memory); }
};
using FlowMemory = std::unique_ptr<std::byte, FreeFlowMemory>;

FlowMemory allocate(std::size_t bytes) {
  FlowMemory memory(static_cast<std::byte*>(rte_zmalloc("flow table", bytes, 64)));
  if (!memory) {
    throw std::bad_alloc();
  }
  return memory;
}

std::uint64_t time_since_boot_ns() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

neighbor::PortAddresses neighbor_view(const PortPlan& plan, const nic::Port& port) {
  neighbor::PortAddresses view;
  std::ranges::copy(port.mac().addr_bytes, view.mac.begin());
  for (const service::Prefix& prefix : plan.addresses) {
    const int offset = prefix.address.is_v4() ? 96 : 0;
    view.addresses.push_back(
        {packet::load<neighbor::IpKey>(prefix.address.v6().data()), static_cast<std::uint8_t>(prefix.length + offset)});
  }
  return view;
}

std::uint32_t memory_mib(const DataplaneSettings& settings, std::size_t workers, bool small_pages) {
  const std::size_t flows = l4::FlowTable<packet::Ipv4>::memory_needed(settings.flows_v4) +
                            l4::FlowTable<packet::Ipv6>::memory_needed(settings.flows_v6);
  std::uint16_t mtu = 1500;
  for (const PortPlan& port : settings.ports) {
    mtu = std::max(mtu, port.mtu);
  }
  constexpr std::size_t page = RTE_PGSIZE_4K;
  std::size_t buffer = std::size_t{nic::frame_room(mtu)} + 512;
  if (small_pages) {
    buffer = (buffer + page - 1) / page * page;
  }
  const std::size_t buffers = (std::size_t{settings.packet_buffers} + 4'096) * buffer;
  std::size_t tcp = 0;
  if (settings.tcp) {
    tcp = small_pages ? buffer_bytes_in_small_pages(*settings.tcp) : buffer_bytes(*settings.tcp);
  }
  return static_cast<std::uint32_t>(((flows + buffers + tcp) * workers + 8'192 * buffer) / (1024 * 1024) + 64);
}

// Fragments that a worker may keep waiting, of each family: all workers' may lie in the buffers of the one that
// receives, of which a flood must not take more than an eighth.
std::uint32_t held_fragments(std::uint32_t packet_buffers, std::size_t workers) {
  constexpr std::uint32_t least = 4;
  constexpr std::uint32_t most = 512;
  return std::clamp(packet_buffers / 16 / static_cast<std::uint32_t>(workers), least, most);
}

}  // namespace

struct Dataplane::PerWorker {
  PerWorker(std::size_t flows_v4, std::size_t flows_v6)
      : flows_v4_memory(allocate(l4::FlowTable<packet::Ipv4>::memory_needed(flows_v4))),
        flows_v6_memory(allocate(l4::FlowTable<packet::Ipv6>::memory_needed(flows_v6))),
        backends(service::max_backends),
        tunnels(service::max_backends),
        active(service::max_backends),
        others(service::max_backends),
        permits(service::max_backends),
        meters(service::max_listeners + 1),
        bandwidth_shares(service::max_listeners + 1),
        listeners(service::max_listeners + 1),
        schedulers(service::max_listeners + 1) {}

  FlowMemory flows_v4_memory;
  FlowMemory flows_v6_memory;
  service::StableArray<l4::BackendCounters> backends;
  service::StableArray<l4::TunnelEnd> tunnels;
  service::StableArray<service::Gauge> active;
  service::StableArray<service::Gauge> others;
  service::StableArray<service::Gauge> permits;
  service::StableArray<l4::BandwidthMeter> meters;
  service::StableArray<service::Counter> bandwidth_shares;
  service::StableArray<l4::ListenerCounters> listeners;
  service::StableArray<schedule::Scheduler> schedulers;
  std::unique_ptr<Mailbox> mailbox;
};

void Dataplane::FreeAligned::operator()(void* memory) const {
  std::free(memory);
}

nic::Result<std::unique_ptr<Dataplane>> Dataplane::start(const DataplaneSettings& given,
                                                         std::shared_ptr<const service::Snapshot> snapshot) {
  DataplaneSettings settings = given;
  if (settings.http) {
    if (settings.tcp) {
      return nic::failure("HTTP listeners and other services on TCP exclude each other");
    }
    settings.tcp = tcp_plan(*settings.http, settings.local_addresses, halves_of(settings.local_ports).layer7,
                            settings.packet_buffers);
  }
  std::vector<nic::DeviceLock> locks;
  if (auto folder = nic::make_runtime_folder(settings.run_folder); !folder) {
    return tl::unexpected(folder.error());
  }
  for (const PortPlan& port : settings.ports) {
    if (port.vlan) {
      continue;
    }
    auto lock = nic::DeviceLock::acquire(settings.run_folder, port.device);
    if (!lock) {
      return tl::unexpected(lock.error());
    }
    locks.push_back(std::move(*lock));
  }
  nic::EalSettings eal_settings;
  eal_settings.hugepages = settings.hugepages;
  eal_settings.worker_cpus = settings.worker_cpus;
  eal_settings.memory_mib = memory_mib(settings, settings.worker_cpus.size(), false);
  eal_settings.memory_in_small_pages_mib = memory_mib(settings, settings.worker_cpus.size(), true);
  for (const PortPlan& port : settings.ports) {
    if (nic::is_pci_address(port.device)) {
      eal_settings.pci_addresses.push_back(port.device);
    }
  }
  auto eal = nic::Eal::start(eal_settings);
  if (!eal) {
    return tl::unexpected(eal.error());
  }
  try {
    std::unique_ptr<Dataplane> dataplane(new Dataplane(settings, std::move(*eal)));
    dataplane->locks_ = std::move(locks);
    dataplane->current_ = std::move(snapshot);
    dataplane->published_.store(dataplane->current_.get(), std::memory_order_release);
    if (auto opened = dataplane->open_ports(settings); !opened) {
      return tl::unexpected(opened.error());
    }
    if (auto opened = dataplane->open_exceptions(settings); !opened) {
      return tl::unexpected(opened.error());
    }
    dataplane->make_applications(settings);
    dataplane->make_rings();
    dataplane->make_workers(settings);
    if (auto launched = dataplane->launch(); !launched) {
      return tl::unexpected(launched.error());
    }
    return dataplane;
  } catch (const std::bad_alloc&) {
    return nic::failure(
        "not enough memory for the flow tables and packet buffers: lower memory.flows_ipv4, "
        "memory.flows_ipv6, memory.packet_buffers or the number of HTTP connections, or provide more hugepages");
  }
}

Dataplane::Dataplane(const DataplaneSettings& settings, nic::Eal eal)
    : eal_(std::move(eal)), worker_count_(settings.worker_cpus.size()) {
  fill_randomly(key_);
  fill_randomly(seed_);
  path_mtus_ = std::make_unique<l4::PathMtuTable>(key_);
  sequence_key_ = lasting_secret(settings.run_folder + "/sequence-key");
  sequence_clock_ns_ = time_since_boot_ns() - clock_.now_ns();
  report_.hugepages = eal_.hugepages();
  const std::size_t size = rte_rcu_qsbr_get_memsize(static_cast<std::uint32_t>(worker_count_));
  rcu_.reset(static_cast<rte_rcu_qsbr*>(std::aligned_alloc(RTE_CACHE_LINE_SIZE, size)));
  if (!rcu_) {
    throw std::bad_alloc();
  }
  std::memset(rcu_.get(), 0, size);
  rte_rcu_qsbr_init(rcu_.get(), static_cast<std::uint32_t>(worker_count_));
}

Dataplane::~Dataplane() {
  stop();
}

void Dataplane::make_applications(DataplaneSettings& settings) {
  if (!settings.http) {
    return;
  }
  std::vector<std::uint16_t> mtus;
  for (const PortPlan& port : settings.ports) {
    mtus.push_back(port.mtu);
  }
  for (std::size_t worker = 0; worker < worker_count_; ++worker) {
    Http http;
    http.log = std::make_unique<AccessRing>(settings.http->log_bytes);
    http.requests = std::make_unique<RequestTables>();
    http.application = std::make_unique<HttpApplication>(proxy_setup(*settings.http), mtus, *http.log, *http.requests);
    settings.tcp->applications.push_back(http.application.get());
    http_.push_back(std::move(http));
  }
}

void Dataplane::make_workers(const DataplaneSettings& settings) {
  for (std::size_t worker = 0; worker < worker_count_; ++worker) {
    per_worker_.push_back(std::make_unique<PerWorker>(settings.flows_v4, settings.flows_v6));
    per_worker_.back()->mailbox = std::make_unique<Mailbox>("mailbox_" + std::to_string(worker), mailbox_size);
    persistence_.push_back(std::make_unique<l4::PersistenceTable>(settings.persistent_clients, key_));
    sources_.push_back(std::make_unique<l4::SourceTable>(settings.limited_sources));
  }
  report_.flow_table_bytes = worker_count_ * (l4::FlowTable<packet::Ipv4>::memory_needed(settings.flows_v4) +
                                              l4::FlowTable<packet::Ipv6>::memory_needed(settings.flows_v6));
  report_.connection_bytes = settings.tcp ? worker_count_ * table_bytes(*settings.tcp) : 0;
  if (settings.http) {
    report_.connection_bytes += worker_count_ * HttpApplication::memory_needed(proxy_setup(*settings.http));
  }
  std::size_t backends = 1;
  for (const auto& listener : current_->listeners) {
    for (const service::Server& server : listener ? listener->servers : std::vector<service::Server>{}) {
      backends = std::max<std::size_t>(backends, server.id.value + 1);
    }
  }
  commit(current_->listeners.size(), backends);
  std::vector<PermitLedger::Cells> cells;
  std::vector<BandwidthDivider::Cells> bandwidth;
  for (const auto& worker : per_worker_) {
    cells.push_back({&worker->permits, &worker->active, &worker->backends});
    bandwidth.push_back({&worker->bandwidth_shares, &worker->meters});
  }
  bandwidth_.emplace(std::move(bandwidth));
  permits_.emplace(std::move(cells), PermitLedger::Grace{[this] { return rte_rcu_qsbr_start(rcu_.get()); },
                                                         [this](std::uint64_t moment) {
                                                           return rte_rcu_qsbr_check(rcu_.get(), moment, false) == 1;
                                                         }});
  // No worker runs yet: the first connections find their permits.
  set_limits();
  permits_->published();
  permits_->balance();
  commit_sources(*current_);
  populate_requests(nullptr, *current_);
  for (std::size_t worker = 0; worker < worker_count_; ++worker) {
    workers_.push_back(std::make_unique<Worker>(setup_of(worker, settings)));
  }
  commit_addresses(*current_);
}

WorkerSetup Dataplane::setup_of(std::size_t worker, const DataplaneSettings& settings) {
  WorkerSetup setup;
  setup.id = {static_cast<std::uint16_t>(worker)};
  setup.adaptive = settings.adaptive;
  for (std::size_t place = 0; place < links_.size(); ++place) {
    PortLink link = link_of(worker, place);
    if (link.has_queue && link.port->report().calls_kernel) {
      setup.coalesce_ns = std::uint64_t{1'000} * settings.coalesce_us;
    }
    link.mtu = settings.ports[place].mtu;
    if (exception_of_port_[place]) {
      link.kernel = exception_thread_->channel(static_cast<std::uint16_t>(worker), *exception_of_port_[place]);
    }
    setup.links.push_back(std::move(link));
    setup.neighbor_ports.push_back(neighbor_view(settings.ports[place], device(place)));
    setup.balancer.tunnel_ports.push_back({settings.ports[place].mtu, {}});
    for (const service::Prefix& prefix : settings.ports[place].addresses) {
      setup.own_addresses.push_back(prefix.address);
      setup.balancer.tunnel_ports.back().addresses.push_back(prefix.address);
    }
  }
  for (std::size_t other = 0; other < worker_count_; ++other) {
    setup.hand_off_out.push_back(hand_off_[worker * worker_count_ + other].get());
    setup.hand_off_in.push_back(hand_off_[other * worker_count_ + worker].get());
  }
  PerWorker& own = *per_worker_[worker];
  setup.mailbox = own.mailbox.get();
  setup.generate = &pools_[worker].generate;
  setup.local_addresses = settings.local_addresses;
  setup.published = &published_;
  setup.links_came_up = &links_came_up_;
  setup.taps = &published_taps_;
  setup.rcu = rcu_.get();
  setup.clock = &clock_;
  setup.fragments.held = held_fragments(settings.packet_buffers, worker_count_);
  if (settings.tcp) {
    setup.tcp = host_setup(*settings.tcp, tcp_pools_[worker], pools_[worker], worker);
  }
  l4::BalancerSetup& balancer = setup.balancer;
  balancer.worker = setup.id;
  balancer.workers = worker_count_;
  balancer.key = key_;
  balancer.sequence_key = sequence_key_;
  balancer.sequence_clock_ns = sequence_clock_ns_;
  balancer.seed = seed_ + worker;
  balancer.memory_v4 = {own.flows_v4_memory.get(), l4::FlowTable<packet::Ipv4>::memory_needed(settings.flows_v4)};
  balancer.memory_v6 = {own.flows_v6_memory.get(), l4::FlowTable<packet::Ipv6>::memory_needed(settings.flows_v6)};
  balancer.flows_v4 = settings.flows_v4;
  balancer.flows_v6 = settings.flows_v6;
  balancer.own_addresses = setup.own_addresses;
  balancer.local_addresses = settings.local_addresses;
  balancer.local_ports = settings.local_ports;
  if (settings.http) {
    balancer.local_ports = halves_of(settings.local_ports).layer4;
    balancer.terminated_ports = halves_of(settings.local_ports).layer7;
  }
  for (const auto& table : persistence_) {
    balancer.persistence.push_back(table.get());
  }
  balancer.backends = &own.backends;
  balancer.tunnels = &own.tunnels;
  balancer.path_mtus = path_mtus_.get();
  balancer.active = &own.active;
  for (const auto& each : per_worker_) {
    balancer.listeners.push_back(&each->listeners);
  }
  for (const auto& table : sources_) {
    balancer.sources.push_back(table.get());
  }
  balancer.schedulers = &own.schedulers;
  balancer.others = &own.others;
  balancer.others_version = &others_version_;
  balancer.permits = &own.permits;
  balancer.meters = &own.meters;
  balancer.bandwidth_shares = &own.bandwidth_shares;
  return setup;
}

nic::Result<void> Dataplane::launch() {
  for (nic::Port& port : devices_) {
    if (auto started = port.start(); !started) {
      return started;
    }
  }
  join_groups();
  for (const nic::Port& port : devices_) {
    report_.ports.push_back(port.report());
  }
  launched_ = true;
  for (std::size_t worker = 0; worker < worker_count_; ++worker) {
    struct Start {
      Worker* worker;
      const std::atomic<bool>* stop;
    };
    auto start = std::make_unique<Start>(Start{workers_[worker].get(), &stop_});
    const auto body = [](void* argument) {
      const std::unique_ptr<Start> given(static_cast<Start*>(argument));
      given->worker->run(*given->stop);
      return 0;
    };
    if (rte_eal_remote_launch(body, start.get(), nic::worker_lcore(static_cast<std::uint16_t>(worker))) != 0) {
      return nic::failure("cannot start worker " + std::to_string(worker) + " on its core");
    }
    start.release();
  }
  return {};
}

void Dataplane::stop() {
  stop_.store(true, std::memory_order_relaxed);
  if (launched_) {
    for (std::size_t worker = 0; worker < worker_count_; ++worker) {
      rte_eal_wait_lcore(nic::worker_lcore(static_cast<std::uint16_t>(worker)));
    }
  }
  for (nic::Port& port : devices_) {
    port.stop();
  }
  std::array<rte_mbuf*, burst_size> burst;
  for (const auto* rings : {&hand_off_, &relays_}) {
    for (const auto& ring : *rings) {
      for (unsigned count = ring ? ring->pop(burst) : 0; count != 0; count = ring->pop(burst)) {
        rte_pktmbuf_free_bulk(burst.data(), count);
      }
    }
  }
  workers_.clear();
  exception_thread_.reset();
  devices_.clear();
}

void Dataplane::commit(std::size_t listeners, std::size_t backends) {
  for (const auto& worker : per_worker_) {
    worker->schedulers.commit(listeners);
    worker->meters.commit(listeners);
    worker->bandwidth_shares.commit(listeners);
    worker->listeners.commit(listeners);
    worker->backends.commit(backends);
    worker->tunnels.commit(backends);
    worker->active.commit(backends);
    worker->others.commit(backends);
    worker->permits.commit(backends);
  }
  backends_ = std::max(backends_, backends);
}

void Dataplane::commit_sources(const service::Snapshot& snapshot) {
  const bool needed = std::ranges::any_of(
      snapshot.listeners, [](const auto& listener) { return listener != nullptr && listener->per_source.any(); });
  for (const auto& table : sources_) {
    if (needed) {
      table->commit();
    }
  }
}

std::vector<Dataplane::BufferUse> Dataplane::buffers(std::size_t worker) const {
  const auto use = [](std::string_view name, const nic::MbufPool& pool) {
    // While packets move, what is counted in one cache may have been counted in another.
    return BufferUse{name, pool.capacity(), pool.capacity() - std::min(pool.available(), pool.capacity())};
  };
  std::vector<BufferUse> all{use("received", pools_[worker].receive), use("generated", pools_[worker].generate)};
  if (!tcp_pools_.empty()) {
    all.push_back(use("tcp_clones", tcp_pools_[worker].clones));
    all.push_back(use("tcp_payload", tcp_pools_[worker].payload));
  }
  return all;
}

void Dataplane::populate_requests(const service::Snapshot* old, const service::Snapshot& next) {
  for (std::size_t id = 0; id < next.listeners.size() && !http_.empty(); ++id) {
    const auto& listener = next.listeners[id];
    const bool known = old != nullptr && id < old->listeners.size() && old->listeners[id] == listener;
    if (listener == nullptr || listener->http == nullptr || known) {
      continue;
    }
    for (const Http& http : http_) {
      http.requests->populate(*listener);
    }
  }
}

void Dataplane::commit_addresses(const service::Snapshot& snapshot) {
  const bool needed = std::ranges::any_of(snapshot.listeners, [](const auto& listener) {
    return listener != nullptr && listener->http != nullptr && listener->http->proxies != nullptr;
  });
  for (const Http& http : http_) {
    if (needed) {
      http.application->commit_addresses();
    }
  }
}

void Dataplane::publish(std::shared_ptr<const service::Snapshot> snapshot) {
  populate_requests(current_.get(), *snapshot);
  std::shared_ptr<const service::Snapshot> old = std::exchange(current_, std::move(snapshot));
  set_limits();
  published_.store(current_.get(), std::memory_order_release);
  permits_->published();
  retired_.push_back({std::move(old), rte_rcu_qsbr_start(rcu_.get()), clock_.now_ns()});
  adoption_ns_ = 0;
  if (current_->vips != joined_vips_) {
    join_groups();
  }
  reclaim();
}

void Dataplane::publish_taps(std::shared_ptr<const Taps> taps) {
  std::shared_ptr<const Taps> old = std::exchange(taps_, std::move(taps));
  published_taps_.store(taps_.get(), std::memory_order_release);
  if (old) {
    retired_taps_.push_back({std::move(old), rte_rcu_qsbr_start(rcu_.get())});
  }
  reclaim();
}

void Dataplane::reclaim() {
  while (!retired_taps_.empty() && rte_rcu_qsbr_check(rcu_.get(), retired_taps_.front().token, false) == 1) {
    retired_taps_.pop_front();
  }
  while (!retired_.empty() && rte_rcu_qsbr_check(rcu_.get(), retired_.front().token, false) == 1) {
    adoption_ns_ = clock_.now_ns() - retired_.front().published_at;
    retired_.pop_front();
  }
}

void Dataplane::set_limits() {
  std::vector<ConnectionLimit> limits;
  std::vector<BandwidthLimit> bandwidths;
  for (const auto& listener : current_->listeners) {
    if (listener != nullptr && listener->bandwidth != 0) {
      bandwidths.push_back({listener->id, listener->bandwidth});
    }
    if (listener == nullptr || !listener->limited) {
      continue;
    }
    for (const service::Server& server : listener->servers) {
      if (server.max_connections != 0) {
        limits.push_back({server.id, server.max_connections});
      }
    }
  }
  std::ranges::sort(limits, {}, &ConnectionLimit::backend);
  permits_->set_limits(limits);
  bandwidth_->set_limits(bandwidths);
}

void Dataplane::sum_connections() {
  permits_->balance();
  bandwidth_->divide(clock_.now_ns());
  if (worker_count_ == 1) {
    return;  // nobody else's
  }
  bool changed = false;
  for (std::size_t backend = 0; backend < backends_; ++backend) {
    std::uint32_t sum = 0;
    for (const auto& worker : per_worker_) {
      sum += worker->active[backend].get();
    }
    for (const auto& worker : per_worker_) {
      const std::uint32_t others = sum - worker->active[backend].get();
      if (worker->others[backend].get() != others) {
        worker->others[backend].set(others);
        changed = true;
      }
    }
  }
  if (changed) {
    others_version_.fetch_add(1, std::memory_order_release);
  }
}

std::uint64_t Dataplane::active(service::BackendId backend) const {
  std::uint64_t sum = 0;
  for (const auto& worker : per_worker_) {
    sum += worker->active[backend.value].get();
  }
  return sum;
}

std::uint64_t Dataplane::served(service::BackendId backend) const {
  std::uint64_t sum = active(backend);
  for (const auto& worker : per_worker_) {
    sum += worker->backends[backend.value].client_closed.get();
  }
  return sum;
}

std::uint64_t Dataplane::terminated(service::ListenerId listener) const {
  std::uint64_t sum = 0;
  for (const auto& worker : per_worker_) {
    sum += worker->listeners[listener.value].terminated.get();
  }
  return sum;
}

std::uint32_t Dataplane::active(std::size_t worker, service::BackendId backend) const {
  return per_worker_[worker]->active[backend.value].get();
}

const l4::BackendCounters& Dataplane::backend(std::size_t worker, service::BackendId backend) const {
  return per_worker_[worker]->backends[backend.value];
}

const l4::BandwidthMeter& Dataplane::meter(std::size_t worker, service::ListenerId listener) const {
  return per_worker_[worker]->meters[listener.value];
}

const l4::ListenerCounters& Dataplane::listener(std::size_t worker, service::ListenerId listener) const {
  return per_worker_[worker]->listeners[listener.value];
}

bool Dataplane::post(std::size_t worker, Command& command) {
  return per_worker_[worker]->mailbox->push(&command);
}

}  // namespace steelyard::worker
