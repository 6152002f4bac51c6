#include "dataplane/l4/fragment_table.h"

#include <algorithm>
#include <bit>

namespace steelyard::l4 {

using packet::DropReason;

template <class Family>
FragmentTable<Family>::FragmentTable(const FragmentLimits& limits, FragmentOutput& output)
    : limits_(limits),
      output_(output),
      datagrams_(limits.datagrams),
      buckets_(std::bit_ceil(limits.datagrams), none),
      held_(limits.held) {
  for (std::uint32_t place = limits.datagrams; place > 0; --place) {
    datagrams_[place - 1].next_in_bucket = free_;
    free_ = place - 1;
  }
  for (std::uint32_t slot = limits.held; slot > 0; --slot) {
    held_[slot - 1].next = free_held_;
    free_held_ = slot - 1;
  }
}

template <class Family>
std::uint32_t FragmentTable<Family>::find(const Key& key, std::uint32_t bucket) const {
  std::uint32_t place = buckets_[bucket];
  while (place != none && !(datagrams_[place].key == key)) {
    place = datagrams_[place].next_in_bucket;
  }
  return place;
}

template <class Family>
void FragmentTable<Family>::append(Queue& queue, std::uint32_t place) {
  Datagram& datagram = datagrams_[place];
  datagram.older = queue.newest;
  datagram.newer = none;
  (queue.newest == none ? queue.oldest : datagrams_[queue.newest].newer) = place;
  queue.newest = place;
  ++queue.count;
}

template <class Family>
void FragmentTable<Family>::unlink(Queue& queue, std::uint32_t place) {
  const Datagram& datagram = datagrams_[place];
  (datagram.older == none ? queue.oldest : datagrams_[datagram.older].newer) = datagram.newer;
  (datagram.newer == none ? queue.newest : datagrams_[datagram.newer].older) = datagram.older;
  --queue.count;
}

template <class Family>
void* FragmentTable<Family>::next_held(DatagramIndex index) {
  Datagram& datagram = datagrams_[index.value];
  if (datagram.first_held == none) {
    return nullptr;
  }
  const std::uint32_t slot = datagram.first_held;
  Held& held = held_[slot];
  datagram.first_held = held.next;
  if (held.next == none) {
    datagram.last_held = none;
  }
  --datagram.held;
  --held_count_;
  held.next = free_held_;
  free_held_ = slot;
  return held.packet;
}

template <class Family>
void FragmentTable<Family>::give_up_held(Datagram& datagram, DropReason reason) {
  const DatagramIndex index{static_cast<std::uint32_t>(&datagram - datagrams_.data())};
  while (void* packet = next_held(index)) {
    output_.give_up_fragment(packet, reason);
  }
}

template <class Family>
void FragmentTable<Family>::forget(std::uint32_t place, DropReason reason) {
  Datagram& datagram = datagrams_[place];
  give_up_held(datagram, reason);
  unlink(queue_of(datagram), place);
  std::uint32_t* link = &buckets_[datagram.bucket];
  while (*link != place) {
    link = &datagrams_[*link].next_in_bucket;
  }
  *link = datagram.next_in_bucket;
  datagram.next_in_bucket = free_;
  free_ = place;
  --size_;
}

// For one more datagram, which waits at first.
template <class Family>
void FragmentTable<Family>::make_room() {
  if (waiting_.count >= std::max(1U, limits_.datagrams / 2)) {
    forget(waiting_.oldest, DropReason::fragment_replaced);
  } else if (free_ == none) {
    forget(decided_.oldest, DropReason::fragment_replaced);
  }
}

template <class Family>
DatagramIndex FragmentTable<Family>::find_or_add(const Key& key, std::uint64_t hash, std::uint64_t now_ns) {
  const auto bucket = static_cast<std::uint32_t>(hash & (buckets_.size() - 1));
  if (const std::uint32_t known = find(key, bucket); known != none) {
    return {known};
  }
  make_room();
  const std::uint32_t place = free_;
  Datagram& datagram = datagrams_[place];
  free_ = datagram.next_in_bucket;
  datagram.key = key;
  datagram.deadline_ns = now_ns + limits_.life_ns;
  datagram.next_in_bucket = buckets_[bucket];
  datagram.bucket = bucket;
  datagram.end = 0;
  datagram.first_end = 0;
  datagram.range_count = 0;
  datagram.way = FragmentWay::waiting;
  buckets_[bucket] = place;
  append(waiting_, place);
  ++size_;
  return {place};
}

// Nothing: it is new. Else why it is not to pass.
template <class Family>
std::optional<DropReason> FragmentTable<Family>::take_down(Datagram& datagram, const packet::Fragment& fragment) {
  const auto first = static_cast<std::uint16_t>(fragment.offset / 8);
  const auto end = static_cast<std::uint16_t>((fragment.end() + 7) / 8);
  const auto ranges = std::span(datagram.ranges).first(datagram.range_count);
  if (datagram.end != 0 && (fragment.more ? fragment.end() > datagram.end : fragment.end() != datagram.end)) {
    return DropReason::fragment_overlap;
  }
  if (!fragment.more && !ranges.empty() && ranges.back().end > end) {
    return DropReason::fragment_overlap;
  }
  // The first range that ends at or behind this one's beginning.
  auto at = std::ranges::find_if(ranges, [first](const auto& range) { return range.end >= first; });
  const bool continues = at != ranges.end() && at->end == first;
  const auto next = continues ? at + 1 : at;
  if (next != ranges.end() && next->first < end) {
    const bool nothing_new = next->first <= first && end <= next->end;
    return nothing_new ? DropReason::fragment_duplicate : DropReason::fragment_overlap;
  }
  const bool joins = next != ranges.end() && next->first == end;
  if (!continues && !joins && datagram.range_count == datagram.ranges.size()) {
    return DropReason::fragment_queue_full;
  }
  if (!fragment.more) {
    datagram.end = fragment.end();
  }
  if (fragment.first()) {
    datagram.first_end = fragment.end();
  }
  if (continues && joins) {
    at->end = next->end;
    std::copy(next + 1, ranges.end(), next);
    --datagram.range_count;
  } else if (continues) {
    at->end = end;
  } else if (joins) {
    next->first = first;
  } else {
    const auto place = static_cast<std::size_t>(at - ranges.begin());
    const auto from = datagram.ranges.begin() + static_cast<std::ptrdiff_t>(place);
    const auto to = datagram.ranges.begin() + static_cast<std::ptrdiff_t>(datagram.range_count);
    std::copy_backward(from, to, to + 1);
    *from = {first, end};
    ++datagram.range_count;
  }
  return std::nullopt;
}

template <class Family>
auto FragmentTable<Family>::admit(const Key& key, std::uint64_t hash, const packet::Fragment& fragment,
                                  std::uint64_t now_ns) -> Admission {
  const DatagramIndex index = find_or_add(key, hash, now_ns);
  Datagram& datagram = datagrams_[index.value];
  if (datagram.way == FragmentWay::condemned) {
    return {index, datagram.reason};
  }
  const auto refused = take_down(datagram, fragment);
  if (refused && *refused != DropReason::fragment_duplicate) {
    condemn(index, *refused, now_ns);
  }
  return {index, refused};
}

template <class Family>
auto FragmentTable<Family>::readmit(const Key& key, std::uint64_t hash, const packet::Fragment& fragment,
                                    std::uint64_t now_ns) -> Admission {
  const DatagramIndex index = find_or_add(key, hash, now_ns);
  const Datagram& datagram = datagrams_[index.value];
  if (datagram.way != FragmentWay::waiting || datagram.first_end == 0) {
    return admit(key, hash, fragment, now_ns);
  }
  if (datagram.first_end != fragment.end()) {
    condemn(index, DropReason::fragment_overlap, now_ns);
    return {index, DropReason::fragment_overlap};
  }
  return {index, std::nullopt};
}

template <class Family>
bool FragmentTable<Family>::hold(DatagramIndex index, void* packet, std::uint64_t now_ns) {
  Datagram& datagram = datagrams_[index.value];
  const bool too_many = datagram.held >= limits_.held_a_datagram;
  while (!too_many && free_held_ == none && waiting_.oldest != index.value) {
    forget(waiting_.oldest, DropReason::fragment_replaced);
  }
  if (too_many || free_held_ == none) {
    condemn(index, DropReason::fragment_queue_full, now_ns);
    return false;
  }
  const std::uint32_t slot = free_held_;
  free_held_ = held_[slot].next;
  held_[slot] = {packet, none};
  (datagram.last_held == none ? datagram.first_held : held_[datagram.last_held].next) = slot;
  datagram.last_held = slot;
  ++datagram.held;
  ++held_count_;
  return true;
}

template <class Family>
void FragmentTable<Family>::decide(DatagramIndex index, FragmentWay way, std::uint64_t now_ns) {
  Datagram& datagram = datagrams_[index.value];
  unlink(queue_of(datagram), index.value);
  datagram.way = way;
  datagram.deadline_ns = now_ns + limits_.life_ns;
  append(queue_of(datagram), index.value);
}

template <class Family>
void FragmentTable<Family>::condemn(DatagramIndex index, DropReason reason, std::uint64_t now_ns) {
  Datagram& datagram = datagrams_[index.value];
  give_up_held(datagram, reason);
  datagram.reason = reason;
  decide(index, FragmentWay::condemned, now_ns);
}

template <class Family>
void FragmentTable<Family>::forget_if_complete(DatagramIndex index) {
  const Datagram& datagram = datagrams_[index.value];
  if (datagram.end != 0 && datagram.range_count == 1 && datagram.ranges[0].first == 0 &&
      datagram.ranges[0].end == (datagram.end + 7) / 8 && datagram.way != FragmentWay::waiting &&
      datagram.way != FragmentWay::condemned) {
    forget(index.value, DropReason::fragment_timed_out);
  }
}

template <class Family>
std::size_t FragmentTable<Family>::expire(std::uint64_t now_ns, std::size_t budget) {
  std::size_t forgotten = 0;
  for (const Queue* queue : {&waiting_, &decided_}) {
    while (forgotten < budget && queue->oldest != none && datagrams_[queue->oldest].deadline_ns <= now_ns) {
      forget(queue->oldest, DropReason::fragment_timed_out);
      ++forgotten;
    }
  }
  return forgotten;
}

template <class Family>
void FragmentTable<Family>::clear(DropReason reason) {
  for (const Queue* queue : {&waiting_, &decided_}) {
    while (queue->oldest != none) {
      forget(queue->oldest, reason);
    }
  }
}

template class FragmentTable<packet::Ipv4>;
template class FragmentTable<packet::Ipv6>;

}  // namespace steelyard::l4
