// The kernel-side interface against the real kernel, in a network namespace (and mount namespace) that this program
// makes for itself and that ends with it. Needs root. The test plays the worker: what the kernel sends, it answers.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <rte_arp.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

#include "dataplane/nic/exception_thread.h"

namespace steelyard::nic {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr rte_ether_addr our_mac{{0x02, 0, 0, 0, 0, 0x02}};
constexpr rte_ether_addr peer_mac{{0x02, 0, 0, 0, 0, 0x01}};

class OwnNamespaces : public ::testing::Environment {
 public:
  void SetUp() override {
    ASSERT_EQ(::unshare(CLONE_NEWNET | CLONE_NEWNS), 0) << "root is needed";
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }
};
[[maybe_unused]] const ::testing::Environment* const own_namespaces =
    ::testing::AddGlobalTestEnvironment(new OwnNamespaces);

ExceptionSettings settings() {
  return {.name = "sy-test",
          .mac = our_mac,
          .mtu = 1400,
          .addresses = {"192.0.2.2/24", "2001:db8::2/64"},
          .routes = {{.to = "198.51.100.0/24", .via = "192.0.2.1"},
                     {.to = "0.0.0.0/0", .via = "192.0.2.1"},
                     {.to = "::/0", .via = "2001:db8::1"}}};
}

std::string contents(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string sysfs(const std::string& name) {
  return contents("/proc/sys/net/ipv6/conf/sy-test/" + name);
}

ifreq ask(unsigned long request) {
  const FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM, 0));
  ifreq answer{};
  std::strcpy(answer.ifr_name, "sy-test");
  EXPECT_EQ(::ioctl(socket.get(), request, &answer), 0);
  return answer;
}

TEST(ExceptionInterface, HasThePortsMacMtuAndAddresses) {
  const auto interface = ExceptionInterface::create(settings());
  ASSERT_TRUE(interface) << interface.error().message;
  EXPECT_EQ(std::memcmp(ask(SIOCGIFHWADDR).ifr_hwaddr.sa_data, our_mac.addr_bytes, 6), 0);
  EXPECT_EQ(ask(SIOCGIFMTU).ifr_mtu, 1400);
  EXPECT_TRUE((ask(SIOCGIFFLAGS).ifr_flags & IFF_UP) != 0);
  sockaddr_in address{};
  const ifreq found = ask(SIOCGIFADDR);
  std::memcpy(&address, &found.ifr_addr, sizeof(address));
  EXPECT_EQ(address.sin_addr.s_addr, ::inet_addr("192.0.2.2"));
  // Permanent (80), not tentative: nobody waits for duplicate address detection.
  EXPECT_THAT(contents("/proc/net/if_inet6"), HasSubstr("20010db8000000000000000000000002"));
  EXPECT_EQ(sysfs("accept_ra"), "0\n");
  EXPECT_EQ(sysfs("accept_dad"), "0\n");
}

