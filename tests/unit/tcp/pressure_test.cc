// Connections when buffers are short (pressure.h).
#include "dataplane/tcp/slice_queue.h"
#include "tests/unit/tcp/script.h"

namespace steelyard::tcp::test {
namespace {

class PressureCases : public Script {};
INSTANTIATE_TEST_SUITE_P(Worlds, PressureCases, all_worlds(), name_of);

TEST_P(PressureCases, a_slow_reader_gets_no_more_than_its_share) {
  handshake();
  app_read(false);
  memory_.pressure().update(9'000, 10'000);  // a thousand buffers are left
  const std::uint32_t share = memory_.pressure().share();
  ASSERT_EQ(share, 1'000U / 32 * 1'448);
  std::uint32_t sent = 0;
  for (; sent < 60'000; sent += 1'000) {
    in(A, seq(1 + sent), ack(1), len(1'000));
  }
  EXPECT_GE(received_.size(), share);
  EXPECT_LE(received_.size(), share + 1'000);
  EXPECT_GT(memory_.pressure().refused(), 0U);
  // What was not taken is neither acknowledged nor reported: it is as if it had been lost.
  const auto taken = static_cast<std::uint32_t>(received_.size());
  EXPECT_EQ(packet::distance(Sequence{peer_initial_}, report().receive_next), 1 + taken);
  EXPECT_EQ(report().held, 0U);
}

TEST_P(PressureCases, what_waits_to_be_sent_has_no_more_than_its_share_and_goes_on_when_it_is_acknowledged) {
  handshake();
  memory_.pressure().update(9'000, 10'000);
  const std::uint32_t share = memory_.pressure().share();
  const auto try_to_send = [this] {
    const Slice slice = buffers_.slice(stream(written_ + 1, 1'000));
    const bool taken = stack_->send(id_, std::span{&slice, 1}, now_) == 1;
    taken ? static_cast<void>(written_ += 1'000) : memory_.release(slice);
    return taken;
  };
  while (written_ < 100'000 && try_to_send()) {
  }
  EXPECT_GE(written_, share);
  EXPECT_LE(written_, share + 1'000);
  // With nothing queued there is always room for something, so that an acknowledgment comes and sending goes on.
  memory_.pressure().update(10'000, 10'000);
  EXPECT_FALSE(try_to_send());
  for (std::uint32_t acknowledged = 1; acknowledged < 1 + written_;) {
    const std::uint32_t flying = packet::distance(report().send_unacknowledged, report().send_next);
    ASSERT_NE(flying, 0U);
    acknowledged += flying;
    drain();
    in(A, seq(1), ack(acknowledged));
  }
  EXPECT_TRUE(try_to_send());
}

TEST_P(PressureCases, who_reads_goes_on_when_others_have_nearly_everything) {
  handshake();
  memory_.pressure().update(999, 1'000);
  for (std::uint32_t sent = 0; sent < 50'000; sent += 1'000) {
    in(A, seq(1 + sent), ack(1), len(1'000));
  }
  EXPECT_EQ(received_.size(), 50'000U);
  EXPECT_EQ(memory_.pressure().refused(), 0U);
}

TEST_P(PressureCases, what_was_refused_is_taken_when_it_comes_again_after_the_application_has_read) {
  handshake();
  app_read(false);
  memory_.pressure().update(999, 1'000);  // a segment each
  for (std::uint32_t sent = 0; sent < 3'000; sent += 1'000) {
    in(A, seq(1 + sent), ack(1), len(1'000));
  }
  EXPECT_EQ(received_.size(), 2'000U);
  app_read(true);
  in(A, seq(2'001), ack(1), len(1'000));
  EXPECT_EQ(received_, stream(1, 3'000));
}

TEST_P(PressureCases, the_window_stops_and_opens_with_the_share) {
  handshake();
  app_read(false);
  memory_.pressure().update(990, 1'000);
  const Sequence edge = report().receive_edge;
  for (std::uint32_t sent = 0; sent < 4'000; sent += 1'000) {
    in(A, seq(1 + sent), ack(1), len(1'000));
  }
  EXPECT_EQ(report().receive_edge, edge);
  drain();
  memory_.pressure().update(0, 100'000);
  app_read(true);
  in(A, seq(2'001), ack(1), len(1'000));
  advance(40ms);
  EXPECT_TRUE(packet::after(report().receive_edge, edge));
}

TEST_P(PressureCases, what_opens_a_gap_waits_within_the_share_and_what_fills_it_is_taken) {
  handshake();
  memory_.pressure().update(950, 1'000);  // a segment each: less than a buffer
  in(A, seq(1'001), ack(1), len(1'000));
  out(A, ack(1), sack({{1'001, 2'001}}));
  in(A, seq(2'001), ack(1), len(1'000));
  silent();
  in(A, seq(1), ack(1), len(1'000));
  EXPECT_EQ(received_, stream(1, 2'000));
}

TEST_P(PressureCases, nobody_new_comes_in) {
  memory_.pressure().update(900, 1'000);
  offer_ = {};
  in(S, seq(0), mss(1'460));
  silent();
  EXPECT_EQ(stack_->counters().syns_refused, 1U);
  EXPECT_EQ(stack_->half_open(), 0U);
  memory_.pressure().update(0, 1'000);
  in(S, seq(0), mss(1'460));
  out(SA, seq(0), ack(1));
}

TEST_P(PressureCases, the_largest_holder_goes_when_nothing_is_left) {
  handshake();
  app_read(false);
  in(A, seq(1), ack(1), len(1'000));
  drain();
  memory_.pressure().update(1'000, 1'000);
  ASSERT_TRUE(memory_.pressure().full());
  for (int call = 0; call < 4; ++call) {  // each looks at a part of all connections
    stack_->relieve(now_);
  }
  EXPECT_EQ(cause_, Cause::no_memory);
  out(RA, ack(1'001));
  EXPECT_EQ(stack_->counters().relieved, 1U);
  EXPECT_EQ(memory_.pressure().holders(), 0U);
}

TEST_P(PressureCases, who_does_not_read_for_seconds_goes_before_others_are_kept_out) {
  handshake();
  const auto look_at_all = [this] {
    for (int call = 0; call < 4; ++call) {
      stack_->relieve(now_);
    }
  };
  app_send(5'000);
  drain();
  in(A, seq(1), ack(5'001), win(0));
  app_send(1'000);
  memory_.pressure().update(850, 1'000);
  ASSERT_TRUE(memory_.pressure().tight());
  ASSERT_FALSE(memory_.pressure().scarce());
  advance(1'900ms);
  look_at_all();
  EXPECT_EQ(state(), State::established);
  advance(200ms);
  drain();
  look_at_all();
  EXPECT_EQ(cause_, Cause::no_memory);
  EXPECT_EQ(stack_->counters().relieved, 1U);
}

TEST_P(PressureCases, who_reads_slowly_stays_while_something_is_left) {
  handshake();
  app_send(5'000);
  drain();
  for (std::uint32_t read = 1'001; read <= 4'001; read += 1'000) {
    advance(1'500ms);
    drain();
    in(A, seq(1), ack(read), win(1'000));
    memory_.pressure().update(999, 1'000);
    for (int call = 0; call < 4; ++call) {
      stack_->relieve(now_);
    }
  }
  EXPECT_EQ(state(), State::established);
}

TEST_P(PressureCases, who_takes_nothing_is_given_little_once_a_quarter_is_held) {
  settings_.unsent = 4'000;
  handshake();
  in(A, seq(1), ack(1), win(0));
  const auto refused = [this] {
    const Slice slice = buffers_.slice(stream(written_ + 1, 1'000));
    const bool is = stack_->send(id_, std::span{&slice, 1}, now_) == 0;
    if (is) {
      memory_.release(slice);
    } else {
      written_ += 1'000;
    }
    return is;
  };
  for (int count = 0; count < 10; ++count) {
    EXPECT_FALSE(refused()) << "buffers are ample";
  }
  memory_.pressure().update(3'000, 10'000);
  EXPECT_TRUE(refused());
  drain();
  events_.clear();
  in(A, seq(1), ack(1), win(3'000));
  EXPECT_EQ(sent_count(), 3U);
  EXPECT_TRUE(events_.empty()) << "7'000 wait";
  in(A, seq(1), ack(3'001), win(20'000));
  EXPECT_EQ(sent_count(), 10U);
  EXPECT_EQ(events_, std::vector{Event::writable}) << "of the segment that has made room";
  for (int count = 0; count < 6; ++count) {
    EXPECT_FALSE(refused()) << "as much as is in flight";
  }
}

TEST_P(PressureCases, a_window_begins_small_and_grows_by_what_is_consumed) {
  settings_.receive_start = 8'192;
  for (const bool active : {false, true}) {
    active ? open_actively() : handshake();
    const auto window = [this] { return packet::distance(report().receive_next, report().receive_edge); };
    std::uint32_t sent = 0;
    const auto take = [&](std::uint32_t segments) {
      for (; segments > 0; --segments, sent += 1'000) {
        in(A, seq(1 + sent), ack(1), len(1'000));
      }
    };
    EXPECT_EQ(window(), 8'192U);
    app_read(false);
    take(8);
    EXPECT_LT(window(), 1'000U) << "nothing is consumed: nothing grows";
    app_read(true);
    EXPECT_NEAR(window(), 8'192U + 8'192U, 512);
    take(24);
    EXPECT_NEAR(window(), 8'192U + 32'768U, 2'512) << "two segments are acknowledged at once";
    take(1'000);
    EXPECT_NEAR(window(), settings_.receive_buffer, 2'512) << "all there is";
    app_abort();
    drain();
    endpoints_ = endpoints(4'100);
    written_ = 0;
  }
}

TEST_P(PressureCases, who_holds_nothing_stays) {
  handshake();
  memory_.pressure().update(1'000, 1'000);
  for (int call = 0; call < 4; ++call) {
    stack_->relieve(now_);
  }
  silent();
  EXPECT_EQ(state(), State::established);
}

TEST_P(PressureCases, holders_are_those_with_something_unread) {
  handshake();
  app_read(false);
  EXPECT_EQ(memory_.pressure().holders(), 0U);
  in(A, seq(1), ack(1), len(100));
  in(A, seq(101), ack(1), len(100));
  EXPECT_EQ(memory_.pressure().holders(), 1U);
  app_consume(150);
  EXPECT_EQ(memory_.pressure().holders(), 1U);
  app_consume(50);
  EXPECT_EQ(memory_.pressure().holders(), 0U);
  in(A, seq(201), ack(1), len(100));
  EXPECT_EQ(memory_.pressure().holders(), 1U);
  app_abort();
  EXPECT_EQ(memory_.pressure().holders(), 0U);
}

TEST(PressureShare, FallsWithFreeBuffersAndWithHolders) {
  Pressure pressure;
  pressure.update(0, 10'000);
  const std::uint32_t alone = pressure.share();
  EXPECT_GT(alone, 400'000U);
  pressure.update(5'000, 10'000);
  EXPECT_EQ(pressure.share(), alone / 2);
  for (int count = 0; count < 1'000; ++count) {
    pressure.begins_to_hold();
  }
  pressure.update(5'000, 10'000);
  EXPECT_EQ(pressure.share(), 4U * 1'448);
  EXPECT_FALSE(pressure.scarce());
  pressure.update(9'000, 10'000);
  EXPECT_TRUE(pressure.scarce());
  EXPECT_EQ(pressure.share(), 1'448U);
  pressure.update(10'001, 10'000);
  EXPECT_TRUE(pressure.full());
  EXPECT_EQ(pressure.share(), 0U);
}

TEST(SliceQueues, KeepTheirOrderAndGiveOctetsBackInPieces) {
  Buffers buffers;
  Memory memory(4, Buffers::operations());
  SliceQueue queue;
  ASSERT_TRUE(queue.push(memory, buffers.slice("hello ")));
  ASSERT_TRUE(queue.push(memory, buffers.slice("world")));
  EXPECT_EQ(queue.octets(), 11U);
  queue.trim(memory, 2);
  EXPECT_EQ(Buffers::bytes(queue.front(memory)), "llo ");
  queue.trim(memory, 4);
  EXPECT_EQ(Buffers::bytes(queue.front(memory)), "world");
  EXPECT_EQ(queue.slices(), 1U);
  queue.clear(memory);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(memory.used(), 0U);
}

TEST(SliceQueues, SayWhenThereIsNoRoom) {
  Buffers buffers;
  Memory memory(1, Buffers::operations());
  SliceQueue queue;
  ASSERT_TRUE(queue.push(memory, buffers.slice("a")));
  const Slice refused = buffers.slice("b");
  EXPECT_FALSE(queue.push(memory, refused));
  memory.release(refused);
  queue.clear(memory);
}

}  // namespace
}  // namespace steelyard::tcp::test
