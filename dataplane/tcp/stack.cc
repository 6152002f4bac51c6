#include "dataplane/tcp/stack.h"

#include <algorithm>
#include <array>
#include <bit>

#include "dataplane/packet/prefetch.h"

namespace steelyard::tcp {

namespace {

constexpr ListenerIndex no_listener = 0xffff;

}  // namespace

// Tells those above what a connection says, and remembers whether it is over.
class Stack::ConnectionOutput final : public Output {
 public:
  ConnectionOutput(Stack& stack, std::uint32_t index)
      : stack_(stack), id_{index, stack.entries_.all[index].generation} {}

  void transmit(const Outgoing& segment) override {
    stack_.output_.transmit(stack_.entries_.all[id_.index].endpoints, segment);
  }
  void deliver(const Slice& slice) override { stack_.output_.deliver(id_, slice); }
  void notify(Event event) override {
    if (event == Event::over) {
      over_ = true;
    } else {
      stack_.output_.notify(id_, event);
    }
  }
  [[nodiscard]] bool is_over() const { return over_; }

 private:
  Stack& stack_;
  ConnectionId id_;
  bool over_ = false;
};

Stack::Stack(const StackLimits& limits, const StackSecrets& secrets, Memory& memory, StackOutput& output, Time now,
             std::pmr::memory_resource* resource)
    : limits_(limits),
      secrets_(secrets),
      memory_(memory),
      output_(output),
      cookies_(secrets.cookies),
      lookup_(limits.connections + limits.half_open + limits.time_wait, resource),
      entries_{std::pmr::vector<Entry>(limits.connections, resource)},
      free_(resource),
      half_open_(limits.half_open, resource),
      time_wait_(limits.time_wait, resource),
      wheel_(entries_, now),
      listeners_(limits.listeners, resource),
      listener_buckets_(std::bit_ceil(std::max<std::size_t>(2 * limits.listeners, 16)), no_listener, resource) {
  for (std::size_t index = limits.listeners; index-- > 0;) {
    listeners_[index].next = unused_listener_;
    unused_listener_ = static_cast<ListenerIndex>(index);
  }
  free_.reserve(limits.connections);
  for (std::size_t index = limits.connections; index-- > 0;) {
    free_.push_back(static_cast<std::uint32_t>(index));
  }
}

std::size_t Stack::memory_needed(const StackLimits& limits) {
  constexpr std::size_t lookup = 8;  // a line for eight
  return limits.connections * (sizeof(Entry) + sizeof(std::uint32_t) + lookup) +
         limits.half_open * (sizeof(SynSlot) + lookup) + limits.time_wait * (sizeof(TimeWaitSlot) + lookup) +
         limits.listeners * (sizeof(Listener) + 4 * sizeof(ListenerIndex));
}

// What connections still hold goes back; nobody is told.
Stack::~Stack() {
  class Silent final : public Output {
    void transmit(const Outgoing&) override {}
    void deliver(const Slice&) override {}
    void notify(Event) override {}
  } silent;
  for (Entry& entry : entries_.all) {
    if (entry.live) {
      entry.connection.abort({Time{}, *entry.settings, memory_, silent});
    }
  }
}

ListenerIndex Stack::listen(const Ipv6Address& local, std::uint16_t port, const Settings& settings) {
  ListenerIndex index = unused_listener_;
  if (index == no_listener) {
    index = static_cast<ListenerIndex>(listeners_.size());
    listeners_.emplace_back();
  } else {
    unused_listener_ = listeners_[index].next;
  }
  ListenerIndex& first = listener_buckets_[bucket_of(local, port)];
  listeners_[index] = {.local = local, .settings = &settings, .port = port, .next = first};
  first = index;
  listeners_of_any_ += local == Ipv6Address{} ? 1 : 0;
  return index;
}

void Stack::stop_listening(ListenerIndex listener) {
  Listener& stopped = listeners_[listener];
  ListenerIndex* link = &listener_buckets_[bucket_of(stopped.local, stopped.port)];
  while (*link != listener) {
    link = &listeners_[*link].next;
  }
  *link = stopped.next;
  listeners_of_any_ -= stopped.local == Ipv6Address{} ? 1 : 0;
  stopped = {.local = {}, .next = unused_listener_};
  unused_listener_ = listener;
}

ListenerIndex Stack::listener_at(const Ipv6Address& local, std::uint16_t port) const {
  ListenerIndex index = listener_buckets_[bucket_of(local, port)];
  while (index != no_listener && (listeners_[index].port != port || !(listeners_[index].local == local))) {
    index = listeners_[index].next;
  }
  return index;
}

ListenerIndex Stack::listener_of(const Endpoints& endpoints) const {
  const ListenerIndex named = listener_at(endpoints.local, endpoints.local_port);
  return named != no_listener || listeners_of_any_ == 0 ? named : listener_at({}, endpoints.local_port);
}

std::uint32_t Stack::find(std::uint64_t hash, const Endpoints& endpoints) const {
  return lookup_.find(hash, [&](std::uint32_t value) {
    const std::uint32_t index = value & ~kind_mask;
    switch (static_cast<Kind>(value & kind_mask)) {
      case Kind::connection:
        return entries_.all[index].endpoints == endpoints;
      case Kind::half_open:
        return half_open_[index].endpoints() == endpoints;
      case Kind::time_wait:
        return time_wait_[index].endpoints() == endpoints;
    }
    return false;
  });
}

Origin Stack::origin_of(const Endpoints& endpoints, Sequence initial) const {
  return {.initial = initial,
          .timestamp_offset = timestamp_offset(secrets_.numbers, endpoints),
          .default_segment_size = endpoints.default_segment_size(),
          .headers = endpoints.headers(),
          .minimum_mtu = endpoints.minimum_mtu()};
}

std::uint32_t Stack::allocate(const Endpoints& endpoints, const Settings& settings, std::uint64_t hash) {
  if (free_.empty()) {
    ++counters_.dropped_full;
    return Lookup::none;
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  touched_ = std::max(touched_, index + 1);
  Entry& entry = entries_.all[index];
  entry.connection = Connection{};
  entry.endpoints = endpoints;
  entry.settings = &settings;
  entry.live = true;
  ++live_;
  lookup_.insert(hash, index);
  return index;
}

// A connection is over: its entry is free, and what TIME_WAIT needs goes to its table.
void Stack::retire(std::uint32_t index, Time now) {
  Entry& entry = entries_.all[index];
  const std::uint64_t hash = hash_of(entry.endpoints);
  const ConnectionId id{index, entry.generation};
  const Cause cause = entry.connection.cause();
  wheel_.cancel(index);
  lookup_.erase(hash, index);
  if (entry.connection.state() == State::time_wait) {
    if (time_wait_.full()) {
      const SlotIndex oldest = time_wait_.oldest();
      forget_time_wait(oldest, hash_of(time_wait_[oldest].endpoints()));
      ++counters_.time_wait_recycled;
    }
    const SlotIndex slot = time_wait_.add(entry.endpoints, entry.connection.ending(), now);
    lookup_.insert(hash, slot | static_cast<std::uint32_t>(Kind::time_wait));
  }
  entry.live = false;
  ++entry.generation;
  --live_;
  free_.push_back(index);
  output_.over(id, cause);
}

// Calls a connection and does what follows from it.
template <class Call>
void Stack::with_connection(std::uint32_t index, Time now, Call&& call) {
  Entry& entry = entries_.all[index];
  ConnectionOutput output{*this, index};
  const Context context{now, *entry.settings, memory_, output};
  call(entry.connection, context);
  if (output.is_over()) {
    retire(index, now);
  } else {
    wheel_.schedule(index, entry.connection.deadline());
  }
}

void Stack::start_accepted(std::uint32_t index, const Origin& origin, const Handshake& handshake,
                           const Segment& segment, Time now) {
  with_connection(index, now, [&](Connection& connection, const Context& context) {
    connection.accept(context, origin, handshake, segment);
    connection.on_segment(context, segment);
  });
}

ConnectionId Stack::connect(const Endpoints& endpoints, const Settings& settings, Time now) {
  const std::uint64_t hash = hash_of(endpoints);
  Sequence initial = initial_sequence(secrets_.numbers, endpoints, now);
  if (const std::uint32_t found = find(hash, endpoints); found != Lookup::none) {
    if (static_cast<Kind>(found & kind_mask) != Kind::time_wait) {
      return {};
    }
    // RFC 9293 section 3.6.1, RFC 6191: the new connection's numbers are later than the old one's.
    const SlotIndex slot = found & ~kind_mask;
    initial = packet::later_of(initial, time_wait_[slot].send_next + 1);
    forget_time_wait(slot, hash);
  }
  const std::uint32_t index = allocate(endpoints, settings, hash);
  if (index == Lookup::none) {
    return {};
  }
  ++counters_.opened;
  const ConnectionId id{index, entries_.all[index].generation};
  with_connection(index, now, [&](Connection& connection, const Context& context) {
    connection.connect(context, origin_of(endpoints, initial));
  });
  return id;
}

void Stack::on_segment(const Endpoints& endpoints, const Segment& segment, Time now) {
  on_segment(endpoints, segment, hash_of(endpoints), now);
}

// Each loop asks for what the next one reads, so that the misses of all segments overlap. A prefetch retires only when
// its address is translated: so the first line of every entry comes first, and the others find the translation done.
void Stack::expect(std::span<const std::uint64_t> hashes) const {
  for (const std::uint64_t hash : hashes) {
    packet::prefetch_to_read(lookup_.line(hash));
  }
  std::array<const Entry*, most_at_once> storage;
  std::size_t count = 0;
  for (const std::uint64_t hash : hashes) {
    const std::uint32_t value = lookup_.candidate(hash);
    if (value != Lookup::none && static_cast<Kind>(value & kind_mask) == Kind::connection) {
      storage[count] = &entries_.all[value];
      packet::prefetch_to_write(storage[count++]);
    }
  }
  const std::span entries = std::span(storage).first(count);
  for (const Entry* entry : entries) {
    packet::prefetch_to_write(entry, touched_by_all);
  }
  for (const Entry* entry : entries) {
    if (const NodeIndex first = entry->connection.first_queued(); first != no_node) {
      packet::prefetch_to_write(&memory_[first], sizeof(Node));
      packet::prefetch_to_write(reinterpret_cast<const std::byte*>(entry) + touched_by_all,
                                touched_by_acknowledgments - touched_by_all);
    }
  }
}

void Stack::on_segments(std::span<const Arrival> burst, Time now) {
  std::array<std::uint64_t, most_at_once> hashes;
  for (; !burst.empty(); burst = burst.subspan(std::min(burst.size(), most_at_once))) {
    const std::span<const Arrival> part = burst.first(std::min(burst.size(), most_at_once));
    for (std::size_t place = 0; place < part.size(); ++place) {
      hashes[place] = hash_of(part[place].endpoints);
    }
    expect(std::span(hashes).first(part.size()));
    for (std::size_t place = 0; place < part.size(); ++place) {
      on_segment(part[place].endpoints, part[place].segment, hashes[place], now);
    }
  }
}

void Stack::on_segment(const Endpoints& endpoints, const Segment& segment, std::uint64_t hash, Time now) {
  ++counters_.segments;
  const std::uint32_t found = find(hash, endpoints);
  if (found != Lookup::none && static_cast<Kind>(found & kind_mask) == Kind::connection) {
    with_connection(found, now,
                    [&](Connection& connection, const Context& context) { connection.on_segment(context, segment); });
    return;
  }
  if (found == Lookup::none) {
    on_no_match(endpoints, segment, hash, now);
  } else if (static_cast<Kind>(found & kind_mask) == Kind::half_open) {
    if (!on_half_open(found & ~kind_mask, endpoints, segment, hash, now) && segment.payload.buffer != nullptr) {
      memory_.release(segment.payload);
    }
  } else {
    on_time_wait(found & ~kind_mask, endpoints, segment, hash, now);
  }
}

void Stack::on_path_mtu(const Endpoints& endpoints, Sequence quoted, std::uint32_t mtu, Time now) {
  const std::uint32_t found = find(hash_of(endpoints), endpoints);
  if (found != Lookup::none && static_cast<Kind>(found & kind_mask) == Kind::connection) {
    with_connection(found, now, [&](Connection& connection, const Context& context) {
      connection.on_path_mtu(context, quoted, mtu);
    });
  }
}

void Stack::on_unreachable(const Endpoints& endpoints, Sequence quoted, bool hard, Time now) {
  const std::uint32_t found = find(hash_of(endpoints), endpoints);
  if (found != Lookup::none && static_cast<Kind>(found & kind_mask) == Kind::connection) {
    with_connection(found, now, [&](Connection& connection, const Context& context) {
      connection.on_unreachable(context, quoted, hard);
    });
  }
}

void Stack::on_timer(Time now) {
  wheel_.advance(now, [&](std::uint32_t index) {
    if (entries_.all[index].connection.deadline() > now) {
      wheel_.schedule(index, entries_.all[index].connection.deadline());
      return;
    }
    with_connection(index, now, [](Connection& connection, const Context& context) { connection.on_timer(context); });
  });
  half_open_.on_timer(
      now,
      [&](const SynSlot& slot) {
        const Endpoints endpoints = slot.endpoints();
        if (const ListenerIndex listener = listener_of(endpoints); listener != no_listener) {
          send_syn_ack(endpoints, slot.handshake(), *listeners_[listener].settings,
                       milliseconds_of(now) + timestamp_offset(secrets_.numbers, endpoints));
        }
      },
      [&](SlotIndex slot) {
        ++counters_.half_open_expired;
        lookup_.erase(hash_of(half_open_[slot].endpoints()), slot | static_cast<std::uint32_t>(Kind::half_open));
      });
  time_wait_.on_timer(now, [&](SlotIndex slot) {
    lookup_.erase(hash_of(time_wait_[slot].endpoints()), slot | static_cast<std::uint32_t>(Kind::time_wait));
  });
}

void Stack::relieve(Time now) {
  constexpr std::uint32_t looked_at = 256;
  std::uint32_t largest = Lookup::none;
  std::uint32_t most = 0;
  const bool anybody = memory_.pressure().full();
  for (std::uint32_t count = std::min(looked_at, touched_); count > 0; --count) {
    relieved_at_ = (relieved_at_ + 1) % touched_;
    const Entry& entry = entries_.all[relieved_at_];
    if (entry.live && entry.connection.held() > most && (anybody || entry.connection.is_stalled(now))) {
      most = entry.connection.held();
      largest = relieved_at_;
    }
  }
  if (largest != Lookup::none) {
    ++counters_.relieved;
    with_connection(largest, now, [](Connection& connection, const Context& context) { connection.relieve(context); });
  }
}

Time Stack::deadline(Time now) const {
  return std::min({wheel_.earliest(), half_open_.deadline(now), time_wait_.deadline(now)});
}

Stack::Entry* Stack::entry_of(ConnectionId id) {
  if (id.index >= entries_.all.size()) {
    return nullptr;
  }
  Entry& entry = entries_.all[id.index];
  return entry.live && entry.generation == id.generation ? &entry : nullptr;
}

std::optional<ConnectionId> Stack::connection_between(const Endpoints& endpoints) const {
  const std::uint32_t found = find(hash_of(endpoints), endpoints);
  if (found == Lookup::none || static_cast<Kind>(found & kind_mask) != Kind::connection) {
    return std::nullopt;
  }
  return ConnectionId{found, entries_.all[found].generation};
}

const Connection* Stack::find(ConnectionId id) const {
  const Entry* entry = const_cast<Stack*>(this)->entry_of(id);
  return entry == nullptr ? nullptr : &entry->connection;
}

const Settings* Stack::settings_of(ConnectionId id) const {
  const Entry* entry = const_cast<Stack*>(this)->entry_of(id);
  return entry == nullptr ? nullptr : entry->settings;
}

const Endpoints* Stack::endpoints_of(ConnectionId id) const {
  const Entry* entry = const_cast<Stack*>(this)->entry_of(id);
  return entry == nullptr ? nullptr : &entry->endpoints;
}

bool Stack::in_time_wait(const Endpoints& endpoints) const {
  const std::uint32_t found = find(hash_of(endpoints), endpoints);
  return found != Lookup::none && static_cast<Kind>(found & kind_mask) == Kind::time_wait;
}

bool Stack::is_new(const Endpoints& endpoints) const {
  const std::uint32_t found = find(hash_of(endpoints), endpoints);
  return found == Lookup::none || static_cast<Kind>(found & kind_mask) == Kind::time_wait;
}

std::size_t Stack::send(ConnectionId id, std::span<const Slice> slices, Time now, bool last) {
  std::size_t taken = 0;
  if (entry_of(id) != nullptr) {
    with_connection(id.index, now, [&](Connection& connection, const Context& context) {
      taken = connection.send(context, slices, last);
    });
  }
  return taken;
}

void Stack::consume(ConnectionId id, std::uint32_t octets, Time now) {
  if (entry_of(id) != nullptr) {
    with_connection(id.index, now,
                    [&](Connection& connection, const Context& context) { connection.consume(context, octets); });
  }
}

void Stack::shutdown(ConnectionId id, Time now) {
  if (entry_of(id) != nullptr) {
    with_connection(id.index, now,
                    [](Connection& connection, const Context& context) { connection.shutdown(context); });
  }
}

void Stack::close(ConnectionId id, Time now) {
  if (entry_of(id) != nullptr) {
    with_connection(id.index, now, [](Connection& connection, const Context& context) { connection.close(context); });
  }
}

void Stack::abort(ConnectionId id, Time now) {
  if (entry_of(id) != nullptr) {
    with_connection(id.index, now, [](Connection& connection, const Context& context) { connection.abort(context); });
  }
}

void Stack::change_settings(ConnectionId id, const Settings& settings, Time now) {
  if (Entry* entry = entry_of(id); entry != nullptr) {
    entry->settings = &settings;
    with_connection(id.index, now,
                    [](Connection& connection, const Context& context) { connection.settings_changed(context); });
  }
}

}  // namespace steelyard::tcp
