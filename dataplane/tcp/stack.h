// All TCP of a worker: which connection a segment belongs to, listeners, half-open connections in their two regimes
// (table and cookies), TIME_WAIT and timers. Pure like the connection: time is passed in, randomness came with the
// secrets. Everything is allocated when it is made. Worker only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/packet/hash.h"
#include "dataplane/tcp/connection.h"
#include "dataplane/tcp/endpoints.h"
#include "dataplane/tcp/initial_numbers.h"
#include "dataplane/tcp/lookup.h"
#include "dataplane/tcp/syn_cookie.h"
#include "dataplane/tcp/syn_shedding.h"
#include "dataplane/tcp/syn_table.h"
#include "dataplane/tcp/time_wait_table.h"
#include "dataplane/tcp/timer_wheel.h"

namespace steelyard::tcp {

// Names a connection for as long as it lives, and nothing afterwards.
struct ConnectionId {
  std::uint32_t index = 0xffffffffU;
  std::uint32_t generation = 0;
  friend bool operator==(ConnectionId, ConnectionId) = default;
};
using ListenerIndex = std::uint16_t;

// Secrets, drawn at start.
struct StackSecrets {
  packet::HashKey lookup;
  SipKey numbers;  // initial sequence numbers and timestamps
  SipKey cookies;
};

struct StackLimits {
  std::size_t connections = 1'024;
  std::size_t half_open = 1'024;
  std::size_t time_wait = 1'024;
  std::size_t listeners = 64;  // at a time; more of them allocate, and are found more slowly
  // SYN-ACKs and the like a listener. More than a worker can send: any lower limit would keep out clients during a
  // flood that the worker can answer. What is too much for the worker is shed (syn_shedding.h).
  std::uint32_t answers_per_second = 10'000'000;
  // To segments that belong to nothing: as many as layer 4 sends.
  std::uint32_t resets_per_second = 50'000;
};

struct StackCounters {
  std::uint64_t segments = 0;
  std::uint64_t accepted = 0;
  std::uint64_t opened = 0;
  std::uint64_t resets_sent = 0;  // to segments that belong to nothing
  std::uint64_t cookies_sent = 0;
  std::uint64_t cookies_accepted = 0;
  std::uint64_t cookies_rejected = 0;
  std::uint64_t half_open_expired = 0;
  std::uint64_t dropped_full = 0;    // no room for another connection
  std::uint64_t dropped_rate = 0;    // a listener's answers, and resets
  std::uint64_t dropped_behind = 0;  // SYNs that gave way to others (syn_shedding.h)
  std::uint64_t time_wait_recycled = 0;
  std::uint64_t syns_refused = 0;  // for want of buffers (pressure.h)
  std::uint64_t relieved = 0;      // connections that were reset, as the largest holders
};

// What happens, in order. Called from within the stack's calls: implementations note it and act later.
class StackOutput {
 public:
  virtual void transmit(const Endpoints& endpoints, const Outgoing& segment) = 0;
  virtual void accepted(ConnectionId connection, ListenerIndex listener) = 0;
  // The slice's reference is the receiver's.
  virtual void deliver(ConnectionId connection, const Slice& slice) = 0;
  // Never Event::over, of which over() tells.
  virtual void notify(ConnectionId connection, Event event) = 0;
  virtual void over(ConnectionId connection, Cause cause) = 0;  // the id names nothing any more

 protected:
  ~StackOutput() = default;
};

// A segment that has come, and whose it is.
struct Arrival {
  Endpoints endpoints;
  Segment segment;
};

class Stack {
 public:
  // Segments whose cache misses overlap: a worker's burst. Their connections' lines fit the first-level cache.
  static constexpr std::size_t most_at_once = 32;

  // `memory`, `output` and `resource`, from which all tables are allocated at once, outlive the stack.
  Stack(const StackLimits& limits, const StackSecrets& secrets, Memory& memory, StackOutput& output, Time now,
        std::pmr::memory_resource* resource = std::pmr::get_default_resource());
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  ~Stack();
  // Bytes of its tables, about.
  [[nodiscard]] static std::size_t memory_needed(const StackLimits& limits);

  // Takes connections to an address (all zero: any) and port; of several with the same ones the latest has them.
  // `settings` outlive the listener and its connections. O(1), as finding a listener is.
  ListenerIndex listen(const Ipv6Address& local, std::uint16_t port, const Settings& settings);
  // Takes no more; half-open connections are reset at their next segment, and those that were accepted go on. The index
  // may be given to another listener.
  void stop_listening(ListenerIndex listener);
  // What a listener that has not been stopped listens to.
  struct ListeningAt {
    Ipv6Address local;
    std::uint16_t port = 0;
    friend bool operator==(const ListeningAt& left, const ListeningAt& right) {
      return left.local == right.local && left.port == right.port;
    }
  };
  [[nodiscard]] ListeningAt listening_at(ListenerIndex listener) const {
    return {listeners_[listener].local, listeners_[listener].port};
  }

