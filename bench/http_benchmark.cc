// What layer 7 costs: cycles for a request and its answer on connections that stay open, without TCP and packets
// (http_stand.h). Nothing may be allocated meanwhile.
#include <benchmark/benchmark.h>

#include <stdexcept>
#include <string>

#include "bench/http_stand.h"
#include "bench/measure.h"
#include "bench/shuffled.h"
#include "dataplane/nic/eal.h"

namespace {

using namespace steelyard;
using namespace steelyard::bench;

constexpr std::size_t burst = 32;
constexpr std::size_t bursts_a_pass = 32;

// A head of 100 octets, as a load generator sends it, and one of 700, as a browser does.
const std::string short_request =
    "GET /index.html HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: generator/1.0\r\nAccept: */*\r\n\r\n";
const std::string long_request =
    "GET /articles/2026/11/something-that-happened?page=2&sort=date HTTP/1.1\r\nHost: www.example.org\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 "
    "Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\nAccept-Encoding: gzip, deflate, br\r\nReferer: "
    "https://www.example.org/\r\n"
    "Cookie: theme=dark; consent=all; session=0123456789abcdef0123456789abcdef\r\nUpgrade-Insecure-Requests: 1\r\n"
    "Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\n\r\n";
const std::string answer =
    "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Fri, 27 Nov 2026 10:00:00 GMT\r\n"
    "Content-Type: text/html\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n\r\n" +
    std::string(1'024, 'x');

enum class With : std::uint8_t { nothing, cookie, gzip };

void requests(benchmark::State& state, std::size_t clients, const std::string& request, With with) {
  service::HttpSettings settings;
  if (with == With::gzip) {
    settings.gzip.emplace();
  }
  if (with == With::cookie) {
    settings.cookie = {.kind = service::SessionCookie::Kind::insert, .timeout = std::chrono::seconds{600}};
  }
  HttpStand stand(clients, settings, request, answer);
  Shuffled order(clients);
  Passes passes(static_cast<std::size_t>(state.max_iterations));
  std::uint64_t bytes = 0;
  for (auto step : state) {
    static_cast<void>(step);
    const auto drawn = order.draw(burst * bursts_a_pass);
    const std::uint64_t before = allocated();
    const std::uint64_t cycles = timed([&] {
      for (std::size_t at = 0; at < drawn.size(); at += burst) {
        stand.ask(std::span(drawn).subspan(at, std::min(burst, drawn.size() - at)));
        stand.answer();
      }
    });
    bytes += allocated() - before;
    passes.add(cycles, drawn.size());
    state.SetIterationTime(1e-9);
    stand.advance(std::chrono::milliseconds{1});
  }
  if (stand.counters().exchanges.get() != 0 || stand.buffers_used() != 0) {
    throw std::runtime_error("a request is not finished");
  }
  state.counters["cycles"] = passes.median();
  state.counters["ns"] = to_ns(passes.median());
  state.counters["best_ns"] = to_ns(passes.best());
  state.counters["allocated"] = static_cast<double>(bytes);
  if (bytes != 0) {
    state.SkipWithError("a timed pass allocated memory");
  }
}

void add(const std::string& name, std::size_t clients, const std::string& request, With with) {
  const auto body = [=](benchmark::State& state) { requests(state, clients, request, with); };
  benchmark::RegisterBenchmark((name + "/" + std::to_string(clients)).c_str(), body)
      ->UseManualTime()
      ->Iterations(clients > 100'000 ? 101 : 301);
}

// Only for the frequency of the time stamp counter.
nic::Eal prepare() {
  auto eal = nic::Eal::start(nic::EalSettings{});
  if (!eal) {
    throw std::runtime_error(eal.error().message);
  }
  for (const std::size_t clients : {std::size_t{1'000}, std::size_t{1'000'000}}) {
    add("http_request/short", clients, short_request, With::nothing);
    add("http_request/browser", clients, long_request, With::nothing);
    add("http_request/sticky", clients, short_request, With::cookie);
    add("http_request/gzip", clients, long_request, With::gzip);
  }
  return std::move(*eal);
}

}  // namespace

int main(int count, char** arguments) {
  return run_benchmarks("http_benchmark", count, arguments, prepare);
}
