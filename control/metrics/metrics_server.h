// A small HTTP server for Prometheus: answers GET /metrics, one request per connection, and nothing else. Must never
// block the io_context's thread; connections, header size and time are limited, since the port may be reached by
// anybody.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace steelyard::control {

struct MetricsLimits {
  std::size_t connections = 16;              // at once; further ones are closed
  std::uint32_t header_bytes = 8 * 1024;     // of a request
  std::chrono::milliseconds timeout{5'000};  // for a request to arrive, and for the client to take the answer
};

// Lives on the io_context's thread; the io_context must outlive it.
class MetricsServer {
 public:
  using Text = std::function<std::string()>;

  // Listens on `address` ("127.0.0.1", "::1"); port 0: any free one. `text` makes the answer, on the io_context's
  // thread. Throws std::runtime_error with a sentence for the administrator.
  MetricsServer(boost::asio::io_context& io, const std::string& address, std::uint16_t port, Text text,
                MetricsLimits limits = {});
  // Closes all connections.
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  // Connections open now.
  [[nodiscard]] std::size_t connections() const;

 private:
  class Connection;
  struct Core;

  std::shared_ptr<Core> core_;
};

}  // namespace steelyard::control
