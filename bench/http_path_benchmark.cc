// What a proxied request costs a worker from packet to packet (http_path_stand.h): on connections that stay, with a
// connection for each request, and what a connection that idles takes. Nothing may be allocated and no payload copied.
//
//   http_path_benchmark [Google Benchmark's options]
//
// The floor of packets for a request on connections that stay is four: request and answer, in and out. With many
// clients there are five: who asks again only after a while acknowledges the answer by a packet of its own.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <exception>
#include <stdexcept>
#include <string>

#include "bench/http_path_stand.h"
#include "bench/measure.h"

namespace steelyard::bench {
namespace {

// A head of 100 octets, as a load generator sends it.
const std::string request =
    "GET /index.html HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: generator/1.0\r\nAccept: */*\r\n\r\n";
const std::string last_request =
    "GET /index.html HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: generator/1.0\r\nConnection: close\r\n\r\n";
const std::string answer =
    "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Fri, 27 Nov 2026 10:00:00 GMT\r\n"
    "Content-Type: text/html\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n\r\n" +
    std::string(1'024, 'x');
constexpr std::uint32_t memory_mib = 1'024;
constexpr std::size_t idle_clients = 1'000'000;
constexpr std::size_t speakers = 10'000;
constexpr double most_idle_bytes = 1'536;

void check(bool right, const char* what) {
  if (!right) {
    throw std::runtime_error(what);
  }
}

void report(benchmark::State& state, HttpPathStand& stand, std::size_t requests_a_pass, auto&& pass) {
  const auto passes = static_cast<std::size_t>(state.max_iterations);
  std::array<Passes, 4> parts{Passes(passes), Passes(passes), Passes(passes), Passes(passes)};
  std::uint64_t allocated = 0;
  pass();
  static_cast<void>(stand.take_cycles());
  static_cast<void>(stand.take_packets());
  for (auto step : state) {
    static_cast<void>(step);
    pass();
    const PathCycles cycles = stand.take_cycles();
    parts[0].add(cycles.all(), requests_a_pass);
    parts[1].add(cycles.receive, requests_a_pass);
    parts[2].add(cycles.act, requests_a_pass);
    parts[3].add(cycles.free, requests_a_pass);
    allocated += cycles.allocated;
    state.SetIterationTime(1e-9);
  }
  const PathPackets packets = stand.take_packets();
  const double requests = static_cast<double>(requests_a_pass * passes);
  state.counters["best_ns"] = to_ns(parts[0].best());
  state.counters["cycles"] = parts[0].median();
  state.counters["ns"] = to_ns(parts[0].median());
  state.counters["per_s"] = 1e9 / to_ns(parts[0].median());
  state.counters["receive"] = parts[1].median();
  state.counters["act"] = parts[2].median();
  state.counters["free"] = parts[3].median();
  state.counters["from_client"] = static_cast<double>(packets.from_clients) / requests;
  state.counters["to_client"] = static_cast<double>(packets.to_clients) / requests;
  state.counters["from_server"] = static_cast<double>(packets.from_servers) / requests;
  state.counters["to_server"] = static_cast<double>(packets.to_servers) / requests;
  state.counters["allocated"] = static_cast<double>(allocated);
  check(allocated == 0, "a timed pass allocated memory");
  check(stand.tcp().copied.get() == 0 && stand.tcp().compacted.get() == 0, "payload was copied");
}

void keep_alive(benchmark::State& state, Machine& machine, std::size_t clients) {
  HttpPathStand stand(machine, clients, request, answer);
  const std::size_t at_once = std::min(clients, HttpPathStand::most_at_once);
  report(state, stand, at_once, [&] { stand.request(stand.draw(at_once), clients > at_once); });
}

void visits(benchmark::State& state, Machine& machine) {
  HttpPathStand stand(machine, HttpPathStand::most_at_once, request, answer);
  report(state, stand, HttpPathStand::most_at_once, [&] { stand.visit(HttpPathStand::most_at_once, last_request); });
}

// A million clients that have had their answer and keep their connections; ten thousand of them come back.
void idle(benchmark::State& state, Machine& machine) {
  HttpPathStand stand(machine, idle_clients, request, answer);
  check(stand.buffers_held() == 0, "idle connections hold buffers");
  check(stand.proxy().exchanges.get() == 0, "a request is not finished");
  for (auto step : state) {
    static_cast<void>(step);
    const auto drawn = stand.draw(speakers);
    for (std::size_t at = 0; at < drawn.size(); at += HttpPathStand::most_at_once) {
      stand.request(std::span(drawn).subspan(at, std::min(HttpPathStand::most_at_once, drawn.size() - at)), true);
    }
    state.SetIterationTime(1e-9);
  }
  stand.rest();
  check(stand.buffers_held() == 0, "something is held after the requests");
  const double resident = static_cast<double>(stand.resident_bytes()) / static_cast<double>(idle_clients);
  const double told = static_cast<double>(stand.table_bytes()) / static_cast<double>(idle_clients);
  state.counters["flow_bytes"] = resident;
  state.counters["told_bytes"] = told;
  check(resident <= most_idle_bytes, "an idle connection takes more than it may");
  check(told >= 0.9 * resident, "status tells of less than what connections take");
}

std::unique_ptr<Machine> prepare() {
  auto machine = std::make_unique<Machine>(nic::Hugepages::automatic, memory_mib, 64);
  for (const std::size_t clients : {1'000UL, 100'000UL, 1'000'000UL}) {
    add_case("http_path/keep_alive/" + std::to_string(clients), 201,
             [clients, &machine = *machine](benchmark::State& state) { keep_alive(state, machine, clients); });
  }
  add_case("http_path/connection/1000", 101,
           [&machine = *machine](benchmark::State& state) { visits(state, machine); });
  add_case("http_idle/1000000", 1, [&machine = *machine](benchmark::State& state) { idle(state, machine); });
  return machine;
}

}  // namespace
}  // namespace steelyard::bench

int main(int count, char** arguments) {
  return steelyard::bench::run_benchmarks("http_path_benchmark", count, arguments, steelyard::bench::prepare);
}