  // Opens a connection from a local port that the caller has chosen. An id that names nothing when there is no room or
  // the endpoints are in use.
  [[nodiscard]] ConnectionId connect(const Endpoints& endpoints, const Settings& settings, Time now);

  // A segment whose checksum is right; its payload's reference is taken over.
  void on_segment(const Endpoints& endpoints, const Segment& segment, Time now);
  // Several that have come at once, in their order: as on_segment(), with the cache misses of all of them overlapping.
  void on_segments(std::span<const Arrival> burst, Time now);
  // Of the packets that come from the remote end.
  template <class Family>
  [[nodiscard]] std::uint64_t hash_of(const packet::Tuple<Family>& tuple) const {
    return packet::hash(secrets_.lookup, tuple);
  }
  // Asks the cache for what segments with these hashes will touch, at most `most_at_once` of them; for those who cannot
  // hand over a burst at once.
  void expect(std::span<const std::uint64_t> hashes) const;
  // Once a turn of the worker, after its packets. `behind`: more may be waiting than it has taken.
  void turn(bool behind) { shedding_.turn(behind); }
  // To be asked about each SYN (without ACK) before anything is spent on it: false while the worker cannot keep up, and
  // counted.
  [[nodiscard]] bool admits_syn() {
    if (shedding_.admit()) [[likely]] {
      return true;
    }
    ++counters_.dropped_behind;
    return false;
  }
  [[nodiscard]] bool sheds() const { return shedding_.active(); }
  // False: the worker has been behind for some turns.
  [[nodiscard]] bool keeps_up() const { return shedding_.keeps_up(); }
  // A report of a path MTU about a packet that we sent (connection.h).
  void on_path_mtu(const Endpoints& endpoints, Sequence quoted, std::uint32_t mtu, Time now);
  // Any other ICMP error about a packet that we sent. Those about half-open connections mean nothing: their SYN-ACKs
  // are given up in a minute.
  void on_unreachable(const Endpoints& endpoints, Sequence quoted, bool hard, Time now);
  void on_timer(Time now);
  // Buffers are short: resets the largest holder among the connections that it looks at. Every call looks at others.
  // While they are not used up (Pressure::full) it must be one whose peer does not read (Connection::is_stalled).
  void relieve(Time now);
  // When on_timer() is due.
  [[nodiscard]] Time deadline(Time now) const;

  // The application's calls, as in connection.h; an id that names nothing is ignored.
  [[nodiscard]] std::size_t send(ConnectionId id, std::span<const Slice> slices, Time now, bool last = false);
  void consume(ConnectionId id, std::uint32_t octets, Time now);
  void shutdown(ConnectionId id, Time now);
  void close(ConnectionId id, Time now);
  void abort(ConnectionId id, Time now);
  // Other settings for a connection from now on; they outlive it.
  void change_settings(ConnectionId id, const Settings& settings, Time now);
  // nullptr when it names nothing.
  [[nodiscard]] const Connection* find(ConnectionId id) const;
  [[nodiscard]] const Settings* settings_of(ConnectionId id) const;
  [[nodiscard]] const Endpoints* endpoints_of(ConnectionId id) const;
  // The connection between these ends; nothing: none, or one that is half open or in TIME_WAIT.
  [[nodiscard]] std::optional<ConnectionId> connection_between(const Endpoints& endpoints) const;
  [[nodiscard]] bool in_time_wait(const Endpoints& endpoints) const;
  // Would a SYN begin something, be there TIME_WAIT or not? No: it repeats or disturbs what there is.
  [[nodiscard]] bool is_new(const Endpoints& endpoints) const;

  // Looks at `budget` entries at most, from `from` on, and calls visit(ConnectionId) for each connection that there is,
  // which it may end. Such a one counts for `walk_cost` entries. Where to go on; nothing: that was all.
  static constexpr std::size_t walk_cost = 4;
  template <class Visit>
  [[nodiscard]] std::optional<std::uint32_t> walk(std::uint32_t from, std::size_t budget, Visit&& visit) {
    std::uint32_t at = from;
    for (std::size_t spent = 0; at < entries_.all.size() && spent < budget; ++at) {
      const Entry& entry = entries_.all[at];
      spent += entry.live ? walk_cost : 1;
      if (entry.live) {
        visit(ConnectionId{at, entry.generation});
      }
    }
    return at < entries_.all.size() ? std::optional(at) : std::nullopt;
  }

  [[nodiscard]] const StackCounters& counters() const { return counters_; }
  [[nodiscard]] std::size_t connections() const { return live_; }
  [[nodiscard]] std::size_t half_open() const { return half_open_.used(); }
  [[nodiscard]] std::size_t time_wait() const { return time_wait_.used(); }
  [[nodiscard]] std::size_t timers() const { return wheel_.count(); }

 private:
  // 256 octets that every segment touches, 96 more for what acknowledges data, the rest is cold. Halves of cache lines:
  // whole ones would make it 512.
  struct alignas(32) Entry {
    Endpoints endpoints;
    std::uint32_t generation = 0;
    bool live = false;
    const Settings* settings = nullptr;
    TimerLinks links;
    Connection connection;
  };
  static_assert(sizeof(Entry) == 480);
  static constexpr std::size_t touched_by_all = 256;
  static constexpr std::size_t touched_by_acknowledgments = 352;

