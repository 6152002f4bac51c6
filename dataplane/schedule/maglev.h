// Consistent hashing for `sch` and `tch`: Maglev's table (Eisenbud et al., "Maglev: A Fast and Reliable Software
// Network Load Balancer", NSDI 2016, section 3.4), three quarters of which stay free.
//
// Maglev lets the servers fill the table in turns, each by its own permutation of the slots. A full table is exact, but
// the servers fight for its last slots, and each change of the set moves the outcome: of 65,537 slots and 1,000
// servers, removing one moves 6.7/N (measured; 1.6/N of 100 servers). So every server takes 16 slots here and no more.
// A client has a sequence of slots of its own and takes the first whose server accepts it. A server accepts with the
// probability weight/100, by bits of the same hash; one that is down never does.
//   - Shares are exact for any weights: every step of a walk falls on every server with the probability 16/slots, and
//     is accepted in proportion to the weight. No rounding to whole slots.
//   - A server that goes down, or loses weight, gives away its own clients and nobody else's; when it is back, it has
//     the same again. That is the least that any method can move. Neither needs a new table.
//   - A server that is added or removed also moves the few slots that are fought for: 1.2/N in all at 1,000 servers
//   (measured).
//   - The table follows from the servers' addresses and ports alone. Their order, a process's past and its secrets do
//     not matter, so a restarted process and a second node place every client alike.
//
// Sparse tables (few servers, small weights, most servers down) may refuse a client 32 times. Then all usable servers
// draw lots, and the smallest -ln(1 - x)/weight wins (weighted rendezvous: Schindelhauer and Schomaker, "Weighted
// Distributed Hash Tables", SPAA 2005): exact as well, and as little moves. To be fast in large groups, 64 clusters
// draw first, then the servers of one. A change of weight d out of W in a cluster of weight C, server weight w <= C,
// moves
//   d/(W-d) * ((W-C)/W + (C-w)/C) <= 2d/W
// since C/W + w/C >= 2 sqrt(w/W) >= 2d/W: twice the least.
//
// So one change of N equal servers moves at most 2/N of the clients; of unequal ones a server with the share s = w/W
// moves at most 2s. 2/N cannot be had for a server whose share is above that: all that it has, or gets, must move.
//
// Sizes grow in four steps (see table_size): a group that grows beyond 1,024, 4,096 or 16,384 servers is dealt anew.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "dataplane/service/hash_table.h"
#include "dataplane/service/snapshot.h"

namespace steelyard::schedule {

// What a client is placed by. The hash is fixed and no secret, which the restarted process and the second node must
// agree on. Whoever knows it can find client addresses that meet at one server - but needs those addresses, with
// answers, for more than a SYN flood, and could as well open all connections from one. Nothing of ours gets slower by
// it: tables over packet data are keyed with a secret (packet/hash.h).
struct ClientKey {
  std::uint64_t value = 0;
};

// Of a text that a request has: its path, a field.
[[nodiscard]] ClientKey text_key(std::string_view text);

// Ports in host order. `sch` looks at the client's address alone, `tch` at everything; other schedulers at nothing.
[[nodiscard]] ClientKey client_key(service::Scheduler kind, const service::Address& client, std::uint16_t client_port,
                                   const service::Address& vip, std::uint16_t vip_port);

// The key by which the same client is placed anew when it cannot have the server of this one.
[[nodiscard]] ClientKey next_key(ClientKey key);

// Slots for so many servers: a prime, so that every skip of a permutation comes by all slots.
[[nodiscard]] std::size_t table_size(std::size_t servers);

// At most HashTable::max_servers with different endpoints. Any thread; 0.05 ms for 1,000 servers, 15 ms for 60,000.
[[nodiscard]] service::HashTable build_hash_table(std::span<const service::Server> servers);

// A view of the table and of the words that hold what of it is usable; made on the spot for every operation.
class HashPlacement {
 public:
  [[nodiscard]] static std::size_t words(std::size_t servers);

  // `memory` has words(servers) words; rebuild() comes before all other operations on it.
  HashPlacement(const service::HashTable& table, std::span<std::uint32_t> memory);

  // Takes over who is usable; weights by index, 0..100. One pass over the servers.
  void rebuild(std::span<const std::uint32_t> weights);

  // The client's server; the weights are those of the rebuild. There must be a usable one. At most 32 steps and one
  // drawing of 64 clusters and the servers of one.
  [[nodiscard]] std::uint32_t pick(std::span<const std::uint32_t> weights, ClientKey key) const;

  // Another one for the client, always the same; nothing when all usable ones are excluded. Costs up to
  // 8 picks and excluded.size() + 1 steps.
  [[nodiscard]] std::optional<std::uint32_t> pick_other(std::span<const std::uint32_t> weights, ClientKey key,
                                                        std::span<const std::size_t> excluded) const;

  // The usable servers, in an order of their own, and where in it a client begins to look for any of them.
  [[nodiscard]] std::span<const std::uint32_t> members() const { return members_.first(begin_[count_]); }
  [[nodiscard]] std::size_t first_member(ClientKey key) const;

 private:
  static constexpr unsigned cluster_bits = 6;
  static constexpr std::size_t clusters = std::size_t{1} << cluster_bits;

  [[nodiscard]] std::uint32_t draw_lots(std::span<const std::uint32_t> weights, ClientKey key) const;

  const service::HashTable& table_;
  std::uint32_t& count_;              // of clusters with a usable server; only these are below
  std::span<std::uint32_t> cluster_;  // which one
  std::span<std::uint32_t> weight_;   // of its servers
  std::span<std::uint32_t> begin_;    // of its servers in members_, and the end of all
  std::span<std::uint32_t> members_;  // usable servers in the order of their seeds
};

}  // namespace steelyard::schedule
