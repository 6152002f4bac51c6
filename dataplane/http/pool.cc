// Connections to servers that wait for a request: anybody's next one, the last used first. (Those that wait for one
// client's are kept in proxied.cc.)
#include <algorithm>

#include "dataplane/http/machine.h"

namespace steelyard::http {
namespace {

// How long a connection to a server may wait for a request, and how often it is asked whether its server is still in
// use.
constexpr tcp::Duration idle_limit = std::chrono::seconds{60};
constexpr tcp::Duration idle_check = std::chrono::seconds{1};

}  // namespace

void Proxy::Machine::put_idle(LinkIndex index) {
  Link& link = at(index);
  // Connections that wait must not take the places of clients.
  if (counters_.idle.get() >= most_idle_) {
    return close_server(index, true);
  }
  LinkIndex& first = idle_[link.backend.value];  // + 1
  link.idle = true;
  link.previous = nobody;
  link.next = first - 1;
  if (first != 0) {
    at(first - 1).previous = index;
  }
  first = index + 1;
  link.idle_since = now_;
  counters_.idle.add();
  set_deadline(index, now_ + idle_check);
}

// The one that has been used last: the others may grow old and go.
LinkIndex Proxy::Machine::take_idle(service::BackendId backend) {
  while (idle_[backend.value] != 0) {
    const LinkIndex index = idle_[backend.value] - 1;
    Link& link = at(index);
    if (!link.over && link.received.empty() && !link.peer_finished) {
      unlink_idle(index);
      set_deadline(index, tcp::never);
      return index;
    }
    close_idle(index);
  }
  return nobody;
}

void Proxy::Machine::unlink_idle(LinkIndex index) {
  Link& link = at(index);
  if (link.previous == nobody) {
    idle_[link.backend.value] = link.next + 1;
  } else {
    at(link.previous).next = link.next;
  }
  if (link.next != nobody) {
    at(link.next).previous = link.previous;
  }
  link.idle = false;
  link.next = link.previous = nobody;
  counters_.idle.subtract();
}

void Proxy::Machine::close_idle(LinkIndex index) {
  if (at(index).idle) {
    unlink_idle(index);
  } else if (at(index).kept) {
    unlink_kept(index);
  }
  close_server(index, true);
}

// Is the server of an idle connection still one that gets requests?
bool Proxy::Machine::still_wanted(const Link& server) const {
  const service::Listener* target = running(server.listener);
  if (target == nullptr) {
    return false;
  }
  std::size_t place = server.place;
  if (place >= target->servers.size() || target->servers[place].id != server.backend) {
    // Another configuration.
    const auto found = std::ranges::find(target->servers, server.backend, &service::Server::id);
    place = static_cast<std::size_t>(found - target->servers.begin());
  }
  return place < target->servers.size() && target->state->states[place].up.load(std::memory_order_acquire);
}

void Proxy::Machine::on_idle_deadline(LinkIndex index) {
  Link& link = at(index);
  if ((!link.idle && !link.kept) || now_ - link.idle_since >= idle_limit || !still_wanted(link)) {
    close_idle(index);
  } else {
    set_deadline(index, now_ + idle_check);
  }
}

}  // namespace steelyard::http
