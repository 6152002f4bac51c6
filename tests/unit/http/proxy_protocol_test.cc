// PROXY headers, read and written: haproxy's doc/proxy-protocol.txt, sections 2.1 and 2.2.
#include "dataplane/http/proxy_protocol.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/http/hostile.h"

namespace steelyard::http {
namespace {

using State = ProxyHeader::State;
using namespace std::string_literals;

service::Address address(std::string_view text) {
  return *service::Address::parse(text);
}

// From memory that ends where the octets end, so that a sanitizer sees one too many.
ProxyHeader read(std::string_view octets) {
  std::vector<std::uint8_t> exact(octets.begin(), octets.end());
  exact.shrink_to_fit();
  return read_proxy_header(exact);
}

// What is expected of a connection between these.
ClientAddresses between(std::string_view source, std::uint16_t source_port, std::string_view destination,
                        std::uint16_t destination_port) {
  return {address(source), address(destination), source_port, destination_port};
}

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string number16(std::size_t number) {
  return {static_cast<char>(number >> 8U), static_cast<char>(number & 0xffU)};
}
// `rest`: addresses and extensions, whose length is put before them.
std::string binary(char command, char family, std::string_view rest) {
  return signature + command + family + number16(rest.size()) + std::string(rest);
}
std::string extension(char type, std::string_view value) {
  return type + number16(value.size()) + std::string(value);
}

const std::string v4_block =
    "\xcb\x00\x71\x07\xc0\x00\x02\x0a\x9c\x40\x01\xbb"s;  // 203.0.113.7:40000 to 192.0.2.10:443
const std::string v6_block =
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x0a\x9c\x40\x01\xbb"s;
const ClientAddresses v4_client = between("203.0.113.7", 40'000, "192.0.2.10", 443);
const ClientAddresses v6_client = between("2001:db8::7", 40'000, "2001:db8::a", 443);

// --- headers that are taken ----------------------------------------------------------------------------------------

struct Good {
  const char* name;
  std::string octets;
  std::optional<ClientAddresses> addresses;
};
void PrintTo(const Good& good, std::ostream* out) {
  *out << good.name;
}

class GoodHeader : public testing::TestWithParam<Good> {};

TEST_P(GoodHeader, IsTakenAndEndsWhereItEnds) {
  for (const std::string& behind : {""s, "GET / HTTP/1.1\r\n"s, "\n"s}) {
    const ProxyHeader header = read(GetParam().octets + behind);
    EXPECT_EQ(header.state, State::complete) << header.fault;
    EXPECT_EQ(header.octets, GetParam().octets.size());
    EXPECT_EQ(header.addresses, GetParam().addresses);
  }
}

TEST_P(GoodHeader, IsWaitedForWhereverItIsCut) {
  for (std::size_t size = 0; size < GetParam().octets.size(); ++size) {
    const ProxyHeader header = read(std::string_view(GetParam().octets).substr(0, size));
    ASSERT_EQ(header.state, State::incomplete) << "after " << size << " octets: " << header.fault;
    EXPECT_GT(header.octets, size);
    EXPECT_LE(header.octets, GetParam().octets.size());
    EXPECT_EQ(header.addresses, std::nullopt);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Lines, GoodHeader,
    testing::Values(
        Good{"v4", "PROXY TCP4 203.0.113.7 192.0.2.10 40000 443\r\n", v4_client},
        Good{"v6", "PROXY TCP6 2001:db8::7 2001:DB8::A 40000 443\r\n", v6_client},
        Good{"v6_in_full", "PROXY TCP6 2001:0db8:0000:0000:0000:0000:0000:0007 2001:db8:0:0:0:0:0:a 40000 443\r\n",
             v6_client},
        Good{"v4_longest", "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
             between("255.255.255.255", 65'535, "255.255.255.255", 65'535)},
        Good{"v6_longest",
             "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
             "65535\r\n",
             between("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65'535, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                     65'535)},
        Good{"zeros", "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", between("0.0.0.0", 0, "0.0.0.0", 0)},
        // From a proxy that listens to both families on one socket.
        Good{"v4_in_v6", "PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.10 40000 443\r\n", v4_client},
        Good{"unknown", "PROXY UNKNOWN\r\n", {}},
        Good{"unknown_with_addresses", "PROXY UNKNOWN 203.0.113.7 192.0.2.10 40000 443\r\n", {}},
        Good{"unknown_longest",
             "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
             "65535\r\n",
             {}},
        Good{"unknown_with_anything", "PROXY UNKNOWN \r \xff\0 x\r\n"s, {}}),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Binary, GoodHeader,
    testing::Values(
        Good{"v4", binary('\x21', '\x11', v4_block), v4_client},
        Good{"v6", binary('\x21', '\x21', v6_block), v6_client}, Good{"local", binary('\x20', '\0', ""), {}},
        // "Receivers must always consider this field to skip the appropriate number of bytes."
        Good{"local_with_addresses", binary('\x20', '\x11', v4_block), {}},
        Good{"local_of_any_family", binary('\x20', '\xff', "garbage"), {}},
        Good{"unspecified", binary('\x21', '\0', ""), {}},
        Good{"unspecified_with_more", binary('\x21', '\0', "garbage"), {}},
        Good{"family_without_transport", binary('\x21', '\x10', ""), {}},
        Good{"udp", binary('\x21', '\x12', v4_block), {}}, Good{"udp_v6", binary('\x21', '\x22', v6_block), {}},
        Good{"unix", binary('\x21', '\x31', std::string(216, 'x')), {}},
        Good{"unix_datagram", binary('\x21', '\x32', std::string(216, 'x')), {}},
        Good{
            "v4_in_v6",
            binary(
                '\x21', '\x21',
                "\0\0\0\0\0\0\0\0\0\0\xff\xff\xcb\0\x71\x07\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x0a\x9c\x40\x01\xbb"s),
            v4_client},
        Good{"extensions",
             binary('\x21', '\x11',
                    v4_block + extension('\x02', "www.example.org") + extension('\x04', "") + extension('\xe0', "x")),
             v4_client},
        Good{"longest", binary('\x21', '\x11', v4_block + extension('\x04', std::string(4'096 - 16 - 12 - 3, 'x'))),
             v4_client}),
    [](const auto& row) { return row.param.name; });

// --- checksums -------------------------------------------------------------------------------------------------------

// RFC 3720, appendix B.4, says what CRC32C is of 32 zeros; this is CRC32C by its definition.
std::uint32_t crc32c(std::string_view octets) {
  std::uint32_t sum = 0xffffffffU;
  for (const char octet : octets) {
    sum ^= static_cast<std::uint8_t>(octet);
    for (int bit = 0; bit < 8; ++bit) {
      sum = (sum & 1U) != 0 ? sum >> 1U ^ 0x82f63b78U : sum >> 1U;
    }
  }
  return ~sum;
}

std::string with_checksum(std::string_view before, std::string_view behind) {
  const auto header = [&](std::uint32_t sum) {
    return binary('\x21', '\x11',
                  v4_block + std::string(before) + extension('\x03', number16(sum >> 16U) + number16(sum & 0xffffU)) +
                      std::string(behind));
  };
  return header(crc32c(header(0)));
}

TEST(ProxyChecksum, IsThatOfTheSpecification) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
}

TEST(ProxyChecksum, IsVerifiedWhereverItStands) {
  for (const std::string& before : {""s, extension('\x04', "abc")}) {
    for (const std::string& behind : {""s, extension('\x01', "h2")}) {
      const std::string header = with_checksum(before, behind);
      EXPECT_EQ(read(header).addresses, v4_client);
      EXPECT_EQ(read(header + "GET").octets, header.size());
      const std::size_t type = 16 + v4_block.size() + before.size();  // another one, and it is no checksum
      for (std::size_t place = 16; place < header.size(); ++place) {
        std::string changed = header;
        changed[place] = static_cast<char>(changed[place] ^ 0x01);
        EXPECT_EQ(read(changed).state, place == type ? State::complete : State::malformed) << "octet " << place;
      }
    }
  }
}

// --- headers that are not --------------------------------------------------------------------------------------------

class BadHeader : public testing::TestWithParam<Hostile> {};

TEST_P(BadHeader, IsRefused) {
  const ProxyHeader header = read(GetParam().octets);
  EXPECT_EQ(header.state, State::malformed);
  EXPECT_STRNE(header.fault, "");
  EXPECT_EQ(header.addresses, std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(
    Lines, BadHeader,
    testing::Values(
        Hostile{"none", "GET / HTTP/1.1\r\n"}, Hostile{"first_octet", "G"}, Hostile{"tls", "\x16\x03\x01"},
        Hostile{"lower_case", "proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n"}, Hostile{"no_space", "PROXYTCP4"},
        Hostile{"two_spaces", "PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n"},
        Hostile{"two_spaces_within", "PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n"},
        Hostile{"a_tab", "PROXY TCP4\t1.1.1.1 2.2.2.2 1 2\r\n"}, Hostile{"nothing", "PROXY \r\n"},
        Hostile{"a_space_behind", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n"},
        Hostile{"a_word_too_many", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n"},
        Hostile{"a_word_too_few", "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n"}, Hostile{"no_addresses", "PROXY TCP4\r\n"},
        Hostile{"bare_lf", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n"}, Hostile{"bare_lf_of_unknown", "PROXY UNKNOWN\nGET\r\n"},
        Hostile{"bare_cr", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rGET / HTTP/1.1\r\n"},
        Hostile{"udp", "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n"}, Hostile{"unknown_and_more", "PROXY UNKNOWNS\r\n"},
        Hostile{"v6_as_v4", "PROXY TCP4 ::1 ::2 1 2\r\n"}, Hostile{"v4_as_v6", "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n"},
        Hostile{"mixed", "PROXY TCP4 1.1.1.1 ::2 1 2\r\n"},
        Hostile{"leading_zero", "PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n"},
        Hostile{"three_numbers", "PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n"},
        Hostile{"over_255", "PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n"},
        Hostile{"hex", "PROXY TCP4 0x1.1.1.1 2.2.2.2 1 2\r\n"}, Hostile{"two_gaps", "PROXY TCP6 1::2::3 ::2 1 2\r\n"},
        Hostile{"seven_groups", "PROXY TCP6 1:2:3:4:5:6:7 ::2 1 2\r\n"},
        Hostile{"nine_groups", "PROXY TCP6 1:2:3:4:5:6:7:8:9 ::2 1 2\r\n"},
        Hostile{"five_digits", "PROXY TCP6 00001::1 ::2 1 2\r\n"},
        Hostile{"zone", "PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n"}, Hostile{"brackets", "PROXY TCP6 [::1] ::2 1 2\r\n"},
        Hostile{"nul", "PROXY TCP6 ::1\0 ::2 1 2\r\n"s},
        Hostile{"port_over_65535", "PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n"},
        Hostile{"port_of_six_digits", "PROXY TCP4 1.1.1.1 2.2.2.2 1 100000\r\n"},
        Hostile{"port_that_overflows", "PROXY TCP4 1.1.1.1 2.2.2.2 4294967297 2\r\n"},
        Hostile{"port_with_zero", "PROXY TCP4 1.1.1.1 2.2.2.2 080 2\r\n"},
        Hostile{"port_00", "PROXY TCP4 1.1.1.1 2.2.2.2 00 2\r\n"},
        Hostile{"port_plus", "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n"},
        Hostile{"port_minus", "PROXY TCP4 1.1.1.1 2.2.2.2 1 -2\r\n"},
        Hostile{"port_in_hex", "PROXY TCP4 1.1.1.1 2.2.2.2 1 0x2\r\n"},
        Hostile{"too_long", "PROXY UNKNOWN " + std::string(92, 'x') + "\r\n"},
        Hostile{"without_end", "PROXY UNKNOWN " + std::string(93, 'x')}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Binary, BadHeader,
    testing::Values(
        Hostile{"signature", "\r\n\r\n\0\r\nQUIX"s}, Hostile{"an_empty_line", "\r\n\r\nGET"},
        Hostile{"version_1", signature + '\x11'}, Hostile{"version_3", signature + '\x31'},
        Hostile{"command_2", binary('\x22', '\x11', v4_block)}, Hostile{"command_15", binary('\x2f', '\x11', v4_block)},
        Hostile{"family_4", binary('\x21', '\x41', v4_block)}, Hostile{"family_15", binary('\x21', '\xf1', v4_block)},
        Hostile{"transport_3", binary('\x21', '\x13', v4_block)},
        Hostile{"v4_cut_short", binary('\x21', '\x11', v4_block.substr(1))},
        Hostile{"v6_cut_short", binary('\x21', '\x21', v4_block)}, Hostile{"udp_cut_short", binary('\x21', '\x12', "")},
        Hostile{"unix_cut_short", binary('\x21', '\x31', std::string(215, 'x'))},
        // Refused before it has come.
        Hostile{"too_long", signature + "\x21\x11" + number16(4'081)},
        Hostile{"local_too_long", signature + '\x20' + '\0' + "\xff\xff"},
        Hostile{"extension_of_one_octet", binary('\x21', '\x11', v4_block + '\x04')},
        Hostile{"extension_of_two_octets", binary('\x21', '\x11', v4_block + "\x04\x04")},
        Hostile{"extension_beyond_the_end", binary('\x21', '\x11', v4_block + "\x04\0\x02x"s)},
        Hostile{"extension_cut_short_of_unix", binary('\x21', '\x31', std::string(216, 'x') + "\x04")},
        Hostile{"checksum", binary('\x21', '\x11', v4_block + extension('\x03', "abcd"))},
        Hostile{"checksum_of_three_octets", binary('\x21', '\x11', v4_block + extension('\x03', "abc"))},
        Hostile{"checksum_of_udp", binary('\x21', '\x12', v4_block + extension('\x03', "abcd"))},
        Hostile{"two_checksums", with_checksum("", extension('\x03', "abcd"))}),
    name_of);

// --- what we send ----------------------------------------------------------------------------------------------------

TEST(ProxyPreface, SaysTheAddresses) {
  EXPECT_EQ(ProxyPreface(ProxyVersion::v1, v4_client).view(), "PROXY TCP4 203.0.113.7 192.0.2.10 40000 443\r\n");
  EXPECT_EQ(ProxyPreface(ProxyVersion::v1, v6_client).view(), "PROXY TCP6 2001:db8::7 2001:db8::a 40000 443\r\n");
  EXPECT_EQ(ProxyPreface(ProxyVersion::v2, v4_client).view(), binary('\x21', '\x11', v4_block));
  EXPECT_EQ(ProxyPreface(ProxyVersion::v2, v6_client).view(), binary('\x21', '\x21', v6_block));
}

TEST(ProxyPreface, IsReadAsItWasMeantWhateverTheAddresses) {
  for (const char* source :
       {"203.0.113.7", "0.0.0.0", "2001:db8::7", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}) {
    for (const char* destination : {"192.0.2.10", "2001:db8::a", "ffff:eeee:ffff:ffff:ffff:ffff:ffff:ffff"}) {
      for (const std::uint16_t port : std::initializer_list<std::uint16_t>{0, 1, 255, 256, 65'535}) {
        const ClientAddresses client = between(source, port, destination, static_cast<std::uint16_t>(~port));
        for (const ProxyVersion version : {ProxyVersion::v1, ProxyVersion::v2}) {
          const ProxyPreface preface(version, client);
          const ProxyHeader header = read(preface.view());
          EXPECT_EQ(header.state, State::complete) << preface.view();
          EXPECT_EQ(header.octets, preface.view().size());
          EXPECT_EQ(header.addresses, client) << preface.view();
        }
      }
    }
  }
}

}  // namespace
}  // namespace steelyard::http
