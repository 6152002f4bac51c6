#include "dataplane/nic/network_namespace.h"

#include <fcntl.h>
#include <sched.h>

#include <cerrno>
#include <system_error>
#include <thread>

#include <fmt/format.h>

#include "dataplane/nic/file_descriptor.h"

namespace steelyard::nic {
namespace {

std::string words_for(int error) {
  return std::generic_category().message(error);
}

Result<void> enter(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    return failure(fmt::format("network namespace {}: {}: {} (`ip netns add {}`)", name, path, words_for(errno), name));
  }
  if (::setns(file.get(), CLONE_NEWNET) != 0) {
    return failure(fmt::format("network namespace {} cannot be entered: {}", name, words_for(errno)));
  }
  return {};
}

}  // namespace

Result<void> in_network_namespace(const std::string& folder, const std::string& name,
                                  const std::function<Result<void>()>& body) {
  if (name.empty()) {
    return body();
  }
  // A namespace is entered by a thread, not by the process; a thread that ends has no way back to get wrong.
  Result<void> result;
  std::thread([&] { result = enter(folder, name).and_then(body); }).join();
  return result;
}

}  // namespace steelyard::nic
