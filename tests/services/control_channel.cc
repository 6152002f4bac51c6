#include "tests/services/control_channel.h"

#include <unistd.h>

#include <array>
#include <deque>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include "tests/services/call_json.h"

namespace steelyard::test {
namespace {

namespace asio = boost::asio;
using Socket = asio::local::stream_protocol::socket;

constexpr std::size_t longest_line = std::size_t{32} << 20U;
constexpr std::chrono::microseconds poll_interval{200};

}  // namespace

class ControlChannel::Client : public std::enable_shared_from_this<Client> {
 public:
  Client(ControlChannel& channel, Socket socket, std::uint64_t number)
      : channel_(channel), socket_(std::move(socket)), input_(longest_line), number_(number) {}

  void read() {
    asio::async_read_until(socket_, input_, '\n',
                           [self = shared_from_this()](boost::system::error_code error, std::size_t length) {
                             if (error) {
                               self->channel_.gone(self->number_);
                               return;
                             }
                             self->take(length);
                             self->read();
                           });
  }

  void write(std::string line) {
    line += '\n';
    output_.push_back(std::move(line));
    if (output_.size() == 1) {
      flush();
    }
  }

 private:
  void take(std::size_t length) {
    const std::string line(asio::buffers_begin(input_.data()),
                           asio::buffers_begin(input_.data()) + static_cast<std::ptrdiff_t>(length - 1));
    input_.consume(length);
    boost::json::value id;
    auto call = read_call(line, id);
    if (!call) {
      return write(write_refusal(call.error(), id));
    }
    (*call)->client = number_;
    channel_.submit(std::move(*call), weak_from_this(), std::move(id));
  }

  void flush() {
    asio::async_write(socket_, asio::buffer(output_.front()),
                      [self = shared_from_this()](boost::system::error_code error, std::size_t) {
                        if (error) {
                          return;
                        }
                        self->output_.pop_front();
                        if (!self->output_.empty()) {
                          self->flush();
                        }
                      });
  }

  ControlChannel& channel_;
  Socket socket_;
  asio::streambuf input_;
  std::deque<std::string> output_;
  std::uint64_t number_;
};

ControlChannel::ControlChannel(asio::io_context& context, const std::string& path, CallRing& calls, CallRing& answers)
    : acceptor_(context), timer_(context), path_(path), calls_(calls), answers_(answers) {
  ::unlink(path.c_str());
  const asio::local::stream_protocol::endpoint endpoint(path);
  acceptor_.open(endpoint.protocol());
  acceptor_.bind(endpoint);
  acceptor_.listen();
  accept();
}

ControlChannel::~ControlChannel() {
  ::unlink(path_.c_str());
}

void ControlChannel::accept() {
  acceptor_.async_accept([this](boost::system::error_code error, Socket socket) {
    if (error) {
      return;
    }
    std::make_shared<Client>(*this, std::move(socket), ++clients_)->read();
    accept();
  });
}

void ControlChannel::submit(std::unique_ptr<Call> call, std::weak_ptr<Client> client, boost::json::value id) {
  Call* raw = call.get();
  if (!calls_.push(raw)) {
    if (const auto there = client.lock()) {
      there->write(write_refusal("too many calls are under way", id));
    }
    return;
  }
  pending_.emplace(raw, Pending{std::move(call), std::move(client), std::move(id)});
  if (pending_.size() == 1) {
    poll();
  }
}

// The worker makes no system call to wake anybody: so who waits for it looks.
void ControlChannel::poll() {
  std::array<Call*, 64> done;
  const unsigned count = answers_.pop(done);
  for (unsigned place = 0; place < count; ++place) {
    const auto found = pending_.find(done[place]);
    Pending pending = std::move(found->second);
    pending_.erase(found);
    if (const auto client = pending.client.lock()) {
      client->write(write_answer(*pending.call, pending.id));
    }
  }
  if (pending_.empty()) {
    return;
  }
  timer_.expires_after(poll_interval);
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error) {
      poll();
    }
  });
}

void ControlChannel::gone(std::uint64_t client) {
  auto cancel = std::make_unique<Call>();
  cancel->operation = Operation::cancel;
  cancel->client = client;
  submit(std::move(cancel), {}, {});
}

}  // namespace steelyard::test
