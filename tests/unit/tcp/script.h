// A small language for exchanges with one stack: in() is a segment of the peer, out() the next one of ours, silent()
// says that there is none, advance() lets time pass. Numbers are relative: seq() of an in() and ack() of an out() count
// from the peer's SYN, the others from ours. Every script runs for both address families, from plain numbers and across
// the wrap of both sides' sequence numbers; after every event the stack's invariants are checked.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "dataplane/tcp/stack.h"
#include "tests/simulation/invariants.h"
#include "tests/unit/tcp/buffers.h"

namespace steelyard::tcp::test {

using namespace std::chrono_literals;

inline constexpr std::uint8_t S = flag::syn;
inline constexpr std::uint8_t A = flag::ack;
inline constexpr std::uint8_t SA = flag::syn | flag::ack;
inline constexpr std::uint8_t FA = flag::fin | flag::ack;
inline constexpr std::uint8_t R = flag::rst;
inline constexpr std::uint8_t RA = flag::rst | flag::ack;

// What a segment has, or must have.
struct Spec {
  std::optional<std::uint32_t> sequence;
  std::optional<std::uint32_t> acknowledgment;
  std::optional<std::uint16_t> window;
  std::optional<std::string> payload;
  std::optional<std::size_t> length;
  std::optional<std::uint16_t> segment_size;
  std::optional<std::uint8_t> scale;
  std::optional<bool> sack_permitted;
  std::optional<bool> timestamps;
  std::optional<std::uint32_t> timestamp;
  std::optional<std::uint32_t> echo;
  std::optional<std::vector<std::pair<std::uint32_t, std::uint32_t>>> sacks;
};
using Part = std::function<void(Spec&)>;

inline Part seq(std::uint32_t number) {
  return [=](Spec& spec) { spec.sequence = number; };
}
inline Part ack(std::uint32_t number) {
  return [=](Spec& spec) { spec.acknowledgment = number; };
}
inline Part win(std::uint32_t window) {
  return [=](Spec& spec) { spec.window = static_cast<std::uint16_t>(window); };
}
inline Part mss(std::uint16_t size) {
  return [=](Spec& spec) { spec.segment_size = size; };
}
inline Part wscale(std::uint8_t scale) {
  return [=](Spec& spec) { spec.scale = scale; };
}
inline Part sackok() {
  return [](Spec& spec) { spec.sack_permitted = true; };
}
inline Part nosack() {
  return [](Spec& spec) {
    spec.sack_permitted = false;
    spec.sacks.emplace();
  };
}
inline Part ts(std::uint32_t value) {
  return [=](Spec& spec) { spec.timestamp = value; };
}
inline Part ecr(std::uint32_t value) {
  return [=](Spec& spec) { spec.echo = value; };
}
inline Part nots() {
  return [](Spec& spec) { spec.timestamps = false; };
}
inline Part data(std::string bytes) {
  return [=](Spec& spec) { spec.payload = bytes; };
}
// As many octets of the stream that both sides send.
inline Part len(std::size_t octets) {
  return [=](Spec& spec) { spec.length = octets; };
}
// In an in(): of our numbers; in an out(): of the peer's.
inline Part sack(std::vector<std::pair<std::uint32_t, std::uint32_t>> blocks) {
  return [=](Spec& spec) { spec.sacks = blocks; };
}

// The octet at a relative sequence number of the stream.
inline char stream_octet(std::uint32_t number) {
  return static_cast<char>('a' + number % 23);
}
inline std::string stream(std::uint32_t begin, std::size_t length) {
  std::string bytes;
  for (std::size_t octet = 0; octet < length; ++octet) {
    bytes += stream_octet(begin + static_cast<std::uint32_t>(octet));
  }
  return bytes;
}

struct World {
  bool v6 = false;
  bool wraps = false;
  friend std::ostream& operator<<(std::ostream& to, const World& world) {
    return to << (world.v6 ? "IPv6" : "IPv4") << (world.wraps ? "AcrossWrap" : "");
  }
};

// How a passive handshake goes.
struct Offer {
  std::uint16_t size = 1'000;
  std::optional<std::uint8_t> scale = 0;
  bool sack = true;
  bool timestamps = false;
  std::uint16_t window = 60'000;
};

class Script : public testing::TestWithParam<World>, public StackOutput {
 protected:
  static constexpr std::uint16_t port = 80;

