// A proxy on a ground that costs next to nothing: what is sent is counted and dropped, buffers come from an array, and
// both ends say the same again and again. For what layer 7 itself costs, without TCP and packets.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/http/ground.h"
#include "dataplane/http/proxy.h"

namespace steelyard::bench {

class HttpStand final : private http::Ground {
 public:
  // Clients' connections that have carried a request each.
  HttpStand(std::size_t clients, const service::HttpSettings& settings, std::string_view request,
            std::string_view answer);
  ~HttpStand() override;
  HttpStand(const HttpStand&) = delete;
  HttpStand& operator=(const HttpStand&) = delete;

  // These clients ask, and servers answer.
  void ask(std::span<const std::uint32_t> clients);
  void answer();
  [[nodiscard]] std::uint64_t octets_to_clients() const { return to_clients_; }
  [[nodiscard]] std::uint64_t octets_to_servers() const { return to_servers_; }
  [[nodiscard]] const http::ProxyCounters& counters() const { return proxy_->counters(); }
  [[nodiscard]] std::size_t buffers_used() const { return used_; }
  void advance(tcp::Duration time) {
    now_ += time;
    wall_us_ += static_cast<std::uint64_t>(time.count());
  }

 private:
  struct Buffer {
    std::uint32_t references = 0;
    std::uint32_t next = 0;
    std::array<std::uint8_t, 2'048> octets;
  };
  static constexpr std::size_t buffers = 4'096;
  static constexpr std::size_t servers = 8;

  [[nodiscard]] std::size_t send(tcp::ConnectionId connection, std::span<const tcp::Slice> slices,
                                 tcp::Time now) override;
  void consume(tcp::ConnectionId, std::uint32_t, tcp::Time) override {}
  void shutdown(tcp::ConnectionId, tcp::Time) override {}
  void close(tcp::ConnectionId, tcp::Time) override {}
  void abort(tcp::ConnectionId, tcp::Time) override {}
  [[nodiscard]] tcp::ConnectionId connect(const service::Server& server, tcp::Time now) override;
  [[nodiscard]] const tcp::Endpoints* endpoints_of(tcp::ConnectionId connection) const override;
  [[nodiscard]] std::optional<Room> allocate() override;
  [[nodiscard]] const std::uint8_t* data_of(const tcp::Slice& slice) const override;
  [[nodiscard]] tcp::Memory& memory() override { return memory_; }
  void compact(tcp::SliceQueue&) override {}
  [[nodiscard]] bool takes_request(const service::Listener&, const service::Address&) override { return true; }
  [[nodiscard]] Choice choose(const service::Listener&, schedule::ClientKey, std::span<const std::size_t>) override {
    return {rotation_++ % servers, http::Cause::none};
  }
  [[nodiscard]] bool has_place(const service::Server&) const override { return true; }
  void begin_request(const service::Listener&, const service::Server&) override {}
  void end_request(service::ListenerId, service::BackendId) override {}
  void log(const http::AccessRecord&) override {}

  static void retain(tcp::Buffer* buffer);
  static void release(tcp::Buffer* buffer);
  [[nodiscard]] tcp::Slice said(std::string_view octets);
  void turn();

  std::vector<Buffer> pool_;
  std::uint32_t free_ = 0;
  std::size_t used_ = 0;
  tcp::Memory memory_;
  tcp::Time now_{};
  std::uint64_t wall_us_ = 1'800'000'000'000'000;
  std::size_t clients_;
  std::string_view request_;
  std::string_view answer_;
  std::shared_ptr<service::Listener> listener_;
  service::Snapshot snapshot_;
  std::vector<tcp::ConnectionId> asked_;  // servers' connections that have got a request
  std::vector<tcp::ConnectionId> opening_;
  std::uint32_t opened_ = 0;
  std::size_t rotation_ = 0;
  std::uint64_t to_clients_ = 0;
  std::uint64_t to_servers_ = 0;
  tcp::Endpoints endpoints_{};
  std::unique_ptr<http::Proxy> proxy_;
};

}  // namespace steelyard::bench
