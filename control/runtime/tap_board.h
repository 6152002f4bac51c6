// The taps of the moment (worker/tap.h): who watches what. Publishes them to the workers. Control thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "dataplane/worker/tap.h"

namespace steelyard::control {

class TapBoard {
 public:
  // `publish`: gives the workers a new set; null: nobody watches.
  using Publish = std::function<void(std::shared_ptr<const worker::Taps>)>;
  TapBoard(std::size_t workers, Publish publish) : workers_(workers), publish_(std::move(publish)) {}

  // Or a sentence for the administrator when too many watch already.
  [[nodiscard]] tl::expected<std::shared_ptr<worker::Tap>, std::string> add(const worker::TapFilter& filter,
                                                                            std::uint32_t snaplen,
                                                                            std::size_t ring_bytes);
  void remove(const std::shared_ptr<worker::Tap>& tap);

 private:
  void publish() const;

  std::size_t workers_;
  Publish publish_;
  std::vector<std::shared_ptr<worker::Tap>> taps_;
};

// A tap as long as somebody watches, and the end of that: when its time is over, when it has told enough, or when the
// client wants no more. Control thread; the board must outlive it.
class Watch {
 public:
  Watch(TapBoard& board, std::shared_ptr<worker::Tap> tap) : board_(board), tap_(std::move(tap)) {}
  ~Watch() { end(); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // Takes the tap from the workers; what is in its rings stays there.
  void end();
  [[nodiscard]] bool over() const { return over_; }
  // The oldest record of all workers, by the time that each begins with; empty when there is none. Valid until pop().
  [[nodiscard]] std::span<const std::byte> front();
  void pop() { front_of_->pop(); }
  // Records that did not fit into the rings.
  [[nodiscard]] std::uint64_t lost() const;

 private:
  TapBoard& board_;
  std::shared_ptr<worker::Tap> tap_;
  worker::RecordRing* front_of_ = nullptr;
  bool over_ = false;
};

}  // namespace steelyard::control
