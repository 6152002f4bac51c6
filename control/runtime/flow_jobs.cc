#include "control/runtime/flow_jobs.h"

namespace steelyard::control {

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
    finished.done();
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
