// Gives out stable ids: the same key keeps its id over reloads, and an id is given to another key only after its
// quarantine: when nothing counts under it any more and the last lingering flow is surely gone.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace steelyard::control {

// Control side, one thread at a time. Ids start at 1; 0 means none.
template <class Key>
class IdRegistry {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `limit`: the largest id. `quarantine` is longer than a worker may keep a flow after its end.
  IdRegistry(std::uint32_t limit, std::chrono::seconds quarantine) : limit_(limit), quarantine_(quarantine) {}

  // The id of a key, a new one if it has none; nothing when all are taken.
  [[nodiscard]] std::optional<std::uint32_t> assign(const Key& key) {
    if (const auto known = ids_.find(key); known != ids_.end()) {
      return known->second;
    }
    // Removed a moment ago and back: it is the same object, and what still runs under its id is its own.
    if (const auto retired = retired_.find(key); retired != retired_.end()) {
      const std::uint32_t id = retired->second.id;
      retired_.erase(retired);
      ids_.emplace(key, id);
      return id;
    }
    std::uint32_t id = 0;
    if (!free_.empty()) {
      id = free_.back();
      free_.pop_back();
    } else if (next_ <= limit_) {
      id = next_++;
    } else {
      return std::nullopt;
    }
    ids_.emplace(key, id);
    return id;
  }

  // Starts the quarantine of every id whose key is not in `keys`.
  void retain(const std::set<Key>& keys, TimePoint now) {
    for (auto entry = ids_.begin(); entry != ids_.end();) {
      if (keys.contains(entry->first)) {
        ++entry;
        continue;
      }
      retired_.emplace(entry->first, Retired{entry->second, now});
      entry = ids_.erase(entry);
    }
  }

  // Frees the ids for which `idle(key, id)` has held throughout their quarantine.
  template <class Idle>
  void release(TimePoint now, Idle&& idle) {
    for (auto entry = retired_.begin(); entry != retired_.end();) {
      Retired& retired = entry->second;
      if (!idle(entry->first, retired.id)) {
        retired.since = now;
      } else if (now - retired.since >= quarantine_) {
        free_.push_back(retired.id);
        entry = retired_.erase(entry);
        continue;
      }
      ++entry;
    }
  }

  // Calls visit(key) for every key whose id is in quarantine.
  template <class Visit>
  void for_each_retired(Visit&& visit) const {
    for (const auto& [key, retired] : retired_) {
      visit(key);
    }
  }

  // All ids ever given out are below this.
  [[nodiscard]] std::uint32_t end() const { return next_; }

 private:
  struct Retired {
    std::uint32_t id;
    TimePoint since;
  };
  std::uint32_t limit_;
  std::chrono::seconds quarantine_;
  std::uint32_t next_ = 1;
  std::map<Key, std::uint32_t> ids_;
  std::vector<std::uint32_t> free_;
  std::map<Key, Retired> retired_;
};

}  // namespace steelyard::control
