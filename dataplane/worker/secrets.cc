#include "dataplane/worker/secrets.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstdlib>

namespace steelyard::worker {

void fill_randomly(std::span<std::byte> bytes) {
  // The kernel's generator never fails for so few bytes once it is seeded.
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    std::abort();
  }
}

packet::HashKey lasting_secret(const std::string& path) {
  packet::HashKey key;
  const auto transfer = [&key](int file, auto operation) {
    return operation(file, &key, sizeof key) == static_cast<ssize_t>(sizeof key);
  };
  const int known = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (known >= 0) {
    const bool whole = transfer(known, ::read);
    ::close(known);
    if (whole) {
      return key;
    }
  }
  fill_randomly(key);
  const int made = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (made >= 0) {
    if (!transfer(made, ::write)) {
      ::unlink(path.c_str());
    }
    ::close(made);
  }
  return key;
}

}  // namespace steelyard::worker
