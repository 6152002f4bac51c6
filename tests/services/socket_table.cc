#include "tests/services/socket_table.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/services/options.h"

namespace steelyard::test {

SocketTable::~SocketTable() {
  for (auto& [number, socket] : sockets_) {
    socket->received.clear(host_.memory());
  }
}

Socket& SocketTable::add(std::uint64_t client) {
  const std::uint32_t number = next_number_++;
  auto socket = std::make_unique<Socket>();
  socket->number = number;
  socket->client = client;
  return *sockets_.emplace(number, std::move(socket)).first->second;
}

Socket* SocketTable::find(std::uint32_t number) {
  const auto found = sockets_.find(number);
  return found == sockets_.end() ? nullptr : found->second.get();
}

Socket* SocketTable::of(tcp::ConnectionId connection) {
  const auto found = by_connection_.find(connection.index);
  Socket* socket = found == by_connection_.end() ? nullptr : find(found->second);
  return socket != nullptr && socket->id == connection ? socket : nullptr;
}

void SocketTable::bind(Socket& socket, tcp::ConnectionId id) {
  socket.id = id;
  by_connection_[id.index] = socket.number;
  if (const tcp::Endpoints* endpoints = host_.stack().endpoints_of(id); endpoints != nullptr) {
    socket.endpoints = *endpoints;
  }
}

bool SocketTable::accepted(tcp::ConnectionId connection, tcp::ListenerIndex listener) {
  const auto found = std::ranges::find_if(sockets_, [listener](const auto& entry) {
    return entry.second->listening && entry.second->listener == listener;
  });
  if (found == sockets_.end()) {
    return false;
  }
  Socket& listening = *found->second;
  Socket& socket = add(listening.client);
  socket.settings = std::make_shared<tcp::Settings>(*listening.settings);
  socket.linger = listening.linger;
  bind(socket, connection);
  listening.waiting_accepted.push_back(socket.number);
  fresh_.push_back(socket.number);
  return true;
}

bool SocketTable::deliver(tcp::ConnectionId connection, const tcp::Slice& slice) {
  Socket* socket = of(connection);
  if (socket == nullptr) {
    return false;
  }
  if (!socket->received.push(host_.memory(), slice)) {
    worker::TcpHost::release(slice);
    broken_.push_back(socket->number);
    return true;
  }
  host_.compact(socket->received);
  if (socket->read_shut) {
    unwanted_.push_back(socket->number);
  }
  return true;
}

bool SocketTable::notify(tcp::ConnectionId connection, tcp::Event event) {
  Socket* socket = of(connection);
  if (socket == nullptr) {
    return false;
  }
  socket->connected = socket->connected || event == tcp::Event::established;
  socket->peer_finished = socket->peer_finished || event == tcp::Event::peer_finished;
  return true;
}

bool SocketTable::over(tcp::ConnectionId connection, tcp::Cause cause) {
  Socket* socket = of(connection);
  if (socket == nullptr) {
    return false;
  }
  by_connection_.erase(connection.index);
  socket->cause = cause;
  ended_.push_back(socket->number);
  return true;
}

void SocketTable::remove_if_done(std::uint32_t number) {
  Socket* socket = find(number);
  if (socket == nullptr || !socket->closed || !socket->over() || !socket->waiting.empty()) {
    return;
  }
  drain(*socket, tcp::Time{});
  sockets_.erase(number);
}

// Throws away what has been received.
void SocketTable::drain(Socket& socket, tcp::Time now) {
  const std::uint32_t octets = socket.received.octets();
  socket.received.clear(host_.memory());
  host_.stack().consume(socket.id, octets, now);
}

void SocketTable::begin(Call& call, tcp::Time now) {
  if (call.timeout) {
    call.deadline = now + *call.timeout;
  }
  if (attempt(call, now) == Progress::done) {
    finished_.push_back(&call);
    remove_if_done(call.socket);
    return;
  }
  ++waiting_;
  find(call.socket)->waiting.push_back(&call);
}

// An accepted socket has had its listener's settings until now, and the listener may be closed by the next call.
void SocketTable::settle(tcp::Time now) {
  for (const std::uint32_t number : std::exchange(fresh_, {})) {
    if (Socket* socket = find(number); socket != nullptr && !socket->over()) {
      host_.stack().change_settings(socket->id, *socket->settings, now);
    }
  }
}

std::size_t SocketTable::turn(tcp::Time now) {
  for (const std::uint32_t number : std::exchange(unwanted_, {})) {
    if (Socket* socket = find(number); socket != nullptr) {
      drain(*socket, now);
    }
  }
  for (const std::uint32_t number : std::exchange(broken_, {})) {
    if (const Socket* socket = find(number); socket != nullptr) {
      host_.stack().abort(socket->id, now);  // an octet is missing
    }
  }
  const std::size_t before = finished_.size();
  if (waiting_ != 0) {
    for (auto& [number, socket] : sockets_) {
      for (std::size_t place = 0; place < socket->waiting.size();) {
        Call& call = *socket->waiting[place];
        Progress progress = attempt(call, *socket, now);
        if (progress == Progress::waits && call.deadline && *call.deadline <= now) {
          call.fail("timed_out");
          call.has_received = !call.received.empty();
          call.numbers["count"] = static_cast<std::int64_t>(call.written);
          progress = Progress::done;
        }
        if (progress == Progress::waits) {
          ++place;
          continue;
        }
        socket->waiting.erase(socket->waiting.begin() + static_cast<std::ptrdiff_t>(place));
        --waiting_;
        finished_.push_back(&call);
        ended_.push_back(number);
      }
    }
  }
  for (const std::uint32_t number : std::exchange(ended_, {})) {
    remove_if_done(number);
  }
  return finished_.size() - before;
}

SocketTable::Progress SocketTable::attempt(Call& call, tcp::Time now) {
  switch (call.operation) {
    case Operation::listen:
      do_listen(call);
      return Progress::done;
    case Operation::connect:
      do_connect(call, now);
      return call.error.empty() && call.blocking ? Progress::waits : Progress::done;
    case Operation::counters:
      do_counters(call);
      return Progress::done;
    case Operation::cancel:
      do_cancel(call, now);
      return Progress::done;
    default:
      break;
  }
  Socket* socket = find(call.socket);
  if (socket == nullptr || (socket->closed && call.operation != Operation::close)) {
    call.fail("no_such_socket");
    return Progress::done;
  }
  return attempt(call, *socket, now);
}

SocketTable::Progress SocketTable::attempt(Call& call, Socket& socket, tcp::Time now) {
  if (socket.closed && call.operation != Operation::close) {
    call.fail("closed");
    return Progress::done;
  }
  switch (call.operation) {
    case Operation::accept:
      return do_accept(call, socket);
    case Operation::connect:
      if (socket.over()) {
        call.fail(name_of(*socket.cause));
      } else if (!socket.connected) {
        return Progress::waits;
      }
      return Progress::done;
    case Operation::read:
      return do_read(call, socket, now);
    case Operation::write:
      return do_write(call, socket, now);
    case Operation::shutdown:
      do_shutdown(call, socket, now);
      return Progress::done;
    case Operation::close:
      return do_close(call, socket, now);
    case Operation::abort:
      socket.linger = tcp::Duration{0};
      return do_close(call, socket, now);
    case Operation::set_option:
      do_set_option(call, socket, now);
      return Progress::done;
    case Operation::get_option:
      do_get_option(call, socket);
      return Progress::done;
    case Operation::info:
      do_info(call, socket);
      return Progress::done;
    case Operation::wait:
      return do_wait(call, socket);
    case Operation::listen:
    case Operation::counters:
    case Operation::cancel:
      break;
  }
  return Progress::done;
}

SocketTable::Progress SocketTable::would_block(Call& call) const {
  if (call.blocking) {
    return Progress::waits;
  }
  call.fail("would_block");
  return Progress::done;
}

SocketTable::Progress SocketTable::do_read(Call& call, Socket& socket, tcp::Time now) {
  if (socket.listening) {
    call.fail("not_connected");
    return Progress::done;
  }
  take(call, socket, now);
  const bool enough = call.received.size() == call.count || (!call.exactly && !call.received.empty());
  if (!enough && !socket.at_end()) {
    return would_block(call);
  }
  if (call.received.empty() && call.count != 0 && socket.failed()) {
    call.fail(name_of(*socket.cause));
    return Progress::done;
  }
  call.has_received = true;
  call.numbers["end"] = call.received.empty() && call.count != 0 ? 1 : 0;
  return Progress::done;
}

// Moves what a read may have into its answer.
void SocketTable::take(Call& call, Socket& socket, tcp::Time now) {
  const std::size_t before = call.received.size();
  while (call.received.size() < call.count && !socket.received.empty()) {
    const tcp::Slice& slice = socket.received.front(host_.memory());
    const auto length = std::min(slice.length, static_cast<std::uint32_t>(call.count - call.received.size()));
    call.received.append(reinterpret_cast<const char*>(worker::TcpHost::data_of(slice)), length);
    socket.received.trim(host_.memory(), length);
  }
  const std::size_t taken = call.received.size() - before;
  host_.stack().consume(socket.id, static_cast<std::uint32_t>(taken), now);
}

bool SocketTable::writable(const Socket& socket) const {
  const tcp::Connection* connection = host_.stack().find(socket.id);
  return connection != nullptr && connection->writable(*socket.settings) != 0;
}

std::uint32_t SocketTable::write_some(Socket& socket, const std::string& data, std::size_t from, tcp::Time now) {
  const std::uint32_t room = host_.stack().find(socket.id)->writable(*socket.settings);
  nic::Packet buffer = host_.payload().allocate();
  if (!buffer) {
    return 0;
  }
  const std::size_t length =
      std::min({data.size() - from, std::size_t{room}, std::size_t{rte_pktmbuf_tailroom(buffer.get())}});
  std::memcpy(rte_pktmbuf_append(buffer.get(), static_cast<std::uint16_t>(length)), data.data() + from, length);
  const tcp::Slice slice = worker::TcpHost::slice_of(buffer.get());
  if (host_.stack().send(socket.id, std::span{&slice, 1}, now) == 0) {
    return 0;
  }
  static_cast<void>(buffer.release());  // the stack's now
  return static_cast<std::uint32_t>(length);
}

SocketTable::Progress SocketTable::do_write(Call& call, Socket& socket, tcp::Time now) {
  if (socket.over() || socket.write_shut || socket.listening) {
    call.fail(socket.failed() ? name_of(*socket.cause) : socket.listening ? "not_connected" : "broken_pipe");
    call.numbers["count"] = static_cast<std::int64_t>(call.written);
    return Progress::done;
  }
  while (socket.connected && call.written < call.data.size() && writable(socket)) {
    const std::uint32_t taken = write_some(socket, call.data, call.written, now);
    if (taken == 0 || socket.over()) {
      break;
    }
    call.written += taken;
  }
  call.numbers["count"] = static_cast<std::int64_t>(call.written);
  if (call.written == call.data.size() || (call.written != 0 && !call.blocking)) {
    return Progress::done;
  }
  return would_block(call);
}

void SocketTable::do_shutdown(Call& call, Socket& socket, tcp::Time now) {
  if (socket.listening || !socket.connected) {
    call.fail("not_connected");
    return;
  }
  if (call.direction != Direction::write) {
    socket.read_shut = true;
    drain(socket, now);
  }
  if (call.direction != Direction::read) {
    socket.write_shut = true;
    host_.stack().shutdown(socket.id, now);
  }
}

void SocketTable::close(Socket& socket, tcp::Time now) {
  socket.closed = true;
  if (socket.listening) {
    host_.stack().stop_listening(socket.listener);
    socket.listening = false;
    socket.cause = tcp::Cause::finished;
    for (const std::uint32_t number : socket.waiting_accepted) {
      if (Socket* waiting = find(number); waiting != nullptr) {
        waiting->closed = true;
        host_.stack().abort(waiting->id, now);
      }
    }
    socket.waiting_accepted.clear();
  } else if (socket.linger && socket.linger->count() == 0) {
    host_.stack().abort(socket.id, now);
  } else {
    host_.stack().close(socket.id, now);
  }
}

// Without lingering it is done at once; what is queued goes out all the same.
SocketTable::Progress SocketTable::do_close(Call& call, Socket& socket, tcp::Time now) {
  if (!socket.closed) {
    close(socket, now);
    if (socket.linger && socket.linger->count() > 0 && !call.deadline) {
      call.deadline = now + *socket.linger;
    }
  }
  const tcp::Connection* connection = host_.stack().find(socket.id);
  const bool acknowledged = connection == nullptr || connection->report(*socket.settings).unacknowledged == 0;
  if (socket.over() || !socket.linger || acknowledged || !call.blocking) {
    ended_.push_back(socket.number);
    return Progress::done;
  }
  return Progress::waits;
}

void SocketTable::do_cancel(Call& call, tcp::Time now) {
  for (auto& [number, socket] : sockets_) {
    if (socket->client == call.client && !socket->closed) {
      socket->linger = tcp::Duration{0};
      close(*socket, now);
      ended_.push_back(number);
    }
  }
}

}  // namespace steelyard::test
