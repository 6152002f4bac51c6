// The sockets of the control channel on the worker: carries calls out and keeps those that block until they can be
// answered. Worker only, but for making it.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "dataplane/worker/tcp_host.h"
#include "tests/services/socket.h"

namespace steelyard::test {

class SocketTable {
 public:
  // `defaults`: of sockets whose call says nothing else.
  SocketTable(worker::TcpHost& host, const tcp::Settings& defaults) : host_(host), defaults_(defaults) {}
  ~SocketTable();
  SocketTable(const SocketTable&) = delete;
  SocketTable& operator=(const SocketTable&) = delete;

  // From within the stack. False: the connection is nobody's here.
  [[nodiscard]] bool accepted(tcp::ConnectionId connection, tcp::ListenerIndex listener);
  [[nodiscard]] bool deliver(tcp::ConnectionId connection, const tcp::Slice& slice);
  [[nodiscard]] bool notify(tcp::ConnectionId connection, tcp::Event event);
  [[nodiscard]] bool over(tcp::ConnectionId connection, tcp::Cause cause);

  // Once a turn, before its calls: looks after sockets that have been accepted since.
  void settle(tcp::Time now);
  // A call has come; it is done at once or waits.
  void begin(Call& call, tcp::Time now);
  // Looks after what waits. Returns how many calls it has finished.
  std::size_t turn(tcp::Time now);
  // Calls with an answer, for whoever takes them away.
  [[nodiscard]] std::vector<Call*>& finished() { return finished_; }

 private:
  enum class Progress : std::uint8_t { done, waits };

  [[nodiscard]] Progress attempt(Call& call, tcp::Time now);
  [[nodiscard]] Progress attempt(Call& call, Socket& socket, tcp::Time now);
  [[nodiscard]] std::shared_ptr<tcp::Settings> settings_of(Call& call) const;
  void do_listen(Call& call);
  void do_connect(Call& call, tcp::Time now);
  [[nodiscard]] Progress do_accept(Call& call, Socket& socket);
  [[nodiscard]] Progress do_read(Call& call, Socket& socket, tcp::Time now);
  void take(Call& call, Socket& socket, tcp::Time now);
  [[nodiscard]] Progress do_write(Call& call, Socket& socket, tcp::Time now);
  [[nodiscard]] Progress do_close(Call& call, Socket& socket, tcp::Time now);
  void do_shutdown(Call& call, Socket& socket, tcp::Time now);
  void do_set_option(Call& call, Socket& socket, tcp::Time now);
  void do_get_option(Call& call, const Socket& socket) const;
  void do_info(Call& call, const Socket& socket) const;
  [[nodiscard]] Progress do_wait(Call& call, const Socket& socket) const;
  void do_counters(Call& call);
  void do_cancel(Call& call, tcp::Time now);

  [[nodiscard]] Progress would_block(Call& call) const;
  void drain(Socket& socket, tcp::Time now);
  void close(Socket& socket, tcp::Time now);
  void remove_if_done(std::uint32_t number);
  [[nodiscard]] bool writable(const Socket& socket) const;
  [[nodiscard]] std::uint32_t write_some(Socket& socket, const std::string& data, std::size_t from, tcp::Time now);
  Socket& add(std::uint64_t client);
  [[nodiscard]] Socket* find(std::uint32_t number);
  [[nodiscard]] Socket* of(tcp::ConnectionId connection);
  void bind(Socket& socket, tcp::ConnectionId id);

  worker::TcpHost& host_;
  tcp::Settings defaults_;
  std::uint32_t next_number_ = 1;
  std::unordered_map<std::uint32_t, std::unique_ptr<Socket>> sockets_;
  std::unordered_map<std::uint32_t, std::uint32_t> by_connection_;  // its index -> number
  std::vector<std::uint32_t> fresh_;                                // accepted, without settings of their own yet
  std::vector<std::uint32_t> ended_;                                // may be removable
  std::vector<std::uint32_t> broken_;                               // have lost what found no node
  std::vector<std::uint32_t> unwanted_;                             // have received what nobody will read
  std::vector<Call*> finished_;
  std::size_t waiting_ = 0;
};

// "reset_by_peer" and the like, as answers say it.
[[nodiscard]] const char* name_of(tcp::Cause cause);

}  // namespace steelyard::test
