// Weighted least connections: the usable server with the smallest (active + 1) / weight, compared exactly. An indexed
// binary heap in words of the listener's scratch. It never divides, and it never guesses a count: counts are set, not
// incremented, so that an event seen twice or not at all cannot make it drift.
//
// Of equal servers the one that was picked longest ago is first: otherwise a lightly used listener, whose connections
// end before the next one comes, would send everything to its first server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace steelyard::schedule {

// A view of the words that hold a heap; made on the spot for every operation. Not thread-safe.
class LeastConnections {
 public:
  [[nodiscard]] static std::size_t words(std::size_t servers);

  // `memory` has words(servers) words; `usable` is the number of servers in the heap and `picks` the number of the
  // last pick, both kept by the caller between operations.
  LeastConnections(std::span<std::uint32_t> memory, std::size_t servers, std::uint32_t& usable, std::uint32_t& picks);

  // Forgets who was picked when; server `first` is the first of equals, then the following ones.
  void forget_picks(std::uint32_t first);

  // Building: set_count() and set_weight() for every server, then heapify(), which is O(n).
  void set_count(std::uint32_t server, std::uint32_t active) { count(server) = active; }
  void set_weight(std::uint32_t server, std::uint32_t weight) { this->weight(server) = weight; }
  void heapify();

  // The first server, which then is the last among its equals. There must be a usable one. O(log n).
  [[nodiscard]] std::uint32_t pick();

  // Gives server `taken` the turn that pick() would have given the first one. O(log n).
  void take(std::uint32_t taken);

  // Whether `left` comes before `right`.
  [[nodiscard]] bool before(std::uint32_t left, std::uint32_t right) const;

  // A server's connections are that many now. O(log n).
  void change_count(std::uint32_t server, std::uint32_t active);

  // The usable servers, the least loaded first, the others in heap order.
  [[nodiscard]] std::span<const std::uint32_t> members() const { return heap_.first(usable_); }

 private:
  // Of a server: [ count | weight | pick | slot ], 16 bytes, so that a comparison reads one cache line of each side.
  static constexpr std::size_t record_words = 4;
  [[nodiscard]] std::uint32_t& count(std::uint32_t server) const { return records_[server * record_words]; }
  [[nodiscard]] std::uint32_t& weight(std::uint32_t server) const { return records_[server * record_words + 1]; }
  [[nodiscard]] std::uint32_t& picked(std::uint32_t server) const { return records_[server * record_words + 2]; }
  [[nodiscard]] std::uint32_t& slot(std::uint32_t server) const { return records_[server * record_words + 3]; }

  void place(std::uint32_t position, std::uint32_t server);
  void sift_down(std::uint32_t position);
  void sift_up(std::uint32_t position);

  std::uint32_t servers_;
  std::span<std::uint32_t> records_;
  std::span<std::uint32_t> heap_;
  std::uint32_t& usable_;
  std::uint32_t& picks_;
};

}  // namespace steelyard::schedule
