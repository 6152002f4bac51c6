// What a request pays for its session cookie, and the most that a client can make it pay: a head full of cookies.
#include <benchmark/benchmark.h>

#include <array>
#include <string>
#include <vector>

#include "dataplane/http/cookie_edit.h"

namespace steelyard::http {
namespace {

constexpr std::uint32_t now = 1'800'000'000;

struct Scene {
  Scene() {
    std::vector<std::uint64_t> all;
    for (std::uint16_t port = 1; port <= 1'000; ++port) {
      service::Server server;
      server.port = port;
      all.push_back(cookies.tag_of(server).value);
    }
    value = cookies.write({{all[500]}, now, now}).view();
    tags = service::ServerTags(all);
  }
  // A usual one, or 32 KB of forged ones.
  [[nodiscard]] std::string field(bool hostile) const {
    std::string text = "theme=dark; _ga=GA1.2.1234567890.1234567890; ";
    std::string forged = value;
    forged[3] = forged[3] == 'A' ? 'B' : 'A';
    while (hostile && text.size() < 32'000) {
      text += "SERVERID=" + forged + ";";
    }
    return text + "SERVERID=" + value + "; session=0123456789abcdef";
  }

  SessionCookies cookies{CookieKey{}};
  service::ServerTags tags;
  std::string value;
};

void cookie_find(benchmark::State& state, bool hostile) {
  const Scene scene;
  const std::string text = scene.field(hostile);
  const std::array<Field, 3> fields{Field{"Host", "example.org"}, Field{"Accept", "*/*"}, Field{"Cookie", text}};
  for (auto _ : state) {
    benchmark::DoNotOptimize(find_inserted(fields, "SERVERID", scene.cookies, scene.tags, now, 60));
  }
}

void cookie_strip(benchmark::State& state, bool hostile) {
  const Scene scene;
  const std::string text = scene.field(hostile);
  for (auto _ : state) {
    StrippedCookies pieces(text, "SERVERID");
    for (std::string_view piece = pieces.next(); !piece.empty(); piece = pieces.next()) {
      benchmark::DoNotOptimize(piece.data());
    }
  }
}

void cookie_write(benchmark::State& state) {
  const Scene scene;
  std::uint32_t seen = now;
  for (auto _ : state) {
    benchmark::DoNotOptimize(scene.cookies.write({{77}, ++seen, now}));
  }
}

BENCHMARK_CAPTURE(cookie_find, usual, false);
BENCHMARK_CAPTURE(cookie_find, hostile, true);
BENCHMARK_CAPTURE(cookie_strip, usual, false);
BENCHMARK_CAPTURE(cookie_strip, hostile, true);
BENCHMARK(cookie_write);

}  // namespace
}  // namespace steelyard::http

BENCHMARK_MAIN();
