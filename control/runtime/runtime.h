// The running process on the control side: owns the data plane, the health checks, the plan in force and what the
// administrator changed; answers admin requests. Everything runs on one io_context thread and never blocks it for long:
// reading, validating and building a configuration is done on a builder thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/admin/admin_server.h"
#include "control/metrics/metrics_server.h"
#include "control/run.h"
#include "control/runtime/access_logging.h"
#include "control/runtime/builder.h"
#include "control/runtime/cookie_key.h"
#include "control/runtime/flow_jobs.h"
#include "control/runtime/health_report.h"
#include "control/runtime/refusals.h"
#include "control/runtime/request_book.h"
#include "control/runtime/tap_board.h"
#include "control/runtime/trace_stream.h"
#include "control/runtime/traffic.h"
#include "dataplane/worker/dataplane.h"
#include "healthcheck/asio_timers.h"
#include "healthcheck/scheduler.h"
#include "healthcheck/socket_prober.h"

namespace steelyard::control {

// Of the process's log; also while it runs.
void set_log_level(config::LogLevel level);

// How long connections of a server that has lost its place may run; nothing: as they like. UDP has no such deadline: it
// ends with a server that failed or was removed, and runs on at one that an administrator drains.
[[nodiscard]] std::optional<std::chrono::seconds> drain_of(const config::Listener& settings);

class Runtime {
 public:
  using Reply = std::function<void(boost::json::value)>;

  // `config` is valid. Throws std::runtime_error with a sentence for the administrator.
  Runtime(RunOptions options, std::shared_ptr<const config::Config> config);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Serves until SIGTERM or SIGINT; returns the process's exit code.
  int run();

  // What reports are made of; control thread.
  [[nodiscard]] const Plan& plan() const { return plan_; }
  [[nodiscard]] const worker::Dataplane& dataplane() const { return *dataplane_; }
  [[nodiscard]] const healthcheck::Checker& checker() const { return *checker_; }
  [[nodiscard]] const RunOptions& options() const { return options_; }
  [[nodiscard]] const report::Moment& started() const { return started_; }
  [[nodiscard]] std::size_t overrides() const { return overrides_.size(); }
  [[nodiscard]] Traffic traffic(service::BackendId backend) const { return traffic_.read(*dataplane_, backend); }
  [[nodiscard]] Traffic traffic(const ListenerPlan& listener) const { return traffic_.read(*dataplane_, listener.key); }
  [[nodiscard]] Excess excess(service::ListenerId listener) const { return traffic_.excess(*dataplane_, listener); }
  [[nodiscard]] Refusals refusals(service::ListenerId listener) const { return refusals_.read(*dataplane_, listener); }
  [[nodiscard]] ListenerRequests requests(service::ListenerId listener) const {
    return request_book_.read(*dataplane_, listener);
  }
  [[nodiscard]] ServerRequests requests(service::BackendId server) const {
    return request_book_.read(*dataplane_, server);
  }
  // The last answer of a target's health check before a reload keeps its id, so this is by BackendId.
  [[nodiscard]] std::optional<healthcheck::TargetStatus> health(service::BackendId backend) const {
    return checker_->status({backend.value});
  }

 private:
  // Why the connections of a server may run only for so long.
  enum class Cause : std::uint8_t { drained, unhealthy, removed };
  // Where a backend stands in the plan: place of the listener and of the server.
  struct BackendPlace {
    std::size_t listener;
    std::size_t server;
  };
  using DeadlineKey = std::pair<std::uint32_t, Cause>;  // of a backend id

  // runtime.cc
  void open_doors();
  [[nodiscard]] std::string metrics_text();
  void start_dataplane();
  void start_services();
  void on_signal(int signal);
  void tick();
  void watch_workers();
  void watch_links();
  void warn_of_memberships() const;
  void watch_addresses();
  void tell_local_errors();
  void log_start_report() const;

  // shutdown.cc
  void begin_shutdown();
  void close_listeners();
  void reset_all_connections();
  [[nodiscard]] bool advance_shutdown();
  void finish_shutdown();

