// Servers on loopback for the tests of real probes: the test's own io_context runs both ends.
#pragma once

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace steelyard::healthcheck::testing {

namespace asio = boost::asio;

// Accepts, reads one request's bytes and answers with fixed text, whole or byte by byte; then closes, or holds still.
class HttpServer {
 public:
  struct Behaviour {
    std::string answer;
    bool dribble = false;    // one byte a write
    bool keep_open = false;  // never closes
  };

  HttpServer(asio::io_context& io, Behaviour behaviour, const std::string& address = "127.0.0.1")
      : behaviour_(std::move(behaviour)), acceptor_(io, {asio::ip::make_address(address), 0}) {
    accept();
  }

  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  [[nodiscard]] const std::string& request() const { return request_; }
  // How the last connection ended from the client's side: connection_reset, eof, or nothing yet.
  [[nodiscard]] boost::system::error_code end() const { return end_; }

 private:
  struct Connection {
    explicit Connection(asio::ip::tcp::socket accepted) : socket(std::move(accepted)) {}
    asio::ip::tcp::socket socket;
    std::array<char, 1024> buffer{};
    std::size_t sent = 0;
  };

  // Handlers may be queued when the server goes; they hold `alive_` weakly and look at it first.
  template <typename Handler>
  auto guarded(Handler handler) {
    return [weak = std::weak_ptr(alive_), handler = std::move(handler)](boost::system::error_code error,
                                                                        auto&&... rest) mutable {
      if (!weak.expired())
        handler(error, std::forward<decltype(rest)>(rest)...);
    };
  }
  void accept() {
    acceptor_.async_accept(guarded([this](boost::system::error_code error, asio::ip::tcp::socket socket) {
      if (error)
        return;
      socket.set_option(asio::ip::tcp::no_delay(true));
      read(connections_.emplace_back(std::move(socket)));
      accept();
    }));
  }
  void read(Connection& connection) {
    connection.socket.async_read_some(asio::buffer(connection.buffer),
                                      guarded([this, &connection](boost::system::error_code error, std::size_t length) {
                                        if (error) {
                                          end_ = error;
                                          return;
                                        }
                                        request_.append(connection.buffer.data(), length);
                                        if (request_.ends_with("\r\n\r\n"))
                                          write(connection);
                                        read(connection);
                                      }));
  }
  void write(Connection& connection) {
    const std::string_view rest = std::string_view(behaviour_.answer).substr(connection.sent);
    if (rest.empty()) {
      boost::system::error_code ignored;
      if (!behaviour_.keep_open)
        connection.socket.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
      return;
    }
    const auto part = behaviour_.dribble ? rest.substr(0, 1) : rest;
    connection.socket.async_write_some(
        asio::buffer(part), guarded([this, &connection](boost::system::error_code error, std::size_t length) {
          connection.sent += length;
          if (!error)
            write(connection);
        }));
  }

  Behaviour behaviour_;
  asio::ip::tcp::acceptor acceptor_;
  std::list<Connection> connections_;
  std::string request_;
  boost::system::error_code end_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Answers each datagram with fixed text, or keeps silent when there is none.
class UdpServer {
 public:
  UdpServer(asio::io_context& io, std::optional<std::string> answer)
      : answer_(std::move(answer)), socket_(io, {asio::ip::make_address("127.0.0.1"), 0}) {
    receive();
  }
  [[nodiscard]] std::uint16_t port() const { return socket_.local_endpoint().port(); }
  // Datagrams received and the last one's bytes.
  [[nodiscard]] int received() const { return received_; }
  [[nodiscard]] const std::string& last() const { return last_; }

 private:
  void receive() {
    socket_.async_receive_from(asio::buffer(buffer_), peer_,
                               [this, weak = std::weak_ptr(alive_)](boost::system::error_code error, std::size_t size) {
                                 if (weak.expired() || error)
                                   return;
                                 ++received_;
                                 last_.assign(buffer_.data(), size);
                                 if (answer_)
                                   socket_.send_to(asio::buffer(*answer_), peer_);
                                 receive();
                               });
  }

  std::optional<std::string> answer_;
  asio::ip::udp::socket socket_;
  asio::ip::udp::endpoint peer_;
  std::array<char, 512> buffer_{};
  int received_ = 0;
  std::string last_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace steelyard::healthcheck::testing
