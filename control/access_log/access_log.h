// The access log's own thread: formatting and writing a line costs some microseconds, and a disk may stand still, which
// neither workers nor the control thread can wait for. It turns the pump and takes what the control thread tells it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "control/access_log/pump.h"
#include "dataplane/service/counter.h"

namespace steelyard::control::access_log {

// Control thread, but for what is said otherwise.
class AccessLog {
 public:
  // The rings, by worker, outlive it. `report` is called by the log's thread. Nothing is written before configure().
  AccessLog(std::vector<worker::AccessRing*> rings, ReportLost report);
  // What is in the rings is written, as far as the outlet takes it within a tenth of a second. After the workers' end.
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // From now on, or within a few milliseconds. Null: records are taken and forgotten.
  void configure(LineFormat format, std::unique_ptr<Outlet> outlet);
  // Immutable; the log's thread asks them.
  void set_names(std::shared_ptr<const RecordNames> names);
  // A file has been renamed: a new one is opened. A failure is reported.
  void reopen();

  // Any thread.
  [[nodiscard]] std::uint64_t written() const { return written_.get(); }
  [[nodiscard]] std::uint64_t lost() const { return lost_.get(); }

 private:
  using Order = std::function<void()>;  // done by the log's thread
  void give(Order order);
  void run();
  void turn_to_the_end();
  void publish_counts();

  Pump pump_;
  std::shared_ptr<const RecordNames> names_;
  service::Counter written_;
  service::Counter lost_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Order> orders_;  // under mutex_
  bool stopping_ = false;      // under mutex_
  std::thread thread_;         // the last: it uses all of these
};

}  // namespace steelyard::control::access_log
