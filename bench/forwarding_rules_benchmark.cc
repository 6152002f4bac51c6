// What a request pays for its listener's forwarding rules, by their number and by how they are spread over domains, and
// what control's builder thread needs for making them. `rules_warm` asks 256 requests again and again; `rules_cold` has
// the rules pushed out of the first two caches before every lookup. Requests are drawn from the rules, one in four
// matches none.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "dataplane/service/forwarding_rules.h"

namespace steelyard::service {
namespace {

enum class Spread : std::uint8_t {
  domains,  // each rule has a domain of its own, every other one a wildcard
  both,     // ten URLs each
  urls,     // URLs of one domain
  nested,   // of one domain, and most begin with others
};

std::string domain_of(std::size_t number) {
  return "shop-" + std::to_string(number) + ".customers.example.org";
}

std::vector<ForwardingRule> rules_of(Spread spread, std::size_t count) {
  std::vector<ForwardingRule> rules;
  for (std::size_t number = 0; number < count; ++number) {
    ForwardingRule rule;
    rule.target.value = static_cast<std::uint16_t>(number + 1);
    switch (spread) {
      case Spread::domains:
        rule.domain = (number % 2 == 0 ? "*." : "") + domain_of(number);
        break;
      case Spread::both:
        rule.domain = domain_of(number / 10);
        rule.url = "/api/v1/service-" + std::to_string(number % 10);
        break;
      case Spread::urls:
        rule.domain = domain_of(0);
        rule.url = "/api/v1/service-" + std::to_string(number);
        break;
      case Spread::nested:
        rule.domain = domain_of(0);
        rule.url = "/" + std::to_string(number / 60) + std::string(number % 60, 'a');
        break;
    }
    rules.push_back(std::move(rule));
  }
  return rules;
}

struct Request {
  std::string host;
  std::string path;
};
std::array<Request, 256> requests_for(const std::vector<ForwardingRule>& rules) {
  std::mt19937 random(1);
  std::array<Request, 256> requests;
  for (Request& request : requests) {
    const ForwardingRule& rule = rules[random() % rules.size()];
    request.host = rule.domain.starts_with('*') ? "www" + rule.domain.substr(1) : rule.domain;
    request.path = rule.url + "/page.html";
    if (random() % 4 == 0) {
      (random() % 2 == 0 ? request.host : request.path).insert(2, "unknown");
    }
  }
  return requests;
}

void rules_warm(benchmark::State& state, Spread spread) {
  const auto list = rules_of(spread, static_cast<std::size_t>(state.range(0)));
  const ForwardingRules rules(list);
  const auto requests = requests_for(list);
  std::size_t next = 0;
  for (auto _ : state) {
    const Request& request = requests[next++ % requests.size()];
    benchmark::DoNotOptimize(rules.find(request.host, request.path));
  }
}

// The median, for whoever interrupts such a short lookup takes many times as long; that of an empty measurement is
// subtracted.
void rules_cold(benchmark::State& state, Spread spread) {
  const auto list = rules_of(spread, static_cast<std::size_t>(state.range(0)));
  const ForwardingRules rules(list);
  const auto requests = requests_for(list);
  std::vector<std::uint64_t> others(4'000'000 / sizeof(std::uint64_t));
  std::vector<double> times;
  std::vector<double> empty;
  std::size_t next = 0;
  const auto since = [](std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
  };
  for (auto _ : state) {
    for (std::size_t place = 0; place < others.size(); place += 8) {
      ++others[place];
    }
    const Request& request = requests[next++ % requests.size()];
    benchmark::DoNotOptimize(request.host[0] + request.path[0]);
    empty.push_back(since(std::chrono::steady_clock::now()));
    const auto begin = std::chrono::steady_clock::now();
    benchmark::DoNotOptimize(rules.find(request.host, request.path));
    times.push_back(since(begin));
  }
  const auto median = [](std::vector<double>& all) {
    std::ranges::nth_element(all, all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2));
    return all[all.size() / 2];
  };
  state.counters["ns"] = median(times) - median(empty);
}

// The worst that a client can send: as many labels as a name can have, and a long path.
void rules_hostile(benchmark::State& state) {
  const auto list = rules_of(Spread::both, static_cast<std::size_t>(state.range(0)));
  const ForwardingRules rules(list);
  std::string host;
  while (host.size() < 220) {
    host += "a.";
  }
  host += domain_of(0);
  const std::string path = "/api/v1/service-" + std::string(30'000, '1');
  for (auto _ : state) {
    benchmark::DoNotOptimize(rules.find(host, path));
  }
}

void rules_build(benchmark::State& state) {
  const auto list = rules_of(Spread::both, static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(ForwardingRules(list));
  }
}

BENCHMARK_CAPTURE(rules_warm, domains, Spread::domains)->Arg(10)->Arg(1'000)->Arg(10'000);
BENCHMARK_CAPTURE(rules_warm, both, Spread::both)->Arg(10)->Arg(1'000)->Arg(10'000);
BENCHMARK_CAPTURE(rules_warm, urls, Spread::urls)->Arg(10)->Arg(1'000)->Arg(10'000);
BENCHMARK_CAPTURE(rules_warm, nested, Spread::nested)->Arg(10'000);
BENCHMARK_CAPTURE(rules_cold, domains, Spread::domains)->Arg(10'000)->Iterations(2'000);
BENCHMARK_CAPTURE(rules_cold, both, Spread::both)->Arg(10'000)->Iterations(2'000);
BENCHMARK_CAPTURE(rules_cold, urls, Spread::urls)->Arg(10'000)->Iterations(2'000);
BENCHMARK(rules_hostile)->Arg(10'000);
BENCHMARK(rules_build)->Arg(10'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace steelyard::service

BENCHMARK_MAIN();
