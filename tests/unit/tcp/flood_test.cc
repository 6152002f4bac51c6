// A SYN flood on the port that clients use, from the clients' own addresses: at four fifths of what a worker can answer
// nobody notices, beyond it SYNs give way and what is established goes on. Where others than SYNs keep it busy, all
// SYNs are answered. The worker is a model with a clock of its own: a receive queue of 1,024 segments, bursts of 32,
// and a price for each segment, so that the outcome is the same on every machine. The prices are assumed: a SYN that is
// shed, which is parsed and nothing more, costs three tenths of one that is answered. bench/tcp_benchmark (tcp_syn)
// measures the latter.
#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <map>
#include <vector>

#include "bench/tcp_peer.h"
#include "dataplane/tcp/stack.h"
#include "tests/unit/tcp/buffers.h"

namespace steelyard::tcp::test {
namespace {

using namespace std::chrono_literals;
using bench::PeerRole;
using bench::TcpPeer;
using std::chrono::nanoseconds;

constexpr double capacity = 200'000;  // SYNs answered a second
constexpr nanoseconds answered{5'000};
constexpr nanoseconds shed{1'500};
constexpr nanoseconds turn_alone{200};
constexpr nanoseconds idle_turn{10'000};   // it sleeps
constexpr nanoseconds look_every{50'000};  // at the clients' clocks
constexpr std::size_t queue_size = 1'024;
constexpr std::size_t burst_size = 32;
constexpr std::size_t half_open = 512;

// Numbers of the peer's connections.
constexpr std::uint32_t established = 200;
constexpr std::uint32_t first_visitor = 1'000;
constexpr std::uint32_t first_flood = 20'000;
constexpr std::uint32_t count = 400'000;

constexpr StackSecrets secrets{
    .lookup = {{0x243f6a8885a308d3U, 0x13198a2e03707344U, 3, 4}}, .numbers = {{5, 6}}, .cookies = {{7, 8}}};

class FloodedWorker final : private StackOutput {
 public:
  FloodedWorker() {
    stack_.listen({}, TcpPeer::service_port, settings_);
    for (std::uint32_t n = 0; n < established; ++n) {
      begin(n);
    }
    run(1s);
    EXPECT_EQ(succeeded_, established);
    clients_.clear();
    begun_ = succeeded_ = 0;
    bulk_waiting_ = 0;  // the acknowledgments of handshakes were none
    for (std::uint32_t n = 0; n < established; ++n) {
      speakers_[n].next = now_ + n * 500us;
    }
  }

  double flood = 0;      // SYNs a second
  std::size_t bulk = 0;  // segments of established connections that are always under way: each is followed by another
  double visitors = 0;   // clients a second that come, and go when they have been accepted

  void run(Duration duration) {
    const nanoseconds end = now_ + duration;
    while (now_ < end) {
      let_come();
      for (; bulk_waiting_ < bulk && queue_.size() < queue_size; ++bulk_waiting_) {
        bulk_of_ = (bulk_of_ + 1) % established;
        arrive(bulk_of_, peer_.acknowledgment(bulk_of_, ms()));
      }
      std::size_t taken = 0;
      nanoseconds price = turn_alone;
      for (; taken < burst_size && !queue_.empty(); ++taken, queue_.pop_front()) {
        const Arrival& arrival = queue_.front();
        const bool syn = arrival.segment.flags == flag::syn;
        if (syn && !stack_.admits_syn()) {
          price += shed;
          continue;
        }
        price += answered;
        bulk_waiting_ -= is_bulk(arrival) ? 1U : 0U;
        stack_.on_segment(arrival.endpoints, arrival.segment, time());
      }
      stack_.turn(taken == burst_size);
      act();
      if (stack_.deadline(time()) <= time()) {
        stack_.on_timer(time());
      }
      now_ += taken == 0 ? idle_turn : price;
      most_half_open = std::max(most_half_open, stack_.half_open());
      most_connections = std::max(most_connections, stack_.connections());
      most_nodes = std::max(most_nodes, memory_.used());
    }
  }

  void reset() { begun_ = succeeded_ = lost_ = served_ = 0; }
  [[nodiscard]] double success() const { return static_cast<double>(succeeded_) / static_cast<double>(begun_); }
  [[nodiscard]] std::size_t begun() const { return begun_; }
  [[nodiscard]] std::size_t served() const { return served_; }  // exchanges on established connections
  [[nodiscard]] std::size_t lost() const { return lost_; }      // by the receive queue
  [[nodiscard]] std::size_t broken() const { return broken_; }  // established connections that are over
  [[nodiscard]] const Stack& stack() const { return stack_; }

  std::size_t most_half_open = 0;
  std::size_t most_connections = 0;
  std::size_t most_nodes = 0;

 private:
  struct Client {       // that is opening
    nanoseconds again;  // when it repeats its SYN
    int tries = 1;
    nanoseconds gone;  // it gives up
  };
  struct Speaker {  // on an established connection
    nanoseconds next{0};
    Segment last;
    bool waits = false;
  };

  [[nodiscard]] Time time() const { return Time{std::chrono::duration_cast<Duration>(now_)}; }
  [[nodiscard]] std::uint32_t ms() const { return milliseconds_of(time()); }

  void arrive(std::uint64_t n, const Segment& segment) {
    if (queue_.size() == queue_size) {
      ++lost_;
      if (segment.payload.buffer != nullptr) {
        Buffers::release(segment.payload.buffer);
      }
    } else {
      queue_.push_back({peer_.endpoints(n), segment});
    }
  }
  // The only pure acknowledgments of the established.
  [[nodiscard]] bool is_bulk(const Arrival& arrival) const {
    return arrival.segment.flags == flag::ack && peer_.number_of(arrival.endpoints) < established;
  }
  void begin(std::uint32_t n) {
    ++begun_;
    clients_[n] = {.again = now_ + 1s, .gone = now_ + 8s};
    arrive(n, peer_.syn(n, ms()));
  }

  // What the network brings until now.
  void let_come() {
    const double passed = std::chrono::duration<double>(now_ - came_).count();
    came_ = now_;
    flood_due_ += flood * passed;
    for (; flood_due_ >= 1; flood_due_ -= 1) {
      next_flood_ = next_flood_ + 1 == count ? first_flood : next_flood_ + 1;
      arrive(next_flood_, peer_.syn(next_flood_, ms()));
    }
    visitors_due_ += visitors * passed;
    for (; visitors_due_ >= 1; visitors_due_ -= 1) {
      next_visitor_ = next_visitor_ + 1 == first_flood ? first_visitor : next_visitor_ + 1;
      begin(next_visitor_);
    }
    if (now_ < next_look_) {
      return;
    }
    next_look_ = now_ + look_every;
    for (auto client = clients_.begin(); client != clients_.end();) {
      auto& [n, state] = *client;
      if (now_ >= state.gone) {
        client = clients_.erase(client);
        continue;
      }
      if (now_ >= state.again) {  // RFC 6298 section 5.5
        state.again = now_ + 1s * (1 << state.tries++);
        arrive(n, peer_.syn(n, ms()));
      }
      ++client;
    }
    for (auto& [n, speaker] : speakers_) {
      if (now_ < speaker.next) {
        continue;
      }
      speaker.next = now_ + (speaker.waits ? 200ms : 100ms);
      if (!speaker.waits) {
        speaker.last = peer_.data(n, {nullptr, 0, 100}, ms());
        speaker.waits = true;
      }
      speaker.last.payload = buffers_.slice(std::string(100, 'x'));
      arrive(n, speaker.last);
    }
  }

  void transmit(const Endpoints& endpoints, const Outgoing& segment) override {
    const TcpPeer::Heard heard = peer_.read(endpoints, segment);
    if (heard.n >= first_flood) {
      return;  // a forged source does not answer
    }
    peer_.heard(heard);
    if (segment.has(flag::syn)) {
      to_acknowledge_.push_back(heard.n);
    } else if (segment.has(flag::fin)) {
      to_acknowledge_.push_back(heard.n);
    } else if (const auto speaker = speakers_.find(static_cast<std::uint32_t>(heard.n));
               speaker != speakers_.end() && speaker->second.waits &&
               !packet::after(speaker->second.last.end(), segment.acknowledgment)) {
      speaker->second.waits = false;
      speaker->second.next = now_ + 100ms;
      ++served_;
    }
  }
  void accepted(ConnectionId id, ListenerIndex) override {
    const std::uint64_t n = peer_.number_of(*stack_.endpoints_of(id));
    if (clients_.erase(static_cast<std::uint32_t>(n)) != 0) {
      ++succeeded_;
      if (n >= first_visitor) {
        to_finish_.push_back(n);
      }
    }
  }
  void deliver(ConnectionId id, const Slice& slice) override { delivered_.push_back({id, slice}); }
  void notify(ConnectionId id, Event event) override {
    if (event == Event::peer_finished) {
      finished_.push_back(id);
    }
  }
  void over(ConnectionId, Cause cause) override { broken_ += cause == Cause::finished ? 0U : 1U; }

  // The application's turn, and the peer's answers, which come with the next one.
  void act() {
    for (const auto& [id, slice] : delivered_) {
      stack_.consume(id, slice.length, time());
      Buffers::release(slice.buffer);
    }
    delivered_.clear();
    for (const ConnectionId id : finished_) {
      stack_.close(id, time());
    }
    finished_.clear();
    for (const std::uint64_t n : to_acknowledge_) {
      arrive(n, peer_.acknowledgment(n, ms()));
    }
    to_acknowledge_.clear();
    for (const std::uint64_t n : to_finish_) {
      arrive(n, peer_.fin(n, ms()));
    }
    to_finish_.clear();
  }

  struct Delivered {
    ConnectionId id;
    Slice slice;
  };

  nanoseconds now_{1'000s};
  nanoseconds came_ = now_;
  nanoseconds next_look_ = now_;
  Settings settings_;
  Buffers buffers_;
  Memory memory_{4'096, Buffers::operations()};
  TcpPeer peer_{PeerRole::client, count};
  Stack stack_{{.connections = 4'096, .half_open = half_open, .time_wait = 1'024}, secrets, memory_, *this, time()};
  std::deque<Arrival> queue_;
  std::map<std::uint32_t, Client> clients_;
  std::map<std::uint32_t, Speaker> speakers_;
  std::vector<Delivered> delivered_;
  std::vector<ConnectionId> finished_;
  std::vector<std::uint64_t> to_acknowledge_;
  std::vector<std::uint64_t> to_finish_;
  std::uint32_t next_flood_ = first_flood;
  std::uint32_t next_visitor_ = first_visitor;
  std::size_t bulk_waiting_ = 0;
  std::uint32_t bulk_of_ = 0;
  double flood_due_ = 0;
  double visitors_due_ = 0;
  std::size_t begun_ = 0;
  std::size_t succeeded_ = 0;
  std::size_t served_ = 0;
  std::size_t lost_ = 0;
  std::size_t broken_ = 0;
};

TEST(SynFlood, at_four_fifths_of_the_capacity_nothing_grows_and_clients_get_through) {
  FloodedWorker worker;
  worker.flood = 0.8 * capacity;
  worker.visitors = 1'000;
  worker.run(2s);
  worker.visitors = 0;
  worker.run(500ms);
  EXPECT_GE(worker.begun(), 1'900U);
  EXPECT_GE(worker.success(), 0.95);
  EXPECT_EQ(worker.stack().counters().dropped_behind, 0U);
  EXPECT_EQ(worker.stack().counters().dropped_rate, 0U);
  EXPECT_EQ(worker.lost(), 0U);
  // The table is filled to its half, then cookies hold everything; beside it are only visitors in their few moments.
  EXPECT_LE(worker.most_half_open, half_open / 2 + 1);
  EXPECT_LE(worker.most_connections, established + 64U);
  EXPECT_LE(worker.most_nodes, established);
  EXPECT_EQ(worker.stack().connections(), established);
  EXPECT_EQ(worker.broken(), 0U);
}

TEST(SynFlood, at_twice_the_capacity_the_established_are_served_drops_are_named_and_it_recovers) {
  FloodedWorker worker;
  worker.run(1s);
  worker.reset();
  worker.run(2s);
  const std::size_t usual = worker.served();
  ASSERT_GT(usual, established * 10U);

  worker.flood = 2 * capacity;
  worker.run(500ms);  // it finds its measure
  worker.reset();
  worker.run(2s);
  EXPECT_GE(worker.served(), usual * 9 / 10);
  EXPECT_EQ(worker.broken(), 0U);
  EXPECT_EQ(worker.stack().connections(), established);
  EXPECT_LE(worker.most_half_open, half_open / 2 + 1);
  // SYNs give way by name, instead of whatever stands last in the queue.
  EXPECT_GT(worker.stack().counters().dropped_behind, 100'000U);
  EXPECT_LE(worker.lost(), worker.stack().counters().dropped_behind / 100);

  worker.flood = 0;
  worker.run(1s);
  EXPECT_FALSE(worker.stack().sheds());
  worker.reset();
  const std::uint64_t dropped = worker.stack().counters().dropped_behind;
  worker.visitors = 1'000;
  worker.run(1s);
  worker.visitors = 0;
  worker.run(100ms);
  EXPECT_EQ(worker.success(), 1.0);
  EXPECT_EQ(worker.stack().counters().dropped_behind, dropped);
  EXPECT_EQ(worker.lost(), 0U);
}

TEST(SynFlood, where_others_keep_the_worker_busy_every_syn_is_answered) {
  FloodedWorker worker;
  worker.bulk = 400;
  worker.visitors = 1'000;
  worker.run(2s);
  worker.visitors = 0;
  worker.run(100ms);
  EXPECT_GE(worker.begun(), 1'900U);
  EXPECT_EQ(worker.success(), 1.0);
  EXPECT_EQ(worker.stack().counters().dropped_behind, 0U);
  EXPECT_EQ(worker.lost(), 0U);
}

}  // namespace
}  // namespace steelyard::tcp::test
