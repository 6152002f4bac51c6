// Start, stop and the periodic work of the control side.
#include "control/runtime/runtime.h"

#include <sched.h>
#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <iostream>
#include <random>
#include <stdexcept>

#include "control/config/validate.h"
#include "control/runtime/report.h"

namespace steelyard::control {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds tick_interval{5};
constexpr std::chrono::seconds stall_limit{1};
constexpr std::chrono::seconds local_error_interval{1};
constexpr std::size_t log_lines =
    8'192;  // that wait for their reader: the transitions of a large failure, 2 MB at most

std::vector<std::uint16_t> cpus_of(const config::Workers& workers) {
  if (!workers.cpus.empty()) {
    return workers.cpus;
  }
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  std::vector<std::uint16_t> available;
  for (std::uint16_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) {
      available.push_back(cpu);
    }
  }
  // From the last CPU down: the first ones are where kernels put their own work.
  std::vector<std::uint16_t> chosen;
  for (std::size_t worker = 0; worker < workers.count; ++worker) {
    chosen.push_back(available[available.size() - 1 - worker % available.size()]);
  }
  return chosen;
}

// Sockets that probes may hold at once: what the process may open, less a reserve for everything else. Raises the soft
// limit to the hard one first.
std::size_t probe_sockets() {
  constexpr rlim_t reserve = 1'024;
  constexpr rlim_t most = 8'192;  // 10,000 silent UDP servers at the default timeout need about 7,000
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return reserve;
  }
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  return std::clamp<rlim_t>(limit.rlim_cur > reserve ? limit.rlim_cur - reserve : 64, 64, most);
}

worker::DataplaneSettings settings_of(const config::Config& config, const RunOptions& options,
                                      const http::CookieKey& cookie_key) {
  worker::DataplaneSettings settings;
  settings.hugepages = config.memory.hugepages == config::Hugepages::required ? nic::Hugepages::required
                       : config.memory.hugepages == config::Hugepages::off    ? nic::Hugepages::off
                                                                              : nic::Hugepages::automatic;
  settings.worker_cpus = cpus_of(config.workers);
  settings.adaptive = config.workers.idle == config::Idle::adaptive;
  settings.coalesce_us = config.workers.coalesce_us;
  settings.flows_v4 = config.memory.flows_ipv4;
  settings.flows_v6 = config.memory.flows_ipv6;
  settings.packet_buffers = config.memory.packet_buffers;
  settings.run_folder = options.run_folder;
  for (const config::LocalAddress& local : config.local_addresses) {
    settings.local_addresses.push_back(local.address);
  }
  settings.local_ports = {config.local_ports.first, config.local_ports.last};
  if (config.memory.connections != 0) {
    settings.http = worker::HttpPlan{.connections = config.memory.connections, .cookie_key = cookie_key};
  }
  for (std::size_t place = 0; place < config.ports.size(); ++place) {
    const config::Port& port = config.ports[place];
    worker::PortPlan plan;
    plan.name = port.name;
    plan.device = port.device;
    if (port.vlan) {
      plan.vlan = worker::VlanPlan{config::find_port(config, port.vlan->port).value(), port.vlan->id};
    }
    plan.mtu = port.mtu;
    for (const config::PortAddress& address : port.addresses) {
      plan.addresses.push_back(address.prefix);
    }
    if (port.exception.enabled) {
      plan.exception =
          worker::ExceptionPlan{port.exception.name, port.exception.network_namespace, port.exception.manage};
    }
    for (const config::Route& route : config.routes) {
      if (config::egress_port(config, route) == place) {
        plan.kernel_routes.push_back({route.to.to_string(), route.via.to_string()});
      }
    }
    settings.ports.push_back(std::move(plan));
  }
  return settings;
}

// Where nothing ends here, no key is needed, and none is made.
http::CookieKey cookie_key_of(const config::Config& config, const RunOptions& options) {
  if (config.memory.connections == 0) {
    return {};
  }
  const LoadedCookieKey loaded =
      config.cookie_key_file.empty() ? keep_cookie_key(options.state_folder) : read_cookie_key(config.cookie_key_file);
  if (!loaded.warning.empty()) {
    spdlog::warn("{}", loaded.warning);
  }
  return loaded.key;
}