  struct Entries {
    std::pmr::vector<Entry> all;
    [[nodiscard]] TimerLinks& links(std::uint32_t index) { return all[index].links; }
  };

  // Of what is limited a second.
  struct AnswerCount {
    std::int64_t second = 0;
    std::uint32_t count = 0;  // in that one
    // One more, if it is within the limit.
    [[nodiscard]] bool take(Time now, std::uint32_t most);
  };
  struct Listener {
    Ipv6Address local;
    const Settings* settings = nullptr;
    std::uint16_t port = 0;
    std::uint16_t next = 0xffff;  // in the same bucket; of those that listen no more, the next one to be used again
    AnswerCount answered{};
    bool cookies = false;  // in the regime of cookies
    Time cookies_until{};  // acknowledgments of cookies may come until then
  };

  class ConnectionOutput;  // a connection's Output: adds its id
  enum class Kind : std::uint32_t { connection = 0, half_open = 1U << 30U, time_wait = 2U << 30U };
  static constexpr std::uint32_t kind_mask = 3U << 30U;

  [[nodiscard]] std::uint64_t hash_of(const Endpoints& endpoints) const { return hash(secrets_.lookup, endpoints); }
  [[nodiscard]] std::uint32_t find(std::uint64_t hash, const Endpoints& endpoints) const;
  void on_segment(const Endpoints& endpoints, const Segment& segment, std::uint64_t hash, Time now);
  [[nodiscard]] ListenerIndex listener_of(const Endpoints& endpoints) const;
  [[nodiscard]] ListenerIndex listener_at(const Ipv6Address& local, std::uint16_t port) const;
  [[nodiscard]] std::size_t bucket_of(const Ipv6Address& local, std::uint16_t port) const {
    return packet::hash(secrets_.lookup, local, port) & (listener_buckets_.size() - 1);
  }
  [[nodiscard]] Entry* entry_of(ConnectionId id);
  template <class Call>
  void with_connection(std::uint32_t index, Time now, Call&& call);
  [[nodiscard]] std::uint32_t allocate(const Endpoints& endpoints, const Settings& settings, std::uint64_t hash);
  void retire(std::uint32_t index, Time now);
  void start_accepted(std::uint32_t index, const Origin& origin, const Handshake& handshake, const Segment& segment,
                      Time now);
  [[nodiscard]] Origin origin_of(const Endpoints& endpoints, Sequence initial) const;

  // stack_opening.cc
  void on_no_match(const Endpoints& endpoints, const Segment& segment, std::uint64_t hash, Time now);
  void on_syn(const Endpoints& endpoints, const Segment& segment, ListenerIndex listener, std::uint64_t hash,
              Sequence initial, Time now);
  [[nodiscard]] bool on_half_open(SlotIndex slot, const Endpoints& endpoints, const Segment& segment,
                                  std::uint64_t hash, Time now);
  void on_time_wait(SlotIndex slot, const Endpoints& endpoints, const Segment& segment, std::uint64_t hash, Time now);
  [[nodiscard]] bool on_cookie(const Endpoints& endpoints, const Segment& segment, ListenerIndex listener,
                               std::uint64_t hash, Time now);
  [[nodiscard]] bool complete(const Endpoints& endpoints, const Segment& segment, const Handshake& handshake,
                              ListenerIndex listener, std::uint64_t hash, const SynSlot& half, Time now);
  void send_syn_ack(const Endpoints& endpoints, const Handshake& handshake, const Settings& settings,
                    std::uint32_t timestamp);
  void acknowledge_half_open(const Endpoints& endpoints, const Handshake& handshake, const Settings& settings,
                             Time now);
  void reset(const Endpoints& endpoints, const Segment& segment, Time now);
  [[nodiscard]] bool may_answer(Listener& listener, Time now);
  [[nodiscard]] bool uses_cookies(Listener& listener, Time now);
  void forget_time_wait(SlotIndex slot, std::uint64_t hash);

  StackLimits limits_;
  StackSecrets secrets_;
  Memory& memory_;
  StackOutput& output_;
  SynCookies cookies_;
  SynShedding shedding_;
  Lookup lookup_;
  Entries entries_;
  std::pmr::vector<std::uint32_t> free_;
  std::size_t live_ = 0;
  std::uint32_t relieved_at_ = 0;  // where relieve() goes on
  std::uint32_t touched_ = 0;      // entries from here on have never been used
  SynTable half_open_;
  TimeWaitTable time_wait_;
  TimerWheel<Entries> wheel_;
  std::pmr::vector<Listener> listeners_;
  std::pmr::vector<ListenerIndex> listener_buckets_;  // the first of each chain, by address and port
  ListenerIndex unused_listener_ = 0xffff;            // the first of them
  std::size_t listeners_of_any_ = 0;                  // that name no address
  AnswerCount resets_;
  StackCounters counters_;
};

}  // namespace steelyard::tcp
