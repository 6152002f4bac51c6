// What TCP costs a worker: a pure acknowledgment, an in-order data segment, a connection from accept to close and from
// connect to close, a SYN that is answered from memory or by a cookie; with a thousand and with a million connections
// open, drawn in no order. Packets are prepared and heard between the timed passes; medians over all passes.
//
//   tcp_benchmark [Google Benchmark's options]
//
// Goals: an acknowledgment <= 250 cycles, a data segment <= 400; 300,000 connections/s a core; a connection <= 512
// bytes; no allocation and no payload copied.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdio>
#include <exception>
#include <string>

#include "bench/measure.h"
#include "bench/shuffled.h"
#include "bench/tcp_echo.h"
#include "bench/tcp_host_stand.h"
#include "bench/tcp_stand.h"
#include "dataplane/nic/eal.h"
#include "dataplane/worker/large_pages.h"

namespace steelyard::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_a_pass = 131'072;
constexpr std::size_t host_piece = 1'024;
constexpr std::size_t most_pieces = 128;  // a pass
constexpr std::size_t piece = 1'024;
constexpr std::uint32_t payload = 1'448;
constexpr std::uint32_t memory_mib = 512;

// What is timed, by what happens: medians over pieces of some hundred microseconds, so that a machine that is shared
// takes its time from others' pieces.
class Timer {
 public:
  explicit Timer(std::size_t pieces) {
    for (Passes& phase : phases_) {
      phase = Passes(pieces);
    }
  }
  // A piece of `items`; `phase` is one of the steps that all items go through.
  template <class Body>
  void add(std::size_t phase, std::size_t items, Body&& body) {
    const std::uint64_t had = allocated();
    const std::uint64_t cycles = timed(body);
    bytes_ += allocated() - had;
    phases_.at(phase).add(cycles, items);
  }
  // Cycles for an item: all of its steps.
  [[nodiscard]] double median() {
    return sum([](Passes& phase) { return phase.median(); });
  }
  [[nodiscard]] double best() {
    return sum([](Passes& phase) { return phase.best(); });
  }
  [[nodiscard]] std::uint64_t allocated_bytes() const { return bytes_; }

 private:
  [[nodiscard]] double sum(auto&& of) {
    double cycles = 0;
    for (Passes& phase : phases_) {
      cycles += phase.empty() ? 0 : of(phase);
    }
    return cycles;
  }

  std::array<Passes, 8> phases_{};
  std::uint64_t bytes_ = 0;
};

// Runs passes; `pass(timer)` times its pieces.
template <class Pass>
void run_passes(benchmark::State& state, Pass&& pass) {
  Timer warm_up(most_pieces);
  pass(warm_up);
  Timer timer(static_cast<std::size_t>(state.max_iterations) * most_pieces);
  for (auto step : state) {
    static_cast<void>(step);
    pass(timer);
    state.SetIterationTime(1e-9);
  }
  const double cycles = timer.median();
  state.counters["ns"] = to_ns(cycles);
  state.counters["best_ns"] = to_ns(timer.best());
  state.counters["cycles"] = cycles;
  state.counters["per_s"] = 1e9 / to_ns(cycles);
  state.counters["allocated"] = static_cast<double>(timer.allocated_bytes());
  if (timer.allocated_bytes() != 0) {
    state.SkipWithError("a timed pass allocated memory");
  }
}

void check(bool right, const char* what) {
  if (!right) {
    throw std::runtime_error(what);
  }
}

// Segments of all these connections, prepared piece by piece: what has just come is in the cache, connections are not.
void receive_timed(Timer& timer, TcpStand& stand, std::span<const std::uint32_t> numbers, auto&& segment) {
  for (std::size_t at = 0; at < numbers.size(); at += piece) {
    auto segments = stand.arrivals(numbers.subspan(at, std::min(piece, numbers.size() - at)), segment);
    timer.add(0, segments.size(), [&] { stand.receive(segments); });
  }
}

void acknowledgment(benchmark::State& state, std::size_t connections) {
  TcpStand stand(PeerRole::client, connections);
  run_passes(state, [&](Timer& timer) {
    const auto drawn = stand.draw(most_a_pass);
    for (const std::uint32_t n : drawn) {
      stand.send(n, stand.buffer().slice(payload));
    }
    check(stand.settle() == drawn.size(), "not every slice was sent");
    stand.advance(1ms);
    receive_timed(timer, stand, drawn, [&](std::uint32_t n) { return stand.peer().acknowledgment(n, stand.now_ms()); });
    check(stand.memory().used() == 0 && stand.buffer().references() == 0, "not everything was acknowledged");
    stand.run_timers();
    stand.settle();
  });
}

