// A record as a worker writes it, names for what it names, and what a format makes of it.
#pragma once

#include <string>
#include <string_view>

#include "control/access_log/format.h"

namespace steelyard::control::access_log::testing {

class SampleNames final : public RecordNames {
 public:
  std::string_view listener(service::ListenerId id) const override { return id.value == 1 ? "web/443" : ""; }
  std::string_view target(service::ListenerId id) const override { return id.value == 2 ? "shop" : ""; }
  std::string_view server(service::BackendId id) const override { return id.value == 7 ? "192.0.2.80:8080" : ""; }
};

inline http::AccessRecord sample_record() {
  http::AccessRecord record;
  record.accepted_at = 1'795'694'400'123'456;  // 2026-11-26T12:00:00.123456Z
  record.listener = {1};
  record.target = {2};
  record.backend = {7};
  record.client = service::Address::parse("198.51.100.9").value();
  record.client_port = 40'000;
  record.status = 200;
  record.cookie = http::CookieVerdict::valid;
  record.retries = 1;
  record.head_us = 1'500;
  record.queue_us = 0;
  record.connect_us = 2'000'999;
  record.first_octet_us = 30'000;
  record.total_us = 2'100'000;
  record.octets_in = 345;
  record.octets_out = 6'789;
  record.method.assign("GET");
  record.host.assign("www.example.org");
  record.target_text.assign("/a/b?c=d&e");
  return record;
}

inline std::string line_of(const LineFormat& format, const http::AccessRecord& record = sample_record()) {
  std::string line;
  format.append(line, {record, SampleNames()});
  return line;
}

}  // namespace steelyard::control::access_log::testing
