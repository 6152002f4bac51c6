#include "dataplane/nic/exception_thread.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <rte_errno.h>

namespace steelyard::nic {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// Packets that one ring or one TAP may have before it is the next one's turn.
constexpr std::size_t batch = 64;
// Sleeps between two looks at the rings. A timer's wake-up was measured at 17 microseconds of CPU in a virtual machine,
// so the shortest sleep decides what steady traffic costs: 100 microseconds are 7,000 wake-ups a second there.
constexpr auto shortest_sleep = 100us;
constexpr auto longest_sleep = 1ms;
// A quarter of the time since the last packet: an answer waits at most a quarter of what it took anyway.
constexpr int patience = 4;
// The kernel may be this late in waking a thread; its default of 50 microseconds would double the short sleep.
constexpr unsigned long timer_slack_nanoseconds = 1000;
// Longest chain of segments that is written; frames from a NIC have one to five.
constexpr std::size_t most_segments = 16;

timespec as_timespec(std::chrono::nanoseconds duration) {
  return {.tv_sec = duration / 1s, .tv_nsec = (duration % 1s).count()};
}

// Written by the exception thread alone, so a plain load and store will do.
class Counter {
 public:
  void add(std::uint64_t count) {
    value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

struct RingDeleter {
  void operator()(rte_ring* ring) const {
    void* packet = nullptr;
    while (rte_ring_sc_dequeue(ring, &packet) == 0) {
      rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
    }
    rte_ring_free(ring);
  }
};
using Ring = std::unique_ptr<rte_ring, RingDeleter>;

Result<Ring> make_ring(const std::string& name, std::uint32_t capacity) {
  Ring ring(rte_ring_create(name.c_str(), capacity, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ));
  if (ring == nullptr) {
    return failure(fmt::format("a ring of {} packets to or from the kernel cannot be made: {}", capacity,
                               rte_strerror(rte_errno)));
  }
  return ring;
}

bool write_frame(int tap, const rte_mbuf& packet) {
  std::array<iovec, most_segments> parts{};
  std::size_t count = 0;
  for (const rte_mbuf* segment = &packet; segment != nullptr; segment = segment->next) {
    if (count == parts.size()) {
      return false;
    }
    parts[count++] = {.iov_base = rte_pktmbuf_mtod(segment, void*), .iov_len = segment->data_len};
  }
  return ::writev(tap, parts.data(), static_cast<int>(count)) == static_cast<ssize_t>(packet.pkt_len);
}

// A tenth of a second's worth: what a burst of neighbours or a routing protocol's hello may take at once.
std::uint32_t burst_for(std::uint32_t rate) {
  return std::max<std::uint32_t>(rate / 10, 1);
}

}  // namespace

struct ExceptionThread::ReadResult {
  rte_mbuf* packet = nullptr;
  bool more = false;  // false: nothing is left to read
};

// One interface as the thread serves it.
struct ExceptionThread::Lane {
  Lane(ExceptionAttachment attachment, const ExceptionThreadSettings& settings, Clock::time_point now)
      : interface(std::move(attachment.interface)),
        first_worker(attachment.first_worker),
        to_kernel_bucket(settings.to_kernel_rate, burst_for(settings.to_kernel_rate), now),
        from_kernel_bucket(settings.from_kernel_rate, burst_for(settings.from_kernel_rate), now) {}
  ~Lane() { rte_pktmbuf_free_bulk(spare.data(), static_cast<unsigned>(spares)); }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  [[nodiscard]] int descriptor() const { return gone ? -1 : interface.descriptor(); }

  // Reads one frame into a spare buffer, or throws it away and counts why.
  ReadResult read_frame() {
    if (spares == 0) {
      char nowhere = 0;  // the kernel cuts a frame to the room it is given
      if (::read(interface.descriptor(), &nowhere, sizeof(nowhere)) < 0) {
        return read_failed();
      }
      counters.from_kernel_no_buffer.add(1);
      return {.more = true};
    }
    rte_mbuf* packet = spare[spares - 1];
    const std::uint16_t room = rte_pktmbuf_tailroom(packet);
    const ssize_t length = ::read(interface.descriptor(), rte_pktmbuf_mtod(packet, void*), room);
    if (length < 0) {
      return read_failed();
    }
    // A frame that fills the buffer may have been cut.
    if (length >= room) {
      counters.from_kernel_oversized.add(1);
      return {.more = true};
    }
    packet->data_len = static_cast<std::uint16_t>(length);
    packet->pkt_len = packet->data_len;
    --spares;
    return {.packet = packet, .more = true};
  }

