#include "dataplane/worker/tcp_host.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/packet/build.h"
#include "dataplane/packet/icmp_error.h"
#include "dataplane/tcp/wire.h"

namespace steelyard::worker {
namespace {

using packet::Ipv4;
using packet::Ipv6;

constexpr std::uint64_t timer_step_ns = 1'000'000;
// Local ports that are tried when the one drawn still has a connection to the same remote end.
constexpr int port_attempts = 8;

constexpr tcp::BufferOperations operations{
    .retain =
        [](tcp::Buffer* buffer) {
          TcpHost::retain({buffer, 0, 0});
        },
    .release =
        [](tcp::Buffer* buffer) {
          TcpHost::release({buffer, 0, 0});
        },
};

std::span<const std::uint8_t> bytes_of(const tcp::Slice& slice) {
  return {TcpHost::data_of(slice), slice.length};
}

}  // namespace

TcpHost::TcpHost(const TcpHostSetup& setup, TcpHostOutput& output, std::uint64_t now_ns)
    : output_(output),
      application_(*setup.application),
      balancer_(setup.balancer),
      addresses_(setup.addresses),
      all_ports_(setup.all_ports),
      key_(setup.key),
      port_range_(setup.local_ports),
      worker_(setup.worker),
      workers_(setup.workers),
      received_(*setup.received),
      most_held_(setup.most_held != 0 ? setup.most_held : setup.received->capacity() / 10 * 6),
      headers_(*setup.headers),
      clones_(*setup.clones),
      payload_(*setup.payload),
      memory_(setup.queue_nodes, operations, &pages_),
      stack_(std::in_place, setup.limits, setup.secrets, memory_, static_cast<tcp::StackOutput&>(*this),
             time_of(now_ns), &pages_),
      port_of_(setup.limits.connections),
      now_ns_(now_ns) {
  // Worker w has the ports that leave w over.
  const std::uint32_t ahead = (worker_.value + workers_ - port_range_.first % workers_) % workers_;
  for (std::size_t address = 0; address < addresses_.all().size(); ++address) {
    tcp::SipKey secret = setup.secrets.numbers;
    secret.words[0] ^= address + 1;
    ports_.emplace_back(static_cast<std::uint16_t>(port_range_.first + ahead), port_range_.last, secret,
                        static_cast<std::uint16_t>(workers_));
  }
  application_.attach(*this);
}

TcpHost::~TcpHost() {
  stack_.reset();  // before the settings of its connections, which are the application's
  application_.detach();
}

service::WorkerId TcpHost::owner_of(const tcp::Endpoints& endpoints) const {
  if (workers_ == 1) {
    return worker_;
  }
  if (is_local_port(endpoints.local_port) && addresses_.contains(service::Address::from_v6(endpoints.local.bytes()))) {
    return {static_cast<std::uint16_t>(endpoints.local_port % workers_)};
  }
  const std::uint16_t port = __builtin_bswap16(endpoints.remote_port);
  const std::uint64_t hash = endpoints.ipv4() ? packet::hash(key_, tcp::ipv4_of(endpoints.remote), port)
                                              : packet::hash(key_, endpoints.remote, port);
  return {static_cast<std::uint16_t>(packet::reduce(hash, workers_))};
}

void TcpHost::configure(const service::Snapshot& snapshot) {
  terminated_ = snapshot.terminated.get();
  application_.configure(snapshot);
}

std::optional<std::uint16_t> TcpHost::mtu_towards(const service::Address& destination) const {
  const auto hop = output_.hop_to(destination);
  return hop ? std::optional(output_.link_of(*hop).mtu) : std::nullopt;
}

void TcpHost::release(const tcp::Slice& slice) {
  rte_mbuf* packet = packet_of(slice.buffer);
  // Of indirect buffers that point here some may be in a transmit ring still, and be freed by another thread.
  rte_pktmbuf_free_seg(packet);
}

void TcpHost::expect(std::span<const packet::PacketView* const> burst) const {
  std::array<std::uint64_t, tcp::Stack::most_at_once> hashes;
  std::size_t count = 0;
  for (const packet::PacketView* view : burst) {
    if (view->kind == packet::PacketKind::l4 && view->protocol == packet::protocol_tcp) {
      hashes[count++] = view->is_v6 ? stack_->hash_of(view->tuple<Ipv6>()) : stack_->hash_of(view->tuple<Ipv4>());
    }
  }
  stack_->expect(std::span(hashes).first(count));
}

bool TcpHost::receive(rte_mbuf* packet, const packet::PacketView& view, std::uint64_t now_ns) {
  const tcp::Endpoints endpoints = tcp::endpoints_of(view);
  if (!checksum_is_right(packet, view, endpoints)) {
    counters_.checksum_wrong.add();
    return false;
  }
  counters_.received.add();
  const std::size_t header = std::size_t{view.l4_length} - view.tcp_payload;
  tcp::Segment segment;
  tcp::read_header({view.l4, header}, segment);
  if (view.tcp_payload != 0) {
    receive_payload(packet, view, endpoints, segment, time_of(now_ns));
    return true;
  }
  stack_->on_segment(endpoints, segment, time_of(now_ns));
  rte_pktmbuf_free(packet);
  return true;
}

// A packet in several buffers is several segments, each of which has a buffer of its own: so a buffer is never a chain.
void TcpHost::receive_payload(rte_mbuf* packet, const packet::PacketView& view, const tcp::Endpoints& endpoints,
                              tcp::Segment& segment, tcp::Time now) {
  const std::uint8_t flags = segment.flags;
  std::uint32_t left = view.tcp_payload;
  const auto* begin = static_cast<const std::uint8_t*>(packet->buf_addr);
  auto offset = static_cast<std::uint32_t>(view.l4 + view.l4_length - view.tcp_payload - begin);
  while (packet != nullptr) {
    rte_mbuf* next = packet->next;
    packet->next = nullptr;
    packet->nb_segs = 1;
    const std::uint32_t end = std::uint32_t{packet->data_off} + packet->data_len;
    const std::uint32_t length = std::min(left, end - std::min(offset, end));
    left -= length;
    if (length == 0) {
      rte_pktmbuf_free_seg(packet);
    } else {
      segment.flags = left == 0 ? flags : flags & static_cast<std::uint8_t>(~(tcp::flag::fin | tcp::flag::psh));
      segment.payload = {reinterpret_cast<tcp::Buffer*>(packet), offset, length};
      const tcp::Sequence end_of_piece = segment.end();
      stack_->on_segment(endpoints, segment, now);
      segment.sequence = end_of_piece;
      segment.flags &= static_cast<std::uint8_t>(~tcp::flag::syn);
    }
    packet = next;
    offset = packet != nullptr ? packet->data_off : 0;
  }
}

bool TcpHost::checksum_is_right(const rte_mbuf* packet, const packet::PacketView& view,
                                const tcp::Endpoints& endpoints) {
  switch (packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) {
    case RTE_MBUF_F_RX_L4_CKSUM_GOOD:
    case RTE_MBUF_F_RX_L4_CKSUM_NONE:  // never computed, but the data are known to be whole
      return true;
    case RTE_MBUF_F_RX_L4_CKSUM_BAD:
      return false;
    default:
      break;
  }
  tcp::PiecewiseSum sum;
  std::size_t left = view.l4_length;
  const std::uint8_t* from = view.l4;
  auto here = static_cast<std::size_t>(rte_pktmbuf_mtod(packet, const std::uint8_t*) + packet->data_len - from);
  while (true) {
    const std::size_t length = std::min(left, here);
    sum.add({from, length});
    left -= length;
    packet = packet->next;
    if (left == 0 || packet == nullptr) {
      break;
    }
    from = rte_pktmbuf_mtod(packet, const std::uint8_t*);
    here = packet->data_len;
  }
  return left == 0 && tcp::checksum_is_right(sum.value(), view.l4_length, endpoints);
}

std::optional<TcpHost::QuotedSegment> TcpHost::quoted_in(const packet::PacketView& error) const {
  return error.is_v6 ? read_quote<Ipv6>(error) : read_quote<Ipv4>(error);
}

template <class Family>
std::optional<TcpHost::QuotedSegment> TcpHost::read_quote(const packet::PacketView& error) const {
  const auto quote = packet::quote_in<Family>(error);
  if (!quote || quote->protocol != packet::protocol_tcp) {
    return std::nullopt;
  }
  const auto tuple = quote->template tuple<Family>();
  QuotedSegment quoted;
  if constexpr (Family::is_v6) {
    quoted.endpoints = {.remote = tuple.destination, .local = tuple.source};
  } else {
    quoted.endpoints = {.remote = tcp::mapped(tuple.destination), .local = tcp::mapped(tuple.source)};
  }
  quoted.endpoints.remote_port = __builtin_bswap16(tuple.destination_port);
  quoted.endpoints.local_port = __builtin_bswap16(tuple.source_port);
  if (!is_ours(service::Address::from_v6(quoted.endpoints.local.bytes()), quoted.endpoints.local_port)) {
    return std::nullopt;
  }
  quoted.sequence = {__builtin_bswap32(packet::load<std::uint32_t>(quote->l4 + 4))};
  return quoted;
}

void TcpHost::receive_error(const QuotedSegment& quoted, const packet::PacketView& error, std::uint64_t now_ns) {
  const auto mtu = error.is_v6 ? packet::too_big_mtu<Ipv6>(error) : packet::too_big_mtu<Ipv4>(error);
  if (mtu) {
    stack_->on_path_mtu(quoted.endpoints, quoted.sequence, *mtu, time_of(now_ns));
  } else {
    stack_->on_unreachable(quoted.endpoints, quoted.sequence, packet::is_hard_error(error), time_of(now_ns));
  }
}

std::size_t TcpHost::turn(std::uint64_t now_ns) {
  const tcp::Time now = time_of(now_ns);
  now_ns_ = now_ns;
  if (now_ns >= next_timer_ns_) {
    next_timer_ns_ = now_ns + timer_step_ns;
    look_at_buffers(now);
    if (stack_->deadline(now) <= now) {
      stack_->on_timer(now);
    }
  }
  return application_.turn(now);
}

// Layer 4 needs the rest: so what TCP holds is counted by what is missing in the pool, whoever of it has it.
void TcpHost::look_at_buffers(tcp::Time now) {
  const std::uint32_t missing = received_.capacity() - received_.available();
  if (!queued_) {
    queued_ = missing;  // the ports have been started, and nothing has come yet
  }
  held_ = missing - std::min(missing, *queued_);
  // A slice in a queue needs a node as well as a buffer: what is scarcer counts.
  const std::uint64_t nodes = memory_.capacity() - memory_.reserve();
  memory_.pressure().update(std::max<std::uint64_t>(held_, memory_.used() * most_held_ / nodes), most_held_);
  if (memory_.pressure().tight()) {
    stack_->relieve(now);
  }
}

void TcpHost::copy_together(tcp::SliceQueue& queue) {
  tcp::SliceQueue together;
  nic::Packet buffer;
  const auto add = [&] {
    const tcp::Slice slice = slice_of(buffer.get());
    if (slice.length != 0 && together.push(memory_, slice)) {
      static_cast<void>(buffer.release());
    }
  };
  while (!queue.empty()) {
    const tcp::Slice& slice = queue.front(memory_);
    if (!buffer || rte_pktmbuf_tailroom(buffer.get()) < slice.length) {
      if (buffer) {
        add();
      }
      buffer = payload_.allocate();
      if (!buffer || rte_pktmbuf_tailroom(buffer.get()) < slice.length) {
        break;
      }
    }
    std::memcpy(rte_pktmbuf_append(buffer.get(), static_cast<std::uint16_t>(slice.length)), data_of(slice),
                slice.length);
    counters_.compacted.add(slice.length);
    queue.trim(memory_, slice.length);
  }
  if (buffer) {
    add();
  }
  // Without a buffer the rest stays as it is.
  while (!queue.empty()) {
    static_cast<void>(together.push(memory_, queue.pop(memory_)));  // into the node that has just become free
  }
  queue = together;
}

tcp::ConnectionId TcpHost::connect(const service::Address& local, const service::Address& remote, std::uint16_t port,
                                   const tcp::Settings& settings, tcp::Time now) {
  const auto address = static_cast<std::size_t>(std::ranges::find(addresses_.all(), local) - addresses_.all().begin());
  if (address == addresses_.all().size() || local.is_v4() != remote.is_v4() ||
      stack_->connections() == port_of_.size()) {
    return {};
  }
  for (int attempt = 0; attempt < port_attempts; ++attempt) {
    const auto local_port = ports_[address].allocate();
    if (!local_port) {
      return {};
    }
    const tcp::ConnectionId id = stack_->connect(
        {.remote = to_tcp(remote), .local = to_tcp(local), .remote_port = port, .local_port = *local_port}, settings,
        now);
    if (stack_->find(id) != nullptr) {
      port_of_[id.index] = {static_cast<std::uint16_t>(address), *local_port};
      return id;
    }
    ports_[address].release(*local_port);
  }
  return {};
}

void TcpHost::transmit(const tcp::Endpoints& endpoints, const tcp::Outgoing& segment) {
  const auto hop = output_.hop_to(service::Address::from_v6(endpoints.remote.bytes()));
  nic::Packet head = hop ? headers_.allocate() : nic::Packet{};
  if (!head) {
    counters_.unsendable.add();
    return;
  }
  const TcpHostOutput::Link link = output_.link_of(*hop);
  const std::size_t tcp_header = write_headers(head.get(), endpoints, segment);
  if (!add_payload(head.get(), segment.payload, link.takes_chains)) {
    counters_.unsendable.add();
    return;
  }
  store_checksum(head.get(), endpoints, segment, tcp_header, link.computes_checksum);
  counters_.sent.add();
  output_.send_segment(head.release(), *hop);
}

// Everything up to the payload, without the checksum; returns the length of the TCP header.
std::size_t TcpHost::write_headers(rte_mbuf* head, const tcp::Endpoints& endpoints, const tcp::Outgoing& segment) {
  auto* frame = rte_pktmbuf_mtod(head, std::uint8_t*);
  const std::size_t ip_header = endpoints.ipv4() ? Ipv4::header_size : Ipv6::header_size;
  std::uint8_t* l3 = frame + packet::ethernet_header_size;
  const std::size_t tcp_header = tcp::write_header(
      std::span<std::uint8_t, tcp::largest_tcp_header>(l3 + ip_header, tcp::largest_tcp_header), endpoints, segment);
  std::size_t payload = 0;
  for (const tcp::Slice& slice : segment.payload) {
    payload += slice.length;
  }
  std::uint16_t ether_type;
  if (endpoints.ipv4()) {
    ether_type = Ipv4::ether_type;
    packet::write_ip_header<Ipv4>(l3, tcp::ipv4_of(endpoints.local), tcp::ipv4_of(endpoints.remote),
                                  packet::protocol_tcp, tcp_header + payload);
  } else {
    ether_type = Ipv6::ether_type;
    packet::write_ip_header<Ipv6>(l3, endpoints.local, endpoints.remote, packet::protocol_tcp, tcp_header + payload);
  }
  packet::store(frame + 12, __builtin_bswap16(ether_type));
  head->data_len = static_cast<std::uint16_t>(packet::ethernet_header_size + ip_header + tcp_header);
  head->pkt_len = head->data_len;
  head->l2_len = packet::ethernet_header_size;
  head->l3_len = ip_header & 0x1ffU;
  head->l4_len = tcp_header & 0xffU;
  return tcp_header;
}

bool TcpHost::add_payload(rte_mbuf* head, std::span<const tcp::Slice> payload, bool chained) {
  rte_mbuf* last = head;
  for (const tcp::Slice& slice : payload) {
    if (!chained) {
      char* room = rte_pktmbuf_append(head, static_cast<std::uint16_t>(slice.length));
      if (room == nullptr) {
        return false;
      }
      std::memcpy(room, data_of(slice), slice.length);
      counters_.copied.add(slice.length);
      continue;
    }
    rte_mbuf* clone = clones_.allocate().release();
    if (clone == nullptr) {
      return false;
    }
    rte_pktmbuf_attach(clone, packet_of(slice.buffer));
    clone->data_off = static_cast<std::uint16_t>(slice.offset);
    clone->data_len = static_cast<std::uint16_t>(slice.length);
    clone->pkt_len = slice.length;
    last->next = clone;
    last = clone;
    ++head->nb_segs;
    head->pkt_len += slice.length;
  }
  return true;
}

void TcpHost::store_checksum(rte_mbuf* head, const tcp::Endpoints& endpoints, const tcp::Outgoing& segment,
                             std::size_t tcp_header, bool offload) {
  const std::size_t header_end = std::size_t{head->l2_len} + head->l3_len + tcp_header;
  const std::span<std::uint8_t> header{rte_pktmbuf_mtod(head, std::uint8_t*) + header_end - tcp_header, tcp_header};
  const std::size_t payload = head->pkt_len - header_end;
  if (offload) {
    tcp::store_pseudo_header_sum(header, endpoints, payload);
    head->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | (endpoints.ipv4() ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
    return;
  }
  tcp::PiecewiseSum sum;
  for (const tcp::Slice& slice : segment.payload) {
    sum.add(bytes_of(slice));
  }
  tcp::store_checksum(header, endpoints, payload, sum.value());
}

void TcpHost::accepted(tcp::ConnectionId connection, tcp::ListenerIndex listener) {
  application_.accepted(connection, listener);
}

void TcpHost::deliver(tcp::ConnectionId connection, const tcp::Slice& slice) {
  application_.deliver(connection, slice);
}

void TcpHost::notify(tcp::ConnectionId connection, tcp::Event event) {
  application_.notify(connection, event);
}

void TcpHost::over(tcp::ConnectionId connection, tcp::Cause cause) {
  if (Port& own = port_of_[connection.index]; own.port != 0) {
    ports_[own.address].release(own.port);
    own = {};
  }
  application_.over(connection, cause);
}

}  // namespace steelyard::worker
