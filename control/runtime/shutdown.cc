// How the process stops: no new connections, time for those that run, resets for what is left.
#include <spdlog/spdlog.h>

#include "control/runtime/runtime.h"

namespace steelyard::control {

using std::chrono::steady_clock;

// No new connections from here on; those that run get the configured time.
void Runtime::begin_shutdown() {
  const auto drain = plan_.config->shutdown_drain;
  spdlog::info("stopping drain={}s", drain.count());
  shutdown_deadline_ = steady_clock::now() + drain;
  if (!building_) {
    close_listeners();  // else when the builder is done
  }
}

// Every listener refuses new connections from now on.
void Runtime::close_listeners() {
  auto closing = std::make_shared<config::Config>(*plan_.config);
  for (config::LoadBalancer& balancer : closing->load_balancers) {
    balancer.active = false;
  }
  if (auto plan = builder_.build(std::move(closing), overrides_, &plan_)) {
    apply(std::move(*plan));
  }
}

// The ends of a connection would find out by their own timers only, minutes later.
void Runtime::reset_all_connections() {
  constexpr std::chrono::seconds longest{2};
  shutdown_deadline_ = steady_clock::now() + longest;
  resets_at_stop_ = ResetsAtStop::begun;
  l4::FlowFilter everything;
  everything.include_lingering = false;
  flow_jobs_->start(worker::FlowCommand::Action::reset, everything, 0, [this](const FlowJobs::Flows& results) {
    spdlog::info("connections reset count={} requests_ended={}", FlowJobs::matches(results),
                 FlowJobs::requests(results));
    resets_at_stop_ = ResetsAtStop::done;
  });
}

// Looks whether a shutdown is over; true when it is.
bool Runtime::advance_shutdown() {
  const bool late = steady_clock::now() >= *shutdown_deadline_;
  bool over = late || resets_at_stop_ == ResetsAtStop::done;
  if (resets_at_stop_ == ResetsAtStop::none) {
    std::uint64_t connections = 0;
    for (std::uint32_t backend = 1; !building_ && backend < builder_.backends_end(); ++backend) {
      connections += dataplane_->served(service::BackendId{backend});
    }
    over = connections == 0 && !building_;
    if ((over || late) && !building_) {
      spdlog::info("drained connections_left={}", connections);
    }
    if (late && !over) {
      reset_all_connections();
    }
  }
  if (over) {
    finish_shutdown();
  }
  return over;
}

void Runtime::finish_shutdown() {
  io_.stop();
}

}  // namespace steelyard::control
