// Receiving, as scripts.
#include "tests/unit/tcp/script.h"

namespace steelyard::tcp::test {
namespace {

class ReceiveCases : public Script {};
INSTANTIATE_TEST_SUITE_P(Worlds, ReceiveCases, all_worlds(), name_of);

TEST_P(ReceiveCases, overlap_matrix_first_copy_wins) {
  handshake();
  std::uint32_t base = 1;
  for (std::uint32_t first = 1; first <= 5; ++first) {
    for (std::uint32_t second = 0; second <= 5; ++second) {
      for (std::size_t first_size = 1; first_size <= 4; ++first_size) {
        for (std::size_t second_size = 1; second_size <= 4; ++second_size) {
          std::string expected(12, '.');
          expected.replace(second, second_size, std::string(second_size, 'B'));
          expected.replace(first, first_size, std::string(first_size, 'A'));
          received_.clear();
          in(A, seq(base + first), ack(1), data(std::string(first_size, 'A')));
          in(A, seq(base + second), ack(1), data(std::string(second_size, 'B')));
          in(A, seq(base), ack(1), data(std::string(12, '.')));
          // What had been delivered before the last segment came is part of it.
          ASSERT_EQ(received_, expected) << first << ' ' << first_size << ' ' << second << ' ' << second_size;
          base += 12;
          drain();
        }
      }
    }
  }
}

TEST_P(ReceiveCases, a_repetition_of_the_last_segment_is_echoed) {
  handshake({.timestamps = true});
  in(A, seq(1), ack(1), len(10), ts(peer_clock()));
  advance(100ms);
  out(A, ack(11), ecr(peer_clock() - 100));
  advance(5s);  // it is lost, so the peer repeats
  in(A, seq(1), ack(1), len(10), ts(peer_clock()));
  out(A, ack(11), ecr(peer_clock()));
  in(A, seq(0), ack(1), len(5), ts(peer_clock() + 1'000));  // somebody who does not know where we are
  out(A, ack(11), ecr(peer_clock()));
}

TEST_P(ReceiveCases, ooo_sack_order) {
  handshake();
  in(A, seq(101), ack(1), len(100));
  out(A, ack(1), sack({{101, 201}}));
  in(A, seq(301), ack(1), len(100));
  out(A, ack(1), sack({{301, 401}, {101, 201}}));
  in(A, seq(501), ack(1), len(100));
  out(A, ack(1), sack({{501, 601}, {301, 401}, {101, 201}}));
  in(A, seq(201), ack(1), len(50));
  out(A, ack(1), sack({{101, 251}, {501, 601}, {301, 401}}));
  in(A, seq(701), ack(1), len(100));
  in(A, seq(901), ack(1), len(100));
  drain();
  in(A, seq(1), ack(1), len(100));
  out(A, ack(251), sack({{901, 1'001}, {701, 801}, {501, 601}, {301, 401}}));
}

TEST_P(ReceiveCases, without_sack_gaps_are_acknowledged_bare) {
  handshake({.sack = false});
  in(A, seq(101), ack(1), len(100));
  out(A, ack(1), sack({}));
}

TEST_P(ReceiveCases, dsack_duplicate) {
  handshake();
  in(A, seq(1), ack(1), len(100));
  advance(40ms);
  drain();
  in(A, seq(1), ack(1), len(100));
  out(A, ack(101), sack({{1, 101}}));
  in(A, seq(51), ack(1), len(100));  // half old
  out(A, ack(151), sack({{51, 101}}));
  in(A, seq(301), ack(1), len(100));
  out(A, ack(151), sack({{301, 401}}));
  in(A, seq(301), ack(1), len(100));
  out(A, ack(151), sack({{301, 401}, {301, 401}}));  // RFC 2883 section 4: the duplicate, then the block around it
  in(A, seq(501), ack(1), len(100));
  out(A, ack(151), sack({{501, 601}, {301, 401}}));  // reported once
}

TEST_P(ReceiveCases, one_byte_ooo_memory_bound) {
  settings_.most_held = 32;
  handshake();
  for (std::uint32_t octet = 0; octet < 1'000; ++octet) {
    in(A, seq(3 + 2 * octet), ack(1), len(1));
    drain();
  }
  EXPECT_EQ(buffers_.live(), 32);
  EXPECT_EQ(memory_.used(), 32U);
  // The peer repeats what was not taken, and all arrives.
  in(A, seq(1), ack(1), len(1'000));
  in(A, seq(1'001), ack(1), len(1'002));
  EXPECT_EQ(received_, stream(1, 2'002));
  EXPECT_EQ(buffers_.live(), 0);
  drain();
}

TEST_P(ReceiveCases, delayed_ack_two_segments) {
  handshake();
  in(A, seq(1), ack(1), len(1'000));
  in(A, seq(1'001), ack(1), len(1'000));
  out(A, ack(2'001));
  in(A, seq(2'001), ack(1), len(1'000));
  silent();
  advance(39ms);
  silent();
  advance(1ms);
  out(A, ack(3'001));
  in(A, seq(3'001), ack(1), len(1'000));
  in(A, seq(4'001), ack(1), len(1'000));
  out(A, ack(5'001));
  advance(1s);
  silent();
}

TEST_P(ReceiveCases, an_acknowledgment_rides_on_data) {
  handshake();
  in(A, seq(1), ack(1), len(100));
  silent();
  app_send(10);
  out(A, seq(1), ack(101), len(10));
  in(A, seq(101), ack(11));
  advance(1s);
  silent();
}

TEST_P(ReceiveCases, immediate_ack_on_gap) {
  handshake();
  in(A, seq(101), ack(1), len(100));
  out(A, ack(1));
  in(A, seq(301), ack(1), len(100));
  out(A, ack(1));
  in(A, seq(1), ack(1), len(100));  // fills a part of it
  out(A, ack(201));
  in(A, seq(201), ack(1), len(100));
  out(A, ack(401));
}

TEST_P(ReceiveCases, receiver_sws) {
  settings_.receive_buffer = 10'000;
  rebuild({});
  handshake();
  app_read(false);
  for (std::uint32_t number = 1; number < 10'001; number += 1'000) {
    in(A, seq(number), ack(1), len(1'000));
  }
  EXPECT_EQ(sent_.back().header.window, 0);
  drain();
  app_consume(1'000);
  silent();
  in(A, seq(10'001), ack(1));
  in(A, seq(10'000), ack(1), len(1));
  out(A, ack(10'001), win(0));  // less than a segment is not said, even when asked
  app_consume(1'800);
  silent();
  app_consume(200);
  out(A, ack(10'001), win(3'000));  // two segments, or half the buffer
}

TEST_P(ReceiveCases, no_window_shrink) {
  settings_.receive_buffer = 100'000;
  rebuild({});
  handshake({.scale = 7});
  app_read(false);
  std::uint32_t next = 1;
  Sequence edge = report().receive_edge;
  for (int round = 0; round < 300; ++round) {
    const std::uint32_t size = 100 + static_cast<std::uint32_t>(round) % 301;
    if (packet::distance(report().receive_next, report().receive_edge) >= size) {
      in(A, seq(next), ack(1), len(size));
      next += size;
    }
    if (round % 7 == 0) {
      app_consume(unread_ / 3);
    }
    EXPECT_FALSE(packet::after(edge, report().receive_edge));
    edge = report().receive_edge;
    EXPECT_LE(packet::distance(report().receive_next, edge) + unread_, 100'000U + 4);
    drain();
  }
  EXPECT_EQ(received_, stream(1, next - 1));
}

TEST_P(ReceiveCases, beyond_the_window_nothing_is_taken) {
  settings_.receive_buffer = 1'000;
  rebuild({});
  handshake();
  app_read(false);
  in(A, seq(1), ack(1), len(1'200));
  EXPECT_EQ(received_, stream(1, 1'000));
  out(A, ack(1'001), win(0));
  in(A, seq(1'001), ack(1), len(200));
  out(A, ack(1'001), win(0));
  EXPECT_EQ(received_.size(), 1'000U);
}

TEST_P(ReceiveCases, a_closed_window_still_hears_acknowledgments) {
  settings_.receive_buffer = 1'000;
  rebuild({});
  handshake();
  app_read(false);
  app_send(100);
  drain();
  in(A, seq(1), ack(1), len(1'000));
  drain();
  in(A, seq(1'001), ack(101), len(200));
  EXPECT_EQ(report().unacknowledged, 0U);
  EXPECT_EQ(received_.size(), 1'000U);
  drain();
}

TEST_P(ReceiveCases, urgent_data_are_in_band) {
  handshake();
  in(A | flag::urg, seq(1), ack(1), len(10));
  EXPECT_EQ(received_, stream(1, 10));
}

TEST_P(ReceiveCases, a_keepalive_probe_is_answered) {
  handshake();
  in(A, seq(0), ack(1));
  out(A, seq(1), ack(1));
  in(A, seq(0), ack(1), data("x"));
  out(A, seq(1), ack(1));
}

}  // namespace
}  // namespace steelyard::tcp::test
