// Requests that watch traffic: `trace` and `capture`. Each gets a tap for a bounded time, whose records its connection
// takes as fast as its client reads.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "control/runtime/capture_stream.h"
#include "control/runtime/request_fields.h"
#include "control/runtime/runtime.h"

namespace steelyard::control {
namespace {

namespace json = boost::json;
using std::chrono::steady_clock;

// For each worker: some 5,000 events, some 2,700 full frames.
constexpr std::size_t trace_ring_bytes = 1U << 20U;
constexpr std::size_t capture_ring_bytes = 1U << 22U;

// What a request says, within its limits; what it does not say is the default.
struct Bound {
  const char* key;
  std::int64_t usual;
  std::int64_t most;
};
constexpr Bound seconds_bound{"seconds", 60, 3'600};
constexpr Bound count_bound{"count", 100'000, 1'000'000'000};
constexpr Bound packets_bound{"packets", 100'000, 1'000'000'000};
constexpr Bound bytes_bound{"bytes", 64LL << 20U, 1LL << 40U};
// The longest frame there is, with room for what a driver leaves at its end.
constexpr Bound snaplen_bound{"snaplen", 65'535, 65'535};

tl::expected<std::int64_t, std::string> bounded(const json::object& request, const Bound& bound) {
  if (!request.contains(bound.key)) {
    return bound.usual;
  }
  const auto number = number_of(request, bound.key);
  if (!number || *number < 1 || *number > bound.most) {
    return tl::unexpected(std::string(bound.key) + " is a whole number from 1 to " + std::to_string(bound.most));
  }
  return *number;
}

}  // namespace

tl::expected<worker::TapFilter, std::string> Runtime::tap_filter(const json::object& request) const {
  worker::TapFilter filter;
  if (const std::string client = text_of(request, "client"); !client.empty()) {
    filter.client = service::Prefix::parse(client);
    if (!filter.client) {
      return tl::unexpected("'" + client + "' is neither an address nor a network (ADDRESS/LENGTH)");
    }
  }
  const auto listener = named_listener(plan_, request);
  if (!listener) {
    return tl::unexpected(listener.error());
  }
  if (*listener != nullptr) {
    filter.service = plan_.snapshot->find((*listener)->id)->key;
  }
  if (!filter.client && !filter.service) {
    return tl::unexpected(std::string("say whose packets: a client, a listener, or both"));
  }
  return filter;
}

WallClock Runtime::wall_clock() const {
  const auto now = std::chrono::system_clock::now();
  return [now, now_ns = dataplane_->clock().now_ns()](std::uint64_t worker_ns) {
    return now + std::chrono::duration_cast<std::chrono::system_clock::duration>(
                     std::chrono::nanoseconds(static_cast<std::int64_t>(worker_ns - now_ns)));
  };
}

void Runtime::handle_trace(const json::object& request, const AdminServer::Reply& reply) {
  const auto seconds = bounded(request, seconds_bound);
  const auto count = bounded(request, count_bound);
  const auto filter = tap_filter(request);
  for (const auto* wrong :
       {seconds ? nullptr : &seconds.error(), count ? nullptr : &count.error(), filter ? nullptr : &filter.error()}) {
    if (wrong != nullptr) {
      return reply(refused(*wrong));
    }
  }
  auto tap = taps_->add(*filter, 0, trace_ring_bytes);
  if (!tap) {
    return reply(refused(tap.error()));
  }
  spdlog::info("trace client={} listener={} seconds={}", text_of(request, "client"), text_of(request, "listener"),
               *seconds);
  const TraceLimits limits{steady_clock::now() + std::chrono::seconds(*seconds), static_cast<std::uint64_t>(*count)};
  reply.stream(ok(json::object{{"seconds", *seconds}, {"count", *count}}),
               std::make_unique<TraceStream>(*taps_, std::move(*tap), limits, wall_clock()));
}

void Runtime::handle_capture(const json::object& request, const AdminServer::Reply& reply) {
  const auto seconds = bounded(request, seconds_bound);
  const auto packets = bounded(request, packets_bound);
  const auto bytes = bounded(request, bytes_bound);
  const auto snaplen = bounded(request, snaplen_bound);
  for (const auto* number : {&seconds, &packets, &bytes, &snaplen}) {
    if (!*number) {
      return reply(refused(number->error()));
    }
  }
  const auto filter = tap_filter(request);
  if (!filter) {
    return reply(refused(filter.error()));
  }
  auto tap = taps_->add(*filter, static_cast<std::uint32_t>(*snaplen), capture_ring_bytes);
  if (!tap) {
    return reply(refused(tap.error()));
  }
  spdlog::info("capture client={} listener={} seconds={} packets={} bytes={}", text_of(request, "client"),
               text_of(request, "listener"), *seconds, *packets, *bytes);
  std::vector<std::string> interfaces;
  for (std::size_t place = 0; place < dataplane_->ports(); ++place) {
    interfaces.push_back(dataplane_->port_name(place));
  }
  const CaptureLimits limits{steady_clock::now() + std::chrono::seconds(*seconds), static_cast<std::uint64_t>(*packets),
                             static_cast<std::uint64_t>(*bytes)};
  reply.stream(ok(json::object{{"seconds", *seconds}, {"packets", *packets}, {"bytes", *bytes}, {"snaplen", *snaplen}}),
               std::make_unique<CaptureStream>(*taps_, std::move(*tap), limits, wall_clock(), interfaces));
}

}  // namespace steelyard::control
