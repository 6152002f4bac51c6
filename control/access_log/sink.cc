#include "control/access_log/sink.h"

#include <algorithm>

namespace steelyard::control::access_log {

void Sink::add(std::string_view line) {
  if (buffer_.size() - sent_ + line.size() > most_buffered_) {
    ++lost_;
    return;
  }
  buffer_.append(line);
}

void Sink::flush() {
  while (!empty() && hand_on()) {
  }
  if (empty()) {
    buffer_.clear();
    sent_ = 0;
  } else if (sent_ > most_buffered_ / 2) {
    buffer_.erase(0, sent_);
    sent_ = 0;
  }
}

bool Sink::hand_on() {
  const auto taken = outlet_->take(torn_ ? std::string_view("\n") : std::string_view(buffer_).substr(sent_));
  if (!taken) {
    error_ = taken.error();
    discard();
    return false;
  }
  if (taken->octets == 0) {
    return false;
  }
  if (torn_) {
    torn_ = in_line_ = false;
    return true;
  }
  sent_ += taken->octets;
  lost_ += taken->lost;
  in_line_ = buffer_[sent_ - 1] != '\n';
  return true;
}

void Sink::discard() {
  lost_ +=
      static_cast<std::uint64_t>(std::count(buffer_.begin() + static_cast<std::ptrdiff_t>(sent_), buffer_.end(), '\n'));
  torn_ = in_line_;
  sent_ = buffer_.size();
}

void Sink::lose_rest_of_line() {
  sent_ = std::min(buffer_.find('\n', sent_), buffer_.size() - 1) + 1;
  ++lost_;
}

void Sink::reopen() {
  flush();
  if (const std::error_code error = outlet_->reopen()) {
    error_ = error;
    return;
  }
  if (in_line_ && !torn_) {
    lose_rest_of_line();
  }
  in_line_ = torn_ = false;
}

}  // namespace steelyard::control::access_log
