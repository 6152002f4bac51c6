// What a health probe costs. The goal: 10,000 servers at an interval of 2 s are 5,000 probes a second, which may take
// 40% of one core, kernel included: 80 microseconds of user and system time a probe, and half of that is wanted. CPU
// time is the probing thread's, which on loopback also pays for the server's half of the handshake (softirq); accepting
// runs in a thread of its own, else the listener's queue fills and SYNs are dropped.
#include <benchmark/benchmark.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "healthcheck/asio_timers.h"
#include "healthcheck/scheduler.h"
#include "healthcheck/socket_prober.h"

namespace {

using namespace steelyard::healthcheck;
namespace asio = boost::asio;

// Accepts and closes for as long as it lives; with an answer it first reads a request and sends that.
class Listener {
 public:
  explicit Listener(std::string answer) : answer_(std::move(answer)) {
    acceptor_.listen(4096);
    thread_ = std::thread([this] { serve(); });
  }
  ~Listener() {
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);  // wakes accept()
    thread_.join();
  }
  [[nodiscard]] asio::ip::tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }

 private:
  void serve() {
    for (;;) {
      boost::system::error_code error;
      asio::ip::tcp::socket socket(io_);
      acceptor_.accept(socket, error);
      if (error)
        return;
      if (answer_.empty())
        continue;
      char buffer[1024];
      socket.read_some(asio::buffer(buffer), error);
      socket.write_some(asio::buffer(answer_), error);
    }
  }

  std::string answer_;
  asio::io_context io_;
  asio::ip::tcp::acceptor acceptor_{io_, {asio::ip::make_address("127.0.0.1"), 0}, false};
  std::thread thread_;
};

ProbeSpec spec_towards(const Listener& listener, ProbeType type) {
  ProbeSpec spec;
  spec.type = type;
  spec.address = listener.endpoint().address();
  spec.port = listener.endpoint().port();
  return spec;
}

// One batch of 32 probes at once, as a turn of the timer wheel starts them at 5,000 a second.
void probe_batches(benchmark::State& state, ProbeType type, const char* answer) {
  const Listener listener(answer);
  asio::io_context io;
  AsioTimers timers(io);
  SocketProber prober(io, timers);
  const ProbeSpec spec = spec_towards(listener, type);
  constexpr int batch = 32;
  std::int64_t failed = 0;
  for (auto step : state) {
    static_cast<void>(step);
    int open = batch;
    for (int i = 0; i < batch; ++i) {
      prober.start(spec, [&](const ProbeResult& result) {
        --open;
        failed += result.success() ? 0 : 1;
      });
    }
    while (open != 0)
      io.run_one();
  }
  state.SetItemsProcessed(state.iterations() * batch);
  state.counters["cpu_per_probe"] = benchmark::Counter(static_cast<double>(state.iterations() * batch),
                                                       benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["failed"] = static_cast<double>(failed);
}

void tcp_probes(benchmark::State& state) {
  probe_batches(state, ProbeType::tcp, "");
}
BENCHMARK(tcp_probes);

void http_probes(benchmark::State& state) {
  probe_batches(state, ProbeType::http, "HTTP/1.1 200 OK\r\n\r\n");
}
BENCHMARK(http_probes);

std::vector<Target> many_targets(std::size_t count) {
  std::vector<Target> targets(count);
  for (std::size_t i = 0; i < count; ++i) {
    targets[i].id = {i};
    targets[i].probe.address = asio::ip::make_address_v4(static_cast<asio::ip::address_v4::uint_type>(0x0a000001 + i));
    targets[i].probe.port = 80;
  }
  return targets;
}

// A reload that changes nothing, and a first start (every second call empties the set).
void set_targets_again(benchmark::State& state) {
  asio::io_context io;
  AsioTimers timers(io);
  SocketProber prober(io, timers);
  Checker checker(prober, timers, {}, 1, [](TargetId, const TargetStatus&) {});
  const auto targets = many_targets(static_cast<std::size_t>(state.range(0)));
  checker.set_targets(targets);
  for (auto step : state) {
    static_cast<void>(step);
    checker.set_targets(targets);
  }
}
BENCHMARK(set_targets_again)->Arg(10'000)->Unit(benchmark::kMillisecond);

void set_targets_anew(benchmark::State& state) {
  asio::io_context io;
  AsioTimers timers(io);
  SocketProber prober(io, timers);
  Checker checker(prober, timers, {}, 1, [](TargetId, const TargetStatus&) {});
  const auto targets = many_targets(static_cast<std::size_t>(state.range(0)));
  for (auto step : state) {
    static_cast<void>(step);
    checker.set_targets(targets);
    checker.set_targets({});
  }
}
BENCHMARK(set_targets_anew)->Arg(10'000)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
