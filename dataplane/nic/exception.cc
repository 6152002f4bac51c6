#include "dataplane/nic/exception.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include "dataplane/nic/netlink.h"
#include "dataplane/nic/network_namespace.h"

namespace steelyard::nic {
namespace {

std::string words_for(int error) {
  return std::generic_category().message(error);
}

struct Sysctl {
  std::string_view family;
  std::string_view key;
  std::string_view value;
};

// Set before the interface comes up, so that not one packet follows the defaults.
constexpr Sysctl ipv4_sysctls[] = {
    // With several ports, an address is answered for only by its own port, and asked from by its own.
    {"ipv4", "arp_ignore", "1"},
    {"ipv4", "arp_announce", "2"},
};
constexpr Sysctl ipv6_sysctls[] = {
    {"ipv6", "disable_ipv6", "0"},
    {"ipv6", "accept_ra", "0"},  // addresses and routes come from the configuration alone
    {"ipv6", "autoconf", "0"},
    {"ipv6", "router_solicitations", "0"},
    {"ipv6", "accept_redirects", "0"},
    {"ipv6", "accept_dad", "0"},  // the port's neighbour room looks for duplicates
    {"ipv6", "dad_transmits", "0"},
};
constexpr Sysctl no_ipv6_sysctls[] = {{"ipv6", "disable_ipv6", "1"}};

Result<void> set_sysctl(const std::string& interface, const Sysctl& sysctl) {
  const std::string path = fmt::format("/proc/sys/net/{}/conf/{}/{}", sysctl.family, interface, sysctl.key);
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid() || ::write(file.get(), sysctl.value.data(), sysctl.value.size()) < 0) {
    return failure(fmt::format("{} cannot be set to {}: {}", path, sysctl.value, words_for(errno)));
  }
  return {};
}

bool is_v6(const std::string& text) {
  return text.find(':') != std::string::npos;
}

Result<void> set_sysctls(const ExceptionSettings& settings) {
  for (const Sysctl& sysctl : ipv4_sysctls) {
    if (Result<void> done = set_sysctl(settings.name, sysctl); !done) {
      return done;
    }
  }
  if (std::ranges::none_of(settings.addresses, is_v6)) {
    for (const Sysctl& sysctl : no_ipv6_sysctls) {
      // A kernel without IPv6 has nothing to switch off.
      (void)set_sysctl(settings.name, sysctl);
    }
    return {};
  }
  for (const Sysctl& sysctl : ipv6_sysctls) {
    if (Result<void> done = set_sysctl(settings.name, sysctl); !done) {
      return done;
    }
  }
  return {};
}

Result<void> manage(const ExceptionSettings& settings) {
  Result<InterfaceSetup> setup = InterfaceSetup::open(settings.name);
  if (!setup) {
    return tl::unexpected(setup.error());
  }
  Result<void> done = set_sysctls(settings).and_then([&] { return setup->set_link(settings.mac, settings.mtu); });
  for (const std::string& address : settings.addresses) {
    done = done.and_then([&] { return setup->add_address(address); });
  }
  done = done.and_then([&] { return setup->bring_up(); });
  for (const KernelRoute& route : settings.routes) {
    done = done.and_then([&] { return setup->add_route(route); });
  }
  return done;
}

// A new TAP in the calling thread's network namespace.
Result<FileDescriptor> open_tap(const std::string& name) {
  FileDescriptor file(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) {
    return failure(
        fmt::format("/dev/net/tun cannot be opened: {}: is the kernel's tun module loaded?", words_for(errno)));
  }
  ifreq request{};
  // EXCL: an interface of this name that is there already is not ours to take over.
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL);
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(file.get(), TUNSETIFF, &request) != 0) {
    const int error = errno;
    if (error == EBUSY || error == EINVAL) {
      return failure(fmt::format("interface {} exists already: choose another `exception: name`, or remove it", name));
    }
    return failure(fmt::format("interface {} cannot be made: {}{}", name, words_for(error),
                               error == EPERM ? " (CAP_NET_ADMIN is needed)" : ""));
  }
  return file;
}

Result<void> check_names(const ExceptionSettings& settings) {
  const auto plain = [](std::string_view text) {
    return text.find_first_of("/ :%\t\n") == std::string_view::npos && text != "." && text != "..";
  };
  if (settings.name.empty() || settings.name.size() >= IFNAMSIZ || !plain(settings.name)) {
    return failure(fmt::format("`{}` is no interface name: 1 to {} characters without spaces, `/`, `:` and `%`",
                               settings.name, IFNAMSIZ - 1));
  }
  if (!plain(settings.network_namespace)) {
    return failure(fmt::format("`{}` is no name of a network namespace", settings.network_namespace));
  }
  return {};
}

}  // namespace

Result<ExceptionInterface> ExceptionInterface::create(const ExceptionSettings& settings) {
  if (Result<void> checked = check_names(settings); !checked) {
    return tl::unexpected(checked.error());
  }
  std::optional<ExceptionInterface> interface;
  const Result<void> done =
      in_network_namespace(settings.namespace_folder, settings.network_namespace, [&]() -> Result<void> {
        Result<ExceptionInterface> made = create_here(settings);
        if (!made) {
          return tl::unexpected(made.error());
        }
        interface.emplace(std::move(*made));
        return {};
      });
  if (!done) {
    return tl::unexpected(done.error());
  }
  return std::move(*interface);
}

Result<ExceptionInterface> ExceptionInterface::create_here(const ExceptionSettings& settings) {
  Result<FileDescriptor> tap = open_tap(settings.name);
  if (!tap) {
    return tl::unexpected(tap.error());
  }
  if (settings.manage) {
    if (Result<void> managed = manage(settings); !managed) {
      return tl::unexpected(managed.error());
    }
  }
  return ExceptionInterface(std::move(*tap), settings.name, settings.mtu);
}

}  // namespace steelyard::nic
