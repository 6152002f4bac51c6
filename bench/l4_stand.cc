#include "bench/l4_stand.h"

#include <stdexcept>
#include <string>

#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include "dataplane/schedule/scheduler.h"

namespace steelyard::bench {
namespace {

constexpr std::uint32_t generated_buffers = 4'096;
// A frame of traffic.h and a little more: small buffers let many be prepared.
constexpr std::uint16_t small_frame_room = 128;
// Flows by which the neighbours are made known; they stay half-open beside those of the plan.
constexpr std::size_t introductions = 512;
constexpr std::uint16_t introduction_port = 1;
constexpr std::size_t table_memory_alignment = 64;
constexpr std::size_t smallest_table = 64;

template <class Value>
Value take(nic::Result<Value> result) {
  if (!result) {
    throw std::runtime_error(result.error().message);
  }
  return std::move(*result);
}

nic::Eal start_eal(nic::Hugepages pages, std::uint32_t memory_mib) {
  nic::EalSettings settings;
  settings.hugepages = pages;
  settings.memory_mib = memory_mib;
  return take(nic::Eal::start(settings));
}

nic::MbufPool make_pool(const std::string& name, std::uint32_t buffers, std::uint16_t frame_room) {
  nic::MbufPoolSettings settings;
  settings.name = name;
  settings.buffers = buffers;
  settings.frame_room = frame_room;
  return take(nic::MbufPool::create(settings));
}

std::byte* allocate(std::size_t bytes) {
  auto* memory = static_cast<std::byte*>(rte_zmalloc("bench", bytes, table_memory_alignment));
  if (memory == nullptr) {
    throw std::runtime_error(
        "not enough memory for the flow table: more hugepages, or fewer flows (--benchmark_filter)");
  }
  return memory;
}

std::size_t addresses_for(std::size_t flows, std::size_t least) {
  return std::max(least, flows / flows_an_address + 1);
}

}  // namespace

Machine::Machine(nic::Hugepages pages, std::uint32_t memory_mib, std::uint32_t mbufs)
    : eal_(start_eal(pages, memory_mib)),
      generate_(make_pool("generate", generated_buffers, nic::smallest_frame_room)),
      pool_(make_pool("packets", mbufs, small_frame_room)),
      port_(generate_),
      packets_(mbufs) {
  for (rte_mbuf*& packet : packets_) {
    packet = pool_.allocate().release();
    if (packet == nullptr) {
      throw std::runtime_error("the packet pool is smaller than it was asked to be");
    }
  }
}

Machine::~Machine() {
  rte_pktmbuf_free_bulk(packets_.data(), static_cast<unsigned>(packets_.size()));
}

std::vector<rte_mbuf*> Machine::shuffled_packets(std::size_t count) const {
  std::vector<rte_mbuf*> packets(packets_.begin(), packets_.begin() + static_cast<std::ptrdiff_t>(count));
  std::mt19937_64 random(1);
  std::ranges::shuffle(packets, random);
  return packets;
}

template <class Family>
Stand<Family>::Stand(Machine& machine, const StandPlan& plan)
    : machine_(machine),
      clients_(addresses_for(plan.established + plan.further, least_clients)),
      locals_(addresses_for(plan.established + plan.further, least_locals)),
      // Half-open flows are allowed a quarter of a table.
      capacity_(plan.established + plan.established / 16 + 4 * (plan.further + introductions)),
      table_bytes_(l4::FlowTable<Family>::memory_needed(capacity_)),
      full_nat_(plan.mode == service::Mode::fullnat),
      direct_(service::is_one_sided(plan.mode)),
      tunnel_(plan.mode == service::Mode::tunnel),
      memory_(allocate(table_bytes_)),
      other_memory_(allocate(l4::FlowTable<packet::Ipv6>::memory_needed(smallest_table))),
      choices_(plan.established) {
  tables_.commit(servers);
  snapshot_ = make_snapshot(plan);
  published_.store(snapshot_.get(), std::memory_order_release);
  machine_.port().set_freeing(true);
  worker_ = std::make_unique<worker::Worker>(make_setup());
  introduce();
  establish(plan.established);
  flush();
  machine_.port().set_freeing(false);
}

template <class Family>
Stand<Family>::~Stand() {
  machine_.port().set_freeing(true);
  flush();
}

template <class Family>
std::shared_ptr<const service::Snapshot> Stand<Family>::make_snapshot(const StandPlan& plan) const {
  auto listener = std::make_shared<service::Listener>();
  listener->id = {1};
  listener->key = {service_address<Family>(host::vip), vip_port, service::Protocol::tcp};
  listener->mode = plan.mode;
  listener->scheduler = plan.scheduler;
  listener->servers_generation = 1;
  listener->state = std::make_shared<service::ListenerState>(servers);
  std::vector<service::VipKey> endpoints;
  for (std::uint32_t number = 0; number < servers; ++number) {
    service::Server server;
    server.address = service_address<Family>(host::server + number);
    server.port = direct_ ? vip_port : server_port;
    server.id = {number};
    listener->servers.push_back(server);
    endpoints.push_back({server.address, server.port, service::Protocol::tcp});
  }
  listener->scratch.emplace_back(
      std::make_unique<std::uint32_t[]>(std::max<std::size_t>(1, schedule::scratch_words(plan.scheduler, servers))));
  auto snapshot = std::make_shared<service::Snapshot>();
  const std::array<service::ListenerIndex::Entry, 1> entries{{{listener->key, listener->id}}};
  const std::array<service::Address, 1> vips{listener->key.address};
  snapshot->index = std::make_shared<service::ListenerIndex>(entries);
  snapshot->nat_servers = std::make_shared<service::EndpointSet>(
      full_nat_ || direct_ ? std::span<const service::VipKey>{} : std::span<const service::VipKey>(endpoints));
  snapshot->vips = std::make_shared<service::AddressSet>(vips);
  service::Route route;
  route.destination = {service_address<Family>(0), Family::is_v6 ? std::uint8_t{64} : std::uint8_t{8}};
  route.on_link = true;
  snapshot->routes = {route};
  snapshot->listeners = {nullptr, std::move(listener)};
  return snapshot;
}

template <class Family>
worker::WorkerSetup Stand<Family>::make_setup() {
  worker::WorkerSetup setup;
  worker::PortLink link;
  link.port = &machine_.port().port();
  link.mac = port_mac();
  link.has_queue = true;
  setup.links = {link};
  setup.hand_off_out = {nullptr};
  setup.hand_off_in = {nullptr};
  setup.mailbox = &mailbox_;
  setup.generate = &machine_.generate();
  const service::Address own = service_address<Family>(host::balancer);
  setup.own_addresses = {own};
  for (std::uint32_t local = 0; full_nat_ && local < locals_; ++local) {
    setup.local_addresses.push_back(service_address<Family>(host::local + local));
  }
  setup.neighbor_ports = {{port_mac(), {{neighbor_key(own), Family::is_v6 ? std::uint8_t{64} : std::uint8_t{104}}}}};
  setup.published = &published_;
  setup.clock = &machine_.clock();
  l4::BalancerSetup& balancer = setup.balancer;
  tables_.put_into(balancer);
  const std::span other(other_memory_.get(), l4::FlowTable<packet::Ipv6>::memory_needed(smallest_table));
  balancer.memory_v4 = balancer.memory_v6 = other;
  balancer.flows_v4 = balancer.flows_v6 = smallest_table;
  (Family::is_v6 ? balancer.memory_v6 : balancer.memory_v4) = std::span(memory_.get(), table_bytes_);
  (Family::is_v6 ? balancer.flows_v6 : balancer.flows_v4) = capacity_;
  balancer.local_addresses = setup.local_addresses;
  balancer.tunnel_ports = {{link.mtu, {own}}};
  return setup;
}

template <class Family>
neighbor::MacAddress Stand<Family>::port_mac() const {
  neighbor::MacAddress mac;
  std::ranges::copy(machine_.port().port().mac().addr_bytes, mac.begin());
  return mac;
}

template <class Family>
rte_mbuf* Stand<Family>::generated() {
  rte_mbuf* packet = machine_.generate().allocate().release();
  if (packet == nullptr) {
    throw std::runtime_error("no buffer is left for the packets that introduce neighbours");
  }
  return packet;
}

template <class Family>
void Stand<Family>::write(rte_mbuf* packet, const TcpFrame<Family>& frame) const {
  rte_pktmbuf_reset_headroom(packet);  // a tunnel's header has taken from it
  const std::size_t length = write_frame(rte_pktmbuf_mtod(packet, std::uint8_t*), port_mac(), frame);
  packet->data_len = static_cast<std::uint16_t>(length);
  packet->pkt_len = static_cast<std::uint32_t>(length);
}

template <class Family>
packet::Tuple<Family> Stand<Family>::client_side(std::uint64_t flow) const {
  const auto client = static_cast<std::uint32_t>(flow % clients_);
  const auto port = static_cast<std::uint16_t>(first_client_port + flow / clients_);
  return {address_of<Family>(host::client + client), address_of<Family>(host::vip), __builtin_bswap16(port),
          __builtin_bswap16(vip_port), packet::protocol_tcp};
}

template <class Family>
packet::Tuple<Family> Stand<Family>::server_side(std::uint64_t flow, const Choice& choice) const {
  const packet::Tuple<Family> client = client_side(flow);
  return {address_of<Family>(host::server + choice.server),
          full_nat_ ? address_of<Family>(host::local + choice.local) : client.source, __builtin_bswap16(server_port),
          choice.local_port, packet::protocol_tcp};
}

// What the worker has decided, read off the SYN that it has rewritten.
template <class Family>
typename Stand<Family>::Choice Stand<Family>::choice_in(const rte_mbuf* packet, std::uint64_t flow) const {
  const auto* l3 = rte_pktmbuf_mtod(packet, const std::uint8_t*) + packet::ethernet_header_size;
  const auto* l4 = l3 + Family::header_size;
  using Address = typename Family::Address;
  Choice choice{};
  choice.server =
      static_cast<std::uint8_t>(number_of(packet::load<Address>(l3 + Family::destination_offset)) - host::server);
  choice.local =
      full_nat_ ? static_cast<std::uint8_t>(number_of(packet::load<Address>(l3 + Family::source_offset)) - host::local)
                : std::uint8_t{0};
  choice.local_port = packet::load<std::uint16_t>(l4);
  choice.sequence_delta = __builtin_bswap32(packet::load<std::uint32_t>(l4 + 4)) - client_isn(flow).value;
  return choice;
}

template <class Family>
void Stand<Family>::write_syn(rte_mbuf* packet, std::uint64_t flow) {
  write(packet, {client_side(flow), client_isn(flow), {}, packet::tcp_flag::syn});
}

template <class Family>
void Stand<Family>::write_established(rte_mbuf* packet, std::uint64_t flow, l4::Side from) {
  if (from == l4::Side::client || direct_) {
    write(packet, {client_side(flow), client_isn(flow) + 1, server_isn(flow) + 1, packet::tcp_flag::ack});
    return;
  }
  const Choice& choice = choices_[flow];
  write(packet, {server_side(flow, choice), server_isn(flow) + 1, client_isn(flow) + (choice.sequence_delta + 1),
                 packet::tcp_flag::ack});
}

// The neighbour says where it is: ARP or neighbour advertisement, as if asked.
template <class Family>
void Stand<Family>::answer_for(std::uint32_t number) {
  neighbor::NeighborMessage request;
  request.sender = neighbor_key(service_address<Family>(host::balancer));
  request.target = neighbor_key(service_address<Family>(number));
  request.sender_mac = port_mac();
  request.has_sender_mac = true;
  std::array<std::uint8_t, neighbor::largest_message> frame{};
  const std::size_t length = neighbor::build_answer(frame, mac_of(number), request.target, &request);
  rte_mbuf* packet = generated();
  std::memcpy(rte_pktmbuf_append(packet, static_cast<std::uint16_t>(length)), frame.data(), length);
  receive_one(packet);
}

// Makes every server and every client a known neighbour: the worker asks for a hop with the first packet towards it.
template <class Family>
void Stand<Family>::introduce() {
  for (std::uint16_t port = introduction_port; port < introduction_port + 8 * servers; ++port) {
    rte_mbuf* syn = generated();
    packet::Tuple<Family> tuple = client_side(0);
    tuple.source_port = __builtin_bswap16(port);
    write(syn, {tuple, {}, {}, packet::tcp_flag::syn});
    receive_one(syn);
  }
  for (std::uint32_t server = 0; server < servers; ++server) {
    answer_for(host::server + server);
  }
  flush();
  rte_mbuf* syn = machine_.shuffled_packets(1)[0];
  for (std::uint32_t client = 0; client < clients_; ++client) {
    packet::Tuple<Family> tuple = client_side(client);
    tuple.source_port = __builtin_bswap16(introduction_port + 8 * servers);
    write(syn, {tuple, client_isn(client), {}, packet::tcp_flag::syn});
    receive_one(syn);
    if (direct_) {
      flush();
      continue;
    }
    const Choice choice = choice_in(syn, client);
    rte_mbuf* answer = generated();
    write(answer, {server_side(client, choice), server_isn(client), client_isn(client) + (choice.sequence_delta + 1),
                   packet::tcp_flag::syn | packet::tcp_flag::ack});
    receive_one(answer);
    answer_for(host::client + client);
    flush();
  }
}

template <class Family>
void Stand<Family>::establish(std::size_t flows) {
  std::vector<rte_mbuf*> burst = machine_.shuffled_packets(worker::burst_size);
  const std::uint64_t before = forwarded();
  for (std::size_t base = 0; base < flows; base += burst.size()) {
    const auto packets = std::span(burst).first(std::min(burst.size(), flows - base));
    const auto exchange = [&](auto&& write_segment) {
      for (std::size_t place = 0; place < packets.size(); ++place) {
        write_segment(packets[place], base + place);
      }
      forward(packets);
    };
    exchange([this](rte_mbuf* packet, std::uint64_t flow) { write_syn(packet, flow); });
    for (std::size_t place = 0; place < packets.size(); ++place) {
      choices_[base + place] = choice_in(packets[place], base + place);
    }
    if (!direct_) {
      exchange([this](rte_mbuf* packet, std::uint64_t flow) {
        const Choice& choice = choices_[flow];
        write(packet, {server_side(flow, choice), server_isn(flow), client_isn(flow) + (choice.sequence_delta + 1),
                       packet::tcp_flag::syn | packet::tcp_flag::ack});
      });
    }
    exchange([this](rte_mbuf* packet, std::uint64_t flow) { write_established(packet, flow, l4::Side::client); });
  }
  const std::uint64_t expected = (direct_ ? 2 : 3) * flows;
  if (const std::uint64_t done = forwarded() - before; done != expected) {
    throw std::runtime_error("of " + std::to_string(expected) + " handshake packets only " + std::to_string(done) +
                             " were forwarded");
  }
}

template <class Family>
void Stand<Family>::swap(std::span<rte_mbuf*> packets) const {
  const std::uint16_t port = machine_.port().port().id();
  for (std::size_t at = 0; at < packets.size(); at += worker::burst_size) {
    const auto burst = packets.subspan(at, std::min(worker::burst_size, packets.size() - at));
    for (rte_mbuf* packet : burst) {
      rte_prefetch0(rte_pktmbuf_mtod(packet, void*));
    }
    for (rte_mbuf* packet : burst) {
      auto* frame = rte_pktmbuf_mtod(packet, std::uint8_t*);
      std::array<std::uint8_t, 6> destination;
      std::memcpy(destination.data(), frame, 6);
      std::memcpy(frame, frame + 6, 6);
      std::memcpy(frame + 6, destination.data(), 6);
    }
    rte_eth_tx_burst(port, 0, burst.data(), static_cast<std::uint16_t>(burst.size()));
  }
}

template <class Family>
std::size_t Stand<Family>::count_wrong(std::span<rte_mbuf* const> packets) const {
  std::size_t wrong = 0;
  for (const rte_mbuf* packet : packets) {
    auto* frame = rte_pktmbuf_mtod(packet, std::uint8_t*);
    packet::PacketView view = packet::parse({frame, packet->data_len}, packet->pkt_len, {});
    if (tunnel_) {
      const std::uint32_t end = number_of(view.destination<Family>());
      const bool whole = view.kind == packet::PacketKind::other_ip && std::memcmp(frame, mac_of(end).data(), 6) == 0;
      // The Ethernet header that the inner packet had still stands where the outer packet ends.
      const auto inner = std::span(frame, packet->data_len).subspan(Family::header_size);
      packet::store(inner.data() + 12, __builtin_bswap16(Family::ether_type));
      view = packet::parse(inner, inner.size(), {});
      wrong +=
          whole && view.kind == packet::PacketKind::l4 && number_of(view.destination<Family>()) == host::vip ? 0 : 1;
      continue;
    }
    const bool parsed = view.kind == packet::PacketKind::l4;
    const bool summed = parsed && packet::l4_checksum<Family>(view.source<Family>(), view.destination<Family>(),
                                                              view.protocol, {view.l4, view.l4_length}) == 0;
    const auto goes_to = [frame](std::uint32_t number) { return std::memcmp(frame, mac_of(number).data(), 6) == 0; };
    const std::uint32_t number = parsed ? number_of(view.destination<Family>()) : 0;
    bool addressed = goes_to(number);
    for (std::uint32_t server = 0; direct_ && number == host::vip && server < servers; ++server) {
      addressed = addressed || goes_to(host::server + server);
    }
    wrong += summed && addressed ? 0 : 1;
  }
  return wrong;
}

template class Stand<packet::Ipv4>;
template class Stand<packet::Ipv6>;

}  // namespace steelyard::bench
