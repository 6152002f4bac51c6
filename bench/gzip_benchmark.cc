// What compressing costs by the octet: pages of text, what hardly compresses, what repeats itself, in the pieces that
// the proxy gives, and what a call costs beside them. Budgets of http/compression.cc come from here.
#include <benchmark/benchmark.h>

#include <x86intrin.h>

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "dataplane/http/gzip.h"

namespace steelyard::http {
namespace {

using Flush = GzipPool::Flush;

constexpr std::size_t octets = 262'144;
constexpr std::size_t piece = 1'448;  // a segment's payload

std::string page() {
  constexpr std::string_view words[] = {
      "balance ", "<p class=\"line\">", "octets ", "of ", "the ", "server ", "</p>\n", "answer ",
      "weight ",  "<a href=\"/page/"};
  std::mt19937 random(1);
  std::string text;
  while (text.size() < octets) {
    text += words[random() % 10];
    text += std::to_string(random() % 1'000);
  }
  text.resize(octets);
  return text;
}
std::string noise() {
  std::mt19937 random(1);
  std::string text(octets, '\0');
  for (char& octet : text) {
    octet = static_cast<char>(random());
  }
  return text;
}
// As base64 has them: hardly a match, and codes for everything.
std::string letters() {
  std::string text = noise();
  for (char& octet : text) {
    octet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[static_cast<std::uint8_t>(octet) % 64];
  }
  return text;
}

std::span<const std::uint8_t> octets_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

void gzip(benchmark::State& state, const std::string& content) {
  GzipPool pool(1);
  std::array<std::uint8_t, 2'035> room{};
  std::uint64_t cycles = 0;
  std::uint64_t written = 0;
  for (auto _ : state) {
    const std::uint64_t begun = __rdtsc();
    const CompressorIndex index = pool.take();
    const auto put = [&](std::string_view text, Flush flush) {
      for (GzipPool::Progress progress; !progress.done; text.remove_prefix(progress.taken)) {
        progress = pool.compress(index, octets_of(text), room, flush);
        written += progress.written;
      }
    };
    for (std::size_t at = 0; at < content.size(); at += piece) {
      put(std::string_view(content).substr(at, piece), Flush::none);
    }
    put({}, Flush::finish);
    pool.give_back(index);
    cycles += __rdtsc() - begun;
  }
  const auto all = static_cast<double>(state.iterations()) * static_cast<double>(content.size());
  state.SetBytesProcessed(static_cast<std::int64_t>(all));
  state.counters["cycles/octet"] = static_cast<double>(cycles) / all;
  state.counters["ratio"] = all / static_cast<double>(written);
}

// One octet, and out with it.
void gzip_sync(benchmark::State& state) {
  GzipPool pool(1);
  const CompressorIndex index = pool.take();
  std::array<std::uint8_t, 2'035> room{};
  for (auto _ : state) {
    benchmark::DoNotOptimize(pool.compress(index, octets_of("x"), room, Flush::sync));
  }
}

void gzip_take(benchmark::State& state) {
  GzipPool pool(1);
  for (auto _ : state) {
    pool.give_back(pool.take());
  }
}

BENCHMARK_CAPTURE(gzip, page, page());
BENCHMARK_CAPTURE(gzip, noise, noise());
BENCHMARK_CAPTURE(gzip, letters, letters());
BENCHMARK_CAPTURE(gzip, one_letter, std::string(octets, 'x'));
BENCHMARK(gzip_sync);
BENCHMARK(gzip_take);

}  // namespace
}  // namespace steelyard::http

BENCHMARK_MAIN();