  ReadResult read_failed() {
    if (errno != EAGAIN && errno != EINTR) {
      counters.from_kernel_read_error.add(1);
      gone = errno == EBADFD;
    }
    return {};
  }

  ExceptionInterface interface;
  std::uint16_t first_worker;
  std::vector<Ring> to_kernel;  // per worker
  Ring from_kernel;
  TokenBucket to_kernel_bucket;
  TokenBucket from_kernel_bucket;
  std::array<rte_mbuf*, batch> spare{};  // empty buffers to read into: spare[0..spares)
  std::size_t spares = 0;
  bool throttled = false;  // by the cap: the descriptor is not waited for
  bool gone = false;       // somebody has deleted the interface

  struct {
    Counter to_kernel, to_kernel_rate, to_kernel_write_error;
    Counter from_kernel, from_kernel_ring_full, from_kernel_no_buffer, from_kernel_oversized, from_kernel_read_error,
        from_kernel_throttled;
  } counters;
};

unsigned KernelChannel::send(std::span<rte_mbuf*> packets) const {
  if (to_kernel_ == nullptr) {
    return 0;
  }
  return rte_ring_sp_enqueue_burst(to_kernel_, reinterpret_cast<void* const*>(packets.data()),
                                   static_cast<unsigned>(packets.size()), nullptr);
}

unsigned KernelChannel::receive(std::span<rte_mbuf*> packets) const {
  if (from_kernel_ == nullptr) {
    return 0;
  }
  return rte_ring_sc_dequeue_burst(from_kernel_, reinterpret_cast<void**>(packets.data()),
                                   static_cast<unsigned>(packets.size()), nullptr);
}

std::uint32_t ExceptionThread::buffers_needed(const ExceptionThreadSettings& settings, std::size_t interfaces) {
  return static_cast<std::uint32_t>(interfaces) * (2 * settings.ring_capacity + static_cast<std::uint32_t>(batch));
}

ExceptionThread::ExceptionThread(const ExceptionThreadSettings& settings, MbufPool& pool)
    : settings_(settings), pool_(pool) {}

Result<std::unique_ptr<ExceptionThread>> ExceptionThread::start(const ExceptionThreadSettings& settings,
                                                                std::vector<ExceptionAttachment> attachments,
                                                                MbufPool& pool) {
  if (!std::has_single_bit(settings.ring_capacity)) {
    return failure(fmt::format("rings to the kernel of {} packets: a power of two is needed", settings.ring_capacity));
  }
  std::unique_ptr<ExceptionThread> thread(new ExceptionThread(settings, pool));
  for (ExceptionAttachment& attachment : attachments) {
    if (Result<void> added = thread->add_lane(std::move(attachment)); !added) {
      return tl::unexpected(added.error());
    }
  }
  if (Result<void> launched = thread->launch(); !launched) {
    return tl::unexpected(launched.error());
  }
  return thread;
}

Result<void> ExceptionThread::add_lane(ExceptionAttachment attachment) {
  if (attachment.first_worker >= settings_.workers) {
    return failure(
        fmt::format("interface {}: there is no worker {}", attachment.interface.name(), attachment.first_worker));
  }
  const std::size_t index = lanes_.size();
  auto lane = std::make_unique<Lane>(std::move(attachment), settings_, Clock::now());
  for (std::uint16_t worker = 0; worker < settings_.workers; ++worker) {
    Result<Ring> ring = make_ring(fmt::format("to_kernel_{}_{}", index, worker), settings_.ring_capacity);
    if (!ring) {
      return tl::unexpected(ring.error());
    }
    lane->to_kernel.push_back(std::move(*ring));
  }
  Result<Ring> ring = make_ring(fmt::format("from_kernel_{}", index), settings_.ring_capacity);
  if (!ring) {
    return tl::unexpected(ring.error());
  }
  lane->from_kernel = std::move(*ring);
  lanes_.push_back(std::move(lane));
  return {};
}

Result<void> ExceptionThread::launch() {
  stop_event_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_event_.valid()) {
    return failure(fmt::format("eventfd: {}", std::generic_category().message(errno)));
  }
  // Signals are the main thread's business; a new thread inherits the mask.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

ExceptionThread::~ExceptionThread() {
  if (thread_.joinable()) {
    stopping_.store(true, std::memory_order_relaxed);
    // If this failed, the thread would see the flag at its next timeout, a millisecond later.
    [[maybe_unused]] const int woken = ::eventfd_write(stop_event_.get(), 1);
    thread_.join();
  }
}

KernelChannel ExceptionThread::channel(std::uint16_t worker, std::size_t interface) const {
  const Lane& lane = *lanes_.at(interface);
  return {lane.to_kernel.at(worker).get(), worker == lane.first_worker ? lane.from_kernel.get() : nullptr};
}

ExceptionCounters ExceptionThread::counters(std::size_t interface) const {
  const auto& counters = lanes_.at(interface)->counters;
  return {.to_kernel = counters.to_kernel.get(),
          .to_kernel_rate = counters.to_kernel_rate.get(),
          .to_kernel_write_error = counters.to_kernel_write_error.get(),
          .from_kernel = counters.from_kernel.get(),
          .from_kernel_ring_full = counters.from_kernel_ring_full.get(),
          .from_kernel_no_buffer = counters.from_kernel_no_buffer.get(),
          .from_kernel_oversized = counters.from_kernel_oversized.get(),
          .from_kernel_read_error = counters.from_kernel_read_error.get(),
          .from_kernel_throttled = counters.from_kernel_throttled.get()};
}

void ExceptionThread::run() {
  ::prctl(PR_SET_TIMERSLACK, timer_slack_nanoseconds);
  ::pthread_setname_np(::pthread_self(), "sy-exception");
  std::vector<pollfd> descriptors(lanes_.size(), {.fd = -1, .events = POLLIN, .revents = 0});
  descriptors.push_back({.fd = stop_event_.get(), .events = POLLIN, .revents = 0});
  Clock::time_point last_work = Clock::now();
  bool woken = false;  // by a descriptor, not by time
  while (!stopping_.load(std::memory_order_relaxed)) {
    const Clock::time_point now = Clock::now();
    bool work = false;
    for (const auto& lane : lanes_) {
      work |= deliver(*lane, now);
      work |= collect(*lane, now);
    }
    if (work) {
      last_work = now;
    }
    // Traffic is gathered for a short sleep, or each packet of the kernel would cost a wake-up of its own; and a
    // descriptor that wakes without having anything to read must not make this loop spin.
    const bool watch = !work && !woken;
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
      descriptors[i].fd = watch && !lanes_[i]->throttled ? lanes_[i]->descriptor() : -1;
    }
    const timespec sleep =
        as_timespec(std::clamp<Clock::duration>((now - last_work) / patience, shortest_sleep, longest_sleep));
    woken = ::ppoll(descriptors.data(), descriptors.size(), &sleep, nullptr) > 0;
  }
}

bool ExceptionThread::deliver(Lane& lane, Clock::time_point now) {
  bool work = false;
  for (const Ring& ring : lane.to_kernel) {
    std::array<rte_mbuf*, batch> packets{};
    const unsigned count =
        rte_ring_sc_dequeue_burst(ring.get(), reinterpret_cast<void**>(packets.data()), batch, nullptr);
    if (count == 0) {
      continue;
    }
    work = true;
    const std::uint32_t allowed = lane.to_kernel_bucket.take(count, now);
    std::uint64_t written = 0;
    for (std::uint32_t i = 0; i < allowed; ++i) {
      written += write_frame(lane.interface.descriptor(), *packets[i]) ? 1u : 0u;
    }
    rte_pktmbuf_free_bulk(packets.data(), count);
    lane.counters.to_kernel.add(written);
    lane.counters.to_kernel_write_error.add(allowed - written);
    lane.counters.to_kernel_rate.add(count - allowed);
  }
  return work;
}

bool ExceptionThread::collect(Lane& lane, Clock::time_point now) {
  if (lane.gone) {
    return false;
  }
  const std::uint32_t allowed = lane.from_kernel_bucket.take(batch, now);
  lane.throttled = allowed == 0;
  if (lane.throttled) {
    lane.counters.from_kernel_throttled.add(1);
    return false;
  }
  if (lane.spares < allowed && pool_.allocate(std::span(lane.spare).subspan(lane.spares))) {
    lane.spares = lane.spare.size();
  }
  std::array<rte_mbuf*, batch> packets{};
  std::size_t count = 0;
  std::uint32_t used = 0;
  for (; used < allowed; ++used) {
    const ReadResult result = lane.read_frame();
    if (result.packet != nullptr) {
      packets[count++] = result.packet;
    } else if (!result.more) {
      break;
    }
  }
  lane.from_kernel_bucket.give_back(allowed - used);
  const unsigned queued = rte_ring_sp_enqueue_burst(lane.from_kernel.get(), reinterpret_cast<void**>(packets.data()),
                                                    static_cast<unsigned>(count), nullptr);
  rte_pktmbuf_free_bulk(packets.data() + queued, static_cast<unsigned>(count - queued));
  lane.counters.from_kernel.add(queued);
  lane.counters.from_kernel_ring_full.add(count - queued);
  return used > 0;
}

}  // namespace steelyard::nic
