// Read-only hash sets over service addresses: (VIP, port, protocol) -> listener, server endpoints, and bare addresses.
// Built once by the control side, probed by workers on a flow-table miss: one probe sequence over 64-byte-aligned slots
// at a load of at most one half. Keys come from the configuration, so an attacker cannot choose which ones collide;
// a probe for a foreign key ends at the first empty slot.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/service/address.h"
#include "dataplane/service/ids.h"

namespace steelyard::service {

enum class Protocol : std::uint8_t { tcp = 6, udp = 17 };  // IANA protocol numbers

struct VipKey {
  Address address;
  std::uint16_t port = 0;  // host order
  Protocol protocol = Protocol::tcp;
  friend auto operator<=>(const VipKey&, const VipKey&) = default;
};

// An immutable map VipKey -> 32-bit value. Any thread may read.
class ListenerIndex {
 public:
  struct Entry {
    VipKey key;
    ListenerId listener;
  };
  ListenerIndex() : ListenerIndex(std::span<const Entry>{}) {}
  // Keys must be distinct.
  explicit ListenerIndex(std::span<const Entry> entries);

  [[nodiscard]] std::optional<ListenerId> find(const VipKey& key) const;

 private:
  std::vector<Entry> slots_;  // listener 0: empty
  std::uint64_t mask_ = 0;
};

// A set of (address, port, protocol); duplicates are allowed.
class EndpointSet {
 public:
  EndpointSet() : EndpointSet(std::span<const VipKey>{}) {}
  explicit EndpointSet(std::span<const VipKey> keys);
  [[nodiscard]] bool contains(const VipKey& key) const { return index_.find(key).has_value(); }

 private:
  ListenerIndex index_;
};

// A set of addresses; duplicates are allowed.
class AddressSet {
 public:
  AddressSet() : AddressSet(std::span<const Address>{}) {}
  explicit AddressSet(std::span<const Address> addresses);
  [[nodiscard]] bool contains(const Address& address) const { return set_.contains({address, 0, Protocol::tcp}); }
  [[nodiscard]] std::span<const Address> all() const { return all_; }

 private:
  std::vector<Address> all_;
  EndpointSet set_;
};

}  // namespace steelyard::service