  // changes.cc: everything that alters what workers do.
  void reload(Reply reply);
  void refuse_waiting_reloads();
  void apply(Plan plan);
  void on_health_change(healthcheck::TargetId target, const healthcheck::TargetStatus& status);
  void log_health(const BackendPlace& place) const;
  void on_failed(const BackendPlace& place);
  void set_deadline(service::BackendId backend, Cause cause, std::chrono::seconds after);
  void cancel_deadline(service::BackendId backend, Cause cause) { deadlines_.erase({backend.value, cause}); }
  [[nodiscard]] bool has_deadline(service::BackendId backend) const;
  [[nodiscard]] bool still_holds(const DeadlineKey& deadline) const;
  void set_sessions_over(service::BackendId backend, bool over);
  void check_deadlines();
  void start_resets();
  void keep_new_bandwidths(const Plan& old);
  void end_shut_out();
  void stand_secondaries_down();

  // requests.cc
  void handle(boost::json::object request, const AdminServer::Reply& reply);
  void handle_server(const boost::json::object& request, const Reply& reply);
  void handle_flows(const boost::json::object& request, const Reply& reply);

  // connection_requests.cc
  void handle_connections(const boost::json::object& request, const Reply& reply);

  // watch_requests.cc
  void handle_trace(const boost::json::object& request, const AdminServer::Reply& reply);
  void handle_capture(const boost::json::object& request, const AdminServer::Reply& reply);
  [[nodiscard]] tl::expected<worker::TapFilter, std::string> tap_filter(const boost::json::object& request) const;
  [[nodiscard]] WallClock wall_clock() const;

  RunOptions options_;
  report::Moment started_ = report::Moment::now();
  boost::asio::io_context io_;
  boost::asio::thread_pool builder_thread_{1};
  boost::asio::signal_set signals_;
  boost::asio::steady_timer tick_timer_;
  http::CookieKey cookie_key_;  // of session cookies
  PlanBuilder builder_;
  Plan plan_;
  Overrides overrides_;
  bool building_ = false;
  std::vector<Reply> waiting_reloads_;
  std::unordered_map<std::uint32_t, BackendPlace> places_;
  // Workers may hold its commands: it goes after they have stopped.
  std::unique_ptr<FlowJobs> flow_jobs_;
  std::unique_ptr<worker::Dataplane> dataplane_;
  std::unique_ptr<AccessLogging> access_log_;  // null: no http listeners
  std::unique_ptr<TapBoard> taps_;
  std::unique_ptr<healthcheck::AsioTimers> timers_;
  std::unique_ptr<healthcheck::SocketProber> prober_;
  std::unique_ptr<healthcheck::Checker> checker_;
  std::unique_ptr<AdminServer> admin_;
  std::unique_ptr<MetricsServer> metrics_;
  std::string metrics_text_;
  std::chrono::steady_clock::time_point metrics_time_;
  std::map<DeadlineKey, std::chrono::steady_clock::time_point> deadlines_;
  std::vector<service::BackendId> to_reset_;  // whose connections end with the next walk
  bool resetting_ = false;                    // a walk is under way
  // Listeners whose flows are to be looked through for clients that they let in no more.
  std::map<service::ListenerId, std::shared_ptr<const service::AccessControl>> changed_doors_;
  bool ending_shut_out_ = false;  // a walk is under way
  TrafficBook traffic_;
  RefusalBook refusals_;
  RequestBook request_book_;
  std::vector<std::uint64_t> heartbeats_;
  std::vector<std::chrono::steady_clock::time_point> heartbeat_times_;
  std::vector<bool> stalled_;
  std::uint64_t conflicts_logged_ = 0;  // address conflicts, as far as they are in the log
  std::chrono::steady_clock::time_point conflicts_log_time_;
  std::chrono::steady_clock::time_point local_errors_told_{};
  std::optional<std::chrono::steady_clock::time_point> shutdown_deadline_;
  // What is left at the end of a shutdown's drain is reset, in bounded time.
  enum class ResetsAtStop : std::uint8_t { none, begun, done };
  ResetsAtStop resets_at_stop_ = ResetsAtStop::none;
  std::uint64_t ticks_ = 0;
};

}  // namespace steelyard::control
