#include "dataplane/service/listener_index.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace steelyard::service {
namespace {

// Splits the key into three words and folds them by multiplication (the constants are the fractional digits of pi).
std::uint64_t hash(const VipKey& key) {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  std::memcpy(&high, key.address.v6().data(), 8);
  std::memcpy(&low, key.address.v6().data() + 8, 8);
  const std::uint64_t tail = (std::uint64_t{key.port} << 8) | static_cast<std::uint64_t>(key.protocol);
  std::uint64_t value = (high ^ 0x243f6a8885a308d3U) * 0x13198a2e03707345U;
  value = (value ^ (value >> 32) ^ low) * 0xa4093822299f31d1U;
  value = (value ^ (value >> 32) ^ tail) * 0x082efa98ec4e6c89U;
  return value ^ (value >> 32);
}

}  // namespace

ListenerIndex::ListenerIndex(std::span<const Entry> entries)
    : slots_(std::bit_ceil(std::max<std::size_t>(2, entries.size() * 2))), mask_(slots_.size() - 1) {
  for (const Entry& entry : entries) {
    std::uint64_t slot = hash(entry.key) & mask_;
    while (slots_[slot].listener.value != 0) {
      slot = (slot + 1) & mask_;
    }
    slots_[slot] = entry;
  }
}

std::optional<ListenerId> ListenerIndex::find(const VipKey& key) const {
  for (std::uint64_t slot = hash(key) & mask_; slots_[slot].listener.value != 0; slot = (slot + 1) & mask_) {
    if (slots_[slot].key == key) {
      return slots_[slot].listener;
    }
  }
  return std::nullopt;
}

EndpointSet::EndpointSet(std::span<const VipKey> keys)
    : index_([keys] {
        std::vector<VipKey> distinct(keys.begin(), keys.end());
        std::ranges::sort(distinct);
        distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
        std::vector<ListenerIndex::Entry> entries;
        entries.reserve(distinct.size());
        for (const VipKey& key : distinct) {
          entries.push_back({key, ListenerId{1}});
        }
        return ListenerIndex(entries);
      }()) {}

AddressSet::AddressSet(std::span<const Address> addresses)
    : all_(addresses.begin(), addresses.end()), set_([addresses] {
        std::vector<VipKey> keys;
        keys.reserve(addresses.size());
        for (const Address& address : addresses) {
          keys.push_back({address, 0, Protocol::tcp});
        }
        return EndpointSet(keys);
      }()) {
  std::ranges::sort(all_);
  all_.erase(std::unique(all_.begin(), all_.end()), all_.end());
}

}  // namespace steelyard::service
