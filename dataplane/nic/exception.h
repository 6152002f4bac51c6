// The kernel-side interface of a port: a TAP device that stands for the port in the kernel, so that ping, SSH, BGP and
// health probes work on a NIC the kernel no longer sees.
//
// It is opened here and not by DPDK's net_tap, because its thread (exception_thread.h) can then sleep in ppoll()
// instead of polling, no realtime signal runs through the process, and the name, the network namespace and the life
// time are ours: the device is not persistent, so it goes away with the process, also after kill -9.
//
// Addresses and routes come from Steelyard's configuration by netlink. It must never take a route away from the host:
// its own have a metric that loses against whatever the administrator has set.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <rte_ether.h>

#include "dataplane/nic/error.h"
#include "dataplane/nic/file_descriptor.h"

namespace steelyard::nic {

// Metric of the routes that are set here (the kernel's own IPv6 default is 1024, DHCP clients use 100..1024).
inline constexpr std::uint32_t exception_route_metric = 2000;

struct KernelRoute {
  std::string to{};   // "198.51.100.0/24", "0.0.0.0/0", "::/0"
  std::string via{};  // the next hop; it need not lie in a connected prefix
};

struct ExceptionSettings {
  std::string name{};               // of the interface, 1..15 bytes
  std::string network_namespace{};  // empty: the process's own; else a name under namespace_folder
  std::string namespace_folder = "/run/netns";
  bool manage = true;  // false: the interface is only created; MAC, MTU, addresses, routes and "up" are somebody else's
  rte_ether_addr mac{};
  std::uint16_t mtu = 1500;
  // With prefix: "192.0.2.2/24". Without an IPv6 one, IPv6 is off on the interface.
  std::vector<std::string> addresses{};
  std::vector<KernelRoute> routes{};
};

// An open TAP device. Movable. Control thread.
class ExceptionInterface {
 public:
  // Needs CAP_NET_ADMIN (and CAP_SYS_ADMIN for a named network namespace). Nothing is left behind after an error.
  [[nodiscard]] static Result<ExceptionInterface> create(const ExceptionSettings& settings);

  [[nodiscard]] int descriptor() const { return descriptor_.get(); }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint16_t mtu() const { return mtu_; }

 private:
  ExceptionInterface(FileDescriptor descriptor, std::string name, std::uint16_t mtu)
      : descriptor_(std::move(descriptor)), name_(std::move(name)), mtu_(mtu) {}

  static Result<ExceptionInterface> create_here(const ExceptionSettings& settings);

  FileDescriptor descriptor_;
  std::string name_;
  std::uint16_t mtu_;
};

}  // namespace steelyard::nic