// Written by a thread of its own: a reader that has stopped reading must not stop the health checks. What it then does
// not take is lost, oldest first.
void set_up_log() {
  spdlog::init_thread_pool(log_lines, 1);
  auto logger =
      std::make_shared<spdlog::async_logger>("steelyard", std::make_shared<spdlog::sinks::stderr_sink_mt>(),
                                             spdlog::thread_pool(), spdlog::async_overflow_policy::overrun_oldest);
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace

void set_log_level(config::LogLevel level) {
  spdlog::set_level(spdlog::level::from_str(std::string(config::to_string(level))));
}

Runtime::Runtime(RunOptions options, std::shared_ptr<const config::Config> config)
    : options_(std::move(options)),
      signals_(io_, SIGTERM, SIGINT, SIGHUP),
      tick_timer_(io_),
      cookie_key_(cookie_key_of(*config, options_)),
      builder_(config->workers.count, cookie_key_) {
  signals_.add(SIGUSR1);
  auto plan = builder_.build(std::move(config), overrides_, nullptr);
  if (!plan) {
    throw std::runtime_error(plan.error());
  }
  plan_ = std::move(*plan);
  open_doors();
  start_dataplane();
  start_services();
}

Runtime::~Runtime() {
  if (dataplane_ != nullptr) {
    dataplane_->stop();  // the last requests are in the rings now, and the log still writes them
  }
}

// Before any packet is answered; served once the process runs.
void Runtime::open_doors() {
  admin_ = std::make_unique<AdminServer>(
      io_, options_.socket_path,
      [this](boost::json::object request, const AdminServer::Reply& reply) { handle(std::move(request), reply); });
}

// Making the text takes time in proportion to the servers, and anybody may ask for it.
std::string Runtime::metrics_text() {
  constexpr std::chrono::seconds good_for{1};
  const auto now = steady_clock::now();
  if (metrics_text_.empty() || now - metrics_time_ >= good_for) {
    metrics_text_ = report::metrics(*this);
    metrics_time_ = now;
  }
  return metrics_text_;
}

void Runtime::start_dataplane() {
  auto dataplane = worker::Dataplane::start(settings_of(*plan_.config, options_, cookie_key_), plan_.snapshot);
  if (!dataplane) {
    throw std::runtime_error(dataplane.error().message);
  }
  dataplane_ = std::move(*dataplane);
  if (plan_.config->memory.connections != 0) {
    access_log_ = std::make_unique<AccessLogging>(*dataplane_);
  }
  taps_ = std::make_unique<TapBoard>(dataplane_->workers(), [this](std::shared_ptr<const worker::Taps> taps) {
    dataplane_->publish_taps(std::move(taps));
  });
  heartbeats_.resize(dataplane_->workers());
  heartbeat_times_.assign(dataplane_->workers(), steady_clock::now());
  stalled_.resize(dataplane_->workers());
  log_start_report();
}

void Runtime::start_services() {
  timers_ = std::make_unique<healthcheck::AsioTimers>(io_);
  prober_ = std::make_unique<healthcheck::SocketProber>(io_, *timers_);
  checker_ = std::make_unique<healthcheck::Checker>(
      *prober_, *timers_, healthcheck::Limits{probe_sockets()}, std::random_device{}(),
      [this](healthcheck::TargetId target, const healthcheck::TargetStatus& status) {
        on_health_change(target, status);
      });
  flow_jobs_ = std::make_unique<FlowJobs>(io_, *dataplane_);
  Plan first = std::move(plan_);
  plan_ = {};
  apply(std::move(first));
  if (const auto& metrics = plan_.config->metrics) {
    metrics_ = std::make_unique<MetricsServer>(io_, metrics->address.to_string(), metrics->port,
                                               [this] { return metrics_text(); });
  }
}

int Runtime::run() {
  const std::function<void()> wait_for_signal = [this, &wait_for_signal] {
    signals_.async_wait([this, &wait_for_signal](const boost::system::error_code& error, int signal) {
      if (!error) {
        on_signal(signal);
        wait_for_signal();
      }
    });
  };
  wait_for_signal();
  tick();
  spdlog::info("steelyard: ready config={} listeners={} generation={}", options_.config_file, plan_.listeners.size(),
               plan_.snapshot->generation);
  try {
    io_.run();
  } catch (...) {
    builder_thread_.join();  // it reads what the destructor takes away
    throw;
  }
  builder_thread_.join();
  spdlog::info("steelyard: stopped");
  return 0;
}

void Runtime::on_signal(int signal) {
  if (signal == SIGHUP) {
    reload(nullptr);
    return;
  }
  if (signal == SIGUSR1) {
    if (access_log_ != nullptr) {
      access_log_->reopen();
    }
    return;
  }
  if (shutdown_deadline_) {
    spdlog::warn("second signal: stopping at once");
    finish_shutdown();
    return;
  }
  begin_shutdown();
}

// Every few milliseconds: what must reach workers soon, and what they have let go of.
void Runtime::tick() {
  dataplane_->sum_connections();
  dataplane_->reclaim();
  start_resets();
  end_shut_out();
  if (++ticks_ % 20 == 0) {
    check_deadlines();
    stand_secondaries_down();
    watch_workers();
    watch_links();
    watch_addresses();
    tell_local_errors();
    if (!building_) {
      builder_.release_ids(
          steady_clock::now(),
          [this](service::BackendId backend) { return dataplane_->served(backend) == 0 && !has_deadline(backend); },
          [this](service::ListenerId listener) { return dataplane_->terminated(listener) == 0; });
    }
  }
  if (shutdown_deadline_ && advance_shutdown()) {
    return;
  }
  tick_timer_.expires_after(tick_interval);
  tick_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) {
      tick();
    }
  });
}

