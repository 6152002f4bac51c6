// The PROXY protocol (haproxy's doc/proxy-protocol.txt): a header before all else on a connection, by which the proxy
// that has opened it tells whose connection it stands for. Version 1 is a line of text, version 2 is binary. Reading is
// for octets that came from a proxy that is trusted; nothing here guesses whether a header is there. Pure, allocates
// nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "dataplane/service/address.h"

namespace steelyard::http {

// Both ends of a client's connection. Ports in host order.
struct ClientAddresses {
  service::Address source;       // the client's
  service::Address destination;  // that it has connected to
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;

  friend bool operator==(const ClientAddresses&, const ClientAddresses&) = default;
};

// Section 2.1: "a 108-byte buffer is always enough", with a zero behind the line.
inline constexpr std::size_t most_proxy_line_octets = 107;
// The protocol means a header to fit into 536 octets, and its length says up to 65,551; nginx takes so many.
inline constexpr std::size_t most_proxy_header_octets = 4'096;

struct ProxyHeader {
  enum class State : std::uint8_t {
    complete,
    incomplete,  // what has come may be the beginning of one
    malformed,   // the connection is to be ended
  };
  State state = State::malformed;
  // complete: its length; what follows is the client's. incomplete: before so many have come there is no use in reading
  // again. At most most_proxy_header_octets.
  std::size_t octets = 0;
  // complete; nothing: the connection stands for itself (LOCAL), or for what has no addresses of ours (UNKNOWN, UNIX,
  // UDP, unspecified), and its own ends count.
  std::optional<ClientAddresses> addresses;
  const char* fault = "";  // malformed: a few words for tests
};

// `octets`: all that has come, or its beginning. Version 1 is taken in its canonical form alone, but for IPv6 addresses
// with a dotted end: proxies that listen to both families tell IPv4 clients so. Of version 2 the addresses of TCP are
// taken and a checksum (CRC32C) is verified where one is; other extensions are skipped.
[[nodiscard]] ProxyHeader read_proxy_header(std::span<const std::uint8_t> octets);

enum class ProxyVersion : std::uint8_t { v1, v2 };

// A header as we send it.
class ProxyPreface {
 public:
  ProxyPreface(ProxyVersion version, const ClientAddresses& client);
  [[nodiscard]] std::string_view view() const { return {octets_.data(), length_}; }

 private:
  std::array<char, most_proxy_line_octets> octets_{};
  std::size_t length_ = 0;
};

}  // namespace steelyard::http
