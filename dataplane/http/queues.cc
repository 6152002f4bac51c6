// Requests that wait for a server with room: a queue for each target, in each worker. Room comes when a request ends
// here, or when control leases this worker another place; so the queue is asked again after the former, and every few
// milliseconds for the latter. Who waits for his session's server holds nobody else back; of those who take any server,
// the first that gets none speaks for all behind it.
#include <algorithm>

#include "dataplane/http/machine.h"

namespace steelyard::http {
namespace {

constexpr tcp::Duration retry_interval = std::chrono::milliseconds{5};
constexpr std::size_t asked_at_once = 128;

}  // namespace

bool Proxy::Machine::enqueue(ExchangeIndex x) {
  Exchange& exchange = exchange_at(x);
  const service::HttpSettings& settings = settings_of(exchange.listener);
  Queue& queue = queues_[exchange.target.value];
  if (settings.queue_timeout.count() == 0 || queue.length >= settings.queue_length) {
    return false;
  }
  exchange.stage = Stage::queued;
  exchange.connect_deadline = tcp::never;
  exchange.queue_next = nobody;
  exchange.queue_previous = queue.last - 1;
  (queue.last == 0 ? queue.first : exchange_at(queue.last - 1).queue_next) = queue.last == 0 ? x + 1 : x;
  queue.last = x + 1;
  ++queue.length;
  if (!queue.listed) {
    queue.listed = true;
    queue.next_try = now_ + retry_interval;
    queued_targets_.push_back(exchange.target);
  }
  counters_.queued.add();
  set_deadline(exchange.client, now_ + settings.queue_timeout);
  return true;
}

void Proxy::Machine::dequeue(ExchangeIndex x) {
  Exchange& exchange = exchange_at(x);
  Queue& queue = queues_[exchange.target.value];
  if (queue.next_asked == x + 1) {
    queue.next_asked = exchange.queue_next + 1;
  }
  if (exchange.queue_previous == nobody) {
    queue.first = exchange.queue_next + 1;
  } else {
    exchange_at(exchange.queue_previous).queue_next = exchange.queue_next;
  }
  if (exchange.queue_next == nobody) {
    queue.last = exchange.queue_previous + 1;
  } else {
    exchange_at(exchange.queue_next).queue_previous = exchange.queue_previous;
  }
  --queue.length;
  counters_.queued.subtract();
  set_deadline(exchange.client, tcp::never);
}

std::size_t Proxy::Machine::serve_queues() {
  std::size_t served = 0;
  for (std::size_t place = 0; place < queued_targets_.size();) {
    const service::ListenerId target = queued_targets_[place];
    Queue& queue = queues_[target.value];
    if (queue.length != 0 && (queue.freed || now_ >= queue.next_try)) {
      queue.freed = false;
      queue.next_try = now_ + retry_interval;
      served += serve_queue(target, queue);
    }
    if (queue.length == 0) {
      queue.listed = false;
      queued_targets_[place] = queued_targets_.back();
      queued_targets_.pop_back();
    } else {
      ++place;
    }
  }
  return served;
}

// How many have left the queue.
std::size_t Proxy::Machine::serve_queue(service::ListenerId id, Queue& queue) {
  const service::Listener* target = running(id);
  std::size_t served = 0;
  bool full = false;  // for those who take any server
  ExchangeIndex next = (queue.next_asked != 0 ? queue.next_asked : queue.first) - 1;
  for (std::size_t asked = 0; next != nobody && asked < asked_at_once; ++asked) {
    const ExchangeIndex x = next;
    Exchange& exchange = exchange_at(x);
    next = exchange.queue_next;
    if (full && exchange.sticky_place == nobody) {
      continue;
    }
    if (target == nullptr) {
      ++served;
      dequeue(x);
      exchange.stage = Stage::connecting;
      find_server(x);
      continue;
    }
    Cause refused = Cause::no_server;
    const auto place = choose(exchange, *target, refused);
    if (!place && refused == Cause::queue_full) {
      full = full || exchange.sticky_place == nobody;
      continue;
    }
    ++served;
    dequeue(x);
    exchange.stage = Stage::connecting;
    if (place) {
      use_server(x, *target, *place);
    } else {
      fail(x, 503, refused);
    }
  }
  // So many wait for their sessions' servers that others may stand behind them.
  queue.next_asked = full ? 0 : next + 1;
  return served;
}

}  // namespace steelyard::http
