// The Unix socket of the control channel: takes calls, a JSON line each, from any number of clients, passes them to the
// worker and writes the answers back, each as soon as it is there. One thread (Asio), not the worker's.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/value.hpp>

#include "tests/services/call.h"

namespace steelyard::test {

class ControlChannel {
 public:
  // Throws boost::system::system_error. The rings outlive the channel.
  ControlChannel(boost::asio::io_context& context, const std::string& path, CallRing& calls, CallRing& answers);
  ~ControlChannel();
  ControlChannel(const ControlChannel&) = delete;
  ControlChannel& operator=(const ControlChannel&) = delete;

 private:
  class Client;
  struct Pending {
    std::unique_ptr<Call> call;
    std::weak_ptr<Client> client;
    boost::json::value id;
  };

  void accept();
  void poll();
  void submit(std::unique_ptr<Call> call, std::weak_ptr<Client> client, boost::json::value id);
  void gone(std::uint64_t client);

  boost::asio::local::stream_protocol::acceptor acceptor_;
  boost::asio::steady_timer timer_;
  std::string path_;
  CallRing& calls_;
  CallRing& answers_;
  std::uint64_t clients_ = 0;
  std::unordered_map<const Call*, Pending> pending_;
};

}  // namespace steelyard::test
