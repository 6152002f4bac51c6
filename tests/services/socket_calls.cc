// The calls that open sockets and ask about them.
#include <algorithm>

#include "dataplane/tcp/state_name.h"
#include "tests/services/options.h"
#include "tests/services/socket_table.h"

namespace steelyard::test {
namespace {

packet::Ipv6Address to_tcp(const service::Address& address) {
  return packet::load<packet::Ipv6Address>(address.v6().data());
}

std::string to_text(const packet::Ipv6Address& address) {
  return service::Address::from_v6(address.bytes()).to_string();
}

void add_endpoints(Call& call, const tcp::Endpoints& endpoints) {
  call.texts["remote"] = to_text(endpoints.remote);
  call.texts["local"] = to_text(endpoints.local);
  call.numbers["remote_port"] = endpoints.remote_port;
  call.numbers["local_port"] = endpoints.local_port;
}

std::optional<tcp::Duration> linger_of(const Call::Options& options, std::optional<tcp::Duration> otherwise) {
  const auto found = options.find("linger_ms");
  if (found == options.end()) {
    return otherwise;
  }
  return found->second < 0 ? std::nullopt : std::optional<tcp::Duration>{std::chrono::milliseconds{found->second}};
}

}  // namespace

const char* name_of(tcp::Cause cause) {
  switch (cause) {
    case tcp::Cause::finished:
      return "finished";
    case tcp::Cause::refused:
      return "refused";
    case tcp::Cause::reset_by_peer:
      return "reset_by_peer";
    case tcp::Cause::timed_out:
      return "connection_timed_out";
    case tcp::Cause::keepalive_failed:
      return "keepalive_failed";
    case tcp::Cause::aborted:
      return "aborted";
    case tcp::Cause::unreachable:
      return "unreachable";
    case tcp::Cause::unread_data:
      return "unread_data";
    case tcp::Cause::no_memory:
      return "no_memory";
  }
  return "unknown";
}

// What a call that opens a socket asks for; nothing when it asks for the impossible.
std::shared_ptr<tcp::Settings> SocketTable::settings_of(Call& call) const {
  auto settings = std::make_shared<tcp::Settings>(defaults_);
  if (std::string wrong = apply_options(call.options, *settings); !wrong.empty()) {
    call.fail(std::move(wrong));
    return nullptr;
  }
  return settings;
}

void SocketTable::do_listen(Call& call) {
  const packet::Ipv6Address local = call.address ? to_tcp(*call.address) : packet::Ipv6Address{};
  const auto same = [&](const auto& entry) {
    return entry.second->listening && entry.second->endpoints.local_port == call.port &&
           entry.second->endpoints.local == local;
  };
  if (std::ranges::any_of(sockets_, same)) {
    call.fail("address_in_use");
    return;
  }
  if (call.address && !host_.is_ours(*call.address)) {
    call.fail("address_not_available");
    return;
  }
  auto settings = settings_of(call);
  if (!settings) {
    return;
  }
  Socket& socket = add(call.client);
  socket.listening = true;
  socket.settings = std::move(settings);
  socket.linger = linger_of(call.options, std::nullopt);
  socket.endpoints.local = local;
  socket.endpoints.local_port = call.port;
  socket.listener = host_.stack().listen(local, call.port, *socket.settings);
  call.numbers["socket"] = socket.number;
}

void SocketTable::do_connect(Call& call, tcp::Time now) {
  const auto all = host_.addresses();
  const auto of_family = std::ranges::find_if(
      all, [&](const service::Address& address) { return address.is_v4() == call.address->is_v4(); });
  const std::optional<service::Address> local =
      call.local_address ? call.local_address
                         : (of_family != all.end() ? std::optional<service::Address>{*of_family} : std::nullopt);
  if (!local || !host_.is_ours(*local) || local->is_v4() != call.address->is_v4()) {
    call.fail("address_not_available");
    return;
  }
  auto settings = settings_of(call);
  if (!settings) {
    return;
  }
  const tcp::Endpoints wanted{.remote = to_tcp(*call.address),
                              .local = to_tcp(*local),
                              .remote_port = call.port,
                              .local_port = call.local_port};
  Socket& socket = add(call.client);
  socket.settings = std::move(settings);
  socket.linger = linger_of(call.options, std::nullopt);
  const tcp::ConnectionId id = call.local_port != 0
                                   ? host_.stack().connect(wanted, *socket.settings, now)
                                   : host_.connect(*local, *call.address, call.port, *socket.settings, now);
  if (host_.stack().find(id) == nullptr) {
    sockets_.erase(socket.number);
    call.fail("address_in_use");
    return;
  }
  bind(socket, id);
  call.socket = socket.number;
  call.numbers["socket"] = socket.number;
  add_endpoints(call, socket.endpoints);
}

SocketTable::Progress SocketTable::do_accept(Call& call, Socket& socket) {
  if (!socket.listening) {
    call.fail("not_listening");
    return Progress::done;
  }
  if (socket.waiting_accepted.empty()) {
    return would_block(call);
  }
  Socket* accepted = find(socket.waiting_accepted.front());
  socket.waiting_accepted.pop_front();
  accepted->client = call.client;
  call.numbers["socket"] = accepted->number;
  add_endpoints(call, accepted->endpoints);
  return Progress::done;
}

void SocketTable::do_set_option(Call& call, Socket& socket, tcp::Time now) {
  if (std::string wrong = apply_options(call.options, *socket.settings); !wrong.empty()) {
    call.fail(std::move(wrong));
    return;
  }
  socket.linger = linger_of(call.options, socket.linger);
  if (!socket.listening) {
    host_.stack().change_settings(socket.id, *socket.settings, now);
  }
}

void SocketTable::do_get_option(Call& call, const Socket& socket) const {
  call.numbers = options_of(*socket.settings);
  call.numbers["linger_ms"] =
      socket.linger ? std::chrono::duration_cast<std::chrono::milliseconds>(*socket.linger).count() : -1;
  call.texts["congestion"] = "cubic";
}

void SocketTable::do_info(Call& call, const Socket& socket) const {
  add_endpoints(call, socket.endpoints);
  call.numbers["readable"] = socket.received.octets();
  call.numbers["peer_finished"] = socket.peer_finished ? 1 : 0;
  if (socket.listening) {
    call.texts["state"] = "listen";
    call.numbers["backlog"] = static_cast<std::int64_t>(socket.waiting_accepted.size());
    return;
  }
  const tcp::Connection* connection = host_.stack().find(socket.id);
  if (connection == nullptr) {
    call.texts["state"] = host_.stack().in_time_wait(socket.endpoints) ? "time_wait" : "closed";
    call.texts["cause"] = name_of(*socket.cause);
    return;
  }
  const tcp::ConnectionReport report = connection->report(*socket.settings);
  call.texts["state"] = name_of(report.state);
  call.numbers["cwnd"] = report.window;
  call.numbers["ssthresh"] = report.threshold;
  call.numbers["in_flight"] = report.in_flight;
  call.numbers["unacked"] = report.unacknowledged;
  call.numbers["send_window"] = report.send_window;
  call.numbers["mss"] = report.segment;
  call.numbers["retransmits"] = report.retransmitted;
  call.numbers["out_of_order_buffers"] = report.held;
  call.numbers["srtt_us"] = report.round_trip.count();
  call.numbers["rto_us"] = report.timeout.count();
  call.numbers["snd_una"] = report.send_unacknowledged.value;
  call.numbers["snd_nxt"] = report.send_next.value;
  call.numbers["rcv_nxt"] = report.receive_next.value;
  call.numbers["rcv_window"] = packet::distance(report.receive_next, report.receive_edge);
  call.numbers["writable"] = connection->writable(*socket.settings);
}

SocketTable::Progress SocketTable::do_wait(Call& call, const Socket& socket) const {
  bool there = false;
  switch (call.condition) {
    case Condition::connected:
      there = socket.connected || socket.over();
      break;
    case Condition::readable:
      there = !socket.received.empty() || socket.at_end() || !socket.waiting_accepted.empty();
      break;
    case Condition::writable:
      there = socket.over() || (socket.connected && writable(socket));
      break;
    case Condition::closed:
      there = socket.over();
      break;
  }
  if (!there) {
    return would_block(call);
  }
  if (socket.over()) {
    call.texts["cause"] = name_of(*socket.cause);
  }
  return Progress::done;
}

void SocketTable::do_counters(Call& call) {
  const tcp::Stack& stack = host_.stack();
  const tcp::StackCounters& counters = stack.counters();
  const worker::TcpHostCounters& host = host_.counters();
  const auto add = [&call](const char* name, std::uint64_t value) {
    call.numbers[name] = static_cast<std::int64_t>(value);
  };
  add("segments_received", host.received.get());
  add("segments_sent", host.sent.get());
  add("checksum_wrong", host.checksum_wrong.get());
  add("unsendable", host.unsendable.get());
  add("payload_copied", host.copied.get());
  add("payload_compacted", host.compacted.get());
  add("accepted", counters.accepted);
  add("opened", counters.opened);
  add("resets_sent", counters.resets_sent);
  add("cookies_sent", counters.cookies_sent);
  add("cookies_accepted", counters.cookies_accepted);
  add("cookies_rejected", counters.cookies_rejected);
  add("half_open_expired", counters.half_open_expired);
  add("dropped_full", counters.dropped_full);
  add("dropped_rate", counters.dropped_rate);
  add("dropped_behind", counters.dropped_behind);
  add("time_wait_recycled", counters.time_wait_recycled);
  add("connections", stack.connections());
  add("half_open", stack.half_open());
  add("time_wait", stack.time_wait());
  add("queue_nodes", host_.queue_nodes_used());
  add("held_buffers", host_.held());
  add("share", host_.pressure().share());
  add("refused_payload", host_.pressure().refused());
  add("refused_syns", counters.syns_refused);
  add("relieved", counters.relieved);
}

}  // namespace steelyard::test
