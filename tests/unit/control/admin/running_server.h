// An AdminServer on a thread of its own, and plain connections to it.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "control/admin/admin_server.h"
#include "control/admin/file_descriptor.h"
#include "control/admin/unix_address.h"

namespace steelyard::control::testing {

class RunningServer {
 public:
  RunningServer(const std::string& path, AdminServer::Handler handler, AdminLimits limits = {})
      : server_(std::make_unique<AdminServer>(io_, path, std::move(handler), limits)), thread_([this] { io_.run(); }) {}
  ~RunningServer() {
    boost::asio::post(io_, [this] {
      server_.reset();
      work_.reset();
    });
    thread_.join();
  }
  RunningServer(const RunningServer&) = delete;
  RunningServer& operator=(const RunningServer&) = delete;

  // Runs `function` on the server's thread and gives back what it returns.
  template <typename Function>
  auto on_thread(Function function) {
    std::packaged_task<decltype(function())()> task(std::move(function));
    auto result = task.get_future();
    boost::asio::post(io_, std::move(task));
    return result.get();
  }
  [[nodiscard]] std::size_t connections() {
    return on_thread([this] { return server_->connections(); });
  }
  void destroy_server() {
    on_thread([this] { server_.reset(); });
  }

 private:
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_ = boost::asio::make_work_guard(io_);
  std::unique_ptr<AdminServer> server_;
  std::thread thread_;
};

class RawClient {
 public:
  explicit RawClient(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const auto address = unix_address(path);
    connected_ = ::connect(socket_.get(), generic(*address), sizeof *address) == 0;
  }

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] bool send(std::string_view text) const {
    return ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  void end_of_requests() const { ::shutdown(socket_.get(), SHUT_WR); }

  // The next line; "<closed>" at the end of the connection, "<silence>" when nothing comes for 20 s.
  [[nodiscard]] std::string line() {
    std::size_t end = 0;
    while ((end = received_.find('\n')) == std::string::npos) {
      pollfd watched{.fd = socket_.get(), .events = POLLIN, .revents = 0};
      if (::poll(&watched, 1, 20'000) <= 0) {
        return "<silence>";
      }
      std::array<char, 4096> buffer;
      const ssize_t length = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (length <= 0) {
        return "<closed>";
      }
      received_.append(buffer.data(), static_cast<std::size_t>(length));
    }
    std::string line = received_.substr(0, end);
    received_.erase(0, end + 1);
    return line;
  }

 private:
  FileDescriptor socket_;
  bool connected_ = false;
  std::string received_;
};

}  // namespace steelyard::control::testing
