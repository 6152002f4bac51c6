// The source ports of full NAT: for every local address, this worker's share of the port range, given out in O(1),
// the one that was returned first goes first, in an order that was shuffled at start (RFC 6056 section 3.3). A port
// belongs to one flow at a time, whichever server it talks to; 64,512 ports an address, so capacity grows with
// addresses.
//
// Ports are partitioned among workers by `port modulo workers`: the owner of a returning packet is read off its port.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "dataplane/l4/flow.h"
#include "dataplane/packet/prefetch.h"
#include "dataplane/packet/sequence.h"
#include "dataplane/service/address.h"
#include "dataplane/service/ids.h"

namespace steelyard::l4 {

struct PortRange {
  std::uint16_t first = 1024;
  std::uint16_t last = 65535;
};

// What is known of the connection that had a port before.
struct PortHistory {
  FlowIndex flow{no_flow};   // the lingering flow that still holds the tuple
  packet::Sequence end;      // the last sequence number that its server saw
  std::uint32_t server = 0;  // hash of that server; 0: never used

  static constexpr std::uint32_t no_flow = 0xffffffffU;
};

// Ports of one local address. Worker only; allocates at construction.
class LocalPorts {
 public:
  LocalPorts(PortRange range, service::WorkerId worker, std::size_t workers, std::uint64_t seed) : range_(range) {
    for (std::uint32_t port = range.first; port <= range.last; ++port) {
      if (port % workers == worker.value) {
        ring_.push_back(static_cast<std::uint16_t>(port));
      }
    }
    std::mt19937_64 random(seed);
    for (std::size_t left = ring_.size(); left > 1; --left) {
      std::swap(ring_[left - 1], ring_[random() % left]);
    }
    free_ = ring_.size();
    history_.resize(std::size_t{range.last} - range.first + 1);
  }

  // The port (host order) that has been free for longest; nothing when all are in use.
  [[nodiscard]] std::optional<std::uint16_t> allocate() {
    if (free_ == 0) {
      return std::nullopt;
    }
    const std::uint16_t port = ring_[head_];
    head_ = head_ + 1 == ring_.size() ? 0 : head_ + 1;
    --free_;
    packet::prefetch_to_read(&history(ring_[head_]));  // for the next flow: a burst of them would wait for each
    return port;
  }
  void release(std::uint16_t port) {
    std::size_t tail = head_ + free_;
    tail = tail >= ring_.size() ? tail - ring_.size() : tail;
    ring_[tail] = port;
    ++free_;
  }
  [[nodiscard]] PortHistory& history(std::uint16_t port) { return history_[std::size_t{port} - range_.first]; }

  [[nodiscard]] bool contains(std::uint16_t port) const { return port >= range_.first && port <= range_.last; }
  [[nodiscard]] std::size_t available() const { return free_; }
  [[nodiscard]] std::size_t total() const { return ring_.size(); }

 private:
  PortRange range_;
  std::vector<std::uint16_t> ring_;  // the free ports, from head_ on
  std::size_t head_ = 0;
  std::size_t free_ = 0;
  std::vector<PortHistory> history_;  // by port - range_.first
};

// All local addresses of a worker.
class LocalAddressPool {
 public:
  struct Choice {
    std::size_t address;  // place in the list given at construction
    std::uint16_t port;   // host order
  };

  LocalAddressPool(std::span<const service::Address> addresses, PortRange range, service::WorkerId worker,
                   std::size_t workers, std::uint64_t seed) {
    for (const service::Address& address : addresses) {
      (address.is_v4() ? v4_ : v6_).push_back(entries_.size());
      entries_.push_back({address, LocalPorts(range, worker, workers, seed ^ (entries_.size() * 0x9e3779b97f4a7c15U))});
    }
  }

  // A port of the next address of the family, in rotation; nothing when no address of it has a free one.
  [[nodiscard]] std::optional<Choice> allocate(bool v6) {
    const std::vector<std::size_t>& family = v6 ? v6_ : v4_;
    for (std::size_t tries = 0; tries < family.size(); ++tries) {
      const std::size_t address = family[next_++ % family.size()];
      if (const auto port = entries_[address].ports.allocate()) {
        return Choice{address, *port};
      }
    }
    return std::nullopt;
  }
  // The place of an address; nothing when it is not in the pool.
  [[nodiscard]] std::optional<std::size_t> find(const service::Address& address) const {
    for (std::size_t place = 0; place < entries_.size(); ++place) {
      if (entries_[place].address == address) {
        return place;
      }
    }
    return std::nullopt;
  }
  [[nodiscard]] const service::Address& address(std::size_t place) const { return entries_[place].address; }
  [[nodiscard]] LocalPorts& ports(std::size_t place) { return entries_[place].ports; }
  [[nodiscard]] bool contains_port(std::size_t place, std::uint16_t port) const {
    return entries_[place].ports.contains(port);
  }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    service::Address address;
    LocalPorts ports;
  };
  std::vector<Entry> entries_;
  std::vector<std::size_t> v4_;
  std::vector<std::size_t> v6_;
  std::size_t next_ = 0;
};

}  // namespace steelyard::l4
