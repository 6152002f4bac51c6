#include "tests/simulation/host.h"

#include <algorithm>
#include <utility>

namespace steelyard::simulation {
namespace {

tcp::Settings settings_of(const Plan& plan, const HostPlan& host) {
  tcp::Settings settings;
  settings.receive_buffer = host.receive_buffer;
  settings.send_buffer = host.send_buffer;
  settings.receive_start = host.receive_start;
  settings.unsent = host.unsent;
  settings.most_held =
      static_cast<std::uint16_t>(std::max<std::uint32_t>(settings.most_held, host.receive_buffer / 1'024));
  settings.mtu = plan.mtu;
  settings.nagle = host.nagle;
  settings.delayed_acknowledgment = host.delayed_acknowledgment;
  // No link is so bad that a connection is given up.
  settings.user_timeout = 3'000s;
  settings.syn_timeout = 3'000s;
  if (!plan.is_orderly()) {
    // A reset may be lost: without keepalive its receiver would wait for ever if it has nothing to send.
    settings.keepalive_idle = 60s;
    settings.keepalive_interval = 10s;
    settings.keepalive_probes = 30;
  }
  return settings;
}

}  // namespace

Host::Host(std::uint8_t number, const Plan& plan, const Endpoints& endpoints, Random& random, Wire& wire, Time now)
    : number_(number),
      plan_(plan.hosts[number]),
      expected_(plan.hosts[1U - number].octets),
      endpoints_(endpoints),
      random_(random),
      wire_(wire),
      settings_(settings_of(plan, plan_)),
      secrets_(draw_secrets()),
      clock_(draw_clock(now)),
      closing_at_(plan_.closing == Closing::shutdown ? tcp::never : now + plan_.closing_at),
      // A table of one slot is at its threshold with none in it: cookies from the first SYN on.
      stack_({.connections = 4, .half_open = plan.cookies ? 1U : 8U, .time_wait = 4}, secrets_, memory_, *this,
             local(now)) {
  if (!plan_.ample) {
    memory_.pressure().update(3'000, 10'000);  // no longer ample, and a share for everybody
  }
}

tcp::StackSecrets Host::draw_secrets() {
  return {.lookup = {{random_.next(), 2, 3, 4}},
          .numbers = {{random_.next(), random_.next()}},
          .cookies = {{random_.next(), random_.next()}}};
}

// Sequence numbers grow by one in 4 microseconds: a clock that says the right time lets them begin where the plan
// wants.
Duration Host::draw_clock(Time now) const {
  constexpr Duration round{4 * (std::int64_t{1} << 32U)};
  const Duration days = std::chrono::hours{24 * plan_.clock_days};
  if (plan_.before_wrap == 0) {
    return days;
  }
  const Time from = now + days / round * round;
  const tcp::Sequence first = tcp::initial_sequence(secrets_.numbers, endpoints_, from);
  return from - now + Duration{4} * packet::distance(first, tcp::Sequence{0U - plan_.before_wrap});
}

void Host::listen() {
  stack_.listen({}, listening_port, settings_);
}

void Host::connect(Time now) {
  id_ = stack_.connect(endpoints_, settings_, local(now));
  opened_ = true;
  act(now);
}

void Host::on_segment(const tcp::Segment& segment, Time now) {
  stack_.on_segment(endpoints_, segment, local(now));
  act(now);
}

void Host::on_path_mtu(tcp::Sequence quoted, std::uint32_t mtu, Time now) {
  stack_.on_path_mtu(endpoints_, quoted, mtu, local(now));
  act(now);
}

void Host::on_time(Time now) {
  if (stack_.deadline(local(now)) <= local(now)) {
    stack_.on_timer(local(now));
  }
  act(now);
}

Time Host::deadline(Time now) const {
  const Time timers = stack_.deadline(local(now));
  return std::min(
      {timers == tcp::never ? timers : timers - clock_, next_read_, ended_ || !opened_ ? tcp::never : closing_at_});
}

void Host::act(Time now) {
  for (const ConnectionId stranger : std::exchange(strangers_, {})) {
    stack_.abort(stranger, local(now));
  }
  if (unread_ != 0 && next_read_ == tcp::never) {
    next_read_ = now + random_.up_to(plan_.slowest_read);
  }
  if (next_read_ <= now) {
    read(now);
  }
  if (closing_at_ <= now && opened_ && !ended_) {
    end(now);
  }
  if (opened_ && !cause_ && !finished_writing_ && !ended_) {
    write(now);
  }
}

void Host::read(Time now) {
  const std::uint32_t octets = unread_ == 0 ? 0 : 1 + random_.below32(unread_);
  unread_ -= octets;
  next_read_ = unread_ == 0 ? tcp::never : now + random_.up_to(plan_.slowest_read) + Duration{1};
  stack_.consume(id_, octets, local(now));
}

void Host::write(Time now) {
  while (written_ < plan_.octets && connection() != nullptr && connection()->writable(settings_) != 0) {
    const auto size = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(1 + random_.below32(plan_.largest_slice), plan_.octets - written_));
    const tcp::Slice slice = buffers_.slice(Pattern::piece(number_, written_, size));
    if (stack_.send(id_, std::span{&slice, 1}, local(now)) == 0) {
      memory_.release(slice);
      return;
    }
    written_ += size;
  }
  // Before the handshake has ended, it would be the end of everything (RFC 9293 section 3.10.4).
  if (written_ == plan_.octets && established_ && plan_.closing == Closing::shutdown) {
    finished_writing_ = true;
    stack_.shutdown(id_, local(now));
  }
}

void Host::end(Time now) {
  ended_ = true;
  if (plan_.closing == Closing::close) {
    stack_.close(id_, local(now));
  } else {
    stack_.abort(id_, local(now));
  }
}

void Host::fail(std::string_view what) {
  if (failure_.empty()) {
    failure_ = "host " + std::to_string(number_) + ": " + std::string{what};
  }
}

void Host::check(const Host& peer) {
  if (received_ > peer.written_) {
    fail("more was delivered than the peer has written");
  }
  // Each node holds at most one buffer, and what was delivered was read at once.
  if (memory_.used() < static_cast<std::size_t>(buffers_.live())) {
    fail("a buffer is held that no queue knows of");
  }
  const tcp::Connection* now = connection();
  if (now == nullptr) {
    return;
  }
  if (const std::string_view broken = invariants_.broken(*now, settings_); !broken.empty()) {
    fail(broken);
  }
  const tcp::ConnectionReport report = now->report(settings_);
  if (report.state >= tcp::State::established && report.held == 0) {
    // Unread, and written and not acknowledged; a FIN has a number, too.
    const std::uint32_t writable = now->writable(settings_);
    if (writable != 0 && now->held() != unread_ + settings_.send_buffer - writable) {
      fail("octets are accounted for that are in no queue");
    }
  }
  // Scaling rounds up to whole units.
  const std::uint32_t unit = 1U << tcp::ReceiveWindow::scale_for(settings_.receive_buffer);
  if (report.state > tcp::State::syn_received &&
      packet::distance(report.receive_next, report.receive_edge) + unread_ >= settings_.receive_buffer + unit + 2U) {
    fail("more is offered than the buffer has room for");
  }
  retransmitted_ = report.retransmitted;
}

bool Host::is_empty() const {
  return stack_.connections() == 0 && stack_.half_open() == 0 && stack_.time_wait() == 0;
}

void Host::check_end(const Host& peer, bool orderly) {
  // Whose every third segment of the handshake is lost, until the listener has given it up, hears of a reset.
  const bool given_up =
      (!opened_ && peer.cause_ == tcp::Cause::reset_by_peer) || (!peer.opened_ && cause_ == tcp::Cause::reset_by_peer);
  if (orderly && !given_up) {
    if (!has_all()) {
      fail("octets are missing");
    }
    // Whose last acknowledgment is lost again and again, until the peer's TIME_WAIT is over, hears of a reset.
    const bool forgotten = cause_ == tcp::Cause::reset_by_peer && peer.has_all() && peer.cause_ == tcp::Cause::finished;
    if (!peer_finished_ || (cause_ != tcp::Cause::finished && !forgotten)) {
      fail("it did not end as it should");
    }
  }
  if (peer_finished_ && cause_ == tcp::Cause::finished && received_ != peer.written_) {
    fail("the end came before all octets");
  }
  if (memory_.used() != 0 || buffers_.live() != 0) {
    fail("an empty world holds something");
  }
  if (stack_.timers() != 0) {
    fail("a timer runs for nobody");
  }
}

std::string Host::progress() const {
  std::string text = "[wrote " + std::to_string(written_) + " received " + std::to_string(received_);
  if (cause_) {
    text += " over " + std::to_string(static_cast<int>(*cause_));
  }
  if (const tcp::Connection* now = connection()) {
    const tcp::ConnectionReport report = now->report(settings_);
    text += " state " + std::to_string(static_cast<int>(report.state)) + " una " +
            std::to_string(report.send_unacknowledged.value) + " outstanding " + std::to_string(report.unacknowledged) +
            " flight " + std::to_string(report.in_flight) + " cwnd " + std::to_string(report.window) + " ssthresh " +
            std::to_string(report.threshold) + " window " + std::to_string(report.send_window) + " rto_us " +
            std::to_string(report.timeout.count()) + " unread " + std::to_string(unread_) + " offered " +
            std::to_string(packet::distance(report.receive_next, report.receive_edge));
  }
  return text + "]";
}

void Host::transmit(const Endpoints& to, const tcp::Outgoing& segment) {
  wire_.transmit(number_, to, segment);
}

void Host::accepted(ConnectionId connection, tcp::ListenerIndex /*listener*/) {
  if (opened_) {
    strangers_.push_back(connection);
    return;
  }
  id_ = connection;
  opened_ = true;
}

void Host::deliver(ConnectionId connection, const tcp::Slice& slice) {
  if (slice.empty()) {
    fail("an empty slice was delivered");
  }
  if (connection == id_) {
    if (peer_finished_) {
      fail("octets were delivered after the end");
    }
    if (Buffers::bytes(slice) != Pattern::piece(1U - number_, received_, slice.length)) {
      fail("octets at " + std::to_string(received_) + " are not those that were sent");
    }
    received_ += slice.length;
    unread_ += slice.length;
  }
  Buffers::release(slice.buffer);
}

void Host::notify(ConnectionId connection, tcp::Event event) {
  if (connection != id_ && opened_) {
    return;
  }
  if (event == tcp::Event::peer_finished && std::exchange(peer_finished_, true)) {
    fail("the peer's end was told of twice");
  }
  established_ |= event == tcp::Event::established;
}

void Host::over(ConnectionId connection, tcp::Cause cause) {
  if (connection == id_) {
    if (cause_) {
      fail("it was over twice");
    }
    cause_ = cause;
    unread_ = 0;
    next_read_ = tcp::never;
  }
}

}  // namespace steelyard::simulation
