// What a request pays for the access log: a worker for its record, the log's thread for the line.
#include <benchmark/benchmark.h>

#include <string>

#include "control/access_log/format.h"

namespace steelyard::control::access_log {
namespace {

class Names final : public RecordNames {
 public:
  std::string_view listener(service::ListenerId) const override { return "web/443"; }
  std::string_view target(service::ListenerId) const override { return "shop"; }
  std::string_view server(service::BackendId) const override { return "192.0.2.80:8080"; }
};

http::AccessRecord usual_record() {
  http::AccessRecord record;
  record.accepted_at = 1'795'694'400'123'456;
  record.listener = {1};
  record.target = {2};
  record.backend = {7};
  record.client = service::Address::parse("198.51.100.9").value();
  record.client_port = 40'000;
  record.status = 200;
  record.head_us = record.queue_us = record.connect_us = record.first_octet_us = record.total_us = 12'345;
  record.octets_in = 345;
  record.octets_out = 6'789;
  record.method.assign("GET");
  record.host.assign("www.example.org");
  record.target_text.assign("/a/usual/path/of/some/length?with=a&few=arguments&in=it");
  return record;
}

void access_ring(benchmark::State& state) {
  worker::AccessRing ring(1U << 20U);
  const http::AccessRecord record = usual_record();
  http::AccessRecord got;
  for (auto _ : state) {
    benchmark::DoNotOptimize(ring.push(record));
    benchmark::DoNotOptimize(ring.pop(got));
  }
}

void access_line(benchmark::State& state, const LineFormat& format) {
  const http::AccessRecord record = usual_record();
  const Names names;
  std::string line;
  for (auto _ : state) {
    line.clear();
    format.append(line, {record, names});
    benchmark::DoNotOptimize(line.data());
  }
}

BENCHMARK(access_ring);
BENCHMARK_CAPTURE(access_line, json, LineFormat());
BENCHMARK_CAPTURE(access_line, nginx,
                  LineFormat::from_template(
                      "$remote_addr - - [$time_local] \"$request\" $status $bytes_sent $upstream_addr $request_time")
                      .value());

}  // namespace
}  // namespace steelyard::control::access_log

BENCHMARK_MAIN();
