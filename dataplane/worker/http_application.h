// HTTP listeners on one worker: an http::Proxy on the worker's TCP (tcp_host.h) and layer 4's books of servers
// (l4/layer7.cc). It turns a configuration into listeners of the stack, keeps what outlasts a call - who each
// connection belongs to -, and carries the proxy's calls out. Worker only, but for making it; nothing allocates after
// attach().
//
// Adopting a configuration costs the same however large it is: a few listeners are looked at each turn, and one that a
// client comes to before its turn is looked at then.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/http/ground.h"
#include "dataplane/http/proxy.h"
#include "dataplane/service/snapshot.h"
#include "dataplane/tcp/settings.h"
#include "dataplane/worker/access_ring.h"
#include "dataplane/worker/large_pages.h"
#include "dataplane/worker/request_tables.h"
#include "dataplane/worker/tcp_application.h"
#include "dataplane/worker/tcp_host.h"
#include "dataplane/worker/waiting_clients.h"

namespace steelyard::worker {

class HttpApplication final : public TcpApplication, private http::Ground {
 public:
  // `mtus`: of the ports. `log` and `requests` outlive the application. Control thread.
  HttpApplication(const http::ProxySetup& setup, std::span<const std::uint16_t> mtus, AccessRing& log,
                  RequestTables& requests);
  ~HttpApplication() override;
  // Bytes of its tables, the proxy's included, about.
  [[nodiscard]] static std::size_t memory_needed(const http::ProxySetup& setup);

  // Of http::Proxy, after attach().
  void commit_addresses() { proxy_->commit_addresses(); }

  void attach(TcpHost& host) override;
  void detach() override;
  void configure(const service::Snapshot& snapshot) override;
  void expect_client(const service::Listener& listener) override { settle(listener.id); }
  void accepted(tcp::ConnectionId connection, tcp::ListenerIndex listener) override;
  void deliver(tcp::ConnectionId connection, const tcp::Slice& slice) override;
  void notify(tcp::ConnectionId connection, tcp::Event event) override;
  void over(tcp::ConnectionId connection, tcp::Cause cause) override;
  http::WithdrawalProgress withdraw(const l4::FlowFilter& filter, std::uint32_t from, std::size_t budget,
                                    tcp::Time now) override;
  [[nodiscard]] http::LinkReport describe(tcp::ConnectionId connection) const override;
  std::size_t turn(tcp::Time now) override;

  // What the proxy stands on; for tests.
  [[nodiscard]] http::Ground& ground() { return *this; }

  // Any thread, after attach().
  [[nodiscard]] const http::ProxyCounters& counters() const { return proxy_->counters(); }

 private:
  // Who is at the other end of a connection.
  struct Peer {
    enum class Kind : std::uint8_t { nobody, client, server, unwanted };
    service::Address client;
    std::uint32_t generation = 0;  // of the connection's id
    service::BackendId server;
    service::ListenerId listener;  // that the client has come to
    Kind kind = Kind::nobody;
  };
  static constexpr tcp::ListenerIndex not_listening = 0xffff;

  // http::Ground
  std::size_t send(tcp::ConnectionId connection, std::span<const tcp::Slice> slices, tcp::Time now) override;
  std::size_t send_last(tcp::ConnectionId connection, std::span<const tcp::Slice> slices, tcp::Time now) override;
  void consume(tcp::ConnectionId connection, std::uint32_t octets, tcp::Time now) override;
  void shutdown(tcp::ConnectionId connection, tcp::Time now) override;
  void close(tcp::ConnectionId connection, tcp::Time now) override;
  void abort(tcp::ConnectionId connection, tcp::Time now) override;
  tcp::ConnectionId connect(const service::Server& server, tcp::Time now) override;
  [[nodiscard]] const tcp::Endpoints* endpoints_of(tcp::ConnectionId connection) const override;
  std::optional<Room> allocate() override;
  [[nodiscard]] Slack slack() const override;
  [[nodiscard]] const std::uint8_t* data_of(const tcp::Slice& slice) const override;
  tcp::Memory& memory() override;
  void compact(tcp::SliceQueue& queue) override;
  bool takes_request(const service::Listener& listener, const service::Address& client) override;
  Choice choose(const service::Listener& target, schedule::ClientKey key,
                std::span<const std::size_t> without) override;
  [[nodiscard]] bool has_place(const service::Server& server) const override;
  void begin_request(const service::Listener& target, const service::Server& server) override;
  void end_request(service::ListenerId target, service::BackendId server) override;
  void log(const http::AccessRecord& record) override;

  std::size_t send(tcp::ConnectionId connection, std::span<const tcp::Slice> slices, tcp::Time now, bool last);
  std::size_t send_to_client(const service::Listener& listener, tcp::ConnectionId connection,
                             std::span<const tcp::Slice> slices, tcp::Time now, bool last);
  [[nodiscard]] std::uint64_t octets_on_the_link(const Peer& client, std::span<const tcp::Slice> slices) const;
  std::size_t wake_waiting();
  [[nodiscard]] const service::Listener* wanted(service::ListenerId id) const;
  void settle(service::ListenerId id);
  std::size_t settle_some();
  std::size_t shut_some_out(tcp::Time now);
  void end_unwanted(tcp::Time now);
  [[nodiscard]] std::uint64_t wall_us(tcp::Time now);
  [[nodiscard]] const tcp::Settings& settings_towards(std::uint16_t mtu) const;

  http::ProxySetup setup_;
  AccessRing& log_;
  RequestTables& requests_;
  tcp::Settings clients_;
  std::vector<tcp::Settings> servers_;  // one for each MTU that some port has
  TcpHost* host_ = nullptr;
  l4::Balancer* balancer_ = nullptr;
  LargePages pages_;
  std::unique_ptr<http::Proxy> proxy_;
  const service::Snapshot* snapshot_ = nullptr;
  std::pmr::vector<Peer> peers_{&pages_};                // by the index of a connection
  std::vector<tcp::ConnectionId> unwanted_;              // accepted, to be aborted
  std::vector<tcp::ListenerIndex> index_of_;             // by service::ListenerId
  std::vector<service::ListenerId> id_of_;               // by tcp::ListenerIndex
  std::size_t listening_below_ = 0;                      // no id from here on listens
  std::size_t next_listener_ = 0;                        // to be looked at, after a configuration
  std::size_t next_peer_ = 0;                            // the same
  std::array<std::vector<service::Address>, 2> locals_;  // IPv4, IPv6
  std::size_t next_local_ = 0;
  std::optional<WaitingClients> waiting_;  // for bandwidth
  tcp::Time clock_due_{};
  std::uint64_t wall_offset_us_ = 0;  // of the wall clock at time 0, modulo 2^64
};

}  // namespace steelyard::worker
