#include "dataplane/worker/permit_ledger.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace steelyard::worker {

void PermitLedger::set_limits(std::span<const ConnectionLimit> limits) {
  std::vector<Entry> next;
  next.reserve(limits.size());
  auto known = entries_.begin();
  for (const ConnectionLimit& limit : limits) {
    known = std::find_if(known, entries_.end(),
                         [&limit](const Entry& entry) { return entry.limit.backend >= limit.backend; });
    if (known != entries_.end() && known->limit.backend == limit.backend) {
      next.push_back(std::move(*known));
      lower(next.back(), limit.most);
      ++known;
      continue;
    }
    Entry entry;
    entry.limit = limit;
    for (const Cells& cells : workers_) {
      (*cells.permits)[limit.backend.value].set(0);
      entry.missed.push_back((*cells.counters)[limit.backend.value].permit_missing.get());
    }
    next.push_back(std::move(entry));
  }
  entries_ = std::move(next);
}

// A lower limit holds at once: who has more free permits than his part of what is left loses them before workers know
// why, and until they do nobody gets any.
void PermitLedger::lower(Entry& entry, std::uint32_t most) {
  const std::uint32_t before = std::exchange(entry.limit.most, most);
  if (most >= before) {
    return;
  }
  read(entry);
  const std::uint64_t left = most - std::min<std::uint64_t>(most, books_.connected);
  for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
    const std::uint64_t part = left == 0 ? 0 : books_.connections[worker] + left / workers_.size();
    if (part < books_.permits[worker]) {
      set(entry, worker, static_cast<std::uint32_t>(part));
    }
  }
  entry.is_new = true;
}

void PermitLedger::published() {
  std::uint64_t now = 0;
  for (Entry& entry : entries_) {
    if (std::exchange(entry.is_new, false)) {
      now = now != 0 ? now : grace_.begin();
      entry.grace = now;
    }
  }
}

void PermitLedger::balance() {
  std::uint64_t now = 0;
  std::uint64_t passed = 0;  // the latest of those that are over
  for (Entry& entry : entries_) {
    if (entry.is_new) {
      continue;
    }
    if (entry.grace > passed) {
      if (!grace_.passed(entry.grace)) {
        continue;
      }
      passed = entry.grace;
    }
    entry.grace = 0;
    read(entry);
    bool taken = false;
    if (books_.committed > entry.limit.most) {
      taken = cut(entry);
    } else if (books_.committed < entry.limit.most) {
      give(entry, entry.limit.most - books_.committed);
    } else {
      taken = take_for_needy(entry);
    }
    if (taken) {
      now = now != 0 ? now : grace_.begin();
      entry.grace = now;
    }
  }
}

void PermitLedger::read(Entry& entry) {
  books_.connections.clear();
  books_.permits.clear();
  books_.free.clear();
  books_.committed = books_.connected = books_.all_free = 0;
  const std::size_t place = entry.limit.backend.value;
  for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
    const std::uint32_t connections = (*workers_[worker].connections)[place].get();
    const std::uint32_t permits = (*workers_[worker].permits)[place].get();
    const std::uint32_t missed = (*workers_[worker].counters)[place].permit_missing.get();
    const std::uint32_t free = permits > connections ? permits - connections : 0;
    const std::uint64_t bit = std::uint64_t{1} << worker;
    if (std::exchange(entry.missed[worker], missed) != missed) {
      entry.needy |= bit;
    }
    if (free > 0) {
      entry.needy &= ~bit;
    }
    books_.connections.push_back(connections);
    books_.permits.push_back(permits);
    books_.free.push_back(free);
    books_.committed += std::max(permits, connections);
    books_.connected += connections;
    books_.all_free += free;
  }
}

void PermitLedger::set(const Entry& entry, std::size_t worker, std::uint32_t permits) {
  (*workers_[worker].permits)[entry.limit.backend.value].set(permits);
  books_.permits[worker] = permits;
}

// More is used or promised than the limit has. What is promised goes first; when what is used is already too much,
// nobody keeps even the right to replace a connection that ends.
bool PermitLedger::cut(const Entry& entry) {
  bool taken = false;
  std::uint64_t excess = books_.committed - entry.limit.most;
  for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
    const bool all = books_.connected >= entry.limit.most;
    const auto less =
        static_cast<std::uint32_t>(all ? books_.permits[worker] : std::min<std::uint64_t>(excess, books_.free[worker]));
    if (less > 0) {
      set(entry, worker, books_.permits[worker] - less);
      excess -= std::min<std::uint64_t>(excess, less);
      taken = true;
    }
  }
  return taken;
}

// Divides what nobody has so that all have about as many free ones; of a remainder those who missed one get theirs
// first.
void PermitLedger::give(Entry& entry, std::uint64_t spare) {
  const std::uint64_t level = (books_.all_free + spare) / workers_.size();
  const auto add = [&](std::size_t worker, std::uint64_t count) {
    const auto more = static_cast<std::uint32_t>(std::min(count, spare));
    if (more == 0) {
      return;
    }
    spare -= more;
    books_.free[worker] += more;
    set(entry, worker, std::max(books_.permits[worker], books_.connections[worker]) + more);
  };
  for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
    if ((entry.needy >> worker & 1U) != 0) {
      add(worker, std::max<std::uint64_t>(level, 1));
    }
  }
  for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
    add(worker, level - std::min<std::uint64_t>(level, books_.free[worker]));
  }
  while (spare > 0) {
    const auto least = std::ranges::min_element(books_.free);
    add(static_cast<std::size_t>(least - books_.free.begin()), 1);
  }
}

// All permits are out: those who have more than their share of the free ones give some back for those who have none.
bool PermitLedger::take_for_needy(const Entry& entry) {
  const std::uint64_t level = books_.all_free / workers_.size();
  std::uint64_t wanted = 0;
  for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
    const bool missed = (entry.needy >> worker & 1U) != 0;
    if (books_.free[worker] == 0 && (missed || level >= 2)) {
      wanted += std::max<std::uint64_t>(level, 1);
    }
  }
  bool taken = false;
  while (wanted > 0) {
    const auto most = std::ranges::max_element(books_.free);
    const std::uint64_t less = std::min<std::uint64_t>(wanted, *most - std::min<std::uint64_t>(*most, level));
    if (less == 0) {
      break;
    }
    const auto worker = static_cast<std::size_t>(most - books_.free.begin());
    set(entry, worker, books_.permits[worker] - static_cast<std::uint32_t>(less));
    *most -= static_cast<std::uint32_t>(less);
    wanted -= less;
    taken = true;
  }
  return taken;
}

}  // namespace steelyard::worker
