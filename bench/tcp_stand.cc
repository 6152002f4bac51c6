#include "bench/tcp_stand.h"

namespace steelyard::bench {
namespace {

constexpr std::size_t nodes = 1U << 19U;
constexpr std::size_t half_open = 8'192;
constexpr std::size_t time_wait = 65'536;
constexpr std::size_t opened_at_once = 1'024;
constexpr tcp::StackSecrets secrets{
    .lookup = {{0x243f6a8885a308d3U, 0x13198a2e03707344U, 0xa4093822299f31d0U, 0x082efa98ec4e6c89U}},
    .numbers = {{0x452821e638d01377U, 0xbe5466cf34e90c6cU}},
    .cookies = {{0xc0ac29b7c97c50ddU, 0x3f84d5b5b5470917U}}};

}  // namespace

TcpStand::TcpStand(PeerRole role, std::size_t connections, std::size_t spare)
    : peer_(role, connections + spare),
      memory_(nodes, CountedBuffer::operations(), &pages_),
      stack_({.connections = connections + 1,  // a SYN is answered while there is room for another one
              .half_open = half_open,
              .time_wait = time_wait,
              .answers_per_second = 0xffffffffU},
             secrets, memory_, *this, now_, &pages_),
      ids_(connections + spare),
      order_(connections),
      role_(role) {
  sent_.reserve(log_size);
  accepted_.reserve(log_size);
  finished_.reserve(log_size);
  delivered_.reserve(log_size);
  stack_.listen({}, TcpPeer::service_port, settings_);
  for (std::size_t at = 0; at < connections; at += opened_at_once) {
    open(std::span(order_.all()).subspan(at, std::min(opened_at_once, connections - at)));
  }
  if (stack_.connections() != connections) {
    throw std::runtime_error("a connection could not be opened");
  }
}

void TcpStand::open(std::span<const std::uint32_t> numbers) {
  if (role_ == PeerRole::client) {
    auto syns = arrivals(numbers, [&](std::uint32_t n) { return peer_.syn(n, now_ms()); });
    receive(syns);
    settle();
    auto rest = arrivals(numbers, [&](std::uint32_t n) { return peer_.acknowledgment(n, now_ms()); });
    receive(rest);
  } else {
    std::ranges::for_each(numbers, [&](std::uint32_t n) { connect(n); });
    settle();
    auto answers = arrivals(numbers, [&](std::uint32_t n) { return peer_.syn_ack(n, now_ms()); });
    receive(answers);
  }
  settle();
}

std::size_t TcpStand::settle() {
  const std::size_t count = sent_.size();
  for (const TcpPeer::Heard& segment : sent_) {
    peer_.heard(segment);
  }
  sent_.clear();
  for (const tcp::ConnectionId id : accepted_) {
    if (const tcp::Endpoints* endpoints = stack_.endpoints_of(id); endpoints != nullptr) {
      ids_[peer_.number_of(*endpoints)] = id;
    }
  }
  accepted_.clear();
  return count;
}

void TcpStand::act() {
  for (const Delivered& delivered : delivered_) {
    delivered_octets_ += delivered.slice.length;
    memory_.release(delivered.slice);
    stack_.consume(delivered.id, delivered.slice.length, now_);
  }
  delivered_.clear();
  for (const tcp::ConnectionId id : finished_) {
    if (closing_) {
      stack_.close(id, now_);
    }
  }
  finished_.clear();
}

}  // namespace steelyard::bench