void data(benchmark::State& state, std::size_t connections) {
  TcpStand stand(PeerRole::client, connections);
  const auto segment = [&](std::uint32_t n) {
    return stand.peer().data(n, stand.buffer().slice(payload), stand.now_ms());
  };
  // Every second segment is acknowledged: so that a pass does it for half of its own.
  auto half = stand.draw(connections / 2);
  auto before = stand.arrivals(half, segment);
  stand.receive(before);
  stand.settle();
  run_passes(state, [&](Timer& timer) {
    const auto drawn = stand.draw(most_a_pass);
    stand.advance(10us);
    const std::uint64_t had = stand.delivered();
    receive_timed(timer, stand, drawn, segment);
    check(stand.delivered() - had == drawn.size() * payload, "not everything was delivered");
    stand.settle();
  });
}

// Closes and opens again, a thousand at a time, beside those that stay open.
void accept_to_close(benchmark::State& state, std::size_t connections) {
  TcpStand stand(PeerRole::client, connections);
  stand.set_closing(true);
  run_passes(state, [&](Timer& timer) {
    const auto all = stand.draw(most_a_pass);
    for (std::size_t at = 0; at < all.size(); at += piece) {
      const auto drawn = std::span(all).subspan(at, std::min(piece, all.size() - at));
      const auto arrive = [&](std::size_t phase, auto&& segment) {
        auto segments = stand.arrivals(drawn, segment);
        timer.add(phase, drawn.size(), [&] { stand.receive(segments); });
        stand.settle();
      };
      arrive(1, [&](std::uint32_t n) { return stand.peer().fin(n, stand.now_ms()); });
      stand.advance(1ms);
      arrive(2, [&](std::uint32_t n) { return stand.peer().acknowledgment(n, stand.now_ms()); });
      check(stand.stack().connections() == connections - drawn.size(), "a connection was not closed");
      timer.add(0, drawn.size(), [&] { stand.run_timers(); });
      arrive(3, [&](std::uint32_t n) { return stand.peer().syn(n, stand.now_ms()); });
      stand.advance(1ms);
      arrive(4, [&](std::uint32_t n) { return stand.peer().acknowledgment(n, stand.now_ms()); });
      check(stand.stack().connections() == connections, "a connection was not opened");
    }
  });
}

void connect_to_close(benchmark::State& state, std::size_t connections) {
  // A closed connection's endpoints wait in TIME_WAIT: the next one has others.
  TcpStand stand(PeerRole::server, connections, connections);
  std::vector<bool> second(connections);
  run_passes(state, [&](Timer& timer) {
    const auto all = stand.draw(most_a_pass);
    for (std::size_t at = 0; at < all.size(); at += piece) {
      const auto places = std::span(all).subspan(at, std::min(piece, all.size() - at));
      std::vector<std::uint32_t> drawn;
      const auto name = [&] {
        drawn.clear();
        for (const std::uint32_t place : places) {
          drawn.push_back(static_cast<std::uint32_t>(place + (second[place] ? connections : 0)));
        }
      };
      name();
      const auto arrive = [&](std::size_t phase, auto&& segment) {
        auto segments = stand.arrivals(drawn, segment);
        timer.add(phase, drawn.size(), [&] { stand.receive(segments); });
        stand.settle();
      };
      timer.add(0, drawn.size(), [&] { std::ranges::for_each(drawn, [&](std::uint32_t n) { stand.close(n); }); });
      stand.settle();
      stand.advance(1ms);
      arrive(1, [&](std::uint32_t n) { return stand.peer().fin(n, stand.now_ms()); });
      check(stand.stack().connections() == connections - drawn.size(), "a connection was not closed");
      timer.add(2, drawn.size(), [&] { stand.run_timers(); });
      for (const std::uint32_t place : places) {
        second[place] = !second[place];
      }
      name();
      timer.add(3, drawn.size(), [&] { std::ranges::for_each(drawn, [&](std::uint32_t n) { stand.connect(n); }); });
      stand.settle();
      stand.advance(1ms);
      arrive(4, [&](std::uint32_t n) { return stand.peer().syn_ack(n, stand.now_ms()); });
      check(stand.stack().connections() == connections, "a connection was not opened");
    }
  });
}

// From packet to packet.
void host_acknowledgment(benchmark::State& state, std::size_t connections) {
  TcpHostStand stand(connections);
  run_passes(state, [&](Timer& timer) {
    const auto drawn = stand.draw(host_piece * 16);
    for (std::size_t at = 0; at < drawn.size(); at += host_piece) {
      const auto part = std::span(drawn).subspan(at, std::min(host_piece, drawn.size() - at));
      std::ranges::for_each(part, [&](std::uint32_t n) { stand.send(n, payload); });
      stand.settle();
      stand.advance(1'000'000);
      std::vector<rte_mbuf*> packets;
      for (const std::uint32_t n : part) {
        packets.push_back(stand.packet(n, stand.peer().acknowledgment(n, stand.now_ms()), 0));
      }
      timer.add(0, part.size(), [&] { stand.receive(packets); });
      check(stand.nodes() == 0, "not everything was acknowledged");
      stand.settle();
    }
  });
  check(stand.copied() == 0, "payload was copied");
}

