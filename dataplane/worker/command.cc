#include "dataplane/worker/command.h"

#include <algorithm>

namespace steelyard::worker {
namespace {

// A reset is a packet, and the proxy's work with what was under way: so many entries' worth.
constexpr std::size_t clear_share = 8;

ConnectionEnd remote_of(const tcp::Endpoints& ends) {
  return {service::Address::from_v6(ends.remote.bytes()), ends.remote_port};
}
ConnectionEnd local_of(const tcp::Endpoints& ends) {
  return {service::Address::from_v6(ends.local.bytes()), ends.local_port};
}

void add_report(const TcpHost& host, const tcp::Stack& stack, tcp::ConnectionId connection, ConnectionRecord& record) {
  const tcp::ConnectionReport tcp = stack.find(connection)->report(*stack.settings_of(connection));
  record.state = tcp.state;
  record.window = tcp.window;
  record.threshold = tcp.threshold;
  record.unacknowledged = tcp.unacknowledged;
  record.unsent += tcp.unsent;
  record.unread = tcp.unread;
  record.retransmitted = tcp.retransmitted;
  record.round_trip = tcp.round_trip;
  record.timeout = tcp.timeout;
  record.idle = std::max(host.now() - tcp.active_at, tcp::Duration{0});
}

}  // namespace

ConnectionRecord record_of(const TcpHost& host, const service::Snapshot& snapshot, tcp::ConnectionId connection) {
  const tcp::Stack& stack = host.stack();
  const tcp::Endpoints& ends = *stack.endpoints_of(connection);
  const http::LinkReport link = host.describe(connection);
  ConnectionRecord record{.side = link.side,
                          .activity = link.activity,
                          .local = local_of(ends),
                          .remote = remote_of(ends),
                          .listener = std::nullopt,
                          .other = std::nullopt,
                          .requests = link.requests,
                          .unsent = link.unsent};
  const tcp::Endpoints* other = stack.endpoints_of(link.other);
  if (other != nullptr) {
    record.other = remote_of(*other);
  }
  if (link.side == http::Side::client) {
    record.listener = record.local;
  } else if (other != nullptr) {
    record.listener = local_of(*other);
  } else if (const service::Listener* target = snapshot.find(link.listener)) {
    record.listener = {target->key.address, target->key.port};
  }
  return record;
}

bool FlowCommand::reset(const Premises& premises, std::size_t budget) {
  if (!flows_reset_) {
    const auto progress = premises.balancer.reset(filter_, cursor_, budget);
    matches_ += progress.ended;
    cursor_ = progress.next.value_or(0);
    flows_reset_ = !progress.next;
    return flows_reset_ && premises.tcp == nullptr;
  }
  const auto progress = premises.tcp->withdraw(filter_, request_cursor_, budget);
  requests_ += progress.ended;
  request_cursor_ = progress.next.value_or(0);
  return !progress.next;
}

bool FlowCommand::step(const Premises& premises, std::size_t budget) {
  l4::Balancer& balancer = premises.balancer;
  if (action_ == Action::reset) {
    return reset(premises, budget);
  }
  if (action_ == Action::keep_bandwidth) {
    const auto next = balancer.forget_hops_of_limited(cursor_, budget);
    cursor_ = next.value_or(0);
    return !next;
  }
  const auto next = balancer.walk(filter_, cursor_, budget, [this](const l4::FlowRecord& record) {
    ++matches_;
    if (records_.size() < most_records_) {
      records_.push_back(record);
    }
  });
  cursor_ = next.value_or(0);
  return !next || (action_ == Action::list && records_.size() == most_records_);
}

bool ConnectionCommand::step(const Premises& premises, std::size_t budget) {
  if (premises.tcp == nullptr) {
    return true;
  }
  const std::size_t share = action_ == Action::clear ? budget / clear_share : budget;
  const auto next =
      premises.tcp->stack().walk(cursor_, share, [&](tcp::ConnectionId connection) { visit(premises, connection); });
  cursor_ = next.value_or(0);
  return !next || (action_ == Action::list && records_.size() == most_records_);
}

void ConnectionCommand::visit(const Premises& premises, tcp::ConnectionId connection) {
  ConnectionRecord record = record_of(*premises.tcp, premises.snapshot, connection);
  if (!filter_.matches(record)) {
    return;
  }
  ++matches_;
  if (action_ == Action::clear) {
    premises.tcp->stack().abort(connection, premises.tcp->now());
  } else if (records_.size() < most_records_) {
    add_report(*premises.tcp, premises.tcp->stack(), connection, record);
    records_.push_back(record);
  }
}

}  // namespace steelyard::worker
