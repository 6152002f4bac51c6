// Two hosts and a bad link between them, all of it drawn from one seed; segments cross the link as bytes, with
// checksums. After every event the invariants are checked: of each connection (invariants.h), that what is delivered is
// a prefix of what was sent, that buffers are accounted for. At the end nothing is held, not even in TIME_WAIT.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "tests/simulation/host.h"
#include "tests/simulation/link.h"

namespace steelyard::simulation {

struct Result {
  std::string failure;  // empty: all invariants have held
  Duration took{0};     // simulated time until both sides had everything, or their connections were over
  std::uint64_t events = 0;
  std::uint64_t segments = 0;
  std::uint64_t dropped = 0;  // lost, or no room in the link's queue
  std::uint64_t retransmitted = 0;
  std::array<std::uint64_t, 2> received{};  // octets, by each host
};

class World final : public Wire {
 public:
  // `trace`: where every segment is told of; may be nullptr.
  World(const Plan& plan, std::uint64_t seed, std::FILE* trace = nullptr);

  // Until nothing is left of the connection.
  [[nodiscard]] Result run();
  // Until host 1 has all that host 0 sends, or for `limit`; the connection stays as it is.
  [[nodiscard]] Result transfer(Duration limit);

 private:
  static constexpr Time begin{1'000s};

  void open();
  bool step(Time limit);  // false: there is nothing more to do
  void check(std::uint8_t number);
  void receive(const Packet& packet);
  void receive_segment(std::uint8_t number, std::span<const std::uint8_t> bytes);
  void transmit(std::uint8_t from, const Endpoints& endpoints, const tcp::Outgoing& segment) override;
  [[nodiscard]] tcp::Options through_middleboxes(const tcp::Outgoing& segment) const;
  [[nodiscard]] Endpoints endpoints_of(std::uint8_t host) const;
  void tell(std::uint8_t from, const tcp::Outgoing& segment, std::size_t payload, Fate fate) const;
  void finish();
  void fail(const std::string& what);
  [[nodiscard]] std::string progress() const;

  Plan plan_;
  Random random_;
  std::FILE* trace_;
  Time now_ = begin;
  Link link_;
  std::array<std::unique_ptr<Host>, 2> hosts_;
  Result result_;
};

}  // namespace steelyard::simulation
