#include "bench/http_path_stand.h"

#include <unistd.h>
#include <valgrind/callgrind.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "bench/measure.h"
#include "dataplane/schedule/scheduler.h"
#include "dataplane/worker/http_plan.h"

namespace steelyard::bench {
namespace {

using packet::Ipv4;

constexpr std::uint32_t received_buffers = 16'384;
// In the pools' names: DPDK gives "generate", which the machine has, a piece of memory named like "generate_0".
constexpr std::uint16_t pools_number = 100;
// All that is sent until it is read holds one; a NIC gives them back sooner.
constexpr std::uint32_t header_buffers = 16'384;
constexpr std::size_t visitors = 1U << 20U;
constexpr std::size_t flows = 64;  // of layer 4, which has nothing to do
constexpr std::size_t introductions = 128;
constexpr service::ListenerId listener_id{1};
// Beside the residents: visitors at a time, and connections to servers.
constexpr std::size_t more_connections = 16 * HttpPathStand::most_at_once;

template <class Value>
Value take(nic::Result<Value> result) {
  if (!result) {
    throw std::runtime_error(result.error().message);
  }
  return std::move(*result);
}

worker::HttpPlan http_plan(std::size_t clients) {
  worker::HttpPlan plan;
  plan.connections = clients + more_connections;
  return plan;
}

worker::TcpPlan tcp_plan(std::size_t clients) {
  const std::array<service::Address, 1> locals{service_address<Ipv4>(host::local)};
  return worker::tcp_plan(http_plan(clients), locals, {1'024, 65'535}, received_buffers);
}

std::size_t resident() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0;
  std::size_t pages = 0;
  file >> size >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// The machine has stood still for so long that the stack has said something twice.
bool is_repeated(const SentSegment& segment, bool known) {
  return known && !segment.has(tcp::flag::syn) && (segment.payload != 0 || segment.has(tcp::flag::fin));
}

void check(bool right, const char* what) {
  if (!right) {
    throw std::runtime_error(what);
  }
}

}  // namespace

HttpPathStand::HttpPathStand(Machine& machine, std::size_t clients, std::string_view request, std::string_view answer)
    : machine_(machine),
      request_(request),
      answer_(answer),
      residents_(clients),
      clients_(PeerRole::client, clients + visitors),
      server_ends_(PeerRole::server, server_connections),
      pools_(take(nic::WorkerPools::create({.worker = pools_number, .receive_buffers = received_buffers}))),
      plan_(tcp_plan(clients)),
      tcp_pools_(take(worker::TcpPools::create(plan_, 0))),
      headers_(take(nic::MbufPool::create({.name = "http_path_headers", .buffers = header_buffers}))),
      flow_bytes_(l4::FlowTable<packet::Ipv6>::memory_needed(flows)),
      flow_memory_(static_cast<std::byte*>(rte_zmalloc("http_path", flow_bytes_, 64))),
      snapshot_(make_snapshot()),
      order_(clients) {
  check(flow_memory_ != nullptr, "no memory for a flow table");
  for (std::vector<std::uint32_t>* list : {&asked_, &served_, &opened_, &left_}) {
    list->reserve(8 * most_at_once);
  }
  arriving_.reserve(8 * most_at_once);
  kept_.reserve(8 * most_at_once);
  tables_.commit(servers);
  published_.store(&snapshot_, std::memory_order_release);
  const std::size_t before = resident();
  const std::array<std::uint16_t, 1> mtus{1'500};
  application_ = std::make_unique<worker::HttpApplication>(proxy_setup(http_plan(clients)), mtus, log_, requests_);
  table_bytes_ =
      worker::table_bytes(plan_) + worker::HttpApplication::memory_needed(worker::proxy_setup(http_plan(clients)));
  plan_.applications = {application_.get()};
  machine_.port().pretend_offloads();
  machine_.port().keep(&kept_);
  worker_ = std::make_unique<worker::Worker>(make_setup());
  worker_->turn();
  settle();
  // The first ones are few: their packets wait for the neighbours.
  for (std::size_t at = 0, count = introductions; at < clients; at += count, count = most_at_once) {
    const auto some = std::span(order_.all()).subspan(at, std::min(count, clients - at));
    open(some);
    this->request(some, true);
  }
  check(proxy().clients.get() == clients, "a client could not connect");
  rest();
  resident_bytes_ = resident() - before;
  cycles_ = {};
  packets_ = {};
}

HttpPathStand::~HttpPathStand() {
  worker_.reset();
  rte_pktmbuf_free_bulk(kept_.data(), static_cast<unsigned>(kept_.size()));
  machine_.port().keep(nullptr);
}

service::Snapshot HttpPathStand::make_snapshot() const {
  auto listener = std::make_shared<service::Listener>();
  listener->id = listener_id;
  listener->key = {service_address<Ipv4>(host::vip), TcpPeer::service_port, service::Protocol::tcp};
  listener->servers_generation = 1;
  listener->state = std::make_shared<service::ListenerState>(servers);
  auto settings = std::make_shared<service::HttpSettings>();
  settings->idle_timeout = std::chrono::hours{1};
  listener->http = std::move(settings);
  for (std::uint32_t number = 0; number < servers; ++number) {
    service::Server server;
    server.address = service_address<Ipv4>(host::server + number);
    server.port = server_port;
    server.id = {number};
    listener->servers.push_back(server);
  }
  listener->scratch.emplace_back(std::make_unique<std::uint32_t[]>(
      std::max<std::size_t>(1, schedule::scratch_words(listener->scheduler, servers))));
  service::Snapshot snapshot;
  const std::array<service::ListenerIndex::Entry, 1> entries{{{listener->key, listener->id}}};
  const std::array<service::Address, 1> vips{listener->key.address};
  const std::array<service::VipKey, 1> terminated{listener->key};
  snapshot.index = std::make_shared<service::ListenerIndex>(entries);
  snapshot.nat_servers = std::make_shared<service::EndpointSet>();
  snapshot.terminated = std::make_shared<service::EndpointSet>(terminated);
  snapshot.vips = std::make_shared<service::AddressSet>(vips);
  service::Route route;
  route.destination = {service_address<Ipv4>(0), 8};
  route.on_link = true;
  snapshot.routes = {route};
  snapshot.listeners = {nullptr, std::move(listener)};
  return snapshot;
}

worker::WorkerSetup HttpPathStand::make_setup() {
  worker::WorkerSetup setup;
  worker::PortLink link;
  link.port = &machine_.port().port();
  link.mac = port_mac();
  link.has_queue = true;
  setup.links = {link};
  setup.hand_off_out = {nullptr};
  setup.hand_off_in = {nullptr};
  setup.mailbox = &mailbox_;
  setup.generate = &pools_.generate;
  const service::Address own = service_address<Ipv4>(host::balancer);
  setup.own_addresses = {own};
  setup.local_addresses = plan_.addresses;
  setup.neighbor_ports = {{port_mac(), {{neighbor_key(own), std::uint8_t{104}}}}};
  setup.published = &published_;
  setup.clock = &machine_.clock();
  setup.tcp = worker::host_setup(plan_, tcp_pools_, pools_, 0);
  setup.tcp->headers = &headers_;
  l4::BalancerSetup& balancer = setup.balancer;
  tables_.put_into(balancer);
  balancer.memory_v4 = balancer.memory_v6 = {flow_memory_.get(), flow_bytes_};
  balancer.flows_v4 = balancer.flows_v6 = flows;
  balancer.own_addresses = setup.own_addresses;
  balancer.local_addresses = setup.local_addresses;
  balancer.local_ports = {1, 1'023};
  balancer.terminated_ports = plan_.local_ports;
  balancer.tunnel_ports = {{link.mtu, {own}}};
  return setup;
}

neighbor::MacAddress HttpPathStand::port_mac() const {
  neighbor::MacAddress mac;
  std::ranges::copy(machine_.port().port().mac().addr_bytes, mac.begin());
  return mac;
}

std::uint32_t HttpPathStand::now_ms() const {
  return tcp::milliseconds_of(worker::TcpHost::time_of(machine_.clock().now_ns()));
}

std::uint32_t HttpPathStand::buffers_held() const {
  return pools_.receive.capacity() - pools_.receive.available() + tcp_pools_.payload.capacity() -
         tcp_pools_.payload.available();
}

// --- what peers send ----------------------------------------------------------------------------------------------

tcp::Endpoints HttpPathStand::server_endpoints(std::uint32_t n) const {
  return {.remote = tcp::mapped(address_of<Ipv4>(host::server + (n >> 16U))),
          .local = tcp::mapped(address_of<Ipv4>(host::local)),
          .remote_port = server_port,
          .local_port = static_cast<std::uint16_t>(n)};
}

std::uint32_t HttpPathStand::server_number(const tcp::Endpoints& endpoints) {
  return (number_of(tcp::ipv4_of(endpoints.remote)) - host::server) << 16U | endpoints.local_port;
}

void HttpPathStand::add(const tcp::Endpoints& ours, const tcp::Segment& segment, std::string_view payload) {
  rte_mbuf* packet = pools_.receive.allocate().release();
  check(packet != nullptr, "no buffer is left for what comes in");
  write_segment(packet, ours, segment, payload.size());
  auto* frame = rte_pktmbuf_mtod(packet, std::uint8_t*);
  std::ranges::copy(port_mac(), frame);
  std::memcpy(frame + packet->data_len - payload.size(), payload.data(), payload.size());
  arriving_.push_back(packet);
}

void HttpPathStand::add_client(std::uint32_t n, const tcp::Segment& segment, std::string_view payload) {
  add(clients_.endpoints(n), segment, payload);
  ++packets_.from_clients;
}

void HttpPathStand::add_server(std::uint32_t n, const tcp::Segment& segment, std::string_view payload) {
  add(server_endpoints(n), segment, payload);
  ++packets_.from_servers;
}

// --- what peers hear ----------------------------------------------------------------------------------------------

void HttpPathStand::hear(const SentSegment& segment) {
  if (is_of_server(segment.endpoints)) {
    ++packets_.to_servers;
    const std::uint32_t n = server_number(segment.endpoints);
    const TcpPeer::Heard heard = segment.heard_by(n);
    if (is_repeated(segment, server_ends_.knows(heard))) {
      return;
    }
    server_ends_.heard(heard);
    if (segment.has(tcp::flag::syn)) {
      add_server(n, server_ends_.syn_ack(n, now_ms()));
    } else if (segment.payload != 0) {
      asked_.push_back(n);
    }
    return;
  }
  ++packets_.to_clients;
  const auto n = static_cast<std::uint32_t>(clients_.number_of(segment.endpoints));
  const TcpPeer::Heard heard = segment.heard_by(n);
  if (is_repeated(segment, clients_.knows(heard))) {
    return;
  }
  clients_.heard(heard);
  to_clients_ += segment.payload;
  if (segment.has(tcp::flag::syn)) {
    opened_.push_back(n);
  } else if (segment.has(tcp::flag::fin)) {
    left_.push_back(n);
  } else if (segment.payload != 0 && (served_.empty() || served_.back() != n)) {
    served_.push_back(n);
  }
}

// Everybody on the link says where it is when it is asked.
void HttpPathStand::answer_neighbors(const rte_mbuf* packet) {
  const auto* frame = rte_pktmbuf_mtod(packet, const std::uint8_t*);
  const auto question = neighbor::parse_arp({frame + 14, packet->data_len - std::size_t{14}});
  if (!question || question->sender == question->target) {
    return;
  }
  const auto host = number_of(packet::load<packet::Ipv4Address>(frame + 14 + 24));
  rte_mbuf* made = pools_.receive.allocate().release();
  check(made != nullptr, "no buffer is left for what comes in");
  std::array<std::uint8_t, neighbor::largest_message> answer{};
  const std::size_t length = neighbor::build_answer(answer, mac_of(host), question->target, &*question);
  std::memcpy(rte_pktmbuf_append(made, static_cast<std::uint16_t>(length)), answer.data(), length);
  arriving_.push_back(made);
}

// Reads what was sent; what must be answered at once by who plays the link is then arriving.
void HttpPathStand::settle() {
  for (const rte_mbuf* packet : kept_) {
    const auto* frame = rte_pktmbuf_mtod(packet, const std::uint8_t*);
    if (packet::load<std::uint16_t>(frame + 12) == __builtin_bswap16(Ipv4::ether_type)) {
      hear(read_segment(packet));
    } else {
      answer_neighbors(packet);
    }
  }
  const std::uint64_t had = allocated();
  CALLGRIND_TOGGLE_COLLECT;
  cycles_.free += timed([&] { rte_pktmbuf_free_bulk(kept_.data(), static_cast<unsigned>(kept_.size())); });
  CALLGRIND_TOGGLE_COLLECT;
  cycles_.allocated += allocated() - had;
  kept_.clear();
  http::AccessRecord record;
  while (log_.pop(record)) {
  }
}

// --- time passes --------------------------------------------------------------------------------------------------

// What is arriving comes in; a turn serves so many connections, and leaves the rest to the next one.
void HttpPathStand::run() {
  const std::uint64_t had = allocated();
  const auto act = [&] {
    const std::uint64_t begun = rte_rdtsc_precise();
    const std::size_t work = worker_->turn();
    cycles_.act += rte_rdtsc_precise() - begun;
    return work;
  };
  CALLGRIND_TOGGLE_COLLECT;
  for (std::size_t at = 0; at < arriving_.size(); at += worker::burst_size) {
    const std::size_t count = std::min<std::size_t>(worker::burst_size, arriving_.size() - at);
    const std::uint64_t begun = rte_rdtsc_precise();
    worker_->receive(std::span(arriving_).subspan(at, count), 0);
    cycles_.receive += rte_rdtsc_precise() - begun;
    static_cast<void>(act());
  }
  while (act() != 0) {
  }
  CALLGRIND_TOGGLE_COLLECT;
  cycles_.allocated += allocated() - had;
  arriving_.clear();
}

// Until nothing is arriving any more.
void HttpPathStand::exchange() {
  while (!arriving_.empty()) {
    run();
    settle();
  }
}

void HttpPathStand::rest() {
  for (int turns = 0; turns < 100; ++turns) {
    usleep(1'000);
    worker_->turn();
    settle();
    exchange();
  }
}

void HttpPathStand::open(std::span<const std::uint32_t> clients) {
  opened_.clear();
  for (const std::uint32_t n : clients) {
    add_client(n, clients_.syn(n, now_ms()));
  }
  exchange();
  check(opened_.size() == clients.size(), "a SYN was not answered");
  for (const std::uint32_t n : clients) {
    add_client(n, clients_.acknowledgment(n, now_ms()));
  }
  exchange();
}

void HttpPathStand::request(std::span<const std::uint32_t> clients, bool acknowledge) {
  const std::uint64_t before = to_clients_;
  served_.clear();
  for (const std::uint32_t n : clients) {
    add_client(n, clients_.data(n, {nullptr, 0, static_cast<std::uint32_t>(request_.size())}, now_ms()), request_);
  }
  exchange();
  check(asked_.size() == clients.size(), "a request has not come to a server");
  for (const std::uint32_t n : asked_) {
    add_server(n, server_ends_.data(n, {nullptr, 0, static_cast<std::uint32_t>(answer_.size())}, now_ms()), answer_);
  }
  asked_.clear();
  exchange();
  check(to_clients_ - before >= clients.size() * 1'024, "an answer has not come");
  if (acknowledge) {
    for (const std::uint32_t n : clients) {
      add_client(n, clients_.acknowledgment(n, now_ms()));
    }
    exchange();
  }
}

void HttpPathStand::visit(std::size_t count, std::string_view request) {
  std::vector<std::uint32_t> numbers(count);
  for (std::uint32_t& n : numbers) {
    n = static_cast<std::uint32_t>(residents_ + next_visitor_++ % visitors);
  }
  left_.clear();
  open(numbers);
  for (const std::uint32_t n : numbers) {
    add_client(n, clients_.data(n, {nullptr, 0, static_cast<std::uint32_t>(request.size())}, now_ms()), request);
  }
  exchange();
  check(asked_.size() == count, "a request has not come to a server");
  for (const std::uint32_t n : asked_) {
    add_server(n, server_ends_.data(n, {nullptr, 0, static_cast<std::uint32_t>(answer_.size())}, now_ms()), answer_);
  }
  asked_.clear();
  exchange();
  check(left_.size() == count, "a connection was not closed after its answer");
  for (const std::uint32_t n : numbers) {
    add_client(n, clients_.fin(n, now_ms()));
  }
  exchange();
  check(proxy().clients.get() == residents_, "a visitor has not gone");
}

}  // namespace steelyard::bench
