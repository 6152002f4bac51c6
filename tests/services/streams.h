// The services that need no caller: echo (RFC 862), discard (RFC 863), and source, which a client asks for N octets by
// a line with that number (0: endless) and gets octet i = i mod 251. Worker only, but for making it.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "dataplane/worker/tcp_host.h"

namespace steelyard::test {

enum class Service : std::uint8_t { echo, discard, source };

class Streams {
 public:
  Streams(worker::TcpHost& host, const tcp::Settings& settings) : host_(host), settings_(settings) {}
  ~Streams();
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  void serve(Service service, std::uint16_t port);

  // From within the stack. False: the connection is nobody's here.
  [[nodiscard]] bool accepted(tcp::ConnectionId connection, tcp::ListenerIndex listener);
  [[nodiscard]] bool deliver(tcp::ConnectionId connection, const tcp::Slice& slice);
  [[nodiscard]] bool notify(tcp::ConnectionId connection, tcp::Event event);
  [[nodiscard]] bool over(tcp::ConnectionId connection);

  // Moves what can be moved; how many connections that were.
  std::size_t turn(tcp::Time now);

 private:
  struct Stream {
    tcp::ConnectionId id;
    Service service = Service::echo;
    tcp::SliceQueue received;
    bool peer_finished = false;
    bool finished = false;  // we have sent our FIN
    bool queued = false;    // in ready_
    bool broken = false;    // an octet found no node
    bool asked = false;     // source: the line is complete
    bool endless = false;
    std::uint64_t wanted = 0;  // source: octets
    std::uint64_t sent = 0;
  };

  [[nodiscard]] Stream* of(tcp::ConnectionId connection);
  void wake(Stream& stream);
  void echo(Stream& stream, tcp::Time now);
  void discard(Stream& stream, tcp::Time now);
  void source(Stream& stream, tcp::Time now);
  void drain(Stream& stream, tcp::Time now);
  void finish(Stream& stream, tcp::Time now);

  worker::TcpHost& host_;
  const tcp::Settings& settings_;
  std::unordered_map<tcp::ListenerIndex, Service> listeners_;
  std::unordered_map<std::uint32_t, Stream> streams_;  // by the connection's index
  std::vector<std::uint32_t> ready_;
  nic::Packet pattern_;
};

}  // namespace steelyard::test
