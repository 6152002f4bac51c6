// Whose connections these are. Trusted proxies begin theirs with a PROXY header, which names the client that they stand
// for; and where servers are to know the client by one, ours begin so, too. Such a connection is one client's alone
// (proxy-protocol.txt, section 2: it must not be used for several): it waits for that client's next request, one for
// each client, and ends with it.
#include <algorithm>

#include "dataplane/http/machine.h"

namespace steelyard::http {
namespace {

constexpr tcp::Duration kept_check = std::chrono::seconds{1};

service::Address address_of(const tcp::Ipv6Address& address) {
  return service::Address::from_v6(address.bytes());
}

}  // namespace

// Decided when it comes, by the configuration that lets it in: "the receiver must not try to guess whether the header
// is present or not".
bool Proxy::Machine::is_trusted_proxy(const Link& client) const {
  const std::shared_ptr<const service::AccessControl>& proxies = settings_of(client.listener).proxies;
  const tcp::Endpoints* ends = proxies != nullptr ? ground_.endpoints_of(client.id) : nullptr;
  return ends != nullptr && proxies->allows(address_of(ends->remote));
}

ClientAddresses Proxy::Machine::addresses_of(LinkIndex index) const {
  const Link& link = links_.all[index];
  if (link.proxied) {
    return addresses_[index];
  }
  const tcp::Endpoints* ends = ground_.endpoints_of(link.id);
  return ends != nullptr
             ? ClientAddresses{address_of(ends->remote), address_of(ends->local), ends->remote_port, ends->local_port}
             : ClientAddresses{};
}

bool Proxy::Machine::take_proxy_header(LinkIndex index) {
  using State = ProxyHeader::State;
  Link& link = at(index);
  const std::size_t come = link.received.octets();
  if (come == 0 && link.peer_finished) {  // somebody who only asks whether we are there
    ground_.close(link.id, now_);
    free_link(index);
    return false;
  }
  if (link.deadline == tcp::never) {  // for all of it, since the connection is there
    set_deadline(index, now_ + settings_of(link.listener).header_timeout);
  }
  if (come == 0) {
    return false;
  }
  ProxyHeader header = read_proxy_header(gather(link, std::min(come, most_proxy_line_octets)));
  if (header.state == State::incomplete && header.octets <= come) {
    header = read_proxy_header(gather(link, header.octets));
  }
  if (header.state == State::incomplete && !link.peer_finished) {
    return false;
  }
  if (header.state != State::complete) {
    refuse_proxy_header(index);
    return false;
  }
  link.awaits_header = false;
  if (header.addresses) {
    link.proxied = true;
    addresses_[index] = *header.addresses;
  }
  set_deadline(index, tcp::never);
  read(index, static_cast<std::uint32_t>(header.octets));
  return true;
}

// What such a proxy would do with an answer, nobody knows: it gets none.
void Proxy::Machine::refuse_proxy_header(LinkIndex index) {
  Link& link = at(index);
  const ClientAddresses addresses = addresses_of(index);
  AccessRecord record;
  record.accepted_at = wall_us_;
  record.listener = link.listener;
  record.client = addresses.source;
  record.client_port = addresses.source_port;
  record.cause = Cause::bad_proxy_header;
  record.octets_in = link.received.octets();
  ground_.log(record);
  counters_.bad_proxy_headers.add();
  abort(index);
}

// --- connections to servers ----------------------------------------------------------------------------------------

void Proxy::Machine::keep_server(LinkIndex client, LinkIndex index) {
  if (counters_.idle.get() >= most_idle_) {
    return close_server(index, true);
  }
  Link& link = at(index);
  link.kept = true;
  link.previous = client;
  at(client).next = index;
  link.idle_since = now_;
  counters_.idle.add();
  set_deadline(index, now_ + kept_check);
}

// Nobody: the client has none at that server. What it has at another one it needs no more.
LinkIndex Proxy::Machine::take_kept(LinkIndex client, service::BackendId backend) {
  const LinkIndex index = at(client).next;
  if (index == nobody) {
    return nobody;
  }
  const Link& link = at(index);
  if (link.backend != backend || link.over || link.peer_finished || !link.received.empty()) {
    close_idle(index);
    return nobody;
  }
  unlink_kept(index);
  set_deadline(index, tcp::never);
  return index;
}

void Proxy::Machine::unlink_kept(LinkIndex index) {
  Link& link = at(index);
  at(link.previous).next = nobody;
  link.previous = nobody;
  link.kept = false;
  counters_.idle.subtract();
}

}  // namespace steelyard::http
