// A socket call on its way from the control channel to the worker and back, and the rings that carry it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "dataplane/service/address.h"
#include "dataplane/tcp/time.h"
#include "dataplane/worker/ring.h"

namespace steelyard::test {

enum class Operation : std::uint8_t {
  listen,
  accept,
  connect,
  read,
  write,
  shutdown,
  close,
  abort,
  set_option,
  get_option,
  info,
  wait,
  counters,
  cancel,  // of a client of the channel that is gone: all of its sockets and waiting calls
};

enum class Direction : std::uint8_t { read, write, both };
enum class Condition : std::uint8_t { connected, readable, writable, closed };

// What a call asks. Made by the channel, kept until its answer is sent.
struct Call {
  using Options = std::map<std::string, std::int64_t>;

  std::uint64_t client = 0;  // of the channel: whose sockets they are
  Operation operation = Operation::info;
  std::uint32_t socket = 0;
  std::optional<service::Address> address;  // listen: local; connect: remote
  std::uint16_t port = 0;
  std::optional<service::Address> local_address;
  std::uint16_t local_port = 0;  // 0: drawn
  std::uint32_t count = 0;       // of read
  bool blocking = true;
  bool exactly = false;  // read: wait for all of it
  std::string data;      // of write
  Direction direction = Direction::both;
  Condition condition = Condition::readable;
  Options options;
  std::optional<tcp::Duration> timeout;

  // Of the worker alone.
  std::optional<tcp::Time> deadline;
  std::size_t written = 0;

  // The answer.
  std::string error;                            // empty: it went well
  std::map<std::string, std::int64_t> numbers;  // fields of the answer
  std::map<std::string, std::string> texts;
  std::string received;  // of read
  bool has_received = false;

  void fail(std::string why) { error = std::move(why); }
};

using CallRing = worker::SpscRing<Call>;

}  // namespace steelyard::test
