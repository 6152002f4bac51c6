// Segments that nobody who knows TCP would send, in every state: nothing may break, leak or grow.
#include <random>

#include "tests/unit/tcp/script.h"

namespace steelyard::tcp::test {
namespace {

class HostileCases : public Script {
 protected:
  // A number that is interesting to `next`, or any.
  [[nodiscard]] std::uint32_t number(std::uint32_t next) {
    constexpr std::array<std::uint32_t, 12> near{0,     1,      0xffffffffU, 2,          1'000,      1'460,
                                                 9'000, 60'000, 300'000,     0x7fffffff, 0x80000000, 0xffff0000};
    return random_() % 8 == 0 ? static_cast<std::uint32_t>(random_()) : next + near[random_() % near.size()];
  }
  void any_segment() {
    const Connection* connection = stack_->find(id_);
    std::uint32_t peer_next = 1;
    std::uint32_t our_next = 1;
    if (connection != nullptr) {
      peer_next = packet::distance(Sequence{peer_initial_}, report().receive_next);
      our_next = packet::distance(Sequence{our_initial_},
                                  random_() % 2 == 0 ? report().send_next : report().send_unacknowledged);
    }
    constexpr std::array<std::uint8_t, 10> flags{A, A, A, A, FA, S, SA, R, RA, flag::fin | flag::syn | flag::rst};
    const std::uint32_t begin = number(peer_next);
    std::vector<std::pair<std::uint32_t, std::uint32_t>> blocks;
    for (std::uint64_t block = random_() % 5; block > 0 && blocks.size() < 4; --block) {
      blocks.emplace_back(number(our_next), number(our_next));
    }
    const std::uint8_t chosen =
        random_() % 50 == 0 ? static_cast<std::uint8_t>(random_()) : flags[random_() % (random_() % 4 == 0 ? 10 : 5)];
    in(chosen, seq(begin), ack(number(our_next)), win(static_cast<std::uint32_t>(random_() % 3 * 20'000)),
       [&](Spec& spec) {
         spec.sacks = blocks;
         if (random_() % 2 == 0) {
           spec.length = random_() % 1'461;
           spec.payload.reset();
           if (*spec.length == 0) {
             spec.length.reset();
           }
         }
         if (offer_.timestamps && random_() % 8 != 0) {
           spec.timestamp = random_() % 8 == 0 ? static_cast<std::uint32_t>(random_()) : peer_clock();
         }
         if (random_() % 10 == 0) {
           spec.segment_size = static_cast<std::uint16_t>(random_());
           spec.scale = static_cast<std::uint8_t>(random_() % 15);
         }
       });
  }
  void any_call() {
    switch (random_() % 12) {
      case 0:
        app_shutdown();
        break;
      case 1:
        random_() % 4 == 0 ? app_close() : app_read(random_() % 2 == 0);
        break;
      case 2:
        stack_->on_path_mtu(endpoints_, Sequence{our_initial_} + number(1),
                            static_cast<std::uint32_t>(random_() % 2'000), now_);
        after_event();
        break;
      default:
        if (const Connection* connection = stack_->find(id_);
            connection != nullptr && connection->writable(settings_) > 5'000) {
          app_send(1 + random_() % 5'000);
        }
        break;
    }
  }

  std::mt19937_64 random_;
};
INSTANTIATE_TEST_SUITE_P(Worlds, HostileCases, all_worlds(), name_of);

TEST_P(HostileCases, random_segments_and_calls_break_nothing) {
  rebuild({.connections = 8, .half_open = 4, .time_wait = 4});
  for (unsigned round = 0; round < 400; ++round) {
    random_.seed(round);
    SCOPED_TRACE("round " + std::to_string(round));
    endpoints_ = endpoints(static_cast<std::uint16_t>(4'000 + round));
    id_ = {};
    written_ = unread_ = 0;
    reads_ = true;
    received_.clear();
    offer_ = {.sack = round % 2 == 0, .timestamps = round % 3 == 0, .window = 60'000};
    if (round % 4 == 0) {
      app_connect();
    } else {
      in(S, seq(0), mss(1'000), wscale(2), [&](Spec& spec) { optional_parts(spec); });
      if (round % 4 != 1) {
        in(A, seq(1), ack(1), clocked());
      }
    }
    for (int event = 0; event < 60; ++event) {
      any_segment();
      if (random_() % 4 == 0) {
        any_call();
      }
      if (random_() % 3 == 0) {
        advance(std::chrono::milliseconds{random_() % (random_() % 5 == 0 ? 5'000 : 50)});
      }
      drain();
      if (HasFailure()) {
        return;
      }
    }
    if (stack_->find(id_) != nullptr) {
      app_abort();
    }
    ASSERT_EQ(stack_->connections(), 0U);
    ASSERT_EQ(memory_.used(), 0U);
    ASSERT_EQ(buffers_.live(), 0);
    drain();
  }
}

}  // namespace
}  // namespace steelyard::tcp::test
