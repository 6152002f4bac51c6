#include "control/admin/admin_server.h"

#include <sys/socket.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/json/serializer.hpp>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>

#include "control/admin/admin_socket.h"
#include "control/admin/request_line.h"

namespace steelyard::control {
namespace {

namespace asio = boost::asio;
using Protocol = asio::local::stream_protocol;
using boost::system::error_code;

// One read, and one piece of a serialised answer (about 0.1 ms of work).
constexpr std::size_t read_bytes = 4'096;
constexpr std::size_t write_bytes = 65'536;
// When accept() fails, mostly for want of descriptors.
constexpr std::chrono::milliseconds accept_pause{100};

}  // namespace

// What connections share. They keep it alive; `stopped` tells them that the server is gone.
struct AdminServer::Core : std::enable_shared_from_this<Core> {
  Core(asio::io_context& io, std::string path, Handler to_handle, AdminLimits some_limits)
      : file(std::move(path)), acceptor(io), pause(io), handler(std::move(to_handle)), limits(some_limits) {
    acceptor.assign(Protocol(), file->release());
  }

  void accept();
  void admit(Protocol::socket socket);
  void stop();

  std::optional<AdminSocket> file;
  Protocol::acceptor acceptor;
  asio::steady_timer pause;
  Handler handler;
  AdminLimits limits;
  std::set<std::shared_ptr<Connection>> connections;
  bool stopped = false;
};

// Reads a line, waits for its reply, writes it, and so on: while an answer is under way nothing more is read, so that
// a client which does not take its answers fills its own socket buffer and nothing else.
class AdminServer::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Core> core, Protocol::socket socket)
      : core_(std::move(core)),
        socket_(std::move(socket)),
        deadline_(socket_.get_executor()),
        lines_(core_->limits.request_bytes) {}

  void next_request() {
    close_after(core_->limits.idle);
    take_line();
  }

  // The first reply to the request at hand counts; all others are late or double.
  void reply(std::uint64_t number, boost::json::value value, std::unique_ptr<AdminStream> stream = nullptr) {
    if (number != awaited_ || !socket_.is_open()) {
      return;
    }
    awaited_ = 0;
    stream_ = std::move(stream);
    if (stream_) {
      hear_the_end();
    }
    answer(std::move(value));
  }

  void close() {
    stream_.reset();
    ++round_;
    error_code ignored;
    deadline_.cancel(ignored);
    socket_.close(ignored);
    core_->connections.erase(weak_from_this().lock());
  }

 private:
  // Runs `action` after `limit`, unless another deadline is set before.
  template <typename Action>
  void set_deadline(std::chrono::milliseconds limit, Action action) {
    deadline_.expires_after(limit);
    deadline_.async_wait([self = shared_from_this(), round = ++round_, action](error_code) {
      if (round == self->round_) {
        action(*self);
      }
    });
  }
  void close_after(std::chrono::milliseconds limit) {
    set_deadline(limit, [](Connection& self) { self.close(); });
  }

  void take_line() {
    auto line = lines_.next();
    if (!line) {
      closing_ = true;
      answer(refusal("the request is longer than " + std::to_string(core_->limits.request_bytes) + " bytes"));
    } else if (*line) {
      handle(**line);
    } else {
      read();
    }
  }

  void read() {
    socket_.async_read_some(asio::buffer(input_),
                            [self = shared_from_this()](const error_code& error, std::size_t length) {
                              if (!self->socket_.is_open()) {
                                return;
                              }
                              if (error) {
                                self->close();
                                return;
                              }
                              self->lines_.append({self->input_.data(), length});
                              self->take_line();
                            });
  }

  void handle(const std::string& line) {
    auto request = parse_request(line);
    if (!request) {
      answer(refusal(request.error()));
      return;
    }
    awaited_ = ++requests_;
    set_deadline(core_->limits.answer, [](Connection& self) {
      self.closing_ = true;
      self.reply(self.requests_, refusal("no answer in time; `steelyard status` and the log may say what is stuck"));
    });
    try {
      core_->handler(std::move(*request), Reply(weak_from_this(), requests_));
    } catch (const std::exception& error) {
      reply(requests_, refusal(std::string("internal error: ") + error.what()));
    }
  }

  void answer(boost::json::value value) {
    answer_ = std::move(value);
    serializer_.reset(&answer_);
    write_piece();
  }

  void write_piece() {
    close_after(core_->limits.idle);
    const auto piece = serializer_.read(output_->data(), write_bytes);
    std::size_t length = piece.size();
    if (serializer_.done()) {
      (*output_)[length++] = '\n';
    }
    asio::async_write(socket_, asio::buffer(*output_, length),
                      [self = shared_from_this()](const error_code& error, std::size_t) {
                        if (!self->socket_.is_open()) {
                          return;
                        }
                        if (error || (self->serializer_.done() && self->closing_)) {
                          self->close();
                        } else if (self->serializer_.done()) {
                          self->answer_ = nullptr;
                          self->stream_ ? self->next_line() : self->next_request();
                        } else {
                          self->write_piece();
                        }
                      });
  }

  void next_line() {
    if (auto line = stream_->next()) {
      answer(std::move(*line));
    } else if (stream_->ended()) {
      close();
    } else {
      set_deadline(core_->limits.stream_pause, [](Connection& self) { self.next_line(); });
    }
  }

  // During a stream nothing is asked: whatever comes, or the end of the client's side, is its end.
  void hear_the_end() {
    socket_.async_read_some(asio::buffer(input_), [self = shared_from_this()](const error_code& error, std::size_t) {
      if (!self->socket_.is_open() || !self->stream_) {
        return;
      }
      if (error && error != asio::error::eof) {
        self->close();
      } else {
        self->stream_->stop();
      }
    });
  }

  using Output = std::array<char, write_bytes + 1>;  // and a newline

  std::shared_ptr<Core> core_;
  Protocol::socket socket_;
  asio::steady_timer deadline_;
  std::uint64_t round_ = 0;  // of the deadline: one that has fired already may still be queued
  LineReader lines_;
  std::array<char, read_bytes> input_{};
  std::unique_ptr<Output> output_ = std::make_unique<Output>();
  std::unique_ptr<AdminStream> stream_;
  boost::json::value answer_;
  boost::json::serializer serializer_;
  std::uint64_t requests_ = 0;
  std::uint64_t awaited_ = 0;  // number of the request that waits for its reply; 0: none does
  bool closing_ = false;       // after this answer
};

