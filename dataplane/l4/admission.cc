// Who may open a flow, and how many: what a listener's rules say of a packet's source. Asked by the owner of the flow
// for packets without one, so that an established packet pays nothing and a packet of another worker's flow, on its way
// there, neither. What is refused is dropped without a word, as by a firewall: an answer would tell a scanner that
// somebody is there, and serve a forged source to reflect packets.
//
// A flow that a reload does not want any more ends by control's command (FlowFilter::shut_out): its publication comes
// before its walk, so no flow opens behind the walk's back.
#include "dataplane/l4/balancer.h"

namespace steelyard::l4 {

using packet::DropReason;

// Not let in by the listener's access list; counted.
bool Balancer::is_shut_out(const service::Listener& listener, const service::Address& source) {
  if (listener.access == nullptr || listener.access->allows(source)) {
    return false;
  }
  counters_of(listener).access_denied.add();
  return true;
}

SourceTable::Use Balancer::use_of(const SourceKey& key, const WindowTime& now) const {
  SourceTable::Use all;
  for (const SourceTable* table : sources_) {
    const SourceTable::Use use = table->find(key, now);
    all.connections += use.connections;
    all.recent += use.recent;
    all.requests += use.requests;
  }
  return all;
}

// Whether a new connection is beyond what the listener takes, or takes of one source; counted. If not, it counts
// against the rates from now on. A source that asks for too much takes nothing of what the listener may take of all.
std::optional<DropReason> Balancer::over_limit(const service::Listener& listener, const service::Address& source) {
  const WindowTime now = WindowTime::at(now_ns_);
  const service::SourceLimits& limits = listener.per_source;
  ListenerCounters& own = counters_of(listener);
  SourceKey key;
  if (limits.any()) {
    key = source_key(key_, listener.id, limits, source);
    const SourceTable::Use use = use_of(key, now);
    if (limits.connections != 0 && use.connections >= limits.connections) {
      own.source_connections_exceeded.add();
      return DropReason::source_connections_exceeded;
    }
    if (limits.connection_rate != 0 && !has_room(use.recent, limits.connection_rate)) {
      own.source_rate_exceeded.add();
      return DropReason::source_rate_exceeded;
    }
  }
  if (listener.connection_rate != 0) {
    std::uint64_t recent = 0;
    for (const auto* counters : listeners_) {
      recent += (*counters)[listener.id.value].came.recent(now);
    }
    if (!has_room(recent, listener.connection_rate)) {
      own.connection_rate_exceeded.add();
      return DropReason::connection_rate_exceeded;
    }
    own.came.add(now);
  }
  if (limits.any()) {
    sources_[worker_.value]->came(key, now);
  }
  return std::nullopt;
}

// The part of over_limit() that counts connections, not attempts: for those that have been let in once already.
bool Balancer::has_too_many(const service::Listener& listener, const service::Address& source) {
  const service::SourceLimits& limits = listener.per_source;
  if (limits.connections == 0) {
    return false;
  }
  const SourceKey key = source_key(key_, listener.id, limits, source);
  if (use_of(key, WindowTime::at(now_ns_)).connections < limits.connections) {
    return false;
  }
  counters_of(listener).source_connections_exceeded.add();
  return true;
}

bool Balancer::takes_request(const service::Listener& listener, const service::Address& source) {
  const service::SourceLimits& limits = listener.per_source;
  if (limits.request_rate == 0) {
    return true;
  }
  const WindowTime now = WindowTime::at(now_ns_);
  const SourceKey key = source_key(key_, listener.id, limits, source);
  if (!has_room(use_of(key, now).requests, limits.request_rate)) {
    counters_of(listener).source_requests_exceeded.add();
    return false;
  }
  sources_[worker_.value]->asked(key, now);
  return true;
}

void Balancer::count_source(const service::Listener& listener, const service::Address& source, bool more) {
  const SourceKey key = source_key(key_, listener.id, listener.per_source, source);
  SourceTable& own = *sources_[worker_.value];
  more ? own.opened(key, WindowTime::at(now_ns_)) : own.closed(key);
}

}  // namespace steelyard::l4
