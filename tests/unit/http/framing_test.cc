// Our own checks of framing, without the help of llhttp, which refuses some of this before they are asked: each of the
// two readers has to stand alone, and they have to agree.
#include "dataplane/http/framing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

namespace steelyard::http {
namespace {

// Splits lines at their first colon, and says what llhttp would say of them if it let everything through.
template <typename Head>
class ByHand {
 public:
  explicit ByHand(std::string fields) : text_("GET / HTTP/1.1\r\n" + fields) {
    std::size_t at = text_.find('\n') + 1;
    while (at < text_.size()) {
      const std::string_view line = std::string_view{text_}.substr(at, text_.find('\r', at) - at);
      const std::size_t colon = line.find(':');
      std::string_view value = line.substr(colon + 1);
      value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
      value = value.substr(0, value.find_last_not_of(" \t") + 1);
      EXPECT_TRUE(head->fields.add({line.substr(0, colon), value}));
      at += line.size() + 2;
    }
  }

  std::unique_ptr<Head> head = std::make_unique<Head>();

 private:
  std::string text_;
};

std::string_view fault_of_request(const std::string& fields, const Collected& collected,
                                  Version version = Version::http_1_1) {
  const ByHand<RequestHead> message{fields};
  message.head->version = version;
  const auto known = read_fields(*message.head);
  if (!known) {
    return known.error().fault;
  }
  const Verdict verdict = frame_request(*known, collected, *message.head);
  return verdict ? "" : verdict.error().fault;
}

constexpr Collected nothing{};
constexpr Collected chunked{.chunked = true};
constexpr Collected five{.length = 5};

TEST(Framing, NeedsNoHelpToRefuseTwoLengths) {
  EXPECT_EQ(fault_of_request("Content-Length: 5\r\n", five), "");
  EXPECT_EQ(fault_of_request("Content-Length: 5\r\nContent-Length: 5\r\n", five), "two Content-Length fields");
  EXPECT_EQ(fault_of_request("Content-Length: 5\r\ncontent-length: 6\r\n", five), "two Content-Length fields");
}

TEST(Framing, NeedsNoHelpToRefuseALengthBesideChunked) {
  constexpr std::string_view fault = "Content-Length beside Transfer-Encoding";
  EXPECT_EQ(fault_of_request("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunked), fault);
  EXPECT_EQ(fault_of_request("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", chunked), fault);
  EXPECT_EQ(fault_of_request("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", five), fault);
}

TEST(Framing, NeedsNoHelpToRefuseTransferEncodings) {
  const auto fault_of = [](std::string_view value, Version version = Version::http_1_1) {
    return fault_of_request("Transfer-Encoding:" + std::string(value) + "\r\n", chunked, version);
  };
  EXPECT_EQ(fault_of(" chunked"), "");
  EXPECT_EQ(fault_of(" chunked", Version::http_1_0), "Transfer-Encoding in HTTP/1.0");
  EXPECT_EQ(fault_of("\tchunked"), "a tab around a transfer coding");
  EXPECT_EQ(fault_of(" chunked\t"), "a tab around a transfer coding");
  EXPECT_EQ(fault_of(" chunked \t "), "a tab around a transfer coding");
  EXPECT_EQ(fault_of(" chunked, chunked"), "chunked twice");
  EXPECT_EQ(fault_of(" chunked, gzip"), "chunked is not the last transfer coding");
  EXPECT_EQ(fault_of(" ,chunked"), "an empty transfer coding");
  EXPECT_EQ(fault_of(" chunked;a=b"), "a malformed transfer coding");
  EXPECT_EQ(fault_of(" gzip, chunked"), "an unknown transfer coding");
  EXPECT_EQ(fault_of_request("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked),
            "two Transfer-Encoding fields");
}

TEST(Framing, NeedsNoHelpToRefuseLengths) {
  for (const auto* const value : {"", "+5", "5_", "0x5", "-5", "5,5", "5 5", "\x85"}) {
    EXPECT_NE(fault_of_request("Content-Length: " + std::string(value) + "\r\n", five), "") << value;
  }
  EXPECT_EQ(fault_of_request("Content-Length: 9223372036854775808\r\n", {.length = 9'223'372'036'854'775'808U}),
            "Content-Length is too large");
}

TEST(Framing, IsRefusedWhenTheReadersDisagree) {
  constexpr std::string_view fault = "llhttp sees another framing";
  EXPECT_EQ(fault_of_request("Content-Length: 5\r\n", {.length = 6}), fault);
  EXPECT_EQ(fault_of_request("Content-Length: 5\r\n", chunked), fault);
  EXPECT_EQ(fault_of_request("A: b\r\n", five), fault);
  EXPECT_EQ(fault_of_request("A: b\r\n", chunked), fault);
  EXPECT_EQ(fault_of_request("Transfer-Encoding: chunked\r\n", nothing), fault);
  const ByHand<ResponseHead> answer{"Content-Length: 5\r\n"};
  const auto known = read_fields(*answer.head);
  ASSERT_TRUE(known);
  EXPECT_FALSE(frame_response(*known, nothing, Method::get, *answer.head));
}

TEST(Framing, LlhttpHasToSeeTheSameLinesAndTheSameEnd) {
  const std::string head = "GET / HTTP/1.1\r\nA: b\r\nC:\r\n\r\n";
  Fields fields;
  EXPECT_EQ(collect_request_fields(head, 2, 10, fields).fault, nullptr);
  fields.clear();
  EXPECT_STREQ(collect_request_fields(head, 3, 10, fields).fault, "llhttp sees other lines");
  fields.clear();
  EXPECT_STREQ(collect_request_fields(head, 1, 10, fields).fault, "llhttp sees other lines");
  fields.clear();
  EXPECT_STREQ(collect_request_fields(head + "G", 2, 10, fields).fault, "llhttp sees another end of the head");
  fields.clear();
  EXPECT_STREQ(collect_request_fields(head.substr(0, head.size() - 2), 2, 10, fields).fault, "no end of the head");
}

TEST(Framing, NamesAreRefusedThatAreNotWholeLines) {
  ByHand<RequestHead> message{"Content-Length: 5\r\n"};
  const Field field = message.head->fields.all()[0];
  message.head->fields.clear();
  ASSERT_TRUE(message.head->fields.add({field.name.substr(1), field.value}));
  EXPECT_FALSE(read_fields(*message.head));
  message.head->fields.clear();
  ASSERT_TRUE(message.head->fields.add({field.name.substr(0, 7), field.value}));
  EXPECT_FALSE(read_fields(*message.head));
}

}  // namespace
}  // namespace steelyard::http
