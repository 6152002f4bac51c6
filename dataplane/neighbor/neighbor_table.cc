#include "dataplane/neighbor/neighbor_table.h"

#include <algorithm>

namespace steelyard::neighbor {
namespace {

constexpr NeighborTable::Nanoseconds second = 1'000'000'000;
constexpr NeighborTable::Nanoseconds retry = second / 2;
constexpr NeighborTable::Nanoseconds reconfirm = 30 * second;
constexpr std::uint8_t max_attempts = 4;       // of a new hop: about two seconds
constexpr std::uint8_t max_confirmations = 6;  // three by unicast, three by broadcast: then the hop counts as gone
constexpr std::uint8_t silent = 0xff;          // in place of attempts: gone, and nobody asks for it

bool shares_prefix(const IpKey& left, const IpKey& right, std::uint8_t length) {
  const auto a = left.bytes();
  const auto b = right.bytes();
  const std::size_t whole = length / 8;
  if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin())) {
    return false;
  }
  const unsigned bits = length % 8;
  return bits == 0 || ((a[whole] ^ b[whole]) >> (8 - bits)) == 0;
}

}  // namespace

NeighborTable::NeighborTable(std::vector<PortAddresses> ports, NeighborLimits limits, const packet::HashKey& key,
                             NeighborOutput& output)
    : ports_(std::move(ports)),
      limits_(limits),
      key_(key),
      output_(output),
      hops_(limits.hops + 1),
      entries_(limits.hops + 1),
      buckets_(limits.hops + 1),
      packets_(limits.waiting) {
  free_.reserve(limits.hops);
  for (std::size_t packet = limits.waiting; packet > 0; --packet) {
    packets_[packet - 1].next = free_packet_;
    free_packet_ = static_cast<std::uint32_t>(packet - 1);
  }
}

std::uint32_t& NeighborTable::bucket_of(const IpKey& address, std::uint16_t port) {
  return buckets_[packet::reduce(packet::hash(key_, address, port), static_cast<std::uint32_t>(buckets_.size()))];
}

std::optional<HopIndex> NeighborTable::find_existing(const IpKey& address, std::uint16_t port) {
  for (std::uint32_t at = bucket_of(address, port); at != 0; at = entries_[at].next_in_bucket) {
    if (entries_[at].address == address && hops_[at].port == port) {
      return HopIndex{static_cast<std::uint16_t>(at)};
    }
  }
  return std::nullopt;
}

std::optional<HopIndex> NeighborTable::find(const IpKey& address, std::uint16_t port, Nanoseconds now) {
  if (const auto existing = find_existing(address, port)) {
    return existing;
  }
  if (unresolved_ >= limits_.unresolved || (free_.empty() && used_ == entries_.size())) {
    return std::nullopt;
  }
  std::uint16_t place = 0;
  if (!free_.empty()) {
    place = free_.back();
    free_.pop_back();
  } else {
    place = static_cast<std::uint16_t>(used_++);
  }
  std::uint32_t& bucket = bucket_of(address, port);
  Entry& entry = entries_[place];
  entry = Entry{};
  entry.address = address;
  entry.taken = true;
  entry.next_in_bucket = bucket;
  bucket = place;
  hops_[place] = Hop{{}, ports_[port].mac, port, false, true};
  ++count_;
  ++unresolved_;
  const HopIndex hop{place};
  ask(hop, now);
  return hop;
}

bool NeighborTable::wait(HopIndex hop, rte_mbuf* packet) {
  Entry& entry = entries_[hop.value];
  if (entry.waiting >= limits_.waiting_per_hop || free_packet_ == no_packet) {
    return false;
  }
  const std::uint32_t slot = free_packet_;
  free_packet_ = packets_[slot].next;
  packets_[slot] = {packet, no_packet};
  if (entry.last_waiting == no_packet) {
    entry.first_waiting = slot;
  } else {
    packets_[entry.last_waiting].next = slot;
  }
  entry.last_waiting = slot;
  ++entry.waiting;
  ++waiting_;
  return true;
}

const IpKey* NeighborTable::source_for(const IpKey& target, std::uint16_t port) const {
  const IpKey* same_family = nullptr;
  for (const PortAddresses::OnLink& own : ports_[port].addresses) {
    if (is_v4(own.address) != is_v4(target)) {
      continue;
    }
    if (shares_prefix(own.address, target, own.prefix_length)) {
      return &own.address;
    }
    same_family = &own.address;
  }
  return same_family;
}

