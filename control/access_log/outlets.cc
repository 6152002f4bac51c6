#include "control/access_log/outlets.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <ctime>
#include <utility>

namespace steelyard::control::access_log {
namespace {

using Taken = Outlet::Taken;

std::error_code last_error() {
  return {errno, std::generic_category()};
}
bool would_wait(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR || error == ENOBUFS;
}

// A pipe that can be written to takes PIPE_BUF octets at once (pipe(7)); for others it is a small piece.
tl::expected<Taken, std::error_code> write_without_waiting(int descriptor, std::string_view lines, std::size_t most) {
  pollfd asked{descriptor, POLLOUT, 0};
  if (::poll(&asked, 1, 0) == 0) {
    return Taken{};
  }
  if ((asked.revents & POLLERR) != 0) {  // nobody reads it: no signal for that
    return tl::unexpected(std::make_error_code(std::errc::broken_pipe));
  }
  const ssize_t written = ::write(descriptor, lines.data(), std::min(lines.size(), most));
  if (written >= 0) {
    return Taken{static_cast<std::size_t>(written), 0};
  }
  if (would_wait(errno)) {
    return Taken{};
  }
  return tl::unexpected(last_error());
}

class Stream final : public Outlet {
 public:
  explicit Stream(int descriptor) : descriptor_(descriptor) {}
  tl::expected<Taken, std::error_code> take(std::string_view lines) override {
    return write_without_waiting(descriptor_, lines, PIPE_BUF);
  }
  std::error_code reopen() override { return {}; }

 private:
  int descriptor_;
};

class File final : public Outlet {
 public:
  explicit File(std::string path) : path_(std::move(path)) {}
  tl::expected<Taken, std::error_code> take(std::string_view lines) override {
    return write_without_waiting(descriptor_.get(), lines, most_at_once);
  }
  std::error_code reopen() override {
    // Without waiting for the other end of a named pipe.
    FileDescriptor opened(
        ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640));
    if (!opened.valid()) {
      return last_error();
    }
    descriptor_ = std::move(opened);
    return {};
  }

 private:
  static constexpr std::size_t most_at_once = 65'536;
  std::string path_;
  FileDescriptor descriptor_;
};

class Syslog final : public Outlet {
 public:
  explicit Syslog(SyslogSetup setup) : setup_(std::move(setup)) {}

  tl::expected<Taken, std::error_code> take(std::string_view lines) override {
    if (!socket_.valid()) {
      if (const std::error_code error = connect()) {
        return tl::unexpected(error);
      }
    }
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    const std::size_t octets = std::min(end + 1, lines.size());
    int error = send(lines.substr(0, end));
    if (error == ECONNREFUSED || error == ENOTCONN || error == ECONNRESET ||
        error == EPIPE) {  // another daemon is there
      if (const std::error_code failed = connect()) {
        return tl::unexpected(failed);
      }
      error = send(lines.substr(0, end));
    }
    if (error == 0) {
      return Taken{octets, 0};
    }
    if (would_wait(error)) {
      return Taken{};
    }
    if (error == EMSGSIZE) {
      return Taken{octets, 1};
    }
    socket_ = FileDescriptor();
    return tl::unexpected(std::error_code(error, std::generic_category()));
  }
  std::error_code reopen() override { return connect(); }

 private:
  std::error_code connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (setup_.path.size() >= sizeof address.sun_path) {
      return std::make_error_code(std::errc::filename_too_long);
    }
    std::ranges::copy(setup_.path, address.sun_path);
    FileDescriptor opened(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!opened.valid() || ::connect(opened.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return last_error();
    }
    socket_ = std::move(opened);
    return {};
  }

  // 0, or what errno says.
  int send(std::string_view text) {
    constexpr unsigned informational = 6;
    const std::time_t now = std::chrono::system_clock::to_time_t(setup_.now());
    std::tm local{};
    ::localtime_r(&now, &local);
    std::array<char, 32> time{};
    const std::size_t time_length = std::strftime(time.data(), time.size(), "%b %e %H:%M:%S ", &local);
    const unsigned priority = static_cast<unsigned>(setup_.facility) * 8 + informational;
    std::string message = '<' + std::to_string(priority) + '>';
    message.append(time.data(), time_length);
    message += setup_.tag + "[" + std::to_string(::getpid()) + "]: ";
    message += text;
    return ::send(socket_.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ? 0 : errno;
  }

  SyslogSetup setup_;
  FileDescriptor socket_;
};

}  // namespace

tl::expected<std::unique_ptr<Outlet>, std::error_code> open_file(const std::string& path) {
  auto file = std::make_unique<File>(path);
  if (const std::error_code error = file->reopen()) {
    return tl::unexpected(error);
  }
  return std::unique_ptr<Outlet>(std::move(file));
}

std::unique_ptr<Outlet> make_stream(int descriptor) {
  return std::make_unique<Stream>(descriptor);
}

std::unique_ptr<Outlet> make_syslog(SyslogSetup setup) {
  return std::make_unique<Syslog>(std::move(setup));
}

}  // namespace steelyard::control::access_log