void host_data(benchmark::State& state, std::size_t connections) {
  TcpHostStand stand(connections);
  const auto pass = [&](auto&& receive) {
    const auto drawn = stand.draw(host_piece * 16);
    for (std::size_t at = 0; at < drawn.size(); at += host_piece) {
      const auto part = std::span(drawn).subspan(at, std::min(host_piece, drawn.size() - at));
      stand.advance(10'000);
      std::vector<rte_mbuf*> packets;
      for (const std::uint32_t n : part) {
        packets.push_back(stand.packet(n, stand.peer().data(n, {nullptr, 0, payload}, stand.now_ms()), payload));
      }
      const std::uint64_t had = stand.delivered();
      receive(std::span(packets));
      check(stand.delivered() - had == part.size() * payload, "not everything was delivered");
      stand.settle();
    }
  };
  run_passes(state, [&](Timer& timer) {
    pass([&](std::span<rte_mbuf*> packets) { timer.add(0, packets.size(), [&] { stand.receive(packets); }); });
  });
  check(stand.copied() == 0, "payload was copied");
}

// A SYN by a forged source, answered from a slot of the table or by a cookie.
void syn(benchmark::State& state, bool cookies) {
  TcpStand stand(PeerRole::client, 1'000, 500'000);
  std::uint32_t next = 1'000;
  run_passes(state, [&](Timer& timer) {
    std::vector<std::uint32_t> numbers(piece);
    for (std::size_t round = 0; round < (cookies ? most_pieces : 16); ++round) {
      for (std::uint32_t& n : numbers) {
        n = next;
        next = next + 1 == stand.peer().count() ? 1'000 : next + 1;
      }
      auto syns = stand.arrivals(numbers, [&](std::uint32_t n) { return stand.peer().syn(n, stand.now_ms()); });
      timer.add(0, syns.size(), [&] { stand.receive(syns); });
      stand.settle();
      if (!cookies) {
        for (int turn = 0; turn < 128; ++turn) {  // a SYN's slot is forgotten after 63 s
          stand.run_timers();
          stand.advance(1s);
        }
        stand.settle();
      }
    }
  });
  check((stand.stack().counters().cookies_sent != 0) == cookies, "the regime was another one");
}

// A million idle connections, and ten thousand of them that speak at once.
void idle(benchmark::State& state, std::size_t connections) {
  worker::LargePages pages;
  TcpEcho echo(connections, &pages);
  check(echo.stack().connections() == connections, "a connection could not be opened");
  check(echo.nodes() == 0 && echo.buffers_held() == 0, "idle connections hold something");
  const auto speakers = Shuffled(connections).draw(TcpEcho::most_at_once);
  for (auto step : state) {
    static_cast<void>(step);
    const std::size_t exact = echo.exchange(speakers);
    check(exact == TcpEcho::most_at_once, "a connection has not got back what it said");
    state.SetIterationTime(1e-9);
  }
  check(echo.nodes() == 0 && echo.buffers_held() == 0, "something is held after the exchange");
  state.counters["flow_bytes"] = echo.bytes_a_connection();
}

void add_cases() {
  for (const std::size_t connections : {1'000UL, 1'000'000UL}) {
    const std::string suffix = "/stack/" + std::to_string(connections);
    const std::int64_t passes = connections == 1'000 ? 501 : 5;
    const auto bound = [connections](auto&& body) {
      return [body, connections](benchmark::State& state) { body(state, connections); };
    };
    const std::string host_suffix = "/host/" + std::to_string(connections);
    add_case("tcp_ack" + host_suffix, connections == 1'000 ? 501 : 21, bound(host_acknowledgment));
    add_case("tcp_data" + host_suffix, connections == 1'000 ? 501 : 21, bound(host_data));
    add_case("tcp_ack" + suffix, passes, bound(acknowledgment));
    add_case("tcp_data" + suffix, passes, bound(data));
    add_case("tcp_accept" + suffix, connections == 1'000 ? 301 : 3, bound(accept_to_close));
    add_case("tcp_connect" + suffix, connections == 1'000 ? 301 : 3, bound(connect_to_close));
  }
  add_case("tcp_syn/table", 1, [](benchmark::State& state) { syn(state, false); });
  add_case("tcp_syn/cookie", 5, [](benchmark::State& state) { syn(state, true); });
  add_case("tcp_idle/stack/1000000", 1, [](benchmark::State& state) { idle(state, 1'000'000); });
}

nic::Eal prepare() {
  nic::EalSettings settings;
  settings.memory_mib = memory_mib;
  auto eal = nic::Eal::start(settings);
  if (!eal) {
    throw std::runtime_error(eal.error().message);
  }
  add_cases();
  return std::move(*eal);
}

}  // namespace
}  // namespace steelyard::bench

int main(int count, char** arguments) {
  return steelyard::bench::run_benchmarks("tcp_benchmark", count, arguments, steelyard::bench::prepare);
}