void NeighborTable::ask(HopIndex hop, Nanoseconds now) {
  Entry& entry = entries_[hop.value];
  const Hop& known = hops_[hop.value];
  ++entry.attempts;
  entry.deadline = now + retry;
  std::array<std::uint8_t, largest_message> frame{};
  const IpKey* source = source_for(entry.address, known.port);
  const IpKey unspecified = is_v4(entry.address) ? to_key(packet::Ipv4Address{}) : IpKey{};
  const MacAddress* unicast = known.reachable && entry.attempts <= 3 ? &known.destination : nullptr;
  const std::size_t length =
      build_request(frame, ports_[known.port].mac, source != nullptr ? *source : unspecified, entry.address, unicast);
  output_.send_frame(known.port, std::span(frame).first(length));
}

void NeighborTable::resolved(HopIndex hop, const MacAddress& mac, Nanoseconds now) {
  Entry& entry = entries_[hop.value];
  Hop& known = hops_[hop.value];
  if (!entry.pinned) {
    entry.pinned = true;
    --unresolved_;
  }
  known.destination = mac;
  known.reachable = true;
  entry.attempts = 0;
  entry.deadline = now + reconfirm;
  std::uint32_t packet = entry.first_waiting;
  entry.first_waiting = entry.last_waiting = no_packet;
  waiting_ -= entry.waiting;
  entry.waiting = 0;
  while (packet != no_packet) {
    const Waiting waiting = packets_[packet];
    packets_[packet].next = free_packet_;
    free_packet_ = packet;
    output_.release(waiting.packet, hop);
    packet = waiting.next;
  }
}

void NeighborTable::learn(const NeighborMessage& message, std::uint16_t port, Nanoseconds now) {
  const auto hop = find_existing(message.sender, port);
  if (!hop) {
    return;
  }
  const Hop& known = hops_[hop->value];
  if (!message.has_sender_mac) {
    // An answer to a unicast question need not repeat the address that the question went to (RFC 4861 section 4.4).
    if (known.reachable && message.solicited) {
      resolved(*hop, MacAddress{known.destination}, now);
    }
    return;
  }
  // RFC 4861 section 7.2.5: without the override flag a different address does not replace a working one.
  if (known.reachable && !message.overrides && known.destination != message.sender_mac) {
    return;
  }
  resolved(*hop, message.sender_mac, now);
}

void NeighborTable::drop_waiting(Entry& entry, packet::DropReason reason) {
  std::uint32_t packet = entry.first_waiting;
  entry.first_waiting = entry.last_waiting = no_packet;
  waiting_ -= entry.waiting;
  entry.waiting = 0;
  while (packet != no_packet) {
    const Waiting waiting = packets_[packet];
    packets_[packet].next = free_packet_;
    free_packet_ = packet;
    output_.give_up(waiting.packet, reason);
    packet = waiting.next;
  }
}

void NeighborTable::forget(HopIndex hop, packet::DropReason reason) {
  Entry& entry = entries_[hop.value];
  drop_waiting(entry, reason);
  std::uint32_t* link = &bucket_of(entry.address, hops_[hop.value].port);
  while (*link != hop.value) {
    link = &entries_[*link].next_in_bucket;
  }
  *link = entry.next_in_bucket;
  entry.taken = false;
  --count_;
  --unresolved_;
  free_.push_back(hop.value);
}

void NeighborTable::tick(Nanoseconds now, std::size_t budget) {
  const std::size_t entries = std::min(budget, used_ - 1);
  for (std::size_t done = 0; done < entries; ++done) {
    sweep_ = sweep_ + 1 >= used_ ? 1 : sweep_ + 1;
    Entry& entry = entries_[sweep_];
    Hop& known = hops_[sweep_];
    const HopIndex hop{static_cast<std::uint16_t>(sweep_)};
    if (!entry.taken || now < entry.deadline) {
      continue;
    }
    if (known.reachable) {
      if (entry.attempts == 0 && !known.used) {
        entry.deadline = now + reconfirm;
        continue;
      }
      known.used = false;
      if (entry.attempts < max_confirmations) {
        ask(hop, now);
      } else {
        known.reachable = false;
        entry.attempts = 0;
        ask(hop, now);
      }
      continue;
    }
    if (entry.attempts == silent) {
      if (known.used || entry.waiting > 0) {
        known.used = false;
        entry.attempts = 0;
        ask(hop, now);
      }
    } else if (entry.attempts < max_attempts) {
      ask(hop, now);
    } else if (!entry.pinned) {
      forget(hop, packet::DropReason::neighbor_unreachable);
    } else {
      // Flows know its index: it stays, and is asked again when somebody waits for it.
      drop_waiting(entry, packet::DropReason::neighbor_unreachable);
      known.used = false;
      entry.attempts = silent;
    }
  }
}

}  // namespace steelyard::neighbor
