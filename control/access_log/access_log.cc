#include "control/access_log/access_log.h"

#include <csignal>
#include <utility>

namespace steelyard::control::access_log {
namespace {

// A worker's ring has to hold what ends in such a time.
constexpr std::chrono::milliseconds between_turns{5};
constexpr std::chrono::milliseconds longest_end{100};

class NoNames final : public RecordNames {
 public:
  std::string_view listener(service::ListenerId) const override { return {}; }
  std::string_view target(service::ListenerId) const override { return {}; }
  std::string_view server(service::BackendId) const override { return {}; }
};

// Signals are for the control thread; one for a broken pipe is for nobody.
void block_signals() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

AccessLog::AccessLog(std::vector<worker::AccessRing*> rings, ReportLost report)
    : pump_(std::move(rings), std::move(report)), names_(std::make_shared<NoNames>()), thread_([this] { run(); }) {}

AccessLog::~AccessLog() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void AccessLog::configure(LineFormat format, std::unique_ptr<Outlet> outlet) {
  // A function can be copied, and its sink with it.
  auto sink = std::make_shared<std::optional<Sink>>();
  if (outlet) {
    sink->emplace(std::move(outlet));
  }
  give([this, format = std::move(format), sink] {
    pump_.set_sink(std::move(*sink));
    pump_.set_format(format);
  });
}

void AccessLog::set_names(std::shared_ptr<const RecordNames> names) {
  give([this, names = std::move(names)] { names_ = names; });
}

void AccessLog::reopen() {
  give([this] { pump_.reopen(); });
}

void AccessLog::give(Order order) {
  {
    const std::lock_guard lock(mutex_);
    orders_.push_back(std::move(order));
  }
  changed_.notify_one();
}

void AccessLog::run() {
  block_signals();
  bool stop = false;
  bool busy = false;
  while (!stop) {
    std::vector<Order> orders;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, busy ? std::chrono::milliseconds{0} : between_turns,
                        [this] { return stopping_ || !orders_.empty(); });
      orders.swap(orders_);
      stop = stopping_;
    }
    for (const Order& order : orders) {
      order();
    }
    busy = pump_.turn(*names_, std::chrono::steady_clock::now()) >= Pump::most_records;
    publish_counts();
  }
  turn_to_the_end();
}

void AccessLog::turn_to_the_end() {
  const auto deadline = std::chrono::steady_clock::now() + longest_end;
  for (auto now = std::chrono::steady_clock::now(); now < deadline; now = std::chrono::steady_clock::now()) {
    const bool more = pump_.turn(*names_, now) != 0;
    if (!more && pump_.empty()) {
      break;
    }
    if (!more) {
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
  }
  pump_.finish();
  publish_counts();
}

void AccessLog::publish_counts() {
  written_.set(pump_.written());
  lost_.set(pump_.lost());
}

}  // namespace steelyard::control::access_log
