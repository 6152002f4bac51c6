// See the header.
#include "healthcheck/socket_prober.h"

#include <poll.h>

#include <boost/system/system_error.hpp>
#include <cerrno>
#include <utility>

namespace steelyard::healthcheck {
namespace {

int make_poll() {
  const int descriptor = ::epoll_create1(EPOLL_CLOEXEC);
  if (descriptor < 0)
    throw boost::system::system_error(errno, boost::system::system_category(), "epoll_create1");
  return descriptor;
}

// Whether a connect has ended or something can be read. A connecting socket is neither readable nor writable.
// EPOLLIN and EPOLLOUT have the values of POLLIN and POLLOUT.
bool is_ready(const ProbeSocket& socket, short events) {
  static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT);
  pollfd descriptor{.fd = socket.descriptor(), .events = events, .revents = 0};
  return ::poll(&descriptor, 1, 0) > 0;
}

}  // namespace

SocketProber::SocketProber(boost::asio::io_context& io, Timers& timers)
    : timers_(timers), poll_(io, make_poll()), self_(std::make_shared<SocketProber*>(this)) {}

SocketProber::~SocketProber() = default;

// A handle is generation << 32 | slot; it is what epoll gives back as well.
SocketProber::Slot* SocketProber::find(ProbeHandle handle) {
  const auto index = static_cast<std::uint32_t>(handle.value);
  if (index >= slots_.size())
    return nullptr;
  Slot& slot = slots_[index];
  return slot.spec != nullptr && slot.generation == handle.value >> 32U ? &slot : nullptr;
}

std::uint32_t SocketProber::take_slot() {
  if (free_.empty()) {
    const auto index = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back(index, [this, index] { on_timeout(index); });
    return index;
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  return index;
}

ProbeHandle SocketProber::start(const ProbeSpec& spec, Done done) {
  const std::uint32_t index = take_slot();
  Slot& slot = slots_[index];
  const ProbeHandle handle{(static_cast<std::uint64_t>(slot.generation) << 32U) | index};
  slot.spec = &spec;
  slot.done = std::move(done);
  slot.started = timers_.now();
  ++active_;
  slot.early = open(slot, handle);
  if (slot.early)
    slot.socket.close();
  timers_.arm(slot.timeout, slot.early ? slot.started : slot.started + spec.timeout);
  if (!waiting_)
    wait();
  return handle;
}

std::optional<ProbeResult> SocketProber::open(Slot& slot, ProbeHandle handle) {
  const ProbeSpec& spec = *slot.spec;
  switch (spec.type) {
    case ProbeType::tcp:
      slot.protocol.emplace<TcpProbe>();
      break;
    case ProbeType::http:
      slot.protocol.emplace<HttpProbe>(spec);
      break;
    case ProbeType::udp:
      slot.protocol.emplace<UdpProbe>();
      break;
  }
  auto socket = ProbeSocket::open(spec);
  if (!socket)
    return std::move(socket.error());
  slot.socket = std::move(*socket);
  const auto begun = std::visit([&](auto& protocol) { return protocol.begin(slot.socket, spec); }, slot.protocol);
  if (begun)
    return begun;
  epoll_event event{};
  event.events = std::visit([](const auto& protocol) { return protocol.events; }, slot.protocol);
  event.data.u64 = handle.value;
  if (::epoll_ctl(poll_.native_handle(), EPOLL_CTL_ADD, slot.socket.descriptor(), &event) != 0)
    return local_error("epoll_ctl", errno);
  return std::nullopt;
}

void SocketProber::cancel(ProbeHandle handle) {
  if (Slot* slot = find(handle))
    release(*slot);
}

// Waiting again re-arms Asio's edge-triggered registration, so sockets left over by the budget are found at once.
void SocketProber::wait() {
  waiting_ = true;
  poll_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                   [weak = std::weak_ptr(self_)](const boost::system::error_code& error) {
                     const auto self = weak.lock();
                     if (error || !self)
                       return;
                     (*self)->serve();
                   });
}

void SocketProber::serve() {
  waiting_ = true;  // start() must not wait as well while callbacks run
  std::array<epoll_event, turn_budget> events;
  const int ready = ::epoll_wait(poll_.native_handle(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < ready; ++i) {
    Slot* slot = find(ProbeHandle{events[static_cast<std::size_t>(i)].data.u64});
    // An earlier callback of this turn may have cancelled it, and the slot may serve another probe by now.
    if (slot == nullptr || slot->early)
      continue;
    auto result = std::visit([&](auto& protocol) { return protocol.on_ready(slot->socket, *slot->spec, scratch_); },
                             slot->protocol);
    if (result)
      finish(*slot, std::move(*result));
  }
  waiting_ = false;
  if (active_ != 0)
    wait();
}

void SocketProber::on_timeout(std::uint32_t index) {
  Slot& slot = slots_[index];
  if (slot.early) {
    finish(slot, *std::exchange(slot.early, std::nullopt));
    return;
  }
  // When this thread was held up, the answer may have come in time and wait in the socket: that is no failure.
  std::optional<ProbeResult> result;
  const auto interest = std::visit([](const auto& protocol) { return protocol.events; }, slot.protocol);
  if (is_ready(slot.socket, static_cast<short>(interest & (EPOLLIN | EPOLLOUT))))
    result =
        std::visit([&](auto& protocol) { return protocol.on_ready(slot.socket, *slot.spec, scratch_); }, slot.protocol);
  if (!result)
    result = std::visit([&](auto& protocol) { return protocol.on_timeout(*slot.spec); }, slot.protocol);
  finish(slot, std::move(*result));
}

// The slot is free before the callback runs: it may start the next probe.
void SocketProber::finish(Slot& slot, ProbeResult result) {
  result.duration = timers_.now() - slot.started;
  const Done done = std::move(slot.done);
  release(slot);
  done(std::move(result));
}

void SocketProber::release(Slot& slot) {
  slot.socket.close();
  slot.timeout.cancel();
  slot.spec = nullptr;
  slot.done = nullptr;
  slot.early.reset();
  ++slot.generation;
  --active_;
  free_.push_back(slot.index);
}

}  // namespace steelyard::healthcheck
