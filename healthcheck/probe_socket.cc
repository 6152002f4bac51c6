// See the header. What connect() and send() refuse on the spot never reached the network (no route, no free port, a
// local firewall rule): a local error. What arrives later by SO_ERROR came from the network: the server's failure.
#include "healthcheck/probe_socket.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <system_error>

namespace steelyard::healthcheck {
namespace {

template <typename Value>
int set_option(int descriptor, int level, int name, const Value& value) {
  return ::setsockopt(descriptor, level, name, &value, sizeof value) == 0 ? 0 : errno;
}

std::string error_text(int error) {
  return std::generic_category().message(error);
}

// Running out of memory shows up late as well, but is never the server's doing.
bool is_ours(int error) {
  return error == ENOBUFS || error == ENOMEM;
}

std::string duration_text(std::chrono::milliseconds duration) {
  const auto count = duration.count();
  return count % 1000 == 0 ? std::to_string(count / 1000) + " s" : std::to_string(count) + " ms";
}

}  // namespace

tl::expected<ProbeSocket, ProbeResult> ProbeSocket::open(const ProbeSpec& spec) {
  const int type = (spec.type == ProbeType::udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
  ProbeSocket result(::socket(spec.address.is_v6() ? AF_INET6 : AF_INET, type, 0));
  if (result.descriptor_ < 0)
    return tl::unexpected(local_error("socket", errno));
  const char* what = "";
  if (const int error = result.prepare(spec, what); error != 0)
    return tl::unexpected(local_error(what, error));

  // One endpoint type serves TCP and UDP: only the address in it is used.
  const boost::asio::ip::tcp::endpoint server(spec.address, spec.port);
  if (::connect(result.descriptor_, server.data(), static_cast<socklen_t>(server.size())) != 0 &&
      errno != EINPROGRESS) {
    const int error = errno;
    return tl::unexpected(error == ECONNREFUSED ? connection_failure(error) : local_error("connect", error));
  }
  return result;
}

int ProbeSocket::prepare(const ProbeSpec& spec, const char*& what) const {
  if (!spec.interface.empty()) {
    what = "bind to interface";
    if (spec.interface.size() >= IFNAMSIZ)  // the kernel would cut it off silently
      return ENODEV;
    if (::setsockopt(descriptor_, SOL_SOCKET, SO_BINDTODEVICE, spec.interface.data(),
                     static_cast<socklen_t>(spec.interface.size())) != 0) {
      return errno;
    }
  }
  if (!spec.source.is_unspecified()) {
    what = "bind to source address";
    // The port is chosen at connect(), where only the whole 4-tuple must be free. Without it the bind still works.
    static_cast<void>(set_option(descriptor_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, int{1}));
    const boost::asio::ip::tcp::endpoint source(spec.source, 0);
    if (::bind(descriptor_, source.data(), static_cast<socklen_t>(source.size())) != 0)
      return errno;
  }
  if (spec.type != ProbeType::udp) {
    what = "linger";
    return set_option(descriptor_, SOL_SOCKET, SO_LINGER, linger{.l_onoff = 1, .l_linger = 0});
  }
  // Without it the kernel reports port unreachable only, and a server that is off (host unreachable) would look
  // healthy.
  what = "receive ICMP errors";
  return spec.address.is_v6() ? set_option(descriptor_, IPPROTO_IPV6, IPV6_RECVERR, int{1})
                              : set_option(descriptor_, IPPROTO_IP, IP_RECVERR, int{1});
}

int ProbeSocket::take_error() const {
  int error = 0;
  socklen_t length = sizeof error;
  return ::getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

int ProbeSocket::send(std::span<const char> bytes) const {
  const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent < 0)
    return errno;
  // A few hundred bytes always fit into a fresh socket's buffer.
  return static_cast<std::size_t>(sent) == bytes.size() ? 0 : ENOBUFS;
}

ProbeSocket::Received ProbeSocket::receive(std::span<char> buffer) const {
  const ssize_t length = ::recv(descriptor_, buffer.data(), buffer.size(), 0);
  if (length < 0)
    return {.error = errno};
  return {.length = static_cast<std::size_t>(length)};
}

void ProbeSocket::close() {
  if (descriptor_ >= 0)
    ::close(std::exchange(descriptor_, -1));
}

ProbeResult connection_failure(int error) {
  if (is_ours(error))
    return local_error("connection", error);
  switch (error) {
    case ECONNREFUSED:
      return {.reason = "connection refused"};
    case ECONNRESET:
    case EPIPE:
      return {.reason = "connection reset"};
    case EHOSTUNREACH:
      return {.reason = "host unreachable"};
    case ENETUNREACH:
      return {.reason = "network unreachable"};
    default:
      return {.reason = "connection failed: " + error_text(error)};
  }
}

ProbeResult icmp_failure(int error) {
  if (is_ours(error))
    return local_error("receive", error);
  switch (error) {
    case ECONNREFUSED:
      return {.reason = "ICMP port unreachable"};
    case EHOSTUNREACH:
      return {.reason = "ICMP host unreachable"};
    case ENETUNREACH:
      return {.reason = "ICMP network unreachable"};
    default:
      return {.reason = "ICMP error: " + error_text(error)};
  }
}

ProbeResult local_error(const char* step, int error) {
  return {.outcome = ProbeOutcome::local_error,
          .reason = std::string("cannot probe: ") + step + ": " + error_text(error)};
}

ProbeResult timeout_failure(const ProbeSpec& spec, const char* detail) {
  return {.reason = "timeout after " + duration_text(spec.timeout) + detail};
}

}  // namespace steelyard::healthcheck
