#include "tests/services/streams.h"

#include <algorithm>
#include <array>
#include <utility>

namespace steelyard::test {
namespace {

constexpr std::uint32_t period = 251;
constexpr std::uint32_t slice_size = 1'400;
constexpr std::size_t slices_a_turn = 64;

}  // namespace

Streams::~Streams() {
  for (auto& [index, stream] : streams_) {
    stream.received.clear(host_.memory());
  }
}

void Streams::serve(Service service, std::uint16_t port) {
  listeners_[host_.stack().listen({}, port, settings_)] = service;
  if (service == Service::source && !pattern_) {
    pattern_ = host_.payload().allocate();
    auto* octets = rte_pktmbuf_append(pattern_.get(), period + slice_size);
    for (std::uint32_t place = 0; place < period + slice_size; ++place) {
      octets[place] = static_cast<char>(place % period);
    }
  }
}

Streams::Stream* Streams::of(tcp::ConnectionId connection) {
  const auto found = streams_.find(connection.index);
  return found != streams_.end() && found->second.id == connection ? &found->second : nullptr;
}

void Streams::wake(Stream& stream) {
  if (!std::exchange(stream.queued, true)) {
    ready_.push_back(stream.id.index);
  }
}

bool Streams::accepted(tcp::ConnectionId connection, tcp::ListenerIndex listener) {
  const auto service = listeners_.find(listener);
  if (service == listeners_.end()) {
    return false;
  }
  Stream& stream = streams_[connection.index];
  stream = Stream{};
  stream.id = connection;
  stream.service = service->second;
  return true;
}

bool Streams::deliver(tcp::ConnectionId connection, const tcp::Slice& slice) {
  Stream* stream = of(connection);
  if (stream == nullptr) {
    return false;
  }
  if (stream->received.push(host_.memory(), slice)) {
    host_.compact(stream->received);
  } else {
    worker::TcpHost::release(slice);
    stream->broken = true;
  }
  wake(*stream);
  return true;
}

bool Streams::notify(tcp::ConnectionId connection, tcp::Event event) {
  Stream* stream = of(connection);
  if (stream == nullptr) {
    return false;
  }
  stream->peer_finished = stream->peer_finished || event == tcp::Event::peer_finished;
  wake(*stream);
  return true;
}

bool Streams::over(tcp::ConnectionId connection) {
  Stream* stream = of(connection);
  if (stream == nullptr) {
    return false;
  }
  stream->received.clear(host_.memory());
  streams_.erase(connection.index);
  return true;
}

std::size_t Streams::turn(tcp::Time now) {
  const std::vector<std::uint32_t> ready = std::exchange(ready_, {});
  for (const std::uint32_t index : ready) {
    const auto found = streams_.find(index);
    if (found == streams_.end()) {
      continue;
    }
    // A call of the stack may end the connection, and with it the stream.
    Stream& stream = found->second;
    stream.queued = false;
    if (stream.broken) {
      host_.stack().abort(stream.id, now);
      continue;
    }
    switch (stream.service) {
      case Service::echo:
        echo(stream, now);
        break;
      case Service::discard:
        discard(stream, now);
        break;
      case Service::source:
        source(stream, now);
        break;
    }
  }
  return ready.size();
}

// The window opens as the other side takes what has come: a reader that stalls stops its own sender.
void Streams::echo(Stream& stream, tcp::Time now) {
  const tcp::ConnectionId id = stream.id;
  std::uint32_t moved = 0;
  while (of(id) != nullptr && !stream.received.empty()) {
    const tcp::Slice slice = stream.received.front(host_.memory());
    worker::TcpHost::retain(slice);
    if (host_.stack().send(id, std::span{&slice, 1}, now) == 0) {
      worker::TcpHost::release(slice);
      break;
    }
    moved += slice.length;
    if (of(id) != nullptr) {
      stream.received.trim(host_.memory(), slice.length);
    }
  }
  host_.stack().consume(id, moved, now);
  if (of(id) != nullptr && stream.received.empty() && stream.peer_finished) {
    finish(stream, now);
  }
}

void Streams::discard(Stream& stream, tcp::Time now) {
  const tcp::ConnectionId id = stream.id;
  drain(stream, now);
  if (of(id) != nullptr && stream.peer_finished) {
    finish(stream, now);
  }
}

void Streams::drain(Stream& stream, tcp::Time now) {
  const std::uint32_t octets = stream.received.octets();
  stream.received.clear(host_.memory());
  host_.stack().consume(stream.id, octets, now);
}

void Streams::finish(Stream& stream, tcp::Time now) {
  if (!std::exchange(stream.finished, true)) {
    host_.stack().shutdown(stream.id, now);
  }
}

void Streams::source(Stream& stream, tcp::Time now) {
  std::uint32_t read = 0;
  const tcp::ConnectionId id = stream.id;
  while (!stream.received.empty()) {
    const tcp::Slice slice = stream.received.front(host_.memory());
    for (std::uint32_t place = 0; place < slice.length && !stream.asked; ++place) {
      const std::uint8_t octet = worker::TcpHost::data_of(slice)[place];
      stream.asked = octet == '\n';
      if (octet >= '0' && octet <= '9') {
        stream.wanted = stream.wanted * 10 + (octet - '0');
      }
      stream.endless = stream.asked && stream.wanted == 0;
    }
    read += slice.length;
    stream.received.trim(host_.memory(), slice.length);
  }
  host_.stack().consume(id, read, now);
  for (std::size_t count = 0; stream.asked && of(id) != nullptr; ++count) {
    const std::uint64_t left = stream.endless ? slice_size : stream.wanted - stream.sent;
    if (left == 0) {
      return finish(stream, now);
    }
    if (count == slices_a_turn) {
      return wake(stream);
    }
    tcp::Slice slice = worker::TcpHost::slice_of(pattern_.get());
    slice = slice.from(static_cast<std::uint32_t>(stream.sent % period))
                .first(static_cast<std::uint32_t>(std::min<std::uint64_t>(left, slice_size)));
    worker::TcpHost::retain(slice);
    const std::uint32_t length = slice.length;
    if (host_.stack().send(id, std::span{&slice, 1}, now) == 0) {
      worker::TcpHost::release(slice);
      return;
    }
    if (of(id) != nullptr) {
      stream.sent += length;
    }
  }
  if (of(id) != nullptr && stream.peer_finished) {
    finish(stream, now);
  }
}

}  // namespace steelyard::test
