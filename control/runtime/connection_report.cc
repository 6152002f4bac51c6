#include "control/runtime/connection_report.h"

#include <limits>
#include <string_view>

#include "control/runtime/request_fields.h"

namespace steelyard::control {
namespace {

namespace json = boost::json;

std::string_view name_of(http::Side side) {
  switch (side) {
    case http::Side::client:
      return "client";
    case http::Side::server:
      return "server";
    case http::Side::none:
      break;
  }
  return "none";
}

std::string_view name_of(http::Activity activity) {
  switch (activity) {
    case http::Activity::idle:
      return "idle";
    case http::Activity::reading:
      return "reading";
    case http::Activity::queued:
      return "queued";
    case http::Activity::connecting:
      return "connecting";
    case http::Activity::waiting:
      return "waiting";
    case http::Activity::answering:
      return "answering";
    case http::Activity::tunnel:
      return "tunnel";
    case http::Activity::closing:
      return "closing";
    case http::Activity::none:
      break;
  }
  return "none";
}

json::value text_or_null(const worker::ConnectionEnd* end) {
  return end != nullptr ? json::value(endpoint_text(end->address, end->port)) : json::value(nullptr);
}

}  // namespace

json::object connection_json(const worker::ConnectionRecord& record, std::size_t worker) {
  // RFC 9293's "unlimited": no loss has set it yet.
  const bool has_threshold = record.threshold != std::numeric_limits<std::uint32_t>::max();
  return {{"side", name_of(record.side)},
          {"listener", text_or_null(record.listener ? &*record.listener : nullptr)},
          {"client", text_or_null(record.client())},
          {"server", text_or_null(record.server())},
          {"local", text_or_null(&record.local)},
          {"remote", text_or_null(&record.remote)},
          {"state", tcp::name_of(record.state)},
          {"doing", name_of(record.activity)},
          {"requests", record.requests},
          {"cwnd", record.window},
          {"ssthresh", has_threshold ? json::value(record.threshold) : json::value(nullptr)},
          {"srtt_us", record.round_trip.count()},
          {"rto_us", record.timeout.count()},
          {"unacked", record.unacknowledged},
          {"unsent", record.unsent},
          {"unread", record.unread},
          {"retransmits", record.retransmitted},
          {"idle_s", std::chrono::duration_cast<std::chrono::seconds>(record.idle).count()},
          {"worker", worker}};
}

}  // namespace steelyard::control
