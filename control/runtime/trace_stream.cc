#include "control/runtime/trace_stream.h"

#include <array>
#include <boost/json/array.hpp>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>

namespace steelyard::control {
namespace {

namespace json = boost::json;
using packet::PacketKind;

// Else a flood would leave no line for what is not lost.
constexpr std::chrono::seconds lost_interval{1};

constexpr std::array<std::pair<std::uint16_t, std::string_view>, 13> fact_names{
    {{worker::fact::opened, "opened"},
     {worker::fact::consumed, "consumed"},
     {worker::fact::adopted, "adopted"},
     {worker::fact::translated, "translated"},
     {worker::fact::forwarded, "forwarded"},
     {worker::fact::split, "split"},
     {worker::fact::waits, "waits"},
     {worker::fact::dropped, "dropped"},
     {worker::fact::handed_over, "handed_over"},
     {worker::fact::to_kernel, "to_kernel"},
     {worker::fact::reset, "reset"},
     {worker::fact::unreachable, "unreachable"},
     {worker::fact::echoed, "echoed"}}};

// "SA": the flags in the order in which tcpdump and people name them.
std::string flags_text(std::uint8_t flags) {
  using namespace packet::tcp_flag;
  constexpr std::array<std::pair<std::uint8_t, char>, 6> letters{
      {{syn, 'S'}, {fin, 'F'}, {rst, 'R'}, {psh, 'P'}, {ack, 'A'}, {urg, 'U'}}};
  std::string text;
  for (const auto& [flag, letter] : letters) {
    if ((flags & flag) != 0) {
      text += letter;
    }
  }
  return text;
}

std::string end_text(const worker::PacketEnd& end, bool with_port) {
  const std::string address = end.address.to_string();
  if (!with_port) {
    return address;
  }
  return (end.address.is_v4() ? address : '[' + address + ']') + ':' + std::to_string(end.port);
}

std::string time_text(std::chrono::system_clock::time_point time) {
  const auto since = std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = since / 1'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  length += static_cast<std::size_t>(
      std::snprintf(text.data() + length, text.size() - length, ".%06dZ", static_cast<int>(since % 1'000'000)));
  return {text.data(), length};
}

std::string_view protocol_name(std::uint8_t protocol) {
  switch (protocol) {
    case packet::protocol_tcp:
      return "tcp";
    case packet::protocol_udp:
      return "udp";
    case packet::protocol_icmp:
      return "icmp";
    case packet::protocol_icmpv6:
      return "icmpv6";
    default:
      return "other";
  }
}

}  // namespace

json::object to_json(const worker::PacketEvent& event, std::chrono::system_clock::time_point time) {
  json::object line{{"time", time_text(time)},
                    {"worker", event.worker},
                    {"from", event.from_client ? "client" : "server"},
                    {"protocol", protocol_name(event.protocol)},
                    {"source", end_text(event.source, event.has_ports)},
                    {"destination", end_text(event.destination, event.has_ports)},
                    {"length", event.length},
                    {"payload", event.payload}};
  if (event.kind == PacketKind::l4 && event.protocol == packet::protocol_tcp) {
    line["flags"] = flags_text(event.tcp_flags);
    line["sequence"] = event.sequence;
    line["acknowledgment"] = event.acknowledgment;
  } else if (event.kind == PacketKind::icmp) {
    line["icmp_type"] = event.icmp_type;
    line["icmp_code"] = event.icmp_code;
  } else if (event.kind == PacketKind::fragment) {
    line["fragment_offset"] = event.fragment_offset;
  }
  json::array verdict;
  for (const auto& [bit, name] : fact_names) {
    if ((event.facts & bit) != 0) {
      verdict.emplace_back(name);
    }
  }
  line["verdict"] = std::move(verdict);
  if ((event.facts & worker::fact::dropped) != 0) {
    line["reason"] = packet::name(event.reason);
  }
  if (!event.server.address.is_unspecified()) {
    line["server"] = end_text(event.server, true);
  }
  if (event.handed_in) {
    line["handed_in"] = true;
  }
  return line;
}

std::optional<json::value> TraceStream::next() {
  if (said_end_) {
    return std::nullopt;
  }
  const auto now = std::chrono::steady_clock::now();
  if (told_ == limits_.count || now >= limits_.until) {
    watch_.end();
  }
  if (const std::uint64_t lost = watch_.lost(); lost != lost_told_ && now >= next_lost_) {
    lost_told_ = lost;
    next_lost_ = now + lost_interval;
    return json::object{{"lost", lost}};
  }
  if (const auto record = watch_.front(); told_ < limits_.count && record.size() == sizeof(worker::PacketEvent)) {
    worker::PacketEvent event;
    std::memcpy(&event, record.data(), sizeof event);
    watch_.pop();
    ++told_;
    return to_json(event, wall_(event.time_ns));
  }
  if (!watch_.over()) {
    return std::nullopt;
  }
  said_end_ = true;
  return json::object{{"end", json::object{{"events", told_}, {"lost", watch_.lost()}}}};
}

}  // namespace steelyard::control
