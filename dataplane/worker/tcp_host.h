// TCP that ends on a worker: between packets and tcp::Stack. What comes becomes segments whose payload is the received
// buffer itself; what goes out is a small buffer with the headers, chained in front of *indirect* buffers that point
// into the payload, so that a retransmission never edits a packet that may still be in a transmit ring. Payload is not
// copied but where a port cannot send chains (counted). Worker only, but for the counters.
//
// A tcp::Buffer is an rte_mbuf of one segment; a slice's offset counts from its `buf_addr`.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <rte_mbuf.h>

#include "dataplane/l4/balancer.h"
#include "dataplane/l4/local_ports.h"
#include "dataplane/neighbor/neighbor_table.h"
#include "dataplane/nic/pools.h"
#include "dataplane/packet/view.h"
#include "dataplane/service/address.h"
#include "dataplane/service/counter.h"
#include "dataplane/service/ids.h"
#include "dataplane/service/listener_index.h"
#include "dataplane/service/snapshot.h"
#include "dataplane/tcp/local_ports.h"
#include "dataplane/tcp/slice_queue.h"
#include "dataplane/tcp/stack.h"
#include "dataplane/worker/large_pages.h"
#include "dataplane/worker/tcp_application.h"

namespace steelyard::worker {

// What the host asks of its worker.
class TcpHostOutput {
 public:
  virtual ~TcpHostOutput() = default;
  // The way to an address; nothing without a route.
  [[nodiscard]] virtual std::optional<neighbor::HopIndex> hop_to(const service::Address& destination) = 0;
  struct Link {
    bool takes_chains = true;        // packets of several buffers
    bool computes_checksum = false;  // of TCP
    std::uint16_t mtu = 1'500;
  };
  [[nodiscard]] virtual Link link_of(neighbor::HopIndex hop) const = 0;
  // Sends a packet that is complete from its IP header on, with room for the Ethernet header in front.
  virtual void send_segment(rte_mbuf* packet, neighbor::HopIndex hop) = 0;
};

struct TcpHostSetup {
  tcp::StackLimits limits;
  tcp::StackSecrets secrets;
  packet::HashKey key;                        // by which all workers know whose a client is
  std::size_t queue_nodes = 65'536;           // slices in all queues (tcp/memory.h)
  std::vector<service::Address> addresses;    // whose TCP ends here, and from which connections are opened
  bool all_ports = true;                      // of the addresses; false: what comes to `local_ports` alone
  l4::PortRange local_ports{32'768, 65'535};  // of connections that we open
  service::WorkerId worker;
  std::uint32_t workers = 1;
  nic::MbufPool* received = nullptr;  // what receive queues fill from
  std::uint32_t most_held = 0;        // buffers of it that TCP may hold; 0: 60%
  nic::MbufPool* headers = nullptr;
  nic::MbufPool* clones = nullptr;   // buffers without room of their own
  nic::MbufPool* payload = nullptr;  // for what the application makes itself
  TcpApplication* application = nullptr;
  l4::Balancer* balancer = nullptr;  // the worker's, for applications that share servers and limits with layer 4
};

// Written by the worker, read by any thread.
struct TcpHostCounters {
  service::Counter received;        // segments
  service::Counter sent;            // segments
  service::Counter copied;          // octets of payload, for ports that take no chains
  service::Counter compacted;       // the same, of queues that held many buffers for few octets
  service::Counter checksum_wrong;  // dropped
  service::Counter unsendable;      // no buffer, or no way there: left to retransmission
};

// A connection's form of an address.
[[nodiscard]] inline tcp::Ipv6Address to_tcp(const service::Address& address) {
  return packet::load<tcp::Ipv6Address>(address.v6().data());
}

class TcpHost final : private tcp::StackOutput {
 public:
  // Control thread. Allocates all that it will ever need; `output` outlives it.
  TcpHost(const TcpHostSetup& setup, TcpHostOutput& output, std::uint64_t now_ns);
  TcpHost(const TcpHost&) = delete;
  TcpHost& operator=(const TcpHost&) = delete;
  ~TcpHost();
  // Beside what the stack takes.
  [[nodiscard]] static constexpr std::size_t bytes_a_connection();