  Script() : endpoints_(endpoints(4'000)), start_(start()), now_(start_) {
    peer_initial_ = GetParam().wraps ? 0xfffffff0U : 5'000;
    rebuild({});
  }
  ~Script() override {
    stack_.reset();
    EXPECT_EQ(memory_.used(), 0U) << "an empty world holds nothing";
  }

  void rebuild(const StackLimits& limits) {
    stack_.emplace(limits, secrets(), memory_, *this, now_);
    stack_->listen({}, port, settings_);
  }

  [[nodiscard]] static StackSecrets secrets() {
    return {.lookup = {{1, 2, 3, 4}}, .numbers = {{5, 6}}, .cookies = {{7, 8}}};
  }
  [[nodiscard]] Endpoints endpoints(std::uint16_t remote_port) const {
    Endpoints result{mapped({__builtin_bswap32(0xc0000201U)}), mapped({__builtin_bswap32(0xc0000202U)}), remote_port,
                     port};
    if (GetParam().v6) {
      result.remote.raw = {0x11, 0x22};
      result.local.raw = {0x33, 0x44};
    }
    return result;
  }
  // When our number for the first connection is just before the wrap.
  [[nodiscard]] Time start() const {
    const Time early{100s};
    if (!GetParam().wraps) {
      return early;
    }
    const Sequence first = initial_sequence(secrets().numbers, endpoints(4'000), early);
    return early + Duration{4} * packet::distance(first, Sequence{0xfffffff0U});
  }

  // --- the language ----------------------------------------------------------------------------------------------
  template <class... Parts>
  void in(std::uint8_t flags, const Parts&... parts) {
    in_for(endpoints_, flags, parts...);
  }
  template <class... Parts>
  void in_for(const Endpoints& from, std::uint8_t flags, const Parts&... parts) {
    Spec spec;
    (parts(spec), ...);
    Segment segment;
    segment.flags = flags;
    segment.sequence = Sequence{peer_initial_} + spec.sequence.value_or(0);
    segment.acknowledgment = Sequence{our_initial_} + spec.acknowledgment.value_or(0);
    segment.window = spec.window.value_or(offer_.window);
    fill(segment.options, spec);
    if (spec.payload || spec.length) {
      segment.payload = buffers_.slice(spec.payload ? *spec.payload : stream(*spec.sequence, *spec.length));
    }
    stack_->on_segment(from, segment, now_);
    after_event();
  }

  template <class... Parts>
  void out(std::uint8_t flags, const Parts&... parts) {
    Spec spec;
    (parts(spec), ...);
    ASSERT_FALSE(sent_.empty()) << "nothing was sent";
    const Sent sent = sent_.front();
    sent_.pop_front();
    EXPECT_EQ(int{sent.header.flags} & ~int{flag::psh}, int{flags});
    if (spec.sequence) {
      EXPECT_EQ(packet::distance(Sequence{our_initial_}, sent.header.sequence), *spec.sequence);
    }
    if (spec.acknowledgment) {
      EXPECT_EQ(packet::distance(Sequence{peer_initial_}, sent.header.acknowledgment), *spec.acknowledgment);
    }
    if (spec.window) {
      EXPECT_EQ(sent.header.window, *spec.window);
    }
    if (spec.payload) {
      EXPECT_EQ(sent.payload, *spec.payload);
    }
    if (spec.length) {
      EXPECT_EQ(sent.payload.size(), *spec.length);
      EXPECT_EQ(sent.payload,
                stream(packet::distance(Sequence{our_initial_}, sent.header.sequence), sent.payload.size()));
    }
    expect_options(sent.header.options, spec);
  }
  void silent() {
    EXPECT_TRUE(sent_.empty()) << "flags " << int{sent_.front().header.flags} << " sequence "
                               << packet::distance(Sequence{our_initial_}, sent_.front().header.sequence) << " of "
                               << sent_.front().payload.size() << " octets";
    sent_.clear();
  }
  void drain() { sent_.clear(); }
  [[nodiscard]] std::size_t sent_count() const { return sent_.size(); }

  // To a whole millisecond, which is what timers are kept in.
  void advance(Duration time) {
    const Time until{std::chrono::ceil<std::chrono::milliseconds>((now_ + time).time_since_epoch())};
    for (int turns = 0; stack_->deadline(now_) <= until; ++turns) {
      ASSERT_LT(turns, 1'000'000) << "a timer does not let time pass";
      now_ = std::max(now_, stack_->deadline(now_));
      stack_->on_timer(now_);
      after_event();
    }
    now_ = until;
  }

  // --- the application -------------------------------------------------------------------------------------------
  void app_send(std::size_t octets, bool last = false) {
    const Slice slice = buffers_.slice(stream(written_ + 1, octets));
    if (stack_->send(id_, std::span{&slice, 1}, now_, last) == 0) {
      memory_.release(slice);
      FAIL() << "not taken";
    }
    written_ += static_cast<std::uint32_t>(octets);
    after_event();
  }
  void app_read(bool reads) {
    reads_ = reads;
    after_event();
  }
  void app_consume(std::uint32_t octets) {
    stack_->consume(id_, octets, now_);
    unread_ -= octets;
    after_event();
  }
  void app_shutdown() {
    stack_->shutdown(id_, now_);
    after_event();
  }
  void app_close() {
    stack_->close(id_, now_);
    after_event();
  }
  void app_abort() {
    stack_->abort(id_, now_);
    after_event();
  }
  void app_connect() {
    id_ = stack_->connect(endpoints_, settings_, now_);
    after_event();
  }

  // --- common beginnings -----------------------------------------------------------------------------------------
  void handshake(const Offer& offer = {}) {
    offer_ = offer;
    in(S, seq(0), mss(offer.size), [&](Spec& spec) { optional_parts(spec); });
    out(SA, seq(0), ack(1));
    advance(round_trip_);
    in(A, seq(1), ack(1), [&](Spec& spec) { timestamp_part(spec); });
    ASSERT_NE(stack_->find(id_), nullptr) << "not accepted";
    EXPECT_EQ(state(), State::established);
    silent();
  }
  void open_actively(const Offer& offer = {}) {
    offer_ = offer;
    app_connect();
    out(S, seq(0));
    advance(round_trip_);
    in(SA, seq(0), ack(1), mss(offer.size), [&](Spec& spec) { optional_parts(spec); });
    out(A, seq(1), ack(1));
    EXPECT_EQ(state(), State::established);
    silent();
  }
  void optional_parts(Spec& spec) {
    spec.scale = offer_.scale;
    spec.sack_permitted = offer_.sack;
    timestamp_part(spec);
  }
  void timestamp_part(Spec& spec) {
    if (offer_.timestamps) {
      spec.timestamp = peer_clock();
      spec.echo = last_timestamp_;
    }
  }
  // A segment of the peer with the timestamps of this moment, if they were agreed on.
  Part clocked() {
    return [this](Spec& spec) { timestamp_part(spec); };
  }
  [[nodiscard]] std::uint32_t peer_clock() const { return 70'000U + milliseconds_of(Time{now_ - start_}); }

  // --- what has come of it ---------------------------------------------------------------------------------------
  [[nodiscard]] State state() const {
    const Connection* connection = stack_->find(id_);
    return connection == nullptr ? State::closed : connection->state();
  }
  [[nodiscard]] ConnectionReport report() const { return stack_->find(id_)->report(settings_); }

  // StackOutput
  void transmit(const Endpoints& to, const Outgoing& segment) override {
    Sent sent{to, segment, {}};
    for (const Slice& slice : segment.payload) {
      sent.payload += Buffers::bytes(slice);
    }
    if (segment.has(flag::syn)) {
      our_initial_ = segment.sequence.value;
    }
    last_timestamp_ = segment.options.timestamp;
    EXPECT_LE(size_of(segment.options) + sent.payload.size(), largest_segment_);
    sent_.push_back(sent);
  }
  void accepted(ConnectionId connection, ListenerIndex) override {
    id_ = connection;
    ++accepted_;
  }
  void deliver(ConnectionId, const Slice& slice) override {
    unread_ += slice.length;
    received_ += Buffers::consume(slice);
  }
  void notify(ConnectionId, Event event) override { events_.push_back(event); }
  void over(ConnectionId connection, Cause cause) override {
    if (connection == id_) {
      cause_ = cause;
    }
  }

  struct Sent {
    Endpoints to;
    SegmentHeader header;
    std::string payload;
  };

  void after_event() {
    if (reads_ && unread_ != 0 && stack_->find(id_) != nullptr) {
      const std::uint32_t octets = unread_;
      unread_ = 0;
      stack_->consume(id_, octets, now_);
    }
    const Connection* connection = stack_->find(id_);
    if (connection == nullptr) {
      return;
    }
    if (invariants_of_ != id_) {
      invariants_of_ = id_;
      invariants_ = {};
    }
    EXPECT_EQ(invariants_.broken(*connection, settings_), "");
  }

  Buffers buffers_;
  Memory memory_{8'192, Buffers::operations()};
  Settings settings_;
  Endpoints endpoints_;
  Time start_;
  Time now_;
  std::optional<Stack> stack_;
  ConnectionId id_;
  Offer offer_;
  Duration round_trip_{0};  // of the handshake
  std::uint32_t peer_initial_ = 0;
  std::uint32_t our_initial_ = 0;
  std::uint32_t last_timestamp_ = 0;
  std::uint32_t written_ = 0;
  std::uint32_t unread_ = 0;
  std::size_t largest_segment_ = 1'460;
  bool reads_ = true;
  std::deque<Sent> sent_;
  std::string received_;
  std::vector<Event> events_;
  std::optional<Cause> cause_;
  int accepted_ = 0;

 private:
  void fill(Options& options, const Spec& spec) const {
    options.segment_size = spec.segment_size.value_or(0);
    options.has_window_scale = spec.scale.has_value();
    options.window_scale = spec.scale.value_or(0);
    options.sack_permitted = spec.sack_permitted.value_or(false);
    options.has_timestamps = spec.timestamp.has_value();
    options.timestamp = spec.timestamp.value_or(0);
    options.timestamp_echo = spec.echo.value_or(last_timestamp_);
    if (spec.sacks) {
      for (const auto& [begin, end] : *spec.sacks) {
        options.sacks.at(options.sack_count++) = {Sequence{our_initial_} + begin, Sequence{our_initial_} + end};
      }
    }
  }
  void expect_options(const Options& options, const Spec& spec) {
    if (spec.segment_size) {
      EXPECT_EQ(options.segment_size, *spec.segment_size);
    }
    if (spec.scale) {
      EXPECT_TRUE(options.has_window_scale);
      EXPECT_EQ(options.window_scale, *spec.scale);
    }
    if (spec.sack_permitted) {
      EXPECT_EQ(options.sack_permitted, *spec.sack_permitted);
    }
    if (spec.timestamps) {
      EXPECT_EQ(options.has_timestamps, *spec.timestamps);
    }
    if (spec.echo) {
      EXPECT_EQ(options.timestamp_echo, *spec.echo);
    }
    if (spec.sacks) {
      std::vector<std::pair<std::uint32_t, std::uint32_t>> blocks;
      for (const SackBlock& block : options.sack_blocks()) {
        blocks.emplace_back(packet::distance(Sequence{peer_initial_}, block.begin),
                            packet::distance(Sequence{peer_initial_}, block.end));
      }
      EXPECT_EQ(blocks, *spec.sacks);
    }
  }

  ConnectionId invariants_of_;
  simulation::Invariants invariants_;
};

// Scripts of a sender: the round trip of the handshake is 100 ms, segments have 1,000 octets.
class SendingScript : public Script {
 protected:
  SendingScript() { round_trip_ = 100ms; }
  // The round trip is 100 ms from now on: ten segments at most are under way, all acknowledged.
  void measure_round_trip() {
    app_send(1'000);
    out(A, seq(1), len(1'000));
    advance(100ms);
    in(A, seq(1), ack(1'001), clocked());
    silent();
  }
  // Expects segments from `number` on.
  void out_segments(std::uint32_t number, int count) {
    for (int segment = 0; segment < count; ++segment, number += 1'000) {
      out(A, seq(number), len(1'000));
    }
  }
};

inline auto all_worlds() {
  return testing::Values(World{false, false}, World{false, true}, World{true, false}, World{true, true});
}
inline std::string name_of(const testing::TestParamInfo<World>& info) {
  return testing::PrintToString(info.param);
}

}  // namespace steelyard::tcp::test
