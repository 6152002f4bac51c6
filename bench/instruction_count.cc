// Fixed workloads, of layer 4 and of layer 7, whose instructions callgrind counts (callgrind.sh): a number that is the
// same on every machine with the same compiler, so that a change of the packet path shows before anybody measures time.
// Each workload's counts are dumped under its name; without valgrind the program only says that everything was
// forwarded.
#include <valgrind/callgrind.h>

#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include "bench/http_path_stand.h"
#include "bench/l4_stand.h"
#include "dataplane/schedule/scheduler.h"

namespace steelyard::bench {
namespace {

// Also in callgrind.sh, which divides by it.
constexpr std::size_t packets_a_workload = 3'200;
constexpr std::size_t flows = 1'000;
constexpr std::uint32_t memory_mib = 128;
constexpr std::uint32_t layer7_memory_mib = 320;
constexpr std::size_t picked_servers = 100;

// Only what the body does is counted.
template <class Body>
void counted(const std::string& name, Body&& body) {
  CALLGRIND_START_INSTRUMENTATION;
  CALLGRIND_ZERO_STATS;
  body();
  CALLGRIND_DUMP_STATS_AT(name.c_str());
  CALLGRIND_STOP_INSTRUMENTATION;
}

template <class Family>
void require_forwarded(const Stand<Family>& stand, std::uint64_t before, const std::string& name) {
  if (stand.forwarded() - before != packets_a_workload) {
    throw std::runtime_error(name + ": not every packet was forwarded");
  }
}

template <class Family>
void established(Machine& machine, service::Mode mode, const std::string& name) {
  Stand<Family> stand(machine, {mode, flows, 0, service::Scheduler::wrr});
  auto packets = machine.shuffled_packets(packets_a_workload);
  const auto write = [&] {
    for (std::size_t place = 0; place < packets.size(); ++place) {
      stand.write_established(packets[place], place * 7 % flows,
                              static_cast<l4::Side>(static_cast<std::uint32_t>(place * 0x9e3779b1U) >> 31U));
    }
  };
  write();
  stand.forward(packets);  // flows learn their hops
  write();
  const std::uint64_t before = stand.forwarded();
  counted("established_" + name, [&] { stand.forward(packets); });
  require_forwarded(stand, before, name);
}

template <class Family>
void opening(Machine& machine, service::Mode mode, const std::string& name) {
  Stand<Family> stand(machine, {mode, flows, packets_a_workload, service::Scheduler::wrr});
  auto packets = machine.shuffled_packets(packets_a_workload);
  for (std::size_t place = 0; place < packets.size(); ++place) {
    stand.write_syn(packets[place], flows + place);
  }
  const std::uint64_t before = stand.forwarded();
  counted("new_flow_" + name, [&] { stand.forward(packets); });
  require_forwarded(stand, before, name);
}

void picks(service::Scheduler kind, const std::string& name) {
  constexpr std::uint64_t now_ns = 1'000'000'000;
  service::Listener listener;
  listener.scheduler = kind;
  listener.state = std::make_shared<service::ListenerState>(picked_servers);
  std::vector<service::Gauge> active(picked_servers);
  for (std::uint32_t number = 0; number < picked_servers; ++number) {
    service::Server server;
    server.weight = static_cast<std::uint8_t>(1 + number * 37 % 100);
    server.id = {number};
    listener.servers.push_back(server);
  }
  listener.scratch.emplace_back(std::make_unique<std::uint32_t[]>(schedule::scratch_words(kind, picked_servers)));
  const schedule::LoadView load{active, {}, 0};
  schedule::Scheduler scheduler;
  scheduler.rebuild(listener, {}, load, now_ns);
  counted("pick_" + name, [&] {
    for (std::size_t count = 0; count < packets_a_workload; ++count) {
      const std::size_t place = scheduler.pick(listener, load).value_or(0);
      active[place].add();
      scheduler.load_changed(listener, listener.servers[place].id, load);
    }
  });
}

// Requests in all; a stand's peers are not counted. Not in callgrind.sh's comparison: the worker's clock goes on while
// valgrind is slow, so that delayed acknowledgments and looks at idle connections are counted as they happen to be due.
template <class Pass>
void layer7(const std::string& name, Pass&& pass) {
  // Few at once: the worker's clock goes on under valgrind, and nobody's acknowledgments are to be late.
  constexpr std::size_t at_once = 32;
  static_assert(packets_a_workload % at_once == 0);
  pass(at_once);
  counted(name, [&] {
    CALLGRIND_TOGGLE_COLLECT;
    for (std::size_t done = 0; done < packets_a_workload; done += at_once) {
      pass(at_once);
    }
    CALLGRIND_TOGGLE_COLLECT;
  });
}

void requests(Machine& machine) {
  const std::string head = " /index.html HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: generator/1.0\r\n";
  const std::string asked = "GET" + head + "Accept: */*\r\n\r\n";
  const std::string asked_once = "GET" + head + "Connection: close\r\n\r\n";
  const std::string answer =
      "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Fri, 27 Nov 2026 10:00:00 GMT\r\n"
      "Content-Type: text/html\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n\r\n" +
      std::string(1'024, 'x');
  HttpPathStand stand(machine, flows, asked, answer);
  layer7("http_request", [&](std::size_t count) { stand.request(stand.draw(count), false); });
  layer7("http_connection", [&](std::size_t count) { stand.visit(count, asked_once); });
}

void run_layer7() {
  Machine machine(nic::Hugepages::off, layer7_memory_mib, 64);
  requests(machine);
}

void run() {
  Machine machine(nic::Hugepages::off, memory_mib, packets_a_workload);
  const std::array modes{std::pair{service::Mode::nat, "nat"}, std::pair{service::Mode::fullnat, "fullnat"},
                         std::pair{service::Mode::dr, "dr"}, std::pair{service::Mode::tunnel, "tunnel"}};
  for (const auto& [mode, word] : modes) {
    const std::string name = word;
    established<packet::Ipv4>(machine, mode, name + "_ipv4");
    established<packet::Ipv6>(machine, mode, name + "_ipv6");
    opening<packet::Ipv4>(machine, mode, name + "_ipv4");
    opening<packet::Ipv6>(machine, mode, name + "_ipv6");
  }
  picks(service::Scheduler::wrr, "wrr_100");
  picks(service::Scheduler::rr, "rr_100");
  picks(service::Scheduler::wlc, "wlc_100");
}

}  // namespace
}  // namespace steelyard::bench

// --layer7: requests, for callgrind_annotate.
int main(int count, char** arguments) {
  try {
    const bool layer7 = count == 2 && std::string_view(arguments[1]) == "--layer7";
    layer7 ? steelyard::bench::run_layer7() : steelyard::bench::run();
    return 0;
  } catch (const std::exception& failed) {
    std::fprintf(stderr, "instruction_count: %s\n", failed.what());
    return 1;
  }
}
