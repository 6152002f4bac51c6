#include "control/runtime/traffic_report.h"

namespace steelyard::control::report {

void put_into(boost::json::object& object, const Traffic& traffic) {
  object["active"] = traffic.active;
  object["connections"] = traffic.connections;
  object["packets_in"] = traffic.packets_in;
  object["bytes_in"] = traffic.bytes_in;
  object["packets_out"] = traffic.packets_out;
  object["bytes_out"] = traffic.bytes_out;
  object["turned_away"] = traffic.turned_away;
}

void put_into(boost::json::object& object, const Excess& excess, std::uint32_t bandwidth) {
  object["bandwidth"] = bandwidth;
  object["bandwidth_exceeded_packets"] = excess.packets;
  object["bandwidth_exceeded_bytes"] = excess.bytes;
}

void add_server(PrometheusText& text, const PrometheusText::Labels& labels, const Traffic& traffic,
                std::uint32_t max_connections) {
  text.counter("steelyard_server_connections_total", "Connections given to a server.").add(labels, traffic.connections);
  text.gauge("steelyard_server_connections_active", "Connections of a server that have not ended.")
      .add(labels, traffic.active);
  text.counter("steelyard_server_bytes_in_total", "IP bytes from clients to a server.").add(labels, traffic.bytes_in);
  text.counter("steelyard_server_bytes_out_total", "IP bytes from a server to clients.").add(labels, traffic.bytes_out);
  if (max_connections != 0) {
    text.gauge("steelyard_server_connections_limit", "Connections that a server may have (max_connections).")
        .add(labels, max_connections);
    text.counter("steelyard_server_turned_away_total", "Connections that a server had no room for.")
        .add(labels, traffic.turned_away);
  }
}

void add_listener(PrometheusText& text, const PrometheusText::Labels& labels, const Traffic& traffic,
                  const Excess& excess, std::uint32_t bandwidth) {
  text.counter("steelyard_listener_connections_total", "Connections of a listener.").add(labels, traffic.connections);
  text.counter("steelyard_listener_packets_in_total", "Packets from a listener's clients.")
      .add(labels, traffic.packets_in);
  text.counter("steelyard_listener_bytes_in_total", "IP bytes from a listener's clients.")
      .add(labels, traffic.bytes_in);
  text.counter("steelyard_listener_packets_out_total", "Packets to a listener's clients.")
      .add(labels, traffic.packets_out);
  text.counter("steelyard_listener_bytes_out_total", "IP bytes to a listener's clients.")
      .add(labels, traffic.bytes_out);
  if (bandwidth != 0) {
    text.gauge("steelyard_listener_bandwidth_limit_bits_per_second", "What a listener's clients are sent at most.")
        .add(labels, std::uint64_t{bandwidth} * 1'000'000);
    text.counter("steelyard_listener_bandwidth_exceeded_packets_total", "Packets dropped by a listener's limit.")
        .add(labels, excess.packets);
    text.counter("steelyard_listener_bandwidth_exceeded_bytes_total", "IP bytes dropped by a listener's limit.")
        .add(labels, excess.bytes);
  }
}

}  // namespace steelyard::control::report