void Runtime::warn_of_memberships() const {
  if (const std::size_t refused = dataplane_->refused_memberships(); refused != 0) {
    spdlog::warn("the kernel has refused {} memberships in multicast groups of VIPs and local addresses", refused);
  }
}

void Runtime::watch_links() {
  for (const auto& [port, link] : dataplane_->watch_links()) {
    if (link.up) {
      spdlog::warn("link is up port={} mbit={}", dataplane_->port_name(port), link.mbit);
    } else {
      spdlog::error("link is down port={}", dataplane_->port_name(port));
    }
  }
}

void Runtime::watch_workers() {
  const auto now = steady_clock::now();
  for (std::size_t worker = 0; worker < heartbeats_.size(); ++worker) {
    const std::uint64_t beat = dataplane_->worker(worker).heartbeat();
    if (beat != heartbeats_[worker]) {
      if (stalled_[worker]) {
        spdlog::warn("worker {} runs again", worker);
      }
      stalled_[worker] = false;
      heartbeats_[worker] = beat;
      heartbeat_times_[worker] = now;
    } else if (!stalled_[worker] && now - heartbeat_times_[worker] >= stall_limit) {
      stalled_[worker] = true;
      spdlog::error("worker {} has not finished a turn for {} ms", worker,
                    std::chrono::duration_cast<std::chrono::milliseconds>(now - heartbeat_times_[worker]).count());
    }
  }
}

// Somebody else answers for a VIP or a local address of ours: the network sends him what is meant for us.
void Runtime::watch_addresses() {
  constexpr std::chrono::seconds quiet{10};
  std::uint64_t conflicts = 0;
  for (std::size_t worker = 0; worker < dataplane_->workers(); ++worker) {
    conflicts += dataplane_->worker(worker).packets().address_conflicts.get();
  }
  const auto now = steady_clock::now();
  if (conflicts != conflicts_logged_ && now - conflicts_log_time_ >= quiet) {
    spdlog::warn("another host claims an address of ours messages={} since_start={}", conflicts - conflicts_logged_,
                 conflicts);
    conflicts_logged_ = conflicts;
    conflicts_log_time_ = now;
  }
}

// A missing interface makes the probes of thousands of servers fail at once: the log gets their number and one example,
// at most once a second.
void Runtime::tell_local_errors() {
  const auto now = steady_clock::now();
  if (now - local_errors_told_ < local_error_interval) {
    return;
  }
  const healthcheck::LocalErrorNews news = checker_->take_local_error_news();
  if (news.empty()) {
    return;
  }
  local_errors_told_ = now;
  if (news.began != 0) {
    spdlog::warn("health probes cannot be made, servers keep their state servers={} in_all={} example=\"{}\"",
                 news.began, news.now, news.example);
  }
  if (news.ended != 0) {
    spdlog::info("health probes can be made again servers={} still_not={}", news.ended, news.now);
  }
}

void Runtime::log_start_report() const {
  const worker::DataplaneReport& report = dataplane_->report();
  spdlog::info("memory hugepages={} flow_tables_mib={} packet_buffers_mib={} connection_tables_mib={}",
               report.hugepages, report.flow_table_bytes >> 20U, report.packet_buffer_bytes >> 20U,
               report.connection_bytes >> 20U);
  if (!report.hugepages && plan_.config->memory.hugepages != config::Hugepages::off) {
    spdlog::warn("no hugepages: forwarding is slower; reserve some, e.g. `sysctl vm.nr_hugepages=1024`");
  }
  for (const nic::PortReport& port : report.ports) {
    spdlog::info("port {}", nic::to_string(port));
    for (const std::string& note : port.notes) {
      spdlog::warn("port={} {}", port.name, note);
    }
  }
  for (const config::Port& port : plan_.config->ports) {
    if (port.vlan) {
      spdlog::info("port port={} vlan={} of={} mtu={}", port.name, port.vlan->id, port.vlan->port, port.mtu);
    }
  }
  warn_of_memberships();
  spdlog::info("workers count={} idle={}", dataplane_->workers(),
               plan_.config->workers.idle == config::Idle::adaptive ? "adaptive" : "busy");
}

int run(const RunOptions& options) {
  config::ParseResult loaded = config::load(options.config_file);
  for (const config::Diagnostic& diagnostic : loaded.diagnostics) {
    std::cerr << config::to_string(diagnostic) << '\n';
  }
  if (!loaded.config) {
    std::cerr << options.config_file << ": refused; nothing was started\n";
    return 1;
  }
  // A log reader that went away must not take the load balancer with it.
  std::signal(SIGPIPE, SIG_IGN);
  set_up_log();
  set_log_level(loaded.config->log_level);
  try {
    Runtime runtime(options, std::make_shared<const config::Config>(std::move(*loaded.config)));
    return runtime.run();
  } catch (const std::exception& error) {
    std::cerr << "steelyard: " << error.what() << '\n';
    return 1;
  }
}

}  // namespace steelyard::control
