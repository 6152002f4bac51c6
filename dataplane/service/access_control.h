// Whose packets may open a flow at a listener: a white list lets these sources in and nobody else, a black list
// everybody else. Made once by the control side from the lists that a listener names, immutable, shared by listeners
// and snapshots; a worker asks it once for a new flow, an established packet never.
//
// Layout: the entries of each family as disjoint ranges in ascending order, first and last addresses apart, found by
// binary search: 1,000 IPv4 entries are 8 KB and cost 32 ns a question, 1,000 IPv6 entries 32 KB and 42 ns
// (bench/access_control_benchmark.cc; sources in no order, on a busy machine). Why not DPDK's own: rte_lpm takes 64 MB
// for every list (its first level has 2^24 slots of four bytes) and rte_lpm6 as much again, both from DPDK's heap by a
// process-wide name, for a table that the next reload replaces as a whole and that is not asked for every packet;
// rte_acl compiles tries for many fields and rules with priorities, where one field without priorities is asked.
// Overlapping entries simply melt into one range, so that nobody has to think about their order.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/service/address.h"

namespace steelyard::service {

// Addresses of one family. `Number`: an address as a number whose highest bit is the first on the wire.
template <class Number>
class AddressRanges {
 public:
  struct Range {
    Number first;
    Number last;  // included
  };

  AddressRanges() = default;
  // In any order, overlapping or not.
  explicit AddressRanges(std::vector<Range> ranges);

  [[nodiscard]] bool contains(Number address) const;
  [[nodiscard]] std::size_t size() const { return firsts_.size(); }

  friend bool operator==(const AddressRanges&, const AddressRanges&) = default;

 private:
  std::vector<Number> firsts_;
  std::vector<Number> lasts_;
};

// An IPv6 address as a number.
struct WideNumber {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend auto operator<=>(const WideNumber&, const WideNumber&) = default;
};

enum class AccessType : std::uint8_t {
  white,  // only these; an empty list lets nobody in, since a list that has lost its entries must not open the door
  black,  // all but these
};

// Immutable; any thread.
class AccessControl {
 public:
  // Host bits of the prefixes are ignored.
  AccessControl(AccessType type, std::span<const Prefix> sources);

  [[nodiscard]] bool allows(const Address& source) const;
  [[nodiscard]] AccessType type() const { return type_; }

  // Does it say the same of every source?
  friend bool operator==(const AccessControl&, const AccessControl&) = default;

 private:
  AccessType type_;
  AddressRanges<std::uint32_t> v4_;
  AddressRanges<WideNumber> v6_;
};

}  // namespace steelyard::service
