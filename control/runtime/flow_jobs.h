// Commands about flows and connections to all workers at once: posts one to each mailbox, looks now and then whether
// they are done, and tells the caller. Never waits. Control thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "dataplane/worker/dataplane.h"

namespace steelyard::control {

class FlowJobs {
 public:
  // By worker.
  template <class Command>
  using Results = std::vector<std::unique_ptr<Command>>;
  template <class Command>
  using Done = std::function<void(const Results<Command>&)>;
  using Flows = Results<worker::FlowCommand>;
  using Connections = Results<worker::ConnectionCommand>;

  FlowJobs(boost::asio::io_context& io, worker::Dataplane& dataplane) : dataplane_(dataplane), timer_(io) {}

  // What a job has found, over all workers.
  template <class Command>
  [[nodiscard]] static std::uint64_t matches(const Results<Command>& results) {
    std::uint64_t total = 0;
    for (const auto& command : results) {
      total += command->matches();
    }
    return total;
  }

  // Requests that resets have ended.
  [[nodiscard]] static std::uint64_t requests(const Flows& results) {
    std::uint64_t total = 0;
    for (const auto& command : results) {
      total += command->requests();
    }
    return total;
  }

  // `most_records` are kept per worker (list only).
  void start(worker::FlowCommand::Action action, const l4::FlowFilter& filter, std::size_t most_records,
             Done<worker::FlowCommand> done) {
    post<worker::FlowCommand>(action, filter, most_records, std::move(done));
  }
  void start(worker::ConnectionCommand::Action action, const worker::ConnectionFilter& filter, std::size_t most_records,
             Done<worker::ConnectionCommand> done) {
    post<worker::ConnectionCommand>(action, filter, most_records, std::move(done));
  }
  [[nodiscard]] bool idle() const { return jobs_.empty() && waiting_.empty(); }

 private:
  struct Job {
    std::vector<worker::Command*> commands;  // by worker
    std::vector<bool> posted;
    std::function<void()> done;  // owns the commands
  };
  // Of all jobs, those under way: a mailbox takes 64.
  static constexpr std::size_t most_at_once = 32;

  template <class Command, class Filter>
  void post(typename Command::Action action, const Filter& filter, std::size_t most_records, Done<Command> done) {
    auto results = std::make_shared<Results<Command>>();
    Job job;
    for (std::size_t worker = 0; worker < dataplane_.workers(); ++worker) {
      results->push_back(std::make_unique<Command>(action, filter, most_records));
      job.commands.push_back(results->back().get());
      job.posted.push_back(false);
    }
    job.done = [results, done = std::move(done)] { done(*results); };
    waiting_.push_back(std::move(job));
    advance();
  }
  void advance();
  void arm();

  worker::Dataplane& dataplane_;
  boost::asio::steady_timer timer_;
  bool armed_ = false;
  std::list<Job> jobs_;
  std::list<Job> waiting_;
};

}  // namespace steelyard::control