TEST(ExceptionInterface, CanBeBoundToItsIpv6AddressAtOnce) {
  const auto interface = ExceptionInterface::create(settings());
  ASSERT_TRUE(interface) << interface.error().message;
  const FileDescriptor socket(::socket(AF_INET6, SOCK_DGRAM, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  ::inet_pton(AF_INET6, "2001:db8::2", &address.sin6_addr);
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
}

TEST(ExceptionInterface, HasRoutesThatLoseAgainstTheAdministrators) {
  const auto interface = ExceptionInterface::create(settings());
  ASSERT_TRUE(interface) << interface.error().message;
  // Interface, destination, gateway (hexadecimal, host order), flags, references, use, metric.
  const std::string routes = contents("/proc/net/route");
  EXPECT_THAT(routes, HasSubstr("sy-test\t006433C6\t010200C0\t0003\t0\t0\t2000\t00FFFFFF"));
  EXPECT_THAT(routes, HasSubstr("sy-test\t00000000\t010200C0\t0003\t0\t0\t2000\t00000000"));
  EXPECT_THAT(contents("/proc/net/ipv6_route"), HasSubstr("20010db8000000000000000000000001 000007d0"));
}

TEST(ExceptionInterface, TakesANextHopOutsideItsPrefixes) {
  ExceptionSettings wanted = settings();
  wanted.routes = {{.to = "203.0.113.0/24", .via = "10.9.9.9"}};
  const auto interface = ExceptionInterface::create(wanted);
  EXPECT_TRUE(interface) << interface.error().message;
}

TEST(ExceptionInterface, GoesAwayWithItsObject) {
  { ASSERT_TRUE(ExceptionInterface::create(settings())); }
  EXPECT_EQ(::if_nametoindex("sy-test"), 0u);
}

TEST(ExceptionInterface, IsLeftAloneWhenItIsNotManaged) {
  ExceptionSettings wanted = settings();
  wanted.manage = false;
  const auto interface = ExceptionInterface::create(wanted);
  ASSERT_TRUE(interface) << interface.error().message;
  EXPECT_EQ(ask(SIOCGIFMTU).ifr_mtu, 1500);
  EXPECT_EQ(ask(SIOCGIFFLAGS).ifr_flags & IFF_UP, 0);
}

TEST(ExceptionInterface, HasNoIpv6WithoutAnIpv6Address) {
  ExceptionSettings wanted = settings();
  wanted.addresses = {"192.0.2.2/24"};
  wanted.routes.clear();
  const auto interface = ExceptionInterface::create(wanted);
  ASSERT_TRUE(interface) << interface.error().message;
  EXPECT_EQ(sysfs("disable_ipv6"), "1\n");
}

TEST(ExceptionInterface, IsRefusedWhenTheNameIsTaken) {
  const auto first = ExceptionInterface::create(settings());
  ASSERT_TRUE(first);
  const auto second = ExceptionInterface::create(settings());
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("interface sy-test exists already"));
}

TEST(ExceptionInterface, IsRefusedForNamesThatAreNone) {
  for (const char* name : {"", "a/b", "a b", "sixteen-letters-", ".."}) {
    ExceptionSettings wanted = settings();
    wanted.name = name;
    EXPECT_FALSE(ExceptionInterface::create(wanted)) << name;
  }
  ExceptionSettings wanted = settings();
  wanted.network_namespace = "../self";
  EXPECT_FALSE(ExceptionInterface::create(wanted));
}

TEST(ExceptionInterface, LeavesNothingBehindWhenAnAddressIsRefused) {
  ExceptionSettings wanted = settings();
  wanted.addresses = {"192.0.2.2/24", "192.0.2.300/24"};
  const auto interface = ExceptionInterface::create(wanted);
  ASSERT_FALSE(interface);
  EXPECT_THAT(interface.error().message, HasSubstr("192.0.2.300/24"));
  EXPECT_EQ(::if_nametoindex("sy-test"), 0u);
}

TEST(ExceptionInterface, IsMadeInANamedNetworkNamespace) {
  std::string pattern = std::filesystem::temp_directory_path() / "steelyard-netns-XXXXXX";
  const std::string folder = ::mkdtemp(pattern.data());
  std::ofstream(folder + "/blue").close();
  std::thread([&] {
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    ASSERT_EQ(::mount("/proc/thread-self/ns/net", (folder + "/blue").c_str(), nullptr, MS_BIND, nullptr), 0);
  }).join();

  ExceptionSettings wanted = settings();
  wanted.network_namespace = "blue";
  wanted.namespace_folder = folder;
  {
    const auto interface = ExceptionInterface::create(wanted);
    ASSERT_TRUE(interface) << interface.error().message;
    EXPECT_EQ(::if_nametoindex("sy-test"), 0u) << "it must not be in the caller's namespace";
    std::thread([&] {
      const FileDescriptor blue(::open((folder + "/blue").c_str(), O_RDONLY));
      ASSERT_EQ(::setns(blue.get(), CLONE_NEWNET), 0);
      EXPECT_NE(::if_nametoindex("sy-test"), 0u);
      EXPECT_EQ(ask(SIOCGIFMTU).ifr_mtu, 1400);
    }).join();
  }
  ::umount(((folder + "/blue").c_str()));
  std::filesystem::remove_all(folder);
}

TEST(ExceptionInterface, SaysHowToMakeANamespaceThatIsMissing) {
  ExceptionSettings wanted = settings();
  wanted.network_namespace = "absent";
  const auto interface = ExceptionInterface::create(wanted);
  ASSERT_FALSE(interface);
  EXPECT_THAT(interface.error().message, HasSubstr("ip netns add absent"));
}

// Asks `done` until it says so or a second has gone by.
bool eventually(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + 1s;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
    std::this_thread::sleep_for(100us);
  }
  return true;
}

class ExceptionThreadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto pool = MbufPool::create({.name = "exception", .buffers = 511});
    ASSERT_TRUE(pool) << pool.error().message;
    pool_.emplace(std::move(*pool));
  }

  void TearDown() override {
    socket_ = FileDescriptor();
    thread_.reset();
    EXPECT_EQ(pool_->available(), pool_->capacity()) << "every buffer comes back";
  }

  void start(const ExceptionThreadSettings& thread_settings) {
    auto interface = ExceptionInterface::create(settings());
    ASSERT_TRUE(interface) << interface.error().message;
    std::vector<ExceptionAttachment> attachments;
    attachments.push_back({std::move(*interface), 1});
    auto thread = ExceptionThread::start(thread_settings, std::move(attachments), *pool_);
    ASSERT_TRUE(thread) << thread.error().message;
    thread_ = std::move(*thread);
    socket_ = FileDescriptor(::socket(AF_INET, SOCK_DGRAM, 0));
    const timeval patience{.tv_sec = 1, .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    sockaddr_in peer{};
    peer.sin_family = AF_INET;
    peer.sin_port = htons(7);
    peer.sin_addr.s_addr = ::inet_addr("192.0.2.1");
    ASSERT_EQ(::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)), 0);
  }

  // A frame for the kernel that it takes and drops.
  Packet frame_for_kernel() {
    Packet packet = pool_->allocate();
    char* room = packet == nullptr ? nullptr : rte_pktmbuf_append(packet.get(), 60);
    if (room == nullptr) {
      ADD_FAILURE() << "no buffer";
      return nullptr;
    }
    std::memset(room, 0, 60);
    const rte_ether_hdr header{.dst_addr = our_mac, .src_addr = peer_mac, .ether_type = htons(0x88b5)};
    std::memcpy(room, &header, sizeof(header));
    return packet;
  }

  // Turns an ARP request or a datagram into its answer, in place; false for anything else.
  static bool answer(rte_mbuf& packet) {
    auto* ethernet = rte_pktmbuf_mtod(&packet, rte_ether_hdr*);
    ethernet->dst_addr = std::exchange(ethernet->src_addr, peer_mac);
    if (ethernet->ether_type == htons(RTE_ETHER_TYPE_ARP)) {
      auto* arp = rte_pktmbuf_mtod_offset(&packet, rte_arp_hdr*, sizeof(rte_ether_hdr));
      arp->arp_opcode = htons(RTE_ARP_OP_REPLY);
      arp->arp_data.arp_tha = arp->arp_data.arp_sha;
      arp->arp_data.arp_sha = peer_mac;
      const auto target = arp->arp_data.arp_tip;
      arp->arp_data.arp_tip = arp->arp_data.arp_sip;
      arp->arp_data.arp_sip = target;
      return true;
    }
    if (ethernet->ether_type != htons(RTE_ETHER_TYPE_IPV4)) {
      return false;
    }
    auto* ip = rte_pktmbuf_mtod_offset(&packet, rte_ipv4_hdr*, sizeof(rte_ether_hdr));
    auto* udp = rte_pktmbuf_mtod_offset(&packet, rte_udp_hdr*, sizeof(rte_ether_hdr) + sizeof(rte_ipv4_hdr));
    const auto destination = ip->dst_addr;
    ip->dst_addr = ip->src_addr;
    ip->src_addr = destination;
    const auto port = udp->dst_port;
    udp->dst_port = udp->src_port;
    udp->src_port = port;
    return true;
  }

  // One turn of the worker's loop.
  void answer_what_came(const KernelChannel& from, const KernelChannel& to) {
    std::array<rte_mbuf*, 32> packets{};
    const unsigned count = from.receive(packets);
    for (unsigned i = 0; i < count; ++i) {
      if (!answer(*packets[i]) || !to.send(packets[i])) {
        rte_pktmbuf_free(packets[i]);
      }
    }
  }

  std::optional<MbufPool> pool_;
  std::unique_ptr<ExceptionThread> thread_;
  FileDescriptor socket_;
};

