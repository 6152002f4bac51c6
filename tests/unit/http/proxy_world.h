// A proxy without TCP: clients and servers are played by the test, octet by octet, with a clock that stands still until
// it is moved. Every buffer is counted, and everything delivered must have been consumed or given up in the end.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/http/ground.h"
#include "dataplane/http/proxy.h"

namespace steelyard::http {

// One end of a connection that the proxy has: a client's, or a server's.
struct Peer {
  tcp::ConnectionId id;
  service::Address server;  // of those that the proxy has opened
  std::uint16_t port = 0;
  std::string sent;              // by the proxy, since it was last heard()
  int sends = 0;                 // in so many calls
  std::size_t room = 1'000'000;  // octets that the proxy may still send
  bool blocked = false;
  bool finished = false;       // the proxy has sent its FIN
  bool fin_with_last = false;  // together with what it has said last
  bool reset = false;          // or a reset
  bool gone = false;           // no connection any more
  std::size_t delivered = 0;
  std::size_t consumed = 0;
};

class ProxyWorld final : private Ground {
 public:
  struct Options {
    service::HttpSettings http{};
    std::size_t servers = 1;
    std::size_t connections = 64;
    std::size_t exchanges = 32;
    std::size_t compressors = 2;
    std::size_t piece = 1'448;  // octets in a buffer
  };
  ProxyWorld() : ProxyWorld(Options{}) {}
  explicit ProxyWorld(Options options);
  ~ProxyWorld() override;

  // --- clients ---------------------------------------------------------------------------------------------------
  [[nodiscard]] std::size_t client(std::string_view address = "198.51.100.7");
  // What the peer says comes in pieces of at most Options::piece octets; then the proxy has its turn.
  void says(std::size_t peer, std::string_view octets);
  // The same, and the proxy's turn is yet to come.
  void brings(std::size_t peer, std::string_view octets);
  void finishes(std::size_t peer);
  void resets(std::size_t peer);
  // What the proxy has sent since the last time, without the Date of its own that every answer has.
  [[nodiscard]] std::string heard(std::size_t peer);
  [[nodiscard]] std::string heard_with_date(std::size_t peer);
  [[nodiscard]] const Peer& peer(std::size_t number) const { return peers_[number]; }
  void set_room(std::size_t peer, std::size_t octets);

  // --- servers ---------------------------------------------------------------------------------------------------
  // Connections that the proxy has opened to servers, in their order; as peers' numbers.
  [[nodiscard]] std::vector<std::size_t> opened() const { return opened_; }
  [[nodiscard]] std::size_t last_opened() const { return opened_.back(); }
  void refuses(std::size_t peer);  // instead of accepting
  bool accept_at_once = true;
  void accepts(std::size_t peer);

  // --- everything else -------------------------------------------------------------------------------------------
  void advance(std::chrono::milliseconds time);
  void turn();
  // A single turn, whatever is left to be done.
  void one_turn() { static_cast<void>(proxy_->turn(now_, wall_us_)); }
  // So many clients come and are reset before the proxy's turn.
  void flood(std::size_t clients);
  // How much there is to do in the turn after the worker has stood still for so long.
  [[nodiscard]] std::size_t turn_after(std::chrono::milliseconds time);
  // Changes the configuration and tells the proxy.
  [[nodiscard]] service::Listener& listener() { return *listener_; }
  void publish();
  // The same with a rule: what begins with `url` has a target of its own, with the listener's servers.
  void publish_with_rule(const char* url);
  void set_up(std::size_t server, bool up);
  // Servers are taken away, by steps of `budget`; how many requests that ends.
  std::size_t withdraw(const Withdrawal& which, std::size_t budget = 16);
  [[nodiscard]] LinkReport describe(std::size_t peer) const { return proxy_->describe(peers_[peer].id); }
  [[nodiscard]] const std::vector<AccessRecord>& log() const { return log_; }
  [[nodiscard]] Proxy& proxy() { return *proxy_; }
  [[nodiscard]] int requests_at(std::size_t server) const;  // counted now
  [[nodiscard]] std::uint64_t wall_seconds() const { return static_cast<std::uint64_t>(wall_us_ / 1'000'000); }
  void without_rooms(bool none) { no_rooms_ = none; }
  // What there is for work that might as well be left undone.
  void set_slack(bool keeps_up, std::uint8_t free_eighths) { slack_ = {keeps_up, free_eighths}; }
  // How many requests a server takes at a time.
  void set_places(int places) { places_ = places; }
  // How many more requests any source may have.
  void set_requests_left(int requests) { requests_left_ = requests; }
  // What the last server was chosen by.
  [[nodiscard]] schedule::ClientKey last_key() const { return last_key_; }
  // "GET / HTTP/1.1" and a Host, for those that care for nothing else.
  static constexpr std::string_view get = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
  static constexpr std::string_view ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

