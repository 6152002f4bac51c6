#include "control/runtime/flow_jobs.h"

namespace steelyard::control {

std::uint64_t FlowJobs::matches(const Results& results) {
  std::uint64_t total = 0;
  for (const auto& command : results) {
    total += command->matches();
  }
  return total;
}

void FlowJobs::start(worker::FlowCommand::Action action, const l4::FlowFilter& filter, std::size_t most_records,
                     Done done) {
  Job job;
  job.done = std::move(done);
  for (std::size_t worker = 0; worker < dataplane_.workers(); ++worker) {
    job.commands.push_back(std::make_unique<worker::FlowCommand>(action, filter, most_records));
    job.posted.push_back(false);
  }
  waiting_.push_back(std::move(job));
  advance();
}

void FlowJobs::advance() {
  while (!waiting_.empty() && jobs_.size() < most_at_once) {
    jobs_.splice(jobs_.end(), waiting_, waiting_.begin());
  }
  for (auto job = jobs_.begin(); job != jobs_.end();) {
    bool all_done = true;
    for (std::size_t worker = 0; worker < job->commands.size(); ++worker) {
      if (!job->posted[worker]) {
        job->posted[worker] = dataplane_.post(worker, *job->commands[worker]);
      }
      all_done = all_done && job->posted[worker] && job->commands[worker]->done();
    }
    if (!all_done) {
      ++job;
      continue;
    }
    const Job finished = std::move(*job);
    job = jobs_.erase(job);
    if (finished.done) {
      finished.done(finished.commands);
    }
  }
  if (!idle()) {
    arm();
  }
}

void FlowJobs::arm() {
  if (armed_) {
    return;
  }
  armed_ = true;
  timer_.expires_after(std::chrono::milliseconds(1));
  timer_.async_wait([this](const boost::system::error_code& error) {
    armed_ = false;
    if (!error) {
      advance();
    }
  });
}

}  // namespace steelyard::control