  // Takes over what of a configuration says where TCP ends here, and tells the application.
  void configure(const service::Snapshot& snapshot);
  // Is it an address that connections can be opened from?
  [[nodiscard]] bool is_ours(const service::Address& address) const { return addresses_.contains(address); }
  // Does TCP for this address and port (host order) end here?
  [[nodiscard]] bool is_ours(const service::Address& address, std::uint16_t port) const {
    return ((all_ports_ || is_local_port(port)) && addresses_.contains(address)) ||
           (terminated_ != nullptr && terminated_->contains({address, port, service::Protocol::tcp}));
  }
  // A SYN comes for this listener: what adopting a configuration has not come to yet is done for it.
  void expect_client(const service::Listener& listener) { application_.expect_client(listener); }
  // The worker that a connection belongs to: by the local port of those that we open, else by the client, as with
  // layer 4 (l4::Balancer::owner_of).
  [[nodiscard]] service::WorkerId owner_of(const tcp::Endpoints& endpoints) const;
  // These packets, at most a burst of 32, will be handed over next: their connections are asked for, so that the misses
  // of the cache overlap. Others than TCP packets of kind l4 that is_ours() may be among them.
  void expect(std::span<const packet::PacketView* const> burst) const;
  [[nodiscard]] static bool is_first(const packet::PacketView& view) {
    return (view.tcp_flags & (tcp::flag::syn | tcp::flag::ack)) == tcp::flag::syn;
  }
  // Must this packet, a TCP one that is_ours(), give way because the worker cannot keep up? Asked before all else.
  [[nodiscard]] bool must_give_way(const packet::PacketView& view) { return is_first(view) && !stack_->admits_syn(); }
  // A TCP packet that is_ours(), of kind l4; takes it. False: the checksum is wrong, and the packet is the caller's.
  [[nodiscard]] bool receive(rte_mbuf* packet, const packet::PacketView& view, std::uint64_t now_ns);
  // The segment of ours that an ICMP error is about, as the error quotes it; nothing: no TCP that ends here.
  struct QuotedSegment {
    tcp::Endpoints endpoints;
    tcp::Sequence sequence;
  };
  [[nodiscard]] std::optional<QuotedSegment> quoted_in(const packet::PacketView& error) const;
  // Such an error, about a connection of this worker.
  void receive_error(const QuotedSegment& quoted, const packet::PacketView& error, std::uint64_t now_ns);
  // Ends what is under way in the application (TcpApplication::withdraw).
  [[nodiscard]] http::WithdrawalProgress withdraw(const l4::FlowFilter& filter, std::uint32_t from,
                                                  std::size_t budget) {
    return application_.withdraw(filter, from, budget, now());
  }
  // What the application does on a connection.
  [[nodiscard]] http::LinkReport describe(tcp::ConnectionId connection) const {
    return application_.describe(connection);
  }
  // Timers and the application; how much was done.
  std::size_t turn(std::uint64_t now_ns);

  // --- for the application ---------------------------------------------------------------------------------------
  [[nodiscard]] tcp::Stack& stack() { return *stack_; }
  [[nodiscard]] const tcp::Stack& stack() const { return *stack_; }
  [[nodiscard]] nic::MbufPool& payload() { return payload_; }
  // Of queues that wait for the application.
  [[nodiscard]] tcp::Memory& memory() { return memory_; }
  // Copies what is queued together when it holds many buffers for few octets: the only copy of payload that there is
  // but for ports that take no chains. Call it after a push().
  void compact(tcp::SliceQueue& queue) {
    if (queue.wasteful()) {
      copy_together(queue);
    }
  }
  // Null in tests that have none.
  [[nodiscard]] l4::Balancer* balancer() const { return balancer_; }
  // Of the link that packets to an address go over; nothing without a route.
  [[nodiscard]] std::optional<std::uint16_t> mtu_towards(const service::Address& destination) const;
  // Of this turn; before the first one: of the host's making.
  [[nodiscard]] tcp::Time now() const { return time_of(now_ns_); }
  [[nodiscard]] std::span<const service::Address> addresses() const { return addresses_.all(); }
  [[nodiscard]] std::size_t queue_nodes_used() const { return memory_.used(); }
  [[nodiscard]] const tcp::Pressure& pressure() const { return memory_.pressure(); }
  // Received buffers that are neither free nor a receive queue's, as of the last look a millisecond ago.
  [[nodiscard]] std::uint32_t held() const { return held_; }
  // Opens a connection from an address of ours, with a local port whose answers come to this worker. An id that names
  // nothing: no port or no room is left.
  [[nodiscard]] tcp::ConnectionId connect(const service::Address& local, const service::Address& remote,
                                          std::uint16_t port, const tcp::Settings& settings, tcp::Time now);
  [[nodiscard]] static const std::uint8_t* data_of(const tcp::Slice& slice) {
    return static_cast<const std::uint8_t*>(packet_of(slice.buffer)->buf_addr) + slice.offset;
  }
  // All that a buffer holds; its reference goes with the slice.
  [[nodiscard]] static tcp::Slice slice_of(rte_mbuf* packet) {
    return {reinterpret_cast<tcp::Buffer*>(packet), packet->data_off, packet->data_len};
  }
  static void retain(const tcp::Slice& slice) { rte_mbuf_refcnt_update(packet_of(slice.buffer), 1); }
  static void release(const tcp::Slice& slice);

