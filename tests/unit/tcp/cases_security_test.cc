// What attackers try, and options, as scripts.
#include <algorithm>
#include <set>

#include "dataplane/tcp/local_ports.h"
#include "dataplane/tcp/wire.h"
#include "tests/unit/tcp/script.h"

namespace steelyard::tcp::test {
namespace {

class SecurityCases : public Script {
 protected:
  // A segment whose options are these bytes, read as they come from the wire.
  void in_with_options(std::uint8_t flags, const std::vector<std::uint8_t>& options) {
    std::vector<std::uint8_t> header(packet::tcp_header_size + options.size());
    std::ranges::copy(options, header.begin() + packet::tcp_header_size);
    header[12] = 0xf0;  // says more than there is: the reader must not believe it
    Segment segment;
    static_cast<SegmentHeader&>(segment) = read_header(header);
    segment.sequence = Sequence{peer_initial_};
    segment.flags = flags;
    stack_->on_segment(endpoints_, segment, now_);
    after_event();
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, SecurityCases, all_worlds(), name_of);

TEST_P(SecurityCases, rst_exact_resets) {
  handshake();
  in(R, seq(1));
  EXPECT_EQ(cause_, Cause::reset_by_peer);
  EXPECT_EQ(stack_->connections(), 0U);
  silent();
}

TEST_P(SecurityCases, rst_in_window_challenge) {
  handshake();
  for (const std::uint32_t number : {2U, 1'000U, 60'000U}) {
    in(R, seq(number));
    out(A, seq(1), ack(1));
    EXPECT_EQ(state(), State::established);
  }
  in(R, seq(1));  // what an honest peer says to the challenge
  EXPECT_EQ(cause_, Cause::reset_by_peer);
}

TEST_P(SecurityCases, rst_out_of_window_dropped) {
  handshake();
  for (const std::uint32_t number : {0U, 0x10'0001U, 0x80000000U, 0xffff0000U}) {
    in(R, seq(number));
    in(RA, seq(number), ack(1));
    silent();
  }
  EXPECT_EQ(state(), State::established);
}

TEST_P(SecurityCases, syn_in_established_challenge) {
  handshake();
  for (const std::uint32_t number : {0U, 1U, 500U, 0x40000000U}) {
    in(S, seq(number), mss(1'000));
    out(A, seq(1), ack(1));
    in(SA, seq(number), ack(1), mss(1'000));
    out(A, seq(1), ack(1));
  }
  EXPECT_EQ(state(), State::established);
}

TEST_P(SecurityCases, ack_beyond_max_wnd_dropped) {
  handshake({.window = 10'000});
  app_send(500);
  drain();
  in(A, seq(1), ack(502), len(10));  // more than was sent
  out(A, ack(1));
  in(A, seq(1), ack(1U - 10'001U), len(10));  // older than the largest window
  out(A, ack(1));
  EXPECT_EQ(received_, "");
  in(A, seq(1), ack(1U - 10'000U), len(10));
  EXPECT_EQ(received_, stream(1, 10));
}

TEST_P(SecurityCases, challenge_rate_limited) {
  handshake();
  for (int round = 0; round < 100; ++round) {
    in(R, seq(2));
    in(S, seq(7));
    in(A, seq(1), ack(1'000));
  }
  EXPECT_EQ(sent_count(), 10U);
  drain();
  advance(5s);
  in(R, seq(2));
  out(A, ack(1));
}

TEST_P(SecurityCases, isn_keyed_and_monotone) {
  std::uint32_t last = 0;
  for (int round = 0; round < 5; ++round) {
    advance(1s);
    in(S, seq(0), mss(1'000));
    out(SA, ack(1));
    if (round != 0) {
      EXPECT_EQ(packet::distance(Sequence{last}, Sequence{our_initial_}), 250'000U) << "4 microseconds a step";
    }
    last = our_initial_;
    in(R, seq(1));
  }
  in_for(endpoints(4'001), S, seq(0), mss(1'000));
  out(SA);
  EXPECT_GT(packet::distance(Sequence{last}, Sequence{our_initial_}), 1'000'000U);
}

// Connections that a proxy opens to one server, from ports that it draws: what somebody sees who watches some of them.
TEST_P(SecurityCases, ports_unpredictable) {
  constexpr std::uint16_t first = 32'768;
  constexpr std::size_t count = 500;
  const auto opened_ports = [&](const SipKey& secret) {
    LocalPorts ports{first, 60'999, secret};
    std::vector<std::uint16_t> opened;
    for (std::size_t connection = 0; connection < count; ++connection) {
      Endpoints to = endpoints_;
      to.local_port = ports.allocate().value();
      EXPECT_NE(stack_->connect(to, settings_, now_), ConnectionId{});
      opened.push_back(sent_.back().to.local_port);
      EXPECT_EQ(sent_.back().header.flags, S);
    }
    rebuild({});
    drain();
    return opened;
  };
  const std::vector<std::uint16_t> opened = opened_ports({{11, 12}});
  EXPECT_EQ(std::set<std::uint16_t>(opened.begin(), opened.end()).size(), count) << "no endpoints twice";
  // Who guesses from what he has seen: the next port, the same step again, the one drawn before by another process.
  const std::vector<std::uint16_t> other = opened_ports({{11, 13}});
  std::size_t right = 0;
  std::size_t rising = 0;
  for (std::size_t at = 2; at < count; ++at) {
    const int last = opened[at - 1];
    for (const int guess : {last + 1, last - 1, last + 2, 2 * last - opened[at - 2], int{other[at]}}) {
      right += guess == opened[at] ? 1U : 0U;
    }
    rising += opened[at] > last ? 1U : 0U;
  }
  EXPECT_LE(right, 4U) << "of 2,490 guesses at 28,232 ports, chance has 0.1 right";
  EXPECT_NEAR(static_cast<double>(rising), count / 2.0, 60);
  // All parts of the range are used alike: RFC 6056 section 3.2.
  std::array<int, 4> quarters{};
  for (const std::uint16_t local : opened) {
    ++quarters.at((local - first) / 7'058U);
  }
  EXPECT_GE(std::ranges::min(quarters), 80);
}

// A connection from a port that waits in TIME_WAIT would be refused or slow; a released one comes back late.
TEST_P(SecurityCases, a_released_port_does_not_meet_its_own_time_wait) {
  LocalPorts ports{40'000, 40'999, {{21, 22}}};
  offer_ = {};
  for (int connection = 0; connection < 400; ++connection) {
    endpoints_.local_port = ports.allocate().value();
    app_connect();
    ASSERT_NE(stack_->find(id_), nullptr);
    drain();
    in(SA, seq(0), ack(1), mss(1'000));
    app_close();
    in(FA, seq(1), ack(2));
    drain();
    ASSERT_EQ(cause_, Cause::finished);
    ASSERT_EQ(stack_->time_wait(), static_cast<std::size_t>(connection) + 1) << "a port has come back too early";
    ports.release(endpoints_.local_port);
    advance(10ms);
  }
}

class CookieCases : public Script {
 protected:
  // Half of the table is taken by others' SYNs.
  void reach_cookies() {
    rebuild({.half_open = 8});
    for (std::uint16_t remote = 1; remote <= 4; ++remote) {
      in_for(endpoints(remote), S, seq(0), mss(1'000));
    }
    drain();
    ASSERT_EQ(stack_->half_open(), 4U);
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, CookieCases, all_worlds(), name_of);

TEST_P(CookieCases, cookie_roundtrip_all_options) {
  reach_cookies();
  in(S, seq(0), mss(1'300), wscale(5), sackok(), ts(70'000));
  out(SA, ack(1), wscale(3), sackok(), ecr(70'000));
  EXPECT_EQ(stack_->half_open(), 4U) << "nothing is kept";
  EXPECT_EQ(stack_->counters().cookies_sent, 1U);
  in(A, seq(1), ack(1), ts(70'001), win(1'000));
  EXPECT_EQ(accepted_, 1);
  EXPECT_EQ(report().send_window, 32'000U);
  EXPECT_EQ(report().segment, 1'288U);
  in(A, seq(11), ack(1), len(5), ts(70'002));
  out(A, ack(1), sack({{11, 16}}));
  app_send(10);
  out(A, seq(1), len(10));
}

TEST_P(CookieCases, cookie_without_timestamps_keeps_the_segment_size) {
  reach_cookies();
  in(S, seq(0), mss(1'300), wscale(5), sackok());
  EXPECT_FALSE(sent_.front().header.options.has_window_scale);
  out(SA, ack(1), nots());
  in(A, seq(1), ack(1), len(4));
  EXPECT_EQ(accepted_, 1);
  EXPECT_EQ(report().segment, 1'300U);
  EXPECT_EQ(received_, stream(1, 4));
}

TEST_P(CookieCases, cookie_stale_or_forged_rejected) {
  reach_cookies();
  in(S, seq(0), mss(1'300));
  out(SA, ack(1));
  in(A, seq(1), ack(2));
  out(R, seq(2));
  in(A, seq(2), ack(1));
  out(R, seq(1));
  in_for(endpoints(5'000), A, seq(1), ack(1));
  out(R, seq(1));
  drain();
  advance(128s);
  drain();
  in(A, seq(1), ack(1));
  out(R, seq(1));
  EXPECT_EQ(accepted_, 0);
}

TEST_P(CookieCases, data_that_overtake_a_cookie_are_not_reset) {
  reach_cookies();
  in(S, seq(0), mss(1'300));
  out(SA, ack(1));
  in(A, seq(1'001), ack(1), len(1'000));
  in(FA, seq(2'001), ack(1));
  silent();
  in(A, seq(1), ack(1), len(1'000));
  EXPECT_EQ(accepted_, 1);
  EXPECT_EQ(received_, stream(1, 1'000));
}

TEST_P(CookieCases, without_an_attack_no_cookie_is_believed) {
  const SynCookies cookies{secrets().cookies};
  Handshake handshake;
  handshake.peer_initial = Sequence{peer_initial_};
  handshake.segment_size = 1'460;
  our_initial_ = cookies.make(endpoints_, handshake, now_).value;
  in(A, seq(1), ack(1));
  out(R, seq(1));
  EXPECT_EQ(accepted_, 0);
}

TEST_P(CookieCases, syn_flood_zero_growth) {
  rebuild({.connections = 16, .half_open = 64});
  for (std::uint32_t round = 0; round < 20'000; ++round) {
    in_for(endpoints(static_cast<std::uint16_t>(10'000 + round)), S, seq(round), mss(1'000), sackok());
    ASSERT_EQ(sent_count(), 1U);
    drain();
  }
  EXPECT_LE(stack_->half_open(), 33U);
  EXPECT_EQ(stack_->connections(), 0U);
  EXPECT_EQ(memory_.used(), 0U);
  EXPECT_GE(stack_->counters().cookies_sent, 19'900U);
  // A client gets through all the same.
  in(S, seq(0), mss(1'000));
  out(SA, ack(1));
  in(A, seq(1), ack(1), len(10));
  EXPECT_EQ(accepted_, 1);
  EXPECT_EQ(received_, stream(1, 10));
  drain();
  app_abort();
  drain();
  advance(70s);
  EXPECT_EQ(stack_->half_open(), 0U);
  drain();
}

TEST_P(CookieCases, a_listener_answers_no_more_than_its_limit) {
  rebuild({.answers_per_second = 100});
  for (std::uint32_t round = 0; round < 1'000; ++round) {
    in_for(endpoints(static_cast<std::uint16_t>(10'000 + round)), S, seq(round), mss(1'000));
  }
  EXPECT_EQ(sent_count(), 100U);
  EXPECT_EQ(stack_->counters().dropped_rate, 900U);
  drain();
}

TEST_P(SecurityCases, icmp_frag_needed_out_of_window_ignored) {
  handshake({.size = 1'400});
  app_send(5'000);
  drain();
  const auto quote = [&](std::uint32_t number) { return Sequence{our_initial_} + number; };
  stack_->on_path_mtu(endpoints_, quote(0), 1'300, now_);
  stack_->on_path_mtu(endpoints_, quote(5'001), 1'300, now_);
  stack_->on_path_mtu(endpoints_, quote(0x80000000U), 1'300, now_);
  stack_->on_path_mtu(endpoints(1), quote(1), 1'300, now_);
  silent();
  EXPECT_EQ(report().segment, 1'400U);
}

TEST_P(SecurityCases, truncated_option_safe) {
  const std::vector<std::uint8_t> whole{2, 4, 0x03, 0xe8, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 3, 3, 7, 1};
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    endpoints_ = endpoints(static_cast<std::uint16_t>(6'000 + size));
    in_with_options(S, {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)});
    ASSERT_EQ(sent_count(), 1U);
    const Options answered = sent_.front().header.options;
    EXPECT_EQ(answered.sack_permitted, size >= 6);
    EXPECT_EQ(answered.has_timestamps, size >= 16);
    EXPECT_EQ(answered.has_window_scale, size >= 19);
    out(SA, ack(1));
    in(A, seq(1), ack(1), len(5), ts(1));
    EXPECT_EQ(report().segment + (size >= 16 ? 12U : 0U), size >= 4 ? 1'000U : endpoints_.default_segment_size());
    drain();
  }
}

TEST_P(SecurityCases, wscale_over_14_clamped) {
  in_with_options(S, {3, 3, 15, 1});
  out(SA, ack(1));
  in(A, seq(1), ack(1), win(0xffff));
  EXPECT_EQ(report().send_window, 0xffffU << 14U);
}

TEST_P(SecurityCases, wscale_only_if_both) {
  in(S, seq(0), mss(1'000));
  EXPECT_FALSE(sent_.front().header.options.has_window_scale);
  out(SA, ack(1));
  in(A, seq(1), ack(1), win(100));
  EXPECT_EQ(report().send_window, 100U);
  in(A, seq(1), ack(1), len(1'000));
  in(A, seq(1'001), ack(1), len(1'000));
  EXPECT_GT(sent_.front().header.window, 60'000U) << "not scaled by us either";
  drain();
}

TEST_P(SecurityCases, the_windows_of_syns_are_never_scaled) {
  app_connect();
  out(S, win(0xffff));
  in(SA, seq(0), ack(1), mss(1'000), wscale(7), win(500));
  EXPECT_EQ(report().send_window, 500U);
  out(A, win(32'768));  // 256 KiB in units of eight
  in(A, seq(1), ack(1), win(500));
  EXPECT_EQ(report().send_window, 64'000U);
}

TEST_P(SecurityCases, paws_drop_and_ack) {
  handshake({.timestamps = true});
  advance(10ms);
  in(A, seq(1), ack(1), len(10), clocked());
  advance(100ms);
  drain();
  in(A, seq(11), ack(1), len(10), ts(69'999));
  out(A, ack(11));
  EXPECT_EQ(received_, stream(1, 10));
  in(A, seq(11), ack(1), len(10), clocked());
  EXPECT_EQ(received_, stream(1, 20));
}

TEST_P(SecurityCases, without_the_agreed_timestamp_a_segment_is_dropped) {
  handshake({.timestamps = true});
  in(A, seq(1), ack(1), len(10));
  silent();
  EXPECT_EQ(received_, "");
}

TEST_P(SecurityCases, paws_rst_exempt) {
  handshake({.timestamps = true});
  in(R, seq(1), ts(1));
  EXPECT_EQ(cause_, Cause::reset_by_peer);
}

TEST_P(SecurityCases, ts_recent_stale_24d) {
  handshake({.timestamps = true});
  advance(std::chrono::hours{24 * 23});
  in(A, seq(1), ack(1), len(10), ts(60'000));
  EXPECT_EQ(received_, "");
  drain();
  advance(std::chrono::hours{26});
  in(A, seq(1), ack(1), len(10), ts(60'000));
  EXPECT_EQ(received_, stream(1, 10));
  advance(40ms);
  out(A, ack(11), ecr(60'000));
}

TEST_P(SecurityCases, the_echoed_timestamp_is_the_one_that_the_acknowledgment_waited_for) {
  handshake({.timestamps = true});
  in(A, seq(1), ack(1), len(10), ts(70'010));
  in(A, seq(11), ack(1), len(10), ts(70'020));  // delayed: the first of two is echoed (RFC 7323 section 4.3)
  advance(40ms);
  out(A, ack(21), ecr(70'010));
  in(A, seq(31), ack(1), len(10), ts(70'030));  // behind a gap
  out(A, ack(21), ecr(70'010));
  in(A, seq(21), ack(1), len(10), ts(70'025));
  out(A, ack(41), ecr(70'025));
}

TEST_P(SecurityCases, tiny_mss_progress) {
  handshake({.size = 1});
  largest_segment_ = 48;
  app_send(200);
  std::uint32_t next = 1;
  for (int round = 0; next < 201 && round < 100; ++round) {
    while (sent_count() != 0) {
      EXPECT_LE(sent_.front().payload.size(), 48U);
      EXPECT_GT(sent_.front().payload.size(), 7U);
      next += static_cast<std::uint32_t>(sent_.front().payload.size());
      drain();
      in(A, seq(1), ack(next));
    }
    advance(1s);
  }
  EXPECT_EQ(report().unacknowledged, 0U);
}

}  // namespace
}  // namespace steelyard::tcp::test