 private:
  struct Buffer;

  [[nodiscard]] std::size_t send(tcp::ConnectionId connection, std::span<const tcp::Slice> slices,
                                 tcp::Time now) override;
  [[nodiscard]] std::size_t send_last(tcp::ConnectionId connection, std::span<const tcp::Slice> slices,
                                      tcp::Time now) override;
  void consume(tcp::ConnectionId connection, std::uint32_t octets, tcp::Time now) override;
  void shutdown(tcp::ConnectionId connection, tcp::Time now) override;
  void close(tcp::ConnectionId connection, tcp::Time now) override;
  void abort(tcp::ConnectionId connection, tcp::Time now) override;
  [[nodiscard]] tcp::ConnectionId connect(const service::Server& server, tcp::Time now) override;
  [[nodiscard]] const tcp::Endpoints* endpoints_of(tcp::ConnectionId connection) const override;
  [[nodiscard]] std::optional<Room> allocate() override;
  [[nodiscard]] Slack slack() const override { return slack_; }
  [[nodiscard]] const std::uint8_t* data_of(const tcp::Slice& slice) const override;
  [[nodiscard]] tcp::Memory& memory() override { return memory_; }
  void compact(tcp::SliceQueue& /*queue*/) override {}
  [[nodiscard]] bool takes_request(const service::Listener& listener, const service::Address& client) override;
  [[nodiscard]] Choice choose(const service::Listener& target, schedule::ClientKey key,
                              std::span<const std::size_t> without) override;
  [[nodiscard]] bool has_place(const service::Server& server) const override;
  void begin_request(const service::Listener& target, const service::Server& server) override;
  void end_request(service::ListenerId target, service::BackendId server) override;
  void log(const AccessRecord& record) override { log_.push_back(record); }

  static void retain(tcp::Buffer* buffer);
  static void release(tcp::Buffer* buffer);
  [[nodiscard]] static Buffer* make_buffer(std::string_view octets, std::size_t room);
  static std::size_t live_buffers;

  [[nodiscard]] Peer* find(tcp::ConnectionId connection);
  [[nodiscard]] std::size_t add_peer(tcp::ConnectionId id, const tcp::Endpoints& endpoints);
  [[nodiscard]] tcp::ConnectionId next_id();
  void gone(Peer& peer);

  Options options_;
  tcp::Memory memory_;
  tcp::Time now_{std::chrono::seconds{100}};
  static constexpr std::uint64_t begun_us = 1'800'000'000'000'000;
  std::uint64_t wall_us_ = begun_us;
  std::shared_ptr<service::Listener> listener_;
  std::vector<std::shared_ptr<const service::Snapshot>> published_;
  std::deque<Peer> peers_;
  std::map<std::uint32_t, std::size_t> by_index_;
  std::map<std::uint32_t, tcp::Endpoints> endpoints_;
  std::vector<std::uint32_t> free_indices_;
  std::uint32_t generation_ = 0;
  std::vector<std::size_t> opened_;
  std::vector<std::size_t> to_accept_;
  std::map<std::uint32_t, int> counted_;
  std::vector<AccessRecord> log_;
  std::size_t rotation_ = 0;
  bool no_rooms_ = false;
  Slack slack_;
  int places_ = 1'000'000;
  int requests_left_ = 1'000'000;
  schedule::ClientKey last_key_;
  std::unique_ptr<Proxy> proxy_;
};

}  // namespace steelyard::http