  [[nodiscard]] const TcpHostCounters& counters() const { return counters_; }
  [[nodiscard]] static tcp::Time time_of(std::uint64_t now_ns) {
    return tcp::Time{std::chrono::microseconds{now_ns / 1'000}};
  }

 private:
  [[nodiscard]] bool is_local_port(std::uint16_t port) const {
    return port >= port_range_.first && port <= port_range_.last;
  }
  static rte_mbuf* packet_of(tcp::Buffer* buffer) { return reinterpret_cast<rte_mbuf*>(buffer); }

  void transmit(const tcp::Endpoints& endpoints, const tcp::Outgoing& segment) override;
  void accepted(tcp::ConnectionId connection, tcp::ListenerIndex listener) override;
  void deliver(tcp::ConnectionId connection, const tcp::Slice& slice) override;
  void notify(tcp::ConnectionId connection, tcp::Event event) override;
  void over(tcp::ConnectionId connection, tcp::Cause cause) override;

  [[nodiscard]] static std::size_t write_headers(rte_mbuf* head, const tcp::Endpoints& endpoints,
                                                 const tcp::Outgoing& segment);
  [[nodiscard]] bool add_payload(rte_mbuf* head, std::span<const tcp::Slice> payload, bool chained);
  static void store_checksum(rte_mbuf* head, const tcp::Endpoints& endpoints, const tcp::Outgoing& segment,
                             std::size_t tcp_header, bool offload);
  [[nodiscard]] static bool checksum_is_right(const rte_mbuf* packet, const packet::PacketView& view,
                                              const tcp::Endpoints& endpoints);
  template <class Family>
  [[nodiscard]] std::optional<QuotedSegment> read_quote(const packet::PacketView& error) const;
  void look_at_buffers(tcp::Time now);
  void copy_together(tcp::SliceQueue& queue);
  void receive_payload(rte_mbuf* packet, const packet::PacketView& view, const tcp::Endpoints& endpoints,
                       tcp::Segment& segment, tcp::Time now);

  TcpHostOutput& output_;
  TcpApplication& application_;
  l4::Balancer* balancer_;
  service::AddressSet addresses_;
  bool all_ports_;
  const service::EndpointSet* terminated_ = nullptr;  // the snapshot's
  packet::HashKey key_;
  l4::PortRange port_range_;
  service::WorkerId worker_;
  std::uint32_t workers_;
  const nic::MbufPool& received_;
  std::uint32_t most_held_;
  std::optional<std::uint32_t> queued_;  // buffers that receive queues hold
  std::uint32_t held_ = 0;
  nic::MbufPool& headers_;
  nic::MbufPool& clones_;
  nic::MbufPool& payload_;
  LargePages pages_;
  tcp::Memory memory_;
  std::optional<tcp::Stack> stack_;     // always there but in the destructor
  std::vector<tcp::LocalPorts> ports_;  // by address
  struct Port {
    std::uint16_t address = 0;
    std::uint16_t port = 0;  // 0: the connection has none of ours
  };
  std::vector<Port> port_of_;  // by the index of a connection
  std::uint64_t now_ns_;
  std::uint64_t next_timer_ns_ = 0;
  TcpHostCounters counters_;
};

constexpr std::size_t TcpHost::bytes_a_connection() {
  return sizeof(Port);
}

}  // namespace steelyard::worker
