// What layer 7 pays for reading: a request's head of 100 octets should take well under a microsecond, since the whole
// of a short exchange has about ten. Heads are parsed as the proxy does it, into a head that has been used before;
// scanning for a head's end is measured with it and by itself. The figures of bodies are by the piece that a segment
// brings.
#include <benchmark/benchmark.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/http/body.h"
#include "dataplane/http/parse.h"

namespace {

using namespace steelyard::http;

constexpr std::string_view short_request =
    "GET /path/index.htm HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nX: 12\r\n\r\n";
static_assert(short_request.size() == 100);

constexpr std::string_view browser_request =
    "GET /shop/list?category=shoes&page=3&sort=price HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "Connection: keep-alive\r\n"
    "sec-ch-ua: \"Chromium\";v=\"118\", \"Not=A?Brand\";v=\"99\"\r\n"
    "sec-ch-ua-mobile: ?0\r\n"
    "sec-ch-ua-platform: \"Linux\"\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/118.0.0.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Referer: https://www.example.com/shop/list?category=shoes&page=2\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en;q=0.9\r\n"
    "Cookie: SERVERID=0123456789abcdef; session=f00dfeed\r\n\r\n";

constexpr std::string_view answer =
    "HTTP/1.1 200 OK\r\n"
    "Server: nginx/1.22.1\r\n"
    "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n"
    "Content-Type: text/html; charset=utf-8\r\n"
    "Content-Length: 15234\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: max-age=60\r\n"
    "ETag: \"5f3c-1a2b\"\r\n\r\n";

std::span<const std::uint8_t> octets_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

void request_head(benchmark::State& state, std::string_view text) {
  RequestHead head;
  for (auto step : state) {
    static_cast<void>(step);
    HeadScanner scanner;
    const auto size = scanner.scan(octets_of(text));
    if (!size || !parse_request(octets_of(text).first(*size), {}, head)) {
      state.SkipWithError("refused");
      return;
    }
    benchmark::DoNotOptimize(head);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}
BENCHMARK_CAPTURE(request_head, 100_octets, short_request);
BENCHMARK_CAPTURE(request_head, browser, browser_request);

void response_head(benchmark::State& state) {
  ResponseHead head;
  for (auto step : state) {
    static_cast<void>(step);
    HeadScanner scanner;
    const auto size = scanner.scan(octets_of(answer));
    if (!size || !parse_response(octets_of(answer).first(*size), {}, Method::get, head)) {
      state.SkipWithError("refused");
      return;
    }
    benchmark::DoNotOptimize(head);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(answer.size()));
}
BENCHMARK(response_head);

void scan_head(benchmark::State& state) {
  for (auto step : state) {
    static_cast<void>(step);
    HeadScanner scanner;
    benchmark::DoNotOptimize(scanner.scan(octets_of(browser_request)));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(browser_request.size()));
}
BENCHMARK(scan_head);

// The proxy asks for every field of a head.
void hop_by_hop_fields(benchmark::State& state) {
  RequestHead head;
  if (!parse_request(octets_of(browser_request), {}, head)) {
    state.SkipWithError("refused");
    return;
  }
  for (auto step : state) {
    static_cast<void>(step);
    std::size_t dropped = 0;
    for (const Field& field : head.fields.all()) {
      dropped += is_hop_by_hop(head, field.name) ? 1 : 0;
    }
    benchmark::DoNotOptimize(dropped);
  }
}
BENCHMARK(hop_by_hop_fields);

// 64 chunks, in pieces as full segments bring them.
void chunked_body(benchmark::State& state, std::size_t chunk, std::string_view extension) {
  constexpr std::size_t segment = 1'448;
  std::string body;
  for (int i = 0; i < 64; ++i) {
    constexpr std::string_view hex = "0123456789abcdef";
    for (int shift = 12; shift >= 0; shift -= 4) {
      body += hex[chunk >> static_cast<unsigned>(shift) & 15U];
    }
    body += std::string(extension) + "\r\n" + std::string(chunk, 'd') + "\r\n";
  }
  body += "0\r\n\r\n";
  for (auto step : state) {
    static_cast<void>(step);
    BodyReader reader{{BodyKind::chunked, 0}};
    auto rest = octets_of(body);
    while (!reader.complete()) {
      auto piece = rest.first(std::min(segment, rest.size()));
      rest = rest.subspan(piece.size());
      while (!piece.empty()) {
        const BodyReader::Step taken = reader.next(piece);
        if (taken.kind == BodyReader::Step::Kind::refuse) {
          state.SkipWithError(taken.fault);
          return;
        }
        piece = piece.subspan(taken.octets);
      }
    }
    benchmark::DoNotOptimize(reader);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
  state.counters["per_chunk"] = benchmark::Counter(static_cast<double>(state.iterations() * 64),
                                                   benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK_CAPTURE(chunked_body, of_4096, 4'096, "");
BENCHMARK_CAPTURE(chunked_body, of_100, 100, "");
BENCHMARK_CAPTURE(chunked_body, of_100_with_extensions, 100, ";name=value");

}  // namespace

BENCHMARK_MAIN();
