// The file side of the admin socket: its folder, its lock, and the listening socket itself with its mode.
#pragma once

#include <sys/types.h>

#include <string>

#include "control/admin/file_descriptor.h"

namespace steelyard::control {

// A listening Unix stream socket; while it lives no other process takes `path`. Any thread.
class AdminSocket {
 public:
  // See AdminServer's constructor; throws std::runtime_error.
  explicit AdminSocket(std::string path);
  // Removes the file, unless it is somebody else's by now.
  ~AdminSocket();
  AdminSocket(const AdminSocket&) = delete;
  AdminSocket& operator=(const AdminSocket&) = delete;

  // Gives the listening descriptor (non-blocking) away.
  [[nodiscard]] int release() { return listener_.release(); }

 private:
  void take_lock();
  void clear_the_way() const;
  void listen();

  std::string path_;
  FileDescriptor lock_;
  FileDescriptor listener_;
  dev_t device_ = 0;  // of the socket's file, with its inode
  ino_t inode_ = 0;
};

}  // namespace steelyard::control
