#include "dataplane/schedule/maglev.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "dataplane/schedule/weighted_rotation.h"

namespace steelyard::schedule {
namespace {

constexpr std::size_t slots_per_server = 16;
constexpr unsigned steps_of_a_walk = 32;
constexpr unsigned tries_of_another = 8;

// Odd and without pattern: the fractional digits of the golden ratio.
constexpr std::uint64_t golden = 0x9e3779b97f4a7c15U;

// The finisher of splitmix64 (Steele et al., "Fast splittable pseudorandom number generators", OOPSLA 2014).
constexpr std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

constexpr std::uint64_t absorb(std::uint64_t state, std::uint64_t word) {
  return mix((state ^ word) + golden);
}

// Byte by byte, so that nodes of either byte order agree.
std::uint64_t absorb(std::uint64_t state, const service::Address& address) {
  std::array<std::uint64_t, 2> words{};
  for (std::size_t place = 0; place < 16; ++place) {
    words[place / 8] = words[place / 8] << 8U | address.v6()[place];
  }
  return absorb(absorb(state, words[0]), words[1]);
}

constexpr std::uint32_t reduce(std::uint64_t hash, std::size_t limit) {
  return static_cast<std::uint32_t>(((hash >> 32U) * limit) >> 32U);
}

// By the half of a step's hash that did not choose the slot.
constexpr bool accepts(std::uint64_t hash, std::uint32_t weight) {
  return static_cast<std::uint32_t>(((hash & 0xffffffffU) * max_weight) >> 32U) < weight;
}

// Who has drawn the smallest -ln(1 - x)/weight so far. It is at least x/weight: most lots need no logarithm.
class Drawing {
 public:
  void draw(std::uint32_t who, std::uint64_t hash, std::uint32_t weight) {
    constexpr double unit = 1.0 / 9007199254740992.0;  // 2^-53
    const double x = static_cast<double>(hash >> 11U) * unit;
    const double limit = best_ * weight;
    if (x < limit) {
      const double lot = -std::log1p(-x);
      if (lot < limit) {
        best_ = lot / weight;
        winner_ = who;
      }
    }
  }
  [[nodiscard]] std::uint32_t winner() const { return winner_; }

