// What the exception interface asks of the kernel's routing netlink: one interface's MAC, MTU, addresses, state and
// routes. Acts in the network namespace of the calling thread. Not for other rooms.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <rte_ether.h>

#include "dataplane/nic/error.h"
#include "dataplane/nic/exception.h"

struct nl_sock;

namespace steelyard::nic {

// One interface by its name. One thread.
class InterfaceSetup {
 public:
  [[nodiscard]] static Result<InterfaceSetup> open(const std::string& interface);

  InterfaceSetup(InterfaceSetup&&) noexcept;
  InterfaceSetup& operator=(InterfaceSetup&&) = delete;
  ~InterfaceSetup();

  // Each request is answered by the kernel before it returns.
  [[nodiscard]] Result<void> set_link(const rte_ether_addr& mac, std::uint16_t mtu);
  [[nodiscard]] Result<void> add_address(const std::string& address);
  [[nodiscard]] Result<void> bring_up();
  [[nodiscard]] Result<void> add_route(const KernelRoute& route);

 private:
  struct Close {
    void operator()(nl_sock* socket) const;
  };

  InterfaceSetup(std::unique_ptr<nl_sock, Close> socket, std::string interface, int index);

  std::unique_ptr<nl_sock, Close> socket_;
  std::string interface_;
  int index_;
};

}  // namespace steelyard::nic
