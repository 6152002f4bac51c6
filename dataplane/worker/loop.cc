// A worker's turn: every source in order, then timers, mailbox and the quiescent state.
#include <sys/prctl.h>
#include <time.h>

#include <rte_pause.h>

#include "dataplane/worker/worker.h"

namespace steelyard::worker {
namespace {

constexpr std::uint64_t microsecond = 1'000;
constexpr std::uint64_t millisecond = 1'000 * microsecond;
// Flows that one turn ends or looks at when their timers come round, and entries that a walk visits: some 10 to 100
// nanoseconds each, so a tenth of the millisecond that a turn may take.
constexpr std::size_t expiry_budget = 128;
constexpr std::size_t walk_budget = 1'024;
constexpr std::size_t announcements_a_turn = 8;
// Turns without work before the worker sleeps, and how long it then does: together with the wake-up below 50
// microseconds, the most that `adaptive` may add.
constexpr std::size_t turns_before_sleep = 200;
constexpr std::uint64_t sleep_ns = 30 * microsecond;
constexpr std::uint64_t echo_replies_per_second = 10'000;
constexpr std::uint64_t too_big_per_second = 1'000;

}  // namespace

Worker::Worker(WorkerSetup setup)
    : id_(setup.id),
      adaptive_(setup.adaptive),
      coalescing_(setup.coalesce_ns),
      links_(std::move(setup.links)),
      transmit_(links_.size()),
      hand_off_out_(std::move(setup.hand_off_out)),
      hand_off_in_(std::move(setup.hand_off_in)),
      mailbox_(setup.mailbox),
      generate_(setup.generate),
      own_addresses_(setup.own_addresses),
      local_addresses_(setup.local_addresses),
      published_(setup.published),
      published_taps_(setup.taps),
      rcu_(setup.rcu),
      clock_(setup.clock),
      links_came_up_(setup.links_came_up),
      echo_limit_(echo_replies_per_second, echo_replies_per_second / 10),
      too_big_limit_(too_big_per_second, too_big_per_second / 10),
      neighbors_(std::move(setup.neighbor_ports), {}, setup.balancer.key, *this),
      balancer_([this, &setup]() -> const l4::BalancerSetup& {
        setup.balancer.neighbors = &neighbors_;
        setup.balancer.output = this;
        return setup.balancer;
      }()),
      hash_key_(setup.balancer.key),
      fragments_v4_(setup.fragments, *this),
      fragments_v6_(setup.fragments, *this) {
  for (const bool vlans : {true, false}) {
    for (std::size_t link = 0; link < links_.size(); ++link) {
      if ((links_[link].vlan != 0) == vlans) {
        flush_order_.push_back(static_cast<std::uint16_t>(link));
      }
    }
  }
  keep_time();
  adopt_snapshot();
  if (setup.tcp) {
    setup.tcp->key = hash_key_;
    setup.tcp->worker = id_;
    setup.tcp->balancer = &balancer_;
    tcp_ = std::make_unique<TcpHost>(*setup.tcp, *this, now_ns_);
    tcp_->configure(*snapshot_);
  }
}

Worker::~Worker() {
  for (TransmitBuffer& buffer : transmit_) {
    rte_pktmbuf_free_bulk(buffer.packets.data(), static_cast<unsigned>(buffer.count));
  }
}

void Worker::run(const std::atomic<bool>& stop) {
  prctl(PR_SET_TIMERSLACK, 1UL);  // a sleep of 30 microseconds must not become one of 80
  rte_rcu_qsbr_thread_register(rcu_, id_.value);
  rte_rcu_qsbr_thread_online(rcu_, id_.value);
  std::size_t idle_turns = 0;
  while (!stop.load(std::memory_order_relaxed)) {
    const std::size_t handled = turn();
    idle_turns = handled != 0 ? 0 : idle_turns + 1;
    rte_rcu_qsbr_quiescent(rcu_, id_.value);
    if (adaptive_ && idle_turns >= turns_before_sleep) {
      sleep(sleep_ns);
    } else if (coalescing_.is_on()) {
      pause_until(coalescing_.next_turn(now_ns_, handled, handled >= burst_size, turns_.busy_ns.get()));
    }
  }
  rte_rcu_qsbr_thread_offline(rcu_, id_.value);
  rte_rcu_qsbr_thread_unregister(rcu_, id_.value);
}

std::size_t Worker::turn() {
  const std::uint64_t begun = clock_->now_ns();
  stages_.begin_turn();
  keep_time();
  adopt_snapshot();
  std::size_t handled = 0;
  std::size_t work = 0;  // beside packets
  bool behind = false;   // more may be waiting than this turn has taken
  std::array<rte_mbuf*, burst_size> burst;
  for (std::size_t place = 0; place < links_.size(); ++place) {
    const auto link = static_cast<std::uint16_t>(place);
    if (links_[link].has_queue) {
      const std::uint16_t count = links_[link].port->receive(id_.value, burst);
      behind = behind || count == burst.size();
      if (count != 0) {
        packets_.received.add(count);
        if (links_[link].vlans.empty()) [[likely]] {
          receive(std::span(burst).first(count), link);
        } else {
          receive_tagged(std::span(burst).first(count), link);
        }
        stages_.enter(Stage::receive);
        handled += count;
      }
      handled += receive_relayed(link);
    }
    handled += receive_from_kernel(link);
  }
  handled += receive_handed(burst, behind);
  if (tcp_ != nullptr) {
    tcp_->stack().turn(behind);
    work += tcp_->turn(now_ns_);
  }
  stages_.enter(Stage::timers);
  if (now_ns_ >= next_expiry_ns_) {
    next_expiry_ns_ = now_ns_ + millisecond;
    work += balancer_.expire(expiry_budget) + expire_fragments();
  }
  if (now_ns_ >= next_neighbor_ns_) {
    next_neighbor_ns_ = now_ns_ + 50 * millisecond;
    neighbors_.tick(now_ns_);
  }
  if (id_.value == 0) {
    announce();
  }
  work += serve_mailbox() ? 1 : 0;
  for (const std::uint16_t link : flush_order_) {
    flush(link);
  }
  packets_.waiting.set(static_cast<std::uint32_t>(neighbors_.waiting()) + fragments_v4_.held() + fragments_v6_.held());
  heartbeat_.add();
  if (handled + work != 0) {
    turns_.record(clock_->now_ns() - begun);
  } else {
    turns_.idle_turns.add();
  }
  stages_.end_turn(handled + work != 0);
  return handled + work;
}

void Worker::keep_time() {
  now_ns_ = clock_->now_ns();
  balancer_.set_time(now_ns_);
}

// Takes over what control has published. The old snapshot is let go of at the next quiescent state.
void Worker::adopt_snapshot() {
  taps_ = published_taps_ != nullptr ? published_taps_->load(std::memory_order_acquire) : nullptr;
  const service::Snapshot* published = published_->load(std::memory_order_acquire);
  if (published == snapshot_) [[likely]] {
    return;
  }
  // The old snapshot may be gone already if this worker was offline: nothing of it is read here.
  const bool new_vips = announced_for_ != published->vips.get();
  announced_for_ = published->vips.get();
  snapshot_ = published;
  balancer_.set_snapshot(published);
  if (tcp_ != nullptr) {
    tcp_->configure(*published);
  }
  if (new_vips) {
    announced_ = 0;
  }
}

// Tells every link who has the VIPs and local addresses now, a few at a time (RFC 5227 section 3, RFC 4861 section
// 7.2.6): after a failover, or when a cable is in another socket, the switches and routers must not wait for a timeout.
void Worker::announce() {
  if (links_came_up_ != nullptr) {
    if (const std::uint64_t now = links_came_up_->load(std::memory_order_relaxed); now != announced_at_) [[unlikely]] {
      announced_at_ = now;
      announced_ = 0;
    }
  }
  const auto vips = snapshot_->vips->all();
  const auto locals = local_addresses_.all();
  const std::size_t all = (vips.size() + locals.size()) * links_.size();
  for (std::size_t done = 0; announced_ < all && done < announcements_a_turn; ++announced_, ++done) {
    const std::size_t place = announced_ / links_.size();
    const auto link = static_cast<std::uint16_t>(announced_ % links_.size());
    const service::Address& address = place < vips.size() ? vips[place] : locals[place - vips.size()];
    std::array<std::uint8_t, neighbor::largest_message> frame{};
    const std::size_t length =
        neighbor::build_answer(frame, links_[link].mac, packet::load<neighbor::IpKey>(address.v6().data()), nullptr);
    if (!send_if_room(link, std::span(frame).first(length))) {
      return;  // the next turn goes on here
    }
  }
}

bool Worker::serve_mailbox() {
  if (command_ == nullptr) {
    std::array<Command*, 1> posted{};
    if (mailbox_->pop(posted) == 0) {
      return false;
    }
    command_ = posted[0];
    adopt_snapshot();  // what was published before the command was posted is what it is about
  }
  if (command_->step({balancer_, tcp_.get(), *snapshot_}, walk_budget)) {
    command_->finish();
    command_ = nullptr;
  }
  return true;
}

std::size_t Worker::receive_handed(std::span<rte_mbuf*> packets, bool& behind) {
  std::size_t handled = 0;
  for (PacketRing* ring : hand_off_in_) {
    const unsigned count = ring != nullptr ? ring->pop(packets) : 0;
    packets_.handed_in.add(count);
    behind = behind || count == packets.size();
    if (count != 0) {
      stages_.enter(Stage::slow_path);
    }
    for (unsigned place = 0; place < count; ++place) {
      if (place + 1 < count) {
        rte_prefetch0(rte_pktmbuf_mtod(packets[place + 1], void*));
      }
      taps_ == nullptr ? handle_handed(packets[place]) : handle_handed_watched(packets[place]);
    }
    handled += count;
  }
  return handled;
}

std::size_t Worker::receive_from_kernel(std::uint16_t link) {
  if (!links_[link].kernel.attached()) {
    return 0;
  }
  std::array<rte_mbuf*, burst_size> burst;
  const unsigned count = links_[link].kernel.receive(burst);
  packets_.from_kernel.add(count);
  for (unsigned place = 0; place < count; ++place) {
    transmit(burst[place], link);
  }
  return count;
}

std::size_t Worker::receive_relayed(std::uint16_t link) {
  std::size_t handled = 0;
  std::array<rte_mbuf*, burst_size> burst;
  if (taps_ != nullptr) [[unlikely]] {
    flush(link);  // what is ours is seen; what comes now its worker has seen
    relaying_ = true;
  }
  for (PacketRing* ring : links_[link].relays_in) {
    const unsigned count = ring->pop(burst);
    packets_.relayed_in.add(count);
    for (unsigned place = 0; place < count; ++place) {
      transmit(burst[place], link);
    }
    handled += count;
  }
  if (relaying_) [[unlikely]] {
    flush(link);
    relaying_ = false;
  }
  return handled;
}

void Worker::sleep(std::uint64_t ns) {
  rte_rcu_qsbr_thread_offline(rcu_, id_.value);
  const timespec pause{0, static_cast<long>(ns)};
  nanosleep(&pause, nullptr);
  rte_rcu_qsbr_thread_online(rcu_, id_.value);
}

void Worker::pause_until(std::uint64_t time_ns) {
  if (time_ns <= now_ns_) [[likely]] {
    return;
  }
  turns_.pauses.add();
  const std::uint64_t now_ns = clock_->now_ns();
  if (adaptive_ && time_ns > now_ns + sleep_ns) {
    sleep(time_ns - now_ns);
  }
  while (clock_->now_ns() < time_ns) {
    rte_pause();
  }
}

}  // namespace steelyard::worker