 private:
  double best_ = std::numeric_limits<double>::infinity();
  std::uint32_t winner_ = 0;
};

}  // namespace

ClientKey client_key(service::Scheduler kind, const service::Address& client, std::uint16_t client_port,
                     const service::Address& vip, std::uint16_t vip_port) {
  switch (kind) {
    case service::Scheduler::sch:
      return {absorb(0, client)};
    case service::Scheduler::tch:
      return {absorb(absorb(absorb(0, client), vip), std::uint64_t{client_port} << 16U | vip_port)};
    case service::Scheduler::uri:
    case service::Scheduler::header:
      return {absorb(0, client)};  // of a request that does not say what it is placed by
    case service::Scheduler::wrr:
    case service::Scheduler::wlc:
    case service::Scheduler::rr:
      break;
  }
  return {};
}

ClientKey text_key(std::string_view text) {
  constexpr std::size_t word = sizeof(std::uint64_t);
  std::uint64_t state = text.size();
  while (!text.empty()) {
    std::uint64_t octets = 0;
    for (const char character : text.substr(0, word)) {
      octets = octets << 8U | static_cast<std::uint8_t>(character);
    }
    state = absorb(state, octets);
    text.remove_prefix(std::min(word, text.size()));
  }
  return {state};
}

ClientKey next_key(ClientKey key) {
  return {mix(key.value + golden)};
}

// At 16 slots a server a quarter of them is taken at most. 65,537 as in the paper; then four times as many at each
// step, so that a walk in a large group meets a server after 16 slots at most on the average.
std::size_t table_size(std::size_t servers) {
  struct Step {
    std::size_t servers;
    std::size_t slots;
  };
  constexpr std::array steps{Step{1'024, 65'537}, Step{4'096, 262'139}, Step{16'384, 1'048'573},
                             Step{service::HashTable::max_servers, 4'194'301}};
  return std::ranges::find_if(steps.begin(), steps.end() - 1,
                              [servers](const Step& step) { return servers <= step.servers; })
      ->slots;
}

service::HashTable build_hash_table(std::span<const service::Server> servers) {
  service::HashTable table;
  table.slots.assign(table_size(servers.size()), service::HashTable::free_slot);
  const auto slots = static_cast<std::uint32_t>(table.slots.size());
  for (const service::Server& server : servers) {
    table.seeds.push_back(absorb(absorb(0, server.address), server.port));
  }
  table.order.resize(servers.size());
  std::iota(table.order.begin(), table.order.end(), std::uint16_t{0});
  std::ranges::sort(table.order, {}, [&table](std::uint16_t index) { return table.seeds[index]; });

  struct Permutation {
    std::uint32_t next;
    std::uint32_t skip;
  };
  std::vector<Permutation> permutations;
  for (const std::uint16_t index : table.order) {
    const std::uint64_t hash = mix(table.seeds[index] + golden);
    permutations.push_back({reduce(hash, slots), 1 + reduce(hash << 32U, slots - 1)});
  }
  for (std::size_t turn = 0; turn < slots_per_server; ++turn) {
    for (std::size_t place = 0; place < permutations.size(); ++place) {
      auto& [next, skip] = permutations[place];
      while (table.slots[next] != service::HashTable::free_slot) {
        next = next + skip < slots ? next + skip : next + skip - slots;
      }
      table.slots[next] = table.order[place];
    }
  }
  return table;
}

std::size_t HashPlacement::words(std::size_t servers) {
  return 1 + 3 * clusters + 1 + servers;
}

HashPlacement::HashPlacement(const service::HashTable& table, std::span<std::uint32_t> memory)
    : table_(table),
      count_(memory[0]),
      cluster_(memory.subspan(1, clusters)),
      weight_(memory.subspan(1 + clusters, clusters)),
      begin_(memory.subspan(1 + 2 * clusters, clusters + 1)),
      members_(memory.subspan(2 + 3 * clusters, table.order.size())) {}

void HashPlacement::rebuild(std::span<const std::uint32_t> weights) {
  std::uint32_t members = 0;
  count_ = 0;
  for (const std::uint16_t index : table_.order) {
    if (weights[index] == 0) {
      continue;
    }
    const auto cluster = static_cast<std::uint32_t>(table_.seeds[index] >> (64U - cluster_bits));
    if (count_ == 0 || cluster_[count_ - 1] != cluster) {
      cluster_[count_] = cluster;
      weight_[count_] = 0;
      begin_[count_++] = members;
    }
    weight_[count_ - 1] += weights[index];
    members_[members++] = index;
  }
  begin_[count_] = members;
}

std::uint32_t HashPlacement::pick(std::span<const std::uint32_t> weights, ClientKey key) const {
  for (std::uint64_t step = 1; step <= steps_of_a_walk; ++step) {
    const std::uint64_t hash = mix(key.value + step * golden);
    const std::uint16_t server = table_.slots[reduce(hash, table_.slots.size())];
    if (server != service::HashTable::free_slot && accepts(hash, weights[server])) {
      return server;
    }
  }
  return draw_lots(weights, key);
}

std::uint32_t HashPlacement::draw_lots(std::span<const std::uint32_t> weights, ClientKey key) const {
  static constexpr auto cluster_seeds = [] {
    std::array<std::uint64_t, clusters> seeds{};
    for (std::size_t cluster = 0; cluster < clusters; ++cluster) {
      seeds[cluster] = mix((cluster + 1) * golden);
    }
    return seeds;
  }();
  Drawing among_clusters;
  for (std::uint32_t place = 0; place < count_; ++place) {
    among_clusters.draw(place, mix(key.value ^ cluster_seeds[cluster_[place]]), weight_[place]);
  }
  const std::uint32_t winner = among_clusters.winner();
  Drawing among_servers;
  for (std::uint32_t place = begin_[winner]; place < begin_[winner + 1]; ++place) {
    const std::uint32_t server = members_[place];
    among_servers.draw(server, mix(key.value ^ table_.seeds[server]), weights[server]);
  }
  return among_servers.winner();
}

std::size_t HashPlacement::first_member(ClientKey key) const {
  return reduce(key.value, begin_[count_]);
}

std::optional<std::uint32_t> HashPlacement::pick_other(std::span<const std::uint32_t> weights, ClientKey key,
                                                       std::span<const std::size_t> excluded) const {
  const auto allowed = [excluded](std::uint32_t server) {
    return std::ranges::find(excluded, server) == excluded.end();
  };
  for (unsigned tries = 0; tries < tries_of_another; ++tries) {
    key = next_key(key);
    if (const std::uint32_t server = pick(weights, key); allowed(server)) {
      return server;
    }
  }
  // Members are distinct, so that one of any excluded.size() + 1 is not excluded.
  const std::span<const std::uint32_t> all = members();
  std::size_t position = first_member(key);
  for (std::size_t tried = 0; tried < std::min(all.size(), excluded.size() + 1); ++tried) {
    position = position < all.size() ? position : 0;
    if (allowed(all[position])) {
      return all[position];
    }
    ++position;
  }
  return std::nullopt;
}

}  // namespace steelyard::schedule
