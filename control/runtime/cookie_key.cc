#include "control/runtime/cookie_key.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "control/admin/file_descriptor.h"

namespace steelyard::control {
namespace {

constexpr mode_t for_everybody = S_IROTH | S_IWOTH;

std::string words_for(int error) {
  return std::generic_category().message(error);
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw std::runtime_error("cookie key " + path + ": " + why);
}

// What of the octets could be had.
std::size_t read_all(int file, std::span<std::uint8_t> octets) {
  std::size_t have = 0;
  while (have < octets.size()) {
    const ssize_t got = ::read(file, octets.data() + have, octets.size() - have);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      break;
    }
    have += static_cast<std::size_t>(got);
  }
  return have;
}

http::CookieKey key_in(const std::string& path, int file) {
  struct stat found {};
  if (::fstat(file, &found) != 0 || !S_ISREG(found.st_mode)) {
    refuse(path, "it is not a regular file");
  }
  if ((found.st_mode & for_everybody) != 0) {
    refuse(path, "everybody on this machine may read or write it; allowed: e.g. mode 0600 (chmod 600)");
  }
  http::CookieKey key;
  if (const std::size_t have = read_all(file, key.octets); have != key.octets.size()) {
    refuse(path, "it has " + std::to_string(have) + " bytes; allowed: at least " + std::to_string(key.octets.size()));
  }
  return key;
}

http::CookieKey random_key() {
  http::CookieKey key;
  if (::getrandom(key.octets.data(), key.octets.size(), 0) != static_cast<ssize_t>(key.octets.size())) {
    throw std::runtime_error("no random bytes for the cookie key: " + words_for(errno));
  }
  return key;
}

// A file of its own name first, with all that belongs into it; it then gets the real name, unless that is taken. So
// nobody ever sees half a key, and of two processes that start at once one finds the other's.
int write_key(const std::string& path, const http::CookieKey& key) {
  const std::string draft = path + '.' + std::to_string(::getpid());
  ::unlink(draft.c_str());  // of a process that died here
  const FileDescriptor file(::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) {
    return errno;
  }
  int error = 0;
  if (::write(file.get(), key.octets.data(), key.octets.size()) != static_cast<ssize_t>(key.octets.size())) {
    error = errno != 0 ? errno : ENOSPC;
  } else if (::fsync(file.get()) != 0 || ::link(draft.c_str(), path.c_str()) != 0) {
    error = errno;
  }
  ::unlink(draft.c_str());
  return error;
}

FileDescriptor open_key(const std::string& path) {
  return FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

}  // namespace

LoadedCookieKey read_cookie_key(const std::string& path) {
  const FileDescriptor file = open_key(path);
  if (!file.valid()) {
    refuse(path, "it cannot be read: " + words_for(errno));
  }
  return {key_in(path, file.get()), {}};
}

LoadedCookieKey keep_cookie_key(const std::string& folder) {
  const std::string path = folder + "/cookie.key";
  const FileDescriptor file = open_key(path);
  if (file.valid()) {
    return {key_in(path, file.get()), {}};
  }
  int error = errno;
  if (error == ENOENT || error == ENOTDIR) {
    std::error_code ignored;
    std::filesystem::create_directories(folder, ignored);
    http::CookieKey key = random_key();
    error = write_key(path, key);
    if (error == 0) {
      return {key, {}};
    }
    if (error == EEXIST) {
      return read_cookie_key(path);
    }
  }
  return {random_key(), "the cookie key cannot be kept in " + path + ": " + words_for(error) +
                            "; session cookies of this process end with it: make the folder writable, choose another "
                            "one with --state-dir, or give a `cookie_key_file`"};
}

}  // namespace steelyard::control
