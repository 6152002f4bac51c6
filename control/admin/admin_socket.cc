#include "control/admin/admin_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "control/admin/unix_address.h"

namespace steelyard::control {
namespace {

constexpr int backlog = 32;

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw std::runtime_error("admin socket " + path + ": " + why);
}

std::string words_for(int error) {
  std::string words = std::generic_category().message(error);
  if (error == EACCES || error == EPERM) {
    words += "; run this as root, or choose another place with --socket";
  }
  return words;
}

FileDescriptor new_socket() {
  return FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

}  // namespace

AdminSocket::AdminSocket(std::string path) : path_(std::move(path)) {
  if (!unix_address(path_)) {
    refuse(path_, "a socket's path has 1 to " + std::to_string(longest_socket_path) + " bytes");
  }
  std::error_code error;
  if (const auto folder = std::filesystem::path(path_).parent_path(); !folder.empty()) {
    std::filesystem::create_directories(folder, error);
    if (error) {
      refuse(path_, "cannot make the folder: " + words_for(error.value()));
    }
  }
  take_lock();
  clear_the_way();
  listen();
}

AdminSocket::~AdminSocket() {
  struct stat now {};
  if (inode_ != 0 && ::lstat(path_.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
}

// Whether the process of an existing socket lives cannot be told from the file, and two processes that start at once
// would both find it dead. The lock knows: the kernel drops it with its process.
void AdminSocket::take_lock() {
  const std::string name = path_ + ".lock";
  lock_ = FileDescriptor(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_.valid()) {
    refuse(path_, "cannot open " + name + ": " + words_for(errno));
  }
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      refuse(path_, "another steelyard process uses it; stop that one, or give this one another --socket");
    }
    refuse(path_, "cannot lock " + name + ": " + words_for(errno));
  }
}

void AdminSocket::clear_the_way() const {
  struct stat found {};
  if (::lstat(path_.c_str(), &found) != 0) {
    return;  // what is wrong with it besides absence, bind() will say
  }
  if (!S_ISSOCK(found.st_mode)) {
    refuse(path_, "there is a file that is not a socket; remove it, or choose another place with --socket");
  }
  // Not one of ours, which would hold the lock; it may still live. EAGAIN: it does, and its backlog is full.
  const auto address = unix_address(path_);
  const FileDescriptor probe = new_socket();
  if (!probe.valid()) {
    refuse(path_, words_for(errno));
  }
  if (::connect(probe.get(), generic(*address), sizeof *address) == 0 || errno == EAGAIN) {
    refuse(path_, "another program listens on it; stop that one, or choose another place with --socket");
  }
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT) {
    refuse(path_, "cannot remove what a dead process left: " + words_for(errno));
  }
}

void AdminSocket::listen() {
  const auto address = unix_address(path_);
  listener_ = new_socket();
  // Linux gives the file the mode of the unbound socket: there is no moment in which others could connect.
  if (!listener_.valid() || ::fchmod(listener_.get(), 0600) != 0 ||
      ::bind(listener_.get(), generic(*address), sizeof *address) != 0) {
    refuse(path_, "cannot make it: " + words_for(errno));
  }
  struct stat made {};
  if (::chmod(path_.c_str(), 0600) != 0 || ::lstat(path_.c_str(), &made) != 0 ||
      ::listen(listener_.get(), backlog) != 0) {
    refuse(path_, "cannot listen: " + words_for(errno));
  }
  device_ = made.st_dev;
  inode_ = made.st_ino;
}

}  // namespace steelyard::control