TEST_F(ExceptionThreadTest, CarriesPacketsBothWays) {
  start({.workers = 2});
  // What the kernel sends comes to worker 1; what worker 0 sends reaches the kernel too.
  const KernelChannel first_worker = thread_->channel(1, 0);
  const KernelChannel other_worker = thread_->channel(0, 0);
  const std::string question = "are you there?";
  ASSERT_EQ(::send(socket_.get(), question.data(), question.size(), 0), static_cast<ssize_t>(question.size()));
  std::array<char, 64> room{};
  ssize_t length = -1;
  EXPECT_TRUE(eventually([&] {
    answer_what_came(first_worker, other_worker);
    length = ::recv(socket_.get(), room.data(), room.size(), MSG_DONTWAIT);
    return length >= 0;
  }));
  EXPECT_EQ(std::string_view(room.data(), length > 0 ? static_cast<std::size_t>(length) : 0), question);
  EXPECT_GE(thread_->counters(0).to_kernel, 2u);
  EXPECT_GE(thread_->counters(0).from_kernel, 2u);
  std::array<rte_mbuf*, 1> none{};
  EXPECT_EQ(other_worker.receive(none), 0u);
}

TEST_F(ExceptionThreadTest, DropsWhatIsOverTheCapByName) {
  start({.workers = 2, .to_kernel_rate = 20});  // a burst of 2
  const KernelChannel channel = thread_->channel(0, 0);
  for (int i = 0; i < 10; ++i) {
    Packet packet = frame_for_kernel();
    ASSERT_TRUE(channel.send(packet.get()));
    (void)packet.release();
  }
  EXPECT_TRUE(eventually([&] { return thread_->counters(0).to_kernel + thread_->counters(0).to_kernel_rate == 10; }));
  EXPECT_GE(thread_->counters(0).to_kernel_rate, 5u);
}

TEST_F(ExceptionThreadTest, LeavesAPacketWithItsOwnerWhenTheRingIsFull) {
  start({.workers = 2, .ring_capacity = 8});
  std::array<rte_mbuf*, 32> packets{};
  for (rte_mbuf*& packet : packets) {
    packet = frame_for_kernel().release();
  }
  const unsigned sent = thread_->channel(0, 0).send(packets);
  EXPECT_EQ(sent, 8u);
  rte_pktmbuf_free_bulk(packets.data() + sent, static_cast<unsigned>(packets.size()) - sent);
}

TEST_F(ExceptionThreadTest, CountsWhatTheWorkerDoesNotFetch) {
  start({.workers = 2, .ring_capacity = 4});
  EXPECT_TRUE(eventually([&] {
    // A broadcast needs no answer to a question for a MAC address.
    const int on = 1;
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
    sockaddr_in all{};
    all.sin_family = AF_INET;
    all.sin_port = htons(7);
    all.sin_addr.s_addr = ::inet_addr("192.0.2.255");
    ::sendto(socket_.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&all), sizeof(all));
    return thread_->counters(0).from_kernel_ring_full > 0;
  }));
  EXPECT_EQ(thread_->counters(0).from_kernel, 4u);
}

TEST_F(ExceptionThreadTest, FreesWhatIsStillInItsRingsWhenItStops) {
  start({.workers = 2});
  for (int i = 0; i < 20; ++i) {
    Packet packet = frame_for_kernel();
    ASSERT_TRUE(thread_->channel(0, 0).send(packet.get()));
    (void)packet.release();
  }
}

TEST_F(ExceptionThreadTest, SurvivesTheLossOfItsInterface) {
  start({.workers = 2});
  ASSERT_EQ(std::system("ip link delete sy-test"), 0);
  EXPECT_TRUE(eventually([&] { return thread_->counters(0).from_kernel_read_error == 1; }));
  Packet packet = frame_for_kernel();
  ASSERT_TRUE(thread_->channel(0, 0).send(packet.get()));
  (void)packet.release();
  EXPECT_TRUE(eventually([&] { return thread_->counters(0).to_kernel_write_error == 1; }));
}

TEST(KernelChannel, WithoutAnInterfaceTakesAndGivesNothing) {
  const KernelChannel none;
  EXPECT_FALSE(none.attached());
  EXPECT_FALSE(none.send(static_cast<rte_mbuf*>(nullptr)));
  std::array<rte_mbuf*, 1> packets{};
  EXPECT_EQ(none.receive(packets), 0u);
}

}  // namespace
}  // namespace steelyard::nic
