// Commands to all workers at once: posts one to each mailbox, looks now and then whether they are done, and tells the
// caller. Never waits. Control thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "dataplane/worker/dataplane.h"

namespace steelyard::control {

class FlowJobs {
 public:
  // By worker; a worker's command is null when its mailbox was full.
  using Results = std::vector<std::unique_ptr<worker::FlowCommand>>;
  using Done = std::function<void(const Results&)>;

  FlowJobs(boost::asio::io_context& io, worker::Dataplane& dataplane) : dataplane_(dataplane), timer_(io) {}

  // Flows that a job has found, over all workers.
  [[nodiscard]] static std::uint64_t matches(const Results& results);

  // `most_records` are kept per worker (list only).
  void start(worker::FlowCommand::Action action, const l4::FlowFilter& filter, std::size_t most_records, Done done);
  [[nodiscard]] bool idle() const { return jobs_.empty() && waiting_.empty(); }

 private:
  struct Job {
    Results commands;
    std::vector<bool> posted;
    Done done;
  };
  // Of all jobs, those under way: a mailbox takes 64.
  static constexpr std::size_t most_at_once = 32;

  void advance();
  void arm();

  worker::Dataplane& dataplane_;
  boost::asio::steady_timer timer_;
  bool armed_ = false;
  std::list<Job> jobs_;
  std::list<Job> waiting_;
};

}  // namespace steelyard::control
