// What TCP tells is noted here; turn() acts on it. See machine.h for the other files.
#include "dataplane/http/proxy.h"

#include <algorithm>

#include "dataplane/http/machine.h"

namespace steelyard::http {
namespace {

// Connections that one turn serves: some microseconds each, so a turn stays below a millisecond. The rest waits for the
// next one.
constexpr std::size_t served_a_turn = 128;
constexpr std::size_t swept_a_turn = 512;
// TCP may give an index to a new connection before the old one's end has been looked at.
constexpr std::size_t spare_links = 4'096;

std::size_t links_of(const ProxySetup& setup) {
  return setup.connections + std::min(setup.connections, spare_links);
}

}  // namespace

Proxy::Proxy(const ProxySetup& setup, Ground& ground, tcp::Time now, std::pmr::memory_resource* resource)
    : machine_(std::make_unique<Machine>(setup, ground, now, resource)) {}
Proxy::~Proxy() = default;

void Proxy::commit_addresses() {
  machine_->commit_addresses();
}
std::size_t Proxy::memory_needed(const ProxySetup& setup) {
  return Machine::memory_needed(setup);
}

void Proxy::set_snapshot(const service::Snapshot* snapshot) {
  machine_->set_snapshot(snapshot);
}
void Proxy::detach() {
  machine_->detach();
}
void Proxy::accepted(tcp::ConnectionId connection, service::ListenerId listener) {
  machine_->accepted(connection, listener);
}
void Proxy::deliver(tcp::ConnectionId connection, const tcp::Slice& slice) {
  machine_->deliver(connection, slice);
}
void Proxy::notify(tcp::ConnectionId connection, tcp::Event event) {
  machine_->notify(connection, event);
}
void Proxy::over(tcp::ConnectionId connection, tcp::Cause cause) {
  machine_->over(connection, cause);
}
std::size_t Proxy::turn(tcp::Time now, std::uint64_t wall_us) {
  return machine_->turn(now, wall_us);
}
WithdrawalProgress Proxy::withdraw(const Withdrawal& which, std::uint32_t from, std::size_t budget, tcp::Time now) {
  return machine_->withdraw(which, from, budget, now);
}
LinkReport Proxy::describe(tcp::ConnectionId connection) const {
  return machine_->describe(connection);
}
const ProxyCounters& Proxy::counters() const {
  return machine_->counters();
}

Proxy::Machine::Machine(const ProxySetup& setup, Ground& ground, tcp::Time now, std::pmr::memory_resource* resource)
    : ground_(ground),
      cookies_(setup.cookie_key),
      now_(now),
      links_{std::pmr::vector<Link>(links_of(setup), resource)},
      by_connection_(setup.connections, nobody, resource),
      addresses_(links_of(setup)),
      wheel_(links_, now),
      exchanges_(setup.exchanges, resource),
      idle_(service::max_backends),
      queues_(service::max_listeners + 1),
      most_idle_(std::max<std::size_t>(setup.connections / 4, 1)),
      compressors_(std::min(setup.compressors, most_compressors)),
      compressions_(std::min(setup.compressors, most_compressors)) {
  for (std::size_t index = links_.all.size(); index-- > 0;) {
    links_.all[index].next = free_links_;
    free_links_ = static_cast<LinkIndex>(index);
  }
  for (std::size_t index = exchanges_.size(); index-- > 0;) {
    exchanges_[index].next_free = free_exchanges_;
    free_exchanges_ = static_cast<ExchangeIndex>(index);
  }
  sweep_at_ = links_.all.size();
  scratch_.resize(most_head_octets);
  starved_.reserve(links_.all.size());
  unwanted_.reserve(setup.connections);
  queued_targets_.reserve(service::max_listeners);
}

std::size_t Proxy::Machine::memory_needed(const ProxySetup& setup) {
  return links_of(setup) * (sizeof(Link) + sizeof(decltype(starved_)::value_type)) +
         setup.connections * (sizeof(LinkIndex) + sizeof(decltype(unwanted_)::value_type)) +
         setup.exchanges * sizeof(Exchange);
}

void Proxy::Machine::set_snapshot(const service::Snapshot* snapshot) {
  snapshot_ = snapshot;
  sweep_at_ = 0;
}

void Proxy::Machine::detach() {
  for (Link& link : links_.all) {
    link.received.clear(ground_.memory());
    link.unsent.clear(ground_.memory());
  }
  for (Exchange& exchange : exchanges_) {
    exchange.replay.clear(ground_.memory());
  }
  for (Compression& compression : compressions_) {
    if (compression.room) {
      ground_.memory().release(compression.room->slice);
      compression.room.reset();
    }
  }
}

// --- noted from within the stack -----------------------------------------------------------------------------------

LinkIndex Proxy::Machine::link_of(tcp::ConnectionId connection) const {
  const LinkIndex index = by_connection_[connection.index];
  return index != nobody && links_.all[index].id == connection ? index : nobody;
}

void Proxy::Machine::wake(LinkIndex index) {
  Link& link = at(index);
  if (link.ready) {
    return;
  }
  link.ready = true;
  link.next_ready = nobody;
  (last_ready_ == nobody ? first_ready_ : at(last_ready_).next_ready) = index;
  last_ready_ = index;
}

void Proxy::Machine::accepted(tcp::ConnectionId connection, service::ListenerId listener) {
  const LinkIndex index = make_link(connection, Side::client);
  if (index == nobody) {
    if (unwanted_.size() < unwanted_.capacity()) {
      unwanted_.push_back(connection);
    }
    return;
  }
  Link& link = at(index);
  link.listener = listener;
  link.established = true;
  link.awaits_header = is_trusted_proxy(link);
  wake(index);
}

void Proxy::Machine::deliver(tcp::ConnectionId connection, const tcp::Slice& slice) {
  const LinkIndex index = link_of(connection);
  if (index == nobody) {
    ground_.memory().release(slice);
    return;
  }
  Link& link = at(index);
  if (link.broken) {  // nothing may follow what is missing
    ground_.memory().release(slice);
  } else if (link.received.push(ground_.memory(), slice)) {
    ground_.compact(link.received);
  } else {
    ground_.memory().release(slice);
    link.broken = true;
  }
  wake(index);
}

void Proxy::Machine::notify(tcp::ConnectionId connection, tcp::Event event) {
  const LinkIndex index = link_of(connection);
  if (index == nobody) {
    return;
  }
  Link& link = at(index);
  switch (event) {
    case tcp::Event::established:
      link.established = true;
      break;
    case tcp::Event::writable:
      link.blocked = false;
      break;
    case tcp::Event::peer_finished:
      link.peer_finished = true;
      break;
    case tcp::Event::in_trouble:
    case tcp::Event::over:
      return;
  }
  wake(index);
}

void Proxy::Machine::over(tcp::ConnectionId connection, tcp::Cause cause) {
  const LinkIndex index = link_of(connection);
  if (index == nobody) {
    return;
  }
  Link& link = at(index);
  by_connection_[connection.index] = nobody;
  link.over = true;
  link.cause = cause;
  wake(index);
}

// --- acted upon ----------------------------------------------------------------------------------------------------

std::size_t Proxy::Machine::turn(tcp::Time now, std::uint64_t wall_us) {
  now_ = now;
  wall_us_ = wall_us;
  std::size_t done = unwanted_.size();
  for (const tcp::ConnectionId connection : unwanted_) {
    ground_.abort(connection, now_);
  }
  unwanted_.clear();
  feed_starved();
  for (std::size_t served = 0; first_ready_ != nobody && served < served_a_turn; ++served, ++done) {
    const LinkIndex index = first_ready_;
    Link& link = at(index);
    first_ready_ = link.next_ready;
    if (first_ready_ == nobody) {
      last_ready_ = nobody;
    }
    link.ready = false;
    work(index);
  }
  wheel_.advance(now_, [this](LinkIndex index) { on_deadline(index); });
  done += serve_queues() + serve_compressions() + sweep();
  return done + (first_ready_ != nobody ? 1 : 0);
}

void Proxy::Machine::work(LinkIndex index) {
  Link& link = at(index);
  if (link.side != Side::none && link.broken && !link.over) {
    abort(index);
  }
  switch (link.side) {
    case Side::client:
      serve_client(index);
      expire(index);
      break;
    case Side::server:
      serve_server(index);
      expire(index);
      break;
    case Side::none:  // let go of while it was ready
      link.next = free_links_;
      free_links_ = index;
      break;
  }
}

// What has been waited for has not come.
void Proxy::Machine::on_deadline(LinkIndex index) {
  Link& link = at(index);
  if (link.side == Side::none || link.deadline == tcp::never) {
    return;
  }
  if (link.deadline > now_) {  // moved since
    wheel_.schedule(index, link.deadline);
    return;
  }
  link.expired = true;
  wake(index);  // with all others, so that no turn becomes longer because many times are over together
}

void Proxy::Machine::expire(LinkIndex index) {
  Link& link = at(index);
  if (!link.expired) {
    return;
  }
  link.expired = false;
  if (link.side == Side::none || link.deadline > now_) {  // something has come after all
    return;
  }
  link.deadline = tcp::never;
  link.side == Side::server ? on_server_deadline(index) : on_client_deadline(index);
}

// After a change of the configuration: clients that idle at a listener that takes no more requests are let go.
std::size_t Proxy::Machine::sweep() {
  const std::size_t begun = sweep_at_;
  for (std::size_t left = swept_a_turn; left > 0 && sweep_at_ < links_.all.size(); --left, ++sweep_at_) {
    Link& link = links_.all[sweep_at_];
    const auto index = static_cast<LinkIndex>(sweep_at_);
    if (link.over || link.exchange != nobody) {
      continue;
    }
    if (link.side == Side::client && !link.lingering && link.received.empty() && running(link.listener) == nullptr) {
      close_gently(index);
    } else if (link.side == Side::server && (link.idle || link.kept) && !still_wanted(link)) {
      close_idle(index);
    }
  }
  return sweep_at_ - begun;
}

}  // namespace steelyard::http