void AdminServer::Reply::operator()(boost::json::value answer) const {
  if (const auto connection = connection_.lock()) {
    connection->reply(number_, std::move(answer));
  }
}

void AdminServer::Reply::stream(boost::json::value answer, std::unique_ptr<AdminStream> lines) const {
  if (const auto connection = connection_.lock()) {
    connection->reply(number_, std::move(answer), std::move(lines));
  }
}

void AdminServer::Core::accept() {
  acceptor.async_accept([self = shared_from_this()](const error_code& error, Protocol::socket socket) {
    if (self->stopped) {
      return;
    }
    if (!error) {
      self->admit(std::move(socket));
      self->accept();
      return;
    }
    self->pause.expires_after(accept_pause);
    self->pause.async_wait([self](const error_code&) {
      if (!self->stopped) {
        self->accept();
      }
    });
  });
}

void AdminServer::Core::admit(Protocol::socket socket) {
  if (connections.size() < limits.connections) {
    const auto connection = std::make_shared<Connection>(shared_from_this(), std::move(socket));
    connections.insert(connection);
    connection->next_request();
    return;
  }
  // A new socket's buffer has room for this; if not, the client sees the end of the connection.
  static constexpr std::string_view busy = R"({"ok":false,"error":"too many connections to the admin socket"})"
                                           "\n";
  [[maybe_unused]] const ssize_t sent =
      ::send(socket.native_handle(), busy.data(), busy.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void AdminServer::Core::stop() {
  stopped = true;
  error_code ignored;
  acceptor.close(ignored);
  pause.cancel(ignored);
  while (!connections.empty()) {
    (*connections.begin())->close();
  }
  file.reset();
}

AdminServer::AdminServer(asio::io_context& io, std::string path, Handler handler, AdminLimits limits)
    : core_(std::make_shared<Core>(io, std::move(path), std::move(handler), limits)) {
  core_->accept();
}

AdminServer::~AdminServer() {
  core_->stop();
}

std::size_t AdminServer::connections() const {
  return core_->connections.size();
}

}  // namespace steelyard::control
