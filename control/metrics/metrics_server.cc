#include "control/metrics/metrics_server.h"

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <exception>
#include <set>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace steelyard::control {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::milliseconds accept_pause{100};  // when accept() fails, mostly for want of descriptors
constexpr std::size_t most_lingering_bytes = 65'536;

tcp::acceptor listen(asio::io_context& io, const std::string& address, std::uint16_t port) {
  try {
    const tcp::endpoint endpoint(asio::ip::make_address(address), port);
    return tcp::acceptor(io, endpoint);  // with SO_REUSEADDR
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error("metrics: cannot listen on " + address + " port " + std::to_string(port) + ": " +
                             error.code().message());
  }
}

}  // namespace

// What connections share. They keep it alive; `stopped` tells them that the server is gone.
struct MetricsServer::Core : std::enable_shared_from_this<Core> {
  Core(asio::io_context& io, const std::string& address, std::uint16_t port, Text to_tell, MetricsLimits some_limits)
      : acceptor(listen(io, address, port)), pause(io), text(std::move(to_tell)), limits(some_limits) {}

  void accept();
  void stop();

  tcp::acceptor acceptor;
  asio::steady_timer pause;
  Text text;
  MetricsLimits limits;
  std::set<std::shared_ptr<Connection>> connections;
  bool stopped = false;
};

class MetricsServer::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Core> core, tcp::socket socket)
      : core_(std::move(core)), stream_(std::move(socket)), buffer_(core_->limits.header_bytes) {
    parser_.header_limit(core_->limits.header_bytes);
  }

  void start() {
    stream_.expires_after(core_->limits.timeout);
    http::async_read(stream_, buffer_, parser_, [self = shared_from_this()](const error_code& error, std::size_t) {
      if (self->closed_) {
        return;
      }
      self->on_request(error);
    });
  }

  void close() {
    closed_ = true;  // tcp_stream closes the socket itself at a timeout: that it is open tells nothing
    error_code ignored;
    stream_.socket().close(ignored);
    core_->connections.erase(weak_from_this().lock());
  }

 private:
  void on_request(const error_code& error) {
    if (!error) {
      answer();
    } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      refuse(http::status::request_header_fields_too_large, "the request is too large\n");
    } else if (error.category() == make_error_code(http::error::bad_method).category() &&
               error != http::error::end_of_stream && error != http::error::partial_message) {
      refuse(http::status::bad_request, "not a request that is understood here\n");
    } else {
      close();  // gone, or too slow
    }
  }

  void answer() {
    const auto& request = parser_.get();
    const std::string_view target(request.target().data(), request.target().size());
    if (target.substr(0, target.find('?')) != "/metrics") {
      refuse(http::status::not_found, "only /metrics is here\n");
    } else if (request.method() != http::verb::get) {
      response_.set(http::field::allow, "GET");
      refuse(http::status::method_not_allowed, "only GET is allowed\n");
    } else {
      try {
        response_.body() = core_->text();
      } catch (const std::exception&) {
        refuse(http::status::internal_server_error, "the metrics could not be made\n");
        return;
      }
      response_.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
      write();
    }
  }

  void refuse(http::status status, std::string_view words) {
    response_.result(status);
    response_.set(http::field::content_type, "text/plain; charset=utf-8");
    response_.body() = words;
    write();
  }

  void write() {
    response_.version(11);
    response_.keep_alive(false);
    response_.prepare_payload();
    stream_.expires_after(core_->limits.timeout);
    http::async_write(stream_, response_, [self = shared_from_this()](const error_code& error, std::size_t) {
      if (self->closed_) {
        return;
      }
      if (error) {
        self->close();
        return;
      }
      error_code ignored;
      self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
      self->stream_.expires_after(self->core_->limits.timeout);
      self->linger(0);
    });
  }

  // Reads until the client is done: closing with unread bytes would send a reset, which can overtake the answer.
  void linger(std::size_t read) {
    stream_.async_read_some(asio::buffer(rest_),
                            [self = shared_from_this(), read](const error_code& error, std::size_t length) {
                              if (self->closed_) {
                                return;
                              }
                              if (error || read + length > most_lingering_bytes) {
                                self->close();
                              } else {
                                self->linger(read + length);
                              }
                            });
  }

  std::shared_ptr<Core> core_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  http::request_parser<http::empty_body> parser_;
  http::response<http::string_body> response_;
  std::array<char, 4096> rest_{};
  bool closed_ = false;
};

void MetricsServer::Core::accept() {
  acceptor.async_accept([self = shared_from_this()](const error_code& error, tcp::socket socket) {
    if (self->stopped) {
      return;
    }
    if (!error) {
      if (self->connections.size() < self->limits.connections) {
        const auto connection = std::make_shared<Connection>(self, std::move(socket));
        self->connections.insert(connection);
        connection->start();
      }
      self->accept();
      return;
    }
    self->pause.expires_after(accept_pause);
    self->pause.async_wait([self](const error_code&) {
      if (!self->stopped) {
        self->accept();
      }
    });
  });
}

void MetricsServer::Core::stop() {
  stopped = true;
  error_code ignored;
  acceptor.close(ignored);
  pause.cancel(ignored);
  while (!connections.empty()) {
    (*connections.begin())->close();
  }
}

MetricsServer::MetricsServer(asio::io_context& io, const std::string& address, std::uint16_t port, Text text,
                             MetricsLimits limits)
    : core_(std::make_shared<Core>(io, address, port, std::move(text), limits)) {
  core_->accept();
}

MetricsServer::~MetricsServer() {
  core_->stop();
}

std::uint16_t MetricsServer::port() const {
  error_code ignored;
  return core_->acceptor.local_endpoint(ignored).port();
}

std::size_t MetricsServer::connections() const {
  return core_->connections.size();
}

}  // namespace steelyard::control
