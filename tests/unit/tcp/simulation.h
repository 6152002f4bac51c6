// Two stacks over a bad link, all of it drawn from one seed: delay, loss, reordering, duplication, corruption,
// middleboxes that take options away, small windows, slow readers, odd slices. Segments cross the link as bytes, with
// checksums. After every event the invariants are checked: what is delivered is a prefix of what was sent, windows
// hold, what is outstanding has a timer. At the end nothing is held.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "dataplane/tcp/stack.h"
#include "dataplane/tcp/wire.h"
#include "tests/unit/tcp/buffers.h"

namespace steelyard::tcp::test {

using namespace std::chrono_literals;

struct SimulationPlan {
  bool v6 = false;
  Duration delay{0};   // one way
  Duration jitter{0};  // more, for each segment anew: reorders
  unsigned loss = 0;   // of 1,000 segments, as the next two
  unsigned duplication = 0;
  unsigned corruption = 0;
  bool strip_sack = false;
  bool strip_timestamps = false;
  bool strip_scale = false;
  std::uint32_t buffer = 65'536;  // receive and send
  std::uint16_t mtu = 1'500;
  std::array<std::size_t, 2> octets{};  // that each side sends
  std::size_t largest_slice = 4'000;
  Duration slowest_read{0};
  unsigned aborts = 0;  // of 1,000 events
};

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed) : random_(seed), plan_(draw()) {}
  Simulation(std::uint64_t seed, const SimulationPlan& plan) : random_(seed), plan_(plan) {}

  // Runs until both sides are done, or fails.
  void run() {
    settings_ = {.receive_buffer = plan_.buffer, .send_buffer = plan_.buffer, .mtu = plan_.mtu};
    settings_.user_timeout = 3'000s;
    settings_.syn_timeout = 3'000s;
    if (plan_.aborts != 0) {
      // A reset may be lost: without keepalive its receiver would wait for ever if it has nothing to send.
      settings_.keepalive_idle = 60s;
      settings_.keepalive_interval = 10s;
      settings_.keepalive_probes = 30;
    }
    sides_[0].emplace(*this, 0);
    sides_[1].emplace(*this, 1);
    sides_[1]->stack.listen({}, 80, settings_);
    sides_[0]->id = sides_[0]->stack.connect(endpoints(0), settings_, now_);
    sides_[0]->open = true;
    settle();
    const Time end = now_ + std::chrono::hours{2};
    for (std::size_t events = 0; !done(); ++events) {
      ASSERT_LT(events, 2'000'000U) << "it does not end";
      const Time next = next_event();
      ASSERT_NE(next, never) << "nothing will ever happen: " << progress();
      ASSERT_LE(next, end) << "it takes too long: " << progress();
      now_ = std::max(now_, next);
      step();
      settle();
      if (::testing::Test::HasFatalFailure()) {
        return;
      }
    }
    finished_at_ = now_;
    check_end();
  }
  [[nodiscard]] Duration took() const { return finished_at_ - Time{1'000s}; }
  [[nodiscard]] std::uint64_t segments() const { return segments_; }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  struct Side final : StackOutput {
    Side(Simulation& simulation, std::size_t index)
        : world(simulation),
          number(index),
          stack({.connections = 8, .half_open = 8, .time_wait = 8},
                {.lookup = {{1, 2, 3, index}},
                 .numbers = {{simulation.random_(), index}},
                 .cookies = {{7, simulation.random_()}}},
                memory, *this, simulation.now_) {}

    void transmit(const Endpoints& to, const Outgoing& segment) override { world.send(number, to, segment); }
    void accepted(ConnectionId connection, ListenerIndex) override {
      if (!open) {
        id = connection;
        open = true;
      }
    }
    void deliver(ConnectionId connection, const Slice& slice) override {
      const std::string bytes = Buffers::consume(slice);
      if (connection != id) {
        return;  // an old duplicate's connection: nothing is ever sent on it
      }
      for (const char octet : bytes) {
        if (octet != world.octet(1 - number, received)) {
          ADD_FAILURE() << "octet " << received << " of side " << 1 - number << " is wrong";
        }
        ++received;
      }
      unread += slice.length;
      if (next_read == never) {
        next_read = world.now_ + world.up_to(world.plan_.slowest_read);
      }
    }
    void notify(ConnectionId connection, Event event) override {
      if (connection == id && event == Event::peer_finished) {
        peer_finished = true;
      }
    }
    void over(ConnectionId connection, Cause why) override {
      if (connection == id) {
        cause = why;
      }
    }

    Simulation& world;
    std::size_t number;
    Buffers buffers;
    Memory memory{2'048, Buffers::operations()};
    Stack stack;
    ConnectionId id;
    bool open = false;
    bool shut = false;
    bool peer_finished = false;
    std::size_t written = 0;
    std::size_t received = 0;
    std::uint32_t unread = 0;
    Time next_read = never;
    std::optional<Cause> cause;
    Sequence edge;
    bool has_edge = false;
  };

  struct Packet {
    std::size_t to;
    std::vector<std::uint8_t> bytes;
  };

  [[nodiscard]] std::uint64_t below(std::uint64_t limit) { return limit == 0 ? 0 : random_() % limit; }
  [[nodiscard]] Duration up_to(Duration most) {
    return Duration{static_cast<Duration::rep>(below(static_cast<std::uint64_t>(most.count()) + 1))};
  }
  [[nodiscard]] bool happens(unsigned of_thousand) { return below(1'000) < of_thousand; }
  [[nodiscard]] char octet(std::size_t side, std::size_t position) const {
    return static_cast<char>((position * 2'654'435'761U >> 11U) + side);
  }

  [[nodiscard]] SimulationPlan draw() {
    SimulationPlan plan;
    constexpr std::array<unsigned, 8> losses{0, 0, 5, 10, 20, 50, 100, 300};
    constexpr std::array<std::uint32_t, 5> buffers{1'000, 4'000, 16'384, 65'536, 200'000};
    plan.v6 = below(2) == 0;
    plan.delay = up_to(100ms);
    plan.jitter = below(2) == 0 ? 0ms : up_to(50ms);
    plan.loss = losses[below(losses.size())];
    plan.duplication = below(3) == 0 ? 50 : 0;
    plan.corruption = below(4) == 0 ? 30 : 0;
    plan.strip_sack = below(3) == 0;
    plan.strip_timestamps = below(2) == 0;
    plan.strip_scale = below(4) == 0;
    plan.buffer = buffers[below(buffers.size())];
    plan.mtu = below(4) == 0 ? 576 : 1'500;
    plan.octets = {below(4) == 0 ? 0 : below(65'536), below(4) == 0 ? 0 : below(65'536)};
    plan.largest_slice = 1 + below(below(2) == 0 ? 100 : 6'000);
    plan.slowest_read = below(3) == 0 ? up_to(300ms) : 0ms;
    plan.aborts = below(8) == 0 ? 3 : 0;
    if (plan.v6 && plan.mtu < 1'280) {
      plan.mtu = 1'280;
    }
    return plan;
  }

  [[nodiscard]] Endpoints endpoints(std::size_t side) const {
    Endpoints result{mapped({__builtin_bswap32(0xc0000202U)}), mapped({__builtin_bswap32(0xc0000201U)}), 80, 4'000};
    if (plan_.v6) {
      result.remote.raw = {0x33, 0x44};
      result.local.raw = {0x11, 0x22};
    }
    if (side == 1) {
      std::swap(result.remote, result.local);
      std::swap(result.remote_port, result.local_port);
    }
    return result;
  }

  // Onto the link.
  void send(std::size_t from, const Endpoints& to, const Outgoing& original) {
    Outgoing segment = original;
    if (segment.has(flag::syn)) {
      segment.options.sack_permitted = segment.options.sack_permitted && !plan_.strip_sack;
      segment.options.has_timestamps = segment.options.has_timestamps && !plan_.strip_timestamps;
      segment.options.has_window_scale = segment.options.has_window_scale && !plan_.strip_scale;
    }
    ++segments_;
    Packet packet{1 - from, std::vector<std::uint8_t>(largest_tcp_header)};
    const std::size_t length =
        write_header(std::span<std::uint8_t, largest_tcp_header>{packet.bytes.data(), largest_tcp_header}, to, segment);
    packet.bytes.resize(length);
    PiecewiseSum sum;
    std::string payload;
    for (const Slice& slice : segment.payload) {
      const std::string_view bytes = Buffers::bytes(slice);
      sum.add({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
      payload += bytes;
    }
    store_checksum(packet.bytes, to, payload.size(), sum.value());
    packet.bytes.insert(packet.bytes.end(), payload.begin(), payload.end());
    EXPECT_LE(packet.bytes.size() + (plan_.v6 ? 40U : 20U), plan_.mtu);
    const int copies = happens(plan_.duplication) ? 2 : 1;
    for (int copy = 0; copy < copies; ++copy) {
      if (happens(plan_.loss)) {
        ++dropped_;
        continue;
      }
      Packet sent = packet;
      if (happens(plan_.corruption)) {
        sent.bytes[below(sent.bytes.size())] ^= static_cast<std::uint8_t>(1U << below(8));
      }
      link_.emplace(now_ + plan_.delay + up_to(plan_.jitter), sent);
    }
  }

  void receive(const Packet& packet) {
    const Endpoints from = endpoints(packet.to);
    if (packet.bytes.size() < packet::tcp_header_size || !checksum_is_right(packet.bytes, from)) {
      return;
    }
    Side& side = *sides_[packet.to];
    Segment segment;
    static_cast<SegmentHeader&>(segment) = read_header(packet.bytes);
    const std::size_t header = std::size_t{packet.bytes[12]} >> 4U << 2U;
    if (packet.bytes.size() > header) {
      segment.payload = side.buffers.slice(
          {reinterpret_cast<const char*>(packet.bytes.data()) + header, packet.bytes.size() - header});
    }
    side.stack.on_segment(from, segment, now_);
  }

  [[nodiscard]] Time next_event() const {
    Time next = link_.empty() ? never : link_.begin()->first;
    for (const auto& side : sides_) {
      next = std::min({next, side->stack.deadline(now_), side->next_read});
    }
    return next;
  }
  void step() {
    while (!link_.empty() && link_.begin()->first <= now_) {
      const Packet packet = link_.begin()->second;
      link_.erase(link_.begin());
      receive(packet);
    }
    for (auto& side : sides_) {
      if (side->stack.deadline(now_) <= now_) {
        side->stack.on_timer(now_);
      }
    }
  }

  // What the applications do, and the invariants.
  void settle() {
    for (auto& optional_side : sides_) {
      Side& side = *optional_side;
      if (side.next_read <= now_) {
        const auto octets = side.unread == 0 ? 0U : 1U + static_cast<std::uint32_t>(below(side.unread));
        side.unread -= octets;
        side.next_read = side.unread == 0 ? never : now_ + up_to(plan_.slowest_read) + Duration{1};
        side.stack.consume(side.id, octets, now_);
      }
      write(side);
      if (side.open && happens(plan_.aborts)) {
        side.stack.abort(side.id, now_);
        aborted_ = true;
      }
      check(side);
    }
  }
  void write(Side& side) {
    const Connection* connection = side.stack.find(side.id);
    if (!side.open || connection == nullptr) {
      return;
    }
    while (side.written < plan_.octets[side.number] && connection->writable(settings_) != 0) {
      const std::size_t size =
          std::min<std::size_t>(1 + below(plan_.largest_slice), plan_.octets[side.number] - side.written);
      std::string bytes;
      for (std::size_t position = side.written; position < side.written + size; ++position) {
        bytes += octet(side.number, position);
      }
      const Slice slice = side.buffers.slice(bytes);
      if (side.stack.send(side.id, std::span{&slice, 1}, now_) == 0) {
        side.memory.release(slice);
        return;
      }
      side.written += size;
      if (side.stack.find(side.id) == nullptr) {
        return;
      }
    }
    // Before the handshake has ended, a close would be the end of everything (RFC 9293 section 3.10.4).
    if (side.written == plan_.octets[side.number] && !side.shut && connection->state() >= State::established) {
      side.shut = true;
      side.stack.shutdown(side.id, now_);
    }
  }
  void check(Side& side) {
    const Connection* connection = side.stack.find(side.id);
    ASSERT_LE(side.received, sides_[1 - side.number]->written);
    if (connection == nullptr || connection->state() == State::syn_sent || connection->state() == State::syn_received) {
      return;
    }
    const ConnectionReport report = connection->report(settings_);
    ASSERT_LE(report.unacknowledged, std::max(report.largest_window, 1U)) << progress();
    ASSERT_TRUE(report.unacknowledged == 0 || report.timer_armed) << progress();
    ASSERT_LE(report.held, settings_.most_held);
    ASSERT_LE(packet::distance(report.receive_next, report.receive_edge) + side.unread,
              std::max(plan_.buffer, 1U) + 8U);
    ASSERT_FALSE(side.has_edge && packet::after(side.edge, report.receive_edge)) << progress();
    side.edge = report.receive_edge;
    side.has_edge = true;
  }

  [[nodiscard]] bool done() const {
    return sides_[0]->stack.connections() + sides_[1]->stack.connections() == 0 && sides_[0]->cause &&
           (sides_[1]->cause || aborted_);
  }
  void check_end() {
    for (auto& optional_side : sides_) {
      Side& side = *optional_side;
      if (!aborted_) {
        EXPECT_EQ(side.received, plan_.octets[1 - side.number]) << progress();
        EXPECT_TRUE(side.peer_finished);
        EXPECT_EQ(side.cause, Cause::finished);
      }
      EXPECT_EQ(side.memory.used(), 0U);
      EXPECT_EQ(side.buffers.live(), 0);
    }
  }
  [[nodiscard]] std::string progress() const {
    std::string text;
    for (const auto& side : sides_) {
      text += (side->cause ? "over " + std::to_string(static_cast<int>(*side->cause)) + " " : std::string{}) +
              "[wrote " + std::to_string(side->written) + " received " + std::to_string(side->received);
      if (const Connection* connection = side->stack.find(side->id)) {
        const ConnectionReport report = connection->report(settings_);
        text += " state " + std::to_string(static_cast<int>(report.state)) + " unacknowledged " +
                std::to_string(report.unacknowledged) + " in flight " + std::to_string(report.in_flight) + " window " +
                std::to_string(report.window) + " peer's " + std::to_string(report.send_window);
      }
      text += "] ";
    }
    return text + "loss " + std::to_string(plan_.loss) + " buffer " + std::to_string(plan_.buffer);
  }

  std::mt19937_64 random_;
  SimulationPlan plan_;
  Settings settings_;
  Time now_{1'000s};
  Time finished_at_{};
  std::multimap<Time, Packet> link_;
  std::array<std::optional<Side>, 2> sides_;
  std::uint64_t segments_ = 0;
  std::uint64_t dropped_ = 0;
  bool aborted_ = false;
};

}  // namespace steelyard::tcp::test
