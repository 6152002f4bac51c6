// The stand that layer 7 is measured on as a whole: one real worker with an HTTP listener and eight servers behind a
// port that keeps what is sent (kept_port.h). Clients and servers answer by formula (tcp_peer.h): their packets are
// written before and read after what is timed, so that nothing in it is a peer's. Nothing here is for production.
//
//   request ->  parse, look up, TCP, proxy, TCP  -> request        timed, in bursts of 32
//   answer  <-  the same, the other way          <- answer         timed, too
//
// The driver's part - giving back the buffers that were sent - is timed as well. The port takes chains and would
// compute and verify checksums, as a NIC does. What is timed toggles callgrind's collection (instruction_count.cc).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <rte_mbuf.h>

#include "bench/balancer_tables.h"
#include "bench/l4_stand.h"
#include "bench/shuffled.h"
#include "bench/tcp_packet.h"
#include "bench/tcp_peer.h"
#include "dataplane/worker/access_ring.h"
#include "dataplane/worker/http_application.h"
#include "dataplane/worker/tcp_plan.h"
#include "dataplane/worker/worker.h"

namespace steelyard::bench {

// Cycles of what was timed, by where they went.
struct PathCycles {
  std::uint64_t receive = 0;    // packets: parse, look up, TCP in
  std::uint64_t act = 0;        // the turn: the proxy, TCP out, timers
  std::uint64_t free = 0;       // the driver gives buffers back
  std::uint64_t allocated = 0;  // octets of the general heap
  [[nodiscard]] std::uint64_t all() const { return receive + act + free; }
};

// Packets of the link, ARP excepted.
struct PathPackets {
  std::uint64_t from_clients = 0;
  std::uint64_t to_clients = 0;
  std::uint64_t from_servers = 0;
  std::uint64_t to_servers = 0;
};

class HttpPathStand {
 public:
  static constexpr std::size_t most_at_once = 1'024;

  // `clients` connections that stay, each of which has carried a request. Throws std::runtime_error.
  HttpPathStand(Machine& machine, std::size_t clients, std::string_view request, std::string_view answer);
  ~HttpPathStand();
  HttpPathStand(const HttpPathStand&) = delete;
  HttpPathStand& operator=(const HttpPathStand&) = delete;

  // These clients, at most `most_at_once`, ask at once, and get their answers. `acknowledge`: they say so by a packet
  // of its own and not with their next request.
  void request(std::span<const std::uint32_t> clients, bool acknowledge);
  // As many others come, ask, get their answers and go: a connection for each request.
  void visit(std::size_t clients, std::string_view request);

  [[nodiscard]] std::vector<std::uint32_t> draw(std::size_t count) { return order_.draw(count); }
  [[nodiscard]] PathCycles take_cycles() { return std::exchange(cycles_, {}); }
  [[nodiscard]] PathPackets take_packets() { return std::exchange(packets_, {}); }
  [[nodiscard]] std::uint64_t octets_to_clients() const { return to_clients_; }

  [[nodiscard]] const http::ProxyCounters& proxy() const { return application_->counters(); }
  [[nodiscard]] const worker::TcpHostCounters& tcp() const { return *worker_->tcp_counters(); }
  // Octets of tables, as `status` reports them, and as the kernel has given them to the process.
  [[nodiscard]] std::size_t table_bytes() const { return table_bytes_; }
  [[nodiscard]] std::size_t resident_bytes() const { return resident_bytes_; }
  // Received buffers and buffers of heads that are not free.
  [[nodiscard]] std::uint32_t buffers_held() const;
  // Lets delayed acknowledgments go out.
  void rest();

 private:
  static constexpr std::size_t servers = 8;
  static constexpr std::size_t server_connections = servers << 16U;  // by server and local port

  [[nodiscard]] service::Snapshot make_snapshot() const;
  [[nodiscard]] worker::WorkerSetup make_setup();
  [[nodiscard]] neighbor::MacAddress port_mac() const;
  [[nodiscard]] tcp::Endpoints server_endpoints(std::uint32_t n) const;
  [[nodiscard]] static bool is_of_server(const tcp::Endpoints& endpoints) {
    return number_of(tcp::ipv4_of(endpoints.local)) == host::local;
  }
  [[nodiscard]] static std::uint32_t server_number(const tcp::Endpoints& endpoints);
  [[nodiscard]] std::uint32_t now_ms() const;
  void add(const tcp::Endpoints& ours, const tcp::Segment& segment, std::string_view payload);
  void add_client(std::uint32_t n, const tcp::Segment& segment, std::string_view payload = {});
  void add_server(std::uint32_t n, const tcp::Segment& segment, std::string_view payload = {});
  void open(std::span<const std::uint32_t> clients);
  void run();
  void exchange();
  void settle();
  void hear(const SentSegment& segment);
  void answer_neighbors(const rte_mbuf* packet);

  struct FreeMemory {
    void operator()(std::byte* memory) const { rte_free(memory); }
  };

  Machine& machine_;
  std::string_view request_;
  std::string_view answer_;
  std::size_t residents_;  // connections that stay; the numbers behind them are visitors'
  TcpPeer clients_;
  TcpPeer server_ends_;
  std::size_t resident_bytes_ = 0;
  std::size_t table_bytes_ = 0;
  nic::WorkerPools pools_;
  worker::TcpPlan plan_;
  worker::TcpPools tcp_pools_;
  nic::MbufPool headers_;
  worker::AccessRing log_{1U << 22U};
  worker::RequestTables requests_;
  std::unique_ptr<worker::HttpApplication> application_;
  std::size_t flow_bytes_;
  std::unique_ptr<std::byte, FreeMemory> flow_memory_;
  BalancerTables tables_;
  worker::Mailbox mailbox_{"http_path_mailbox", 64};
  service::Snapshot snapshot_;
  std::atomic<const service::Snapshot*> published_{nullptr};
  std::unique_ptr<worker::Worker> worker_;
  Shuffled order_;
  std::uint32_t next_visitor_ = 0;
  std::uint32_t next_server_isn_ = 0;

  std::vector<rte_mbuf*> arriving_;
  std::vector<rte_mbuf*> kept_;
  std::vector<std::uint32_t> asked_;   // connections of servers that have a request
  std::vector<std::uint32_t> served_;  // clients that have an answer, or a part of it
  std::vector<std::uint32_t> opened_;  // clients whose SYN was answered
  std::vector<std::uint32_t> left_;    // clients whose connection we have closed
  std::uint64_t to_clients_ = 0;
  PathCycles cycles_;
  PathPackets packets_;
};

}  // namespace steelyard::bench
