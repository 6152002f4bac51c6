// The admin socket: a Unix stream socket (mode 0600) that takes one JSON object per line and answers each with one
// line, in order, or with a stream of lines. Must never block the io_context's thread, whatever a client does: reads
// and writes are asynchronous, long answers are serialised piece by piece, and lines, connections and waiting are
// limited.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "control/admin/admin_stream.h"

namespace steelyard::control {

struct AdminLimits {
  std::size_t request_bytes = 65'536;  // a line; a longer one is refused and ends the connection
  std::size_t connections = 32;        // at once; further ones are told so and closed
  // For a complete request to arrive, and for the client to take a piece of an answer.
  std::chrono::milliseconds idle{30'000};
  // For the handler to reply; then the client is told. A worker that stalls must not use up the connections.
  std::chrono::milliseconds answer{60'000};
  // How soon a stream that had nothing to say is asked again.
  std::chrono::milliseconds stream_pause{20};
};

// Lives on the io_context's thread; the io_context must outlive it.
class AdminServer {
 public:
  class Connection;

  // To be called once, at once or later, on the io_context's thread: {"ok":true,"result":...} or
  // {"ok":false,"error":"..."}. May be called after the client or the server has gone: nothing happens then.
  class Reply {
   public:
    Reply() = default;  // to no request
    explicit operator bool() const { return number_ != 0; }
    void operator()(boost::json::value answer) const;
    // The answer, and after it the stream's lines, until it has ended; the connection ends with it. The client stops it
    // by closing its side.
    void stream(boost::json::value answer, std::unique_ptr<AdminStream> lines) const;

   private:
    friend class Connection;
    Reply(std::weak_ptr<Connection> connection, std::uint64_t number)
        : connection_(std::move(connection)), number_(number) {}
    std::weak_ptr<Connection> connection_;
    std::uint64_t number_ = 0;
  };
  using Handler = std::function<void(boost::json::object request, Reply reply)>;

  // Makes missing folders of `path` (0755), takes the place of the socket of a process that has died, and listens.
  // Throws std::runtime_error with a sentence for the administrator, e.g. when another process uses `path`. That is
  // decided by a lock on the file `path`.lock, which stays behind empty.
  AdminServer(boost::asio::io_context& io, std::string path, Handler handler, AdminLimits limits = {});
  // Closes all connections and removes the socket. The handler is not called any more.
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  // Connections open now.
  [[nodiscard]] std::size_t connections() const;

 private:
  struct Core;

  std::shared_ptr<Core> core_;
};

}  // namespace steelyard::control
