// Servers that are taken away from their requests: they have failed, their drain is over, they were removed, or
// somebody says so.
#include <algorithm>

#include "dataplane/http/machine.h"

namespace steelyard::http {
namespace {

// What ending a request costs, in connections that are looked at.
constexpr std::size_t ending_cost = 15;

}  // namespace

bool Proxy::Machine::concerns_server(const Withdrawal& which, const Link& server) const {
  if (which.backends && !std::ranges::binary_search(*which.backends, server.backend)) {
    return false;
  }
  if (!which.server && !which.server_port) {
    return true;
  }
  const tcp::Endpoints* ends = ground_.endpoints_of(server.id);
  return ends != nullptr && (!which.server || *which.server == service::Address::from_v6(ends->remote.bytes())) &&
         (!which.server_port || *which.server_port == ends->remote_port);
}

bool Proxy::Machine::concerns(const Withdrawal& which, const Exchange& exchange) const {
  if ((which.client && *which.client != exchange.record.client) ||
      (which.listener && *which.listener != exchange.listener && *which.listener != exchange.target)) {
    return false;
  }
  return !which.of_servers() || (exchange.server != nobody && concerns_server(which, links_.all[exchange.server]));
}

void Proxy::Machine::withdraw(ExchangeIndex x, bool elsewhere) {
  Exchange& exchange = exchange_at(x);
  const bool untouched = exchange.stage == Stage::connecting;
  if (elsewhere && (untouched || (exchange.stage == Stage::waiting && repeatable(exchange))) &&
      exchange.tries != Exchange::most_tries) {
    untouched ? let_go_of_server(x, false) : begin_again(x);
    return try_elsewhere(x, Cause::server_withdrawn);
  }
  fail(x, 502, Cause::server_withdrawn);
}

WithdrawalProgress Proxy::Machine::withdraw(const Withdrawal& which, std::uint32_t from, std::size_t budget,
                                            tcp::Time now) {
  now_ = now;
  WithdrawalProgress progress;
  LinkIndex index = from;
  for (std::size_t spent = 0; index < links_.all.size() && spent < budget; ++index, ++spent) {
    const Link& link = at(index);
    if (link.side == Side::client && link.exchange != nobody && concerns(which, exchange_at(link.exchange))) {
      withdraw(link.exchange, which.of_servers());
      ++progress.ended;
      spent += ending_cost;
    } else if (link.side == Side::server && (link.idle || link.kept) && !which.client &&
               (!which.listener || *which.listener == link.listener) && concerns_server(which, link)) {
      close_idle(index);
      spent += ending_cost;
    }
  }
  if (index < links_.all.size()) {
    progress.next = index;
  }
  return progress;
}

}  // namespace steelyard::http
