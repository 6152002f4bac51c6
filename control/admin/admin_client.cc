#include "control/admin/admin_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <optional>
#include <string_view>
#include <system_error>

#include "control/admin/file_descriptor.h"
#include "control/admin/unix_address.h"

namespace steelyard::control {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// 100,000 flows make some 30 MB; beyond this something is wrong.
constexpr std::size_t longest_answer = 512ULL << 20U;

tl::unexpected<AdminError> unreachable(std::string message) {
  return tl::unexpected(AdminError{AdminError::Kind::unreachable, std::move(message)});
}

std::string words_for(int error) {
  return std::generic_category().message(error);
}

AdminError no_connection(const std::string& path, int error) {
  std::string message;
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      message = "steelyard is not running: no socket at " + path + "; start it with `steelyard run -c FILE`";
      break;
    case ECONNREFUSED:
      message = "steelyard is not running: nobody listens at " + path + "; start it with `steelyard run -c FILE`";
      break;
    case EACCES:
    case EPERM:
      message = "no permission to use " + path + ": run this as root, for example with sudo";
      break;
    case EAGAIN:
      message = "steelyard takes no connections at " + path + ": it is stopped or overloaded";
      break;
    default:
      message = "cannot connect to " + path + ": " + words_for(error);
  }
  return {AdminError::Kind::unreachable, std::move(message)};
}

// One connection and its deadline.
class Call {
 public:
  Call(const std::string& path, milliseconds timeout, int interrupt)
      : path_(path), timeout_(timeout), interrupt_(interrupt), deadline_(Clock::now() + timeout) {}

  // 0 or an errno.
  [[nodiscard]] int connect() {
    const auto address = unix_address(path_);
    if (!address) {
      return ENAMETOOLONG;
    }
    socket_ = FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket_.valid()) {
      return errno;
    }
    // A Unix socket's connect waits while the backlog is full, as long as a send may.
    const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(timeout_).count();
    const timeval limit{.tv_sec = microseconds / 1'000'000, .tv_usec = microseconds % 1'000'000};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return ::connect(socket_.get(), generic(*address), sizeof *address) == 0 ? 0 : errno;
  }

  // A server that refuses may have closed already: its words are still there to be read, so errors are not looked at.
  void send(std::string_view text) {
    while (!text.empty() && wait_for(POLLOUT)) {
      const ssize_t sent = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        return;
      }
      text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
    }
  }

  [[nodiscard]] tl::expected<std::string, AdminError> receive_line() {
    std::array<char, 65'536> buffer;
    while (received_.size() <= longest_answer) {
      if (const std::size_t end = received_.find('\n', searched_); end != std::string::npos) {
        std::string line = received_.substr(0, end);
        received_.erase(0, end + 1);
        searched_ = 0;
        return line;
      }
      searched_ = received_.size();
      if (!wait_for(POLLIN)) {
        if (interrupted_) {
          return tl::unexpected(AdminError{AdminError::Kind::interrupted, "interrupted"});
        }
        return unreachable("steelyard did not answer within " + std::to_string(timeout_.count() / 1000) +
                           " s; its log says whether it is stuck");
      }
      const ssize_t length = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (length < 0 && (errno == EAGAIN || errno == EINTR)) {
        continue;
      }
      if (length <= 0) {
        return unreachable("steelyard closed the connection without a complete answer; its log may say why");
      }
      received_.append(buffer.data(), static_cast<std::size_t>(length));
    }
    return unreachable("the answer is too long; ask for less");
  }

  // A stream has a time of its own.
  void wait_for_ever() { deadline_ = Clock::time_point::max(); }
  // Tells the other end that no more is wanted, and gives it time to end.
  void stop() {
    interrupt_ = -1;
    interrupted_ = false;
    deadline_ = Clock::now() + timeout_;
    ::shutdown(socket_.get(), SHUT_WR);
  }

 private:
  // False: the deadline has passed, or the caller interrupts.
  [[nodiscard]] bool wait_for(short events) {
    for (;;) {
      const auto now = Clock::now();
      if (deadline_ <= now) {
        return false;
      }
      const auto left = std::chrono::ceil<milliseconds>(deadline_ - now);
      std::array<pollfd, 2> watched{pollfd{socket_.get(), events, 0}, pollfd{interrupt_, POLLIN, 0}};
      const auto limit = static_cast<int>(std::min<milliseconds::rep>(left.count(), 1'000'000));
      if (::poll(watched.data(), watched.size(), limit) > 0) {
        interrupted_ = watched[1].revents != 0;
        return !interrupted_;
      }
    }
  }

  const std::string& path_;
  milliseconds timeout_;
  int interrupt_;
  bool interrupted_ = false;
  Clock::time_point deadline_;
  FileDescriptor socket_;
  std::string received_;
  std::size_t searched_ = 0;  // no newline before this place
};

tl::expected<boost::json::value, AdminError> result_of(const std::string& line) {
  boost::json::error_code error;
  boost::json::value answer = boost::json::parse(line, error);
  boost::json::object* object = answer.if_object();
  const boost::json::value* ok = object != nullptr ? object->if_contains("ok") : nullptr;
  if (error || ok == nullptr || !ok->is_bool()) {
    return unreachable("the answer is not steelyard's; is --socket the admin socket of a steelyard of this version?");
  }
  if (ok->get_bool()) {
    return std::move((*object)["result"]);
  }
  const boost::json::value* message = object->if_contains("error");
  const bool worded = message != nullptr && message->is_string();
  return tl::unexpected(
      AdminError{AdminError::Kind::refused, worded ? std::string(message->get_string()) : "refused without a reason"});
}

}  // namespace

tl::expected<boost::json::value, AdminError> AdminClient::call(const boost::json::object& request) const {
  return stream(request, {});
}

tl::expected<boost::json::value, AdminError> AdminClient::stream(const boost::json::object& request,
                                                                 const Take& take) const {
  Call call(path_, timeout_, interrupt_);
  if (const int error = call.connect(); error != 0) {
    return tl::unexpected(no_connection(path_, error));
  }
  call.send(boost::json::serialize(request) + '\n');
  const auto answer = call.receive_line();
  if (!answer) {
    return tl::unexpected(answer.error());
  }
  auto result = result_of(*answer);
  if (!result || !take) {
    return result;
  }
  call.wait_for_ever();
  for (;;) {
    const auto line = call.receive_line();
    if (!line && line.error().kind == AdminError::Kind::interrupted) {
      call.stop();
      continue;
    }
    if (!line) {
      return tl::unexpected(line.error());
    }
    boost::json::error_code error;
    const boost::json::value parsed = boost::json::parse(*line, error);
    if (error || !parsed.is_object()) {
      return unreachable("a line of the answer is not steelyard's; are this program and the process of one version?");
    }
    if (!take(parsed.get_object()) || parsed.get_object().contains("end")) {
      return result;
    }
  }
}

}  // namespace steelyard::control
