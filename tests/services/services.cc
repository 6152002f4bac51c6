#include "tests/services/services.h"

#include <array>

namespace steelyard::test {
namespace {

// A call for each of ten thousand sockets at once, while this process waits for its turn on a busy machine.
constexpr unsigned ring_size = 16'384;

}  // namespace

void Services::attach(worker::TcpHost& host) {
  calls_ = std::make_unique<CallRing>("calls", ring_size);
  answers_ = std::make_unique<CallRing>("answers", ring_size);
  sockets_.emplace(host, settings_);
  streams_.emplace(host, settings_);
  for (const auto& [service, port] :
       {std::pair{Service::echo, ports_.echo}, {Service::discard, ports_.discard}, {Service::source, ports_.source}}) {
    if (port != 0) {
      streams_->serve(service, port);
    }
  }
}

void Services::detach() {
  sockets_.reset();
  streams_.reset();
}

void Services::accepted(tcp::ConnectionId connection, tcp::ListenerIndex listener) {
  if (!streams_->accepted(connection, listener)) {
    static_cast<void>(sockets_->accepted(connection, listener));
  }
}

void Services::deliver(tcp::ConnectionId connection, const tcp::Slice& slice) {
  if (!streams_->deliver(connection, slice) && !sockets_->deliver(connection, slice)) {
    worker::TcpHost::release(slice);
  }
}

void Services::notify(tcp::ConnectionId connection, tcp::Event event) {
  if (!streams_->notify(connection, event)) {
    static_cast<void>(sockets_->notify(connection, event));
  }
}

void Services::over(tcp::ConnectionId connection, tcp::Cause cause) {
  if (!streams_->over(connection)) {
    static_cast<void>(sockets_->over(connection, cause));
  }
}

std::size_t Services::turn(tcp::Time now) {
  std::size_t done = streams_->turn(now);
  sockets_->settle(now);
  std::array<Call*, 16> calls;
  const unsigned count = calls_->pop(calls);
  for (unsigned place = 0; place < count; ++place) {
    sockets_->begin(*calls[place], now);
  }
  done += count + sockets_->turn(now);
  auto& finished = sockets_->finished();
  while (!finished.empty() && answers_->push(finished.back())) {
    finished.pop_back();
  }
  return done;
}

}  // namespace steelyard::test
