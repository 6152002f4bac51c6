#include "bench/tcp_host_stand.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include <rte_prefetch.h>

#include "bench/tcp_packet.h"
#include "dataplane/packet/plain_tcp.h"

namespace steelyard::bench {
namespace {

using packet::Ipv4;

constexpr std::size_t burst_size = 32;
constexpr std::size_t opened_at_once = 1'024;
constexpr std::uint32_t small_pool = 8'192;

nic::MbufPool make_pool(const std::string& name, std::uint32_t buffers, std::uint16_t room = nic::smallest_frame_room) {
  auto pool = nic::MbufPool::create({.name = name, .buffers = buffers, .frame_room = room});
  if (!pool) {
    throw std::runtime_error(pool.error().message);
  }
  return std::move(*pool);
}

}  // namespace

TcpHostStand::TcpHostStand(std::size_t connections)
    : peer_(PeerRole::client, connections),
      received_(make_pool("received", most_packets + small_pool)),
      headers_(make_pool("headers", small_pool)),
      clones_(make_pool("clones", small_pool, nic::no_room)),
      payload_(make_pool("payload", 255)),
      shared_(payload_.allocate()),
      ids_(connections),
      order_(connections) {
  sent_.reserve(2 * most_packets);
  accepted_.reserve(2 * most_packets);
  delivered_.reserve(2 * most_packets);
  worker::TcpHostSetup setup;
  setup.limits = {.connections = connections, .half_open = 8'192, .time_wait = 1'024};
  setup.secrets = {.lookup = {{0x243f6a8885a308d3U, 0x13198a2e03707344U, 0xa4093822299f31d0U, 0x082efa98ec4e6c89U}},
                   .numbers = {{5, 6}},
                   .cookies = {{7, 8}}};
  setup.addresses = {service_address<Ipv4>(host::vip)};
  setup.received = &received_;
  setup.headers = &headers_;
  setup.clones = &clones_;
  setup.payload = &payload_;
  setup.application = this;
  host_ = std::make_unique<worker::TcpHost>(setup, static_cast<worker::TcpHostOutput&>(*this), now_ns_);
  for (std::size_t at = 0; at < connections; at += opened_at_once) {
    open(std::span(order_.all()).subspan(at, std::min(opened_at_once, connections - at)));
  }
  if (host_->stack().connections() != connections) {
    throw std::runtime_error("a connection could not be opened");
  }
}

TcpHostStand::~TcpHostStand() = default;

void TcpHostStand::open(std::span<const std::uint32_t> numbers) {
  std::vector<rte_mbuf*> packets;
  for (const std::uint32_t n : numbers) {
    packets.push_back(packet(n, peer_.syn(n, now_ms()), 0));
  }
  receive(packets);
  settle();
  packets.clear();
  for (const std::uint32_t n : numbers) {
    packets.push_back(packet(n, peer_.acknowledgment(n, now_ms()), 0));
  }
  receive(packets);
  settle();
}

rte_mbuf* TcpHostStand::packet(std::uint64_t n, const tcp::Segment& segment, std::uint32_t payload) {
  rte_mbuf* made = received_.allocate().release();
  if (made == nullptr) {
    throw std::runtime_error("no buffer is left for what comes in");
  }
  write_segment(made, peer_.endpoints(n), segment, payload);
  return made;
}

void TcpHostStand::send(std::uint64_t n, std::uint32_t octets) {
  const tcp::Slice slice{reinterpret_cast<tcp::Buffer*>(shared_.get()), RTE_PKTMBUF_HEADROOM, octets};
  worker::TcpHost::retain(slice);
  if (host_->stack().send(ids_[n], {&slice, 1}, worker::TcpHost::time_of(now_ns_)) != 1) {
    throw std::runtime_error("a slice was not taken");
  }
}

void TcpHostStand::receive(std::span<rte_mbuf* const> packets) {
  std::array<packet::PacketView, burst_size> views;
  std::array<const packet::PacketView*, burst_size> pointers;
  for (std::size_t place = 0; place < burst_size; ++place) {
    pointers[place] = &views[place];
  }
  for (; !packets.empty(); packets = packets.subspan(std::min(burst_size, packets.size()))) {
    const auto burst = packets.first(std::min(burst_size, packets.size()));
    for (rte_mbuf* packet : burst) {
      rte_prefetch0(rte_pktmbuf_mtod(packet, void*));
      rte_prefetch0(rte_pktmbuf_mtod_offset(packet, void*, 64));
    }
    for (std::size_t place = 0; place < burst.size(); ++place) {
      const std::span frame(rte_pktmbuf_mtod(burst[place], std::uint8_t*), burst[place]->data_len);
      if (!packet::parse_plain_tcp<Ipv4>(frame, burst[place]->pkt_len, {true}, views[place])) {
        views[place] = packet::parse(frame, burst[place]->pkt_len, {true});
      }
    }
    host_->expect(std::span(pointers).first(burst.size()));
    for (std::size_t place = 0; place < burst.size(); ++place) {
      static_cast<void>(host_->receive(burst[place], views[place], now_ns_));
    }
    static_cast<void>(turn(worker::TcpHost::time_of(now_ns_)));
  }
}

void TcpHostStand::settle() {
  for (const TcpPeer::Heard& segment : sent_) {
    peer_.heard(segment);
  }
  sent_.clear();
  for (const tcp::ConnectionId id : accepted_) {
    if (const tcp::Endpoints* endpoints = host_->stack().endpoints_of(id); endpoints != nullptr) {
      ids_[peer_.number_of(*endpoints)] = id;
    }
  }
  accepted_.clear();
  host_->stack().on_timer(worker::TcpHost::time_of(now_ns_));
}

// What the driver has sent is read by the peer (one line that is in the cache) and given back.
void TcpHostStand::send_segment(rte_mbuf* packet, neighbor::HopIndex) {
  const SentSegment segment = read_segment(packet);
  sent_.push_back(segment.heard_by(peer_.number_of(segment.endpoints)));
  rte_pktmbuf_free(packet);
}

std::size_t TcpHostStand::turn(tcp::Time now) {
  const std::size_t count = delivered_.size();
  for (const Delivered& delivered : delivered_) {
    delivered_octets_ += delivered.slice.length;
    worker::TcpHost::release(delivered.slice);
    host_->stack().consume(delivered.id, delivered.slice.length, now);
  }
  delivered_.clear();
  return count;
}

}  // namespace steelyard::bench
