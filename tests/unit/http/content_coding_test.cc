// Accept-Encoding in all its spellings, and which answers may be gzipped.
#include "dataplane/http/content_coding.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/http/messages.h"

namespace steelyard::http {
namespace {

bool accepts(const std::vector<std::string_view>& values) {
  std::vector<Field> fields{{"Host", "gzip"}};
  for (const std::string_view value : values) {
    fields.push_back({"accept-ENCODING", value});
  }
  return accepts_gzip(fields);
}

TEST(AcceptEncoding, WithoutTheFieldNobodyHasAskedForGzip) {
  EXPECT_FALSE(accepts({}));
  EXPECT_FALSE(accepts({""}));
}

TEST(AcceptEncoding, GzipIsTakenByItsNamesAndByTheStar) {
  for (const std::string_view value : {"gzip", "x-gzip", "*", "GZip", "gzip, deflate, br", "br,gzip", "deflate , gzip",
                                       ",, gzip,", "gzip;q=1", "gzip;q=0.001", "gzip; q=0.5", "gzip ;q=1.000",
                                       "gzip\t;\tQ=0.8", "br;q=1, *;q=0.1", "compress, x-gzip;q=0.2"}) {
    EXPECT_TRUE(accepts({value})) << value;
  }
}

TEST(AcceptEncoding, AQualityOfZeroRefuses) {
  for (const std::string_view value : {"gzip;q=0", "gzip;q=0.0", "gzip;q=0.000", "gzip; Q=0.", "*;q=0", "x-gzip;q=0",
                                       "gzip;q=0, *", "*, gzip;q=0", "identity;q=1, *;q=0"}) {
    EXPECT_FALSE(accepts({value})) << value;
  }
}

TEST(AcceptEncoding, OtherCodingsAreNotGzip) {
  for (const std::string_view value :
       {"br", "deflate", "identity", "gzipped", "xgzip", "gzi", "gzip2", "\"gzip\"", "br gzip", "q=1;gzip", "gzip/1"}) {
    EXPECT_FALSE(accepts({value})) << value;
  }
}

TEST(AcceptEncoding, SeveralFieldsAreOneList) {
  EXPECT_TRUE(accepts({"br", "gzip"}));
  EXPECT_TRUE(accepts({"gzip", "identity;q=0"}));
  EXPECT_FALSE(accepts({"*", "gzip;q=0"}));
}

TEST(AcceptEncoding, ANameThatStandsTwiceCountsByTheLowerQuality) {
  EXPECT_FALSE(accepts({"gzip;q=1, gzip;q=0"}));
  EXPECT_FALSE(accepts({"gzip;q=0", "x-gzip"}));
  EXPECT_TRUE(accepts({"gzip;q=0.2, gzip"}));
}

TEST(AcceptEncoding, WhoWantsIdentityMoreGetsIt) {
  EXPECT_FALSE(accepts({"identity, gzip;q=0.5"}));
  EXPECT_FALSE(accepts({"gzip;q=0.5, identity;q=0.501"}));
  EXPECT_TRUE(accepts({"gzip, identity"}));
  EXPECT_TRUE(accepts({"gzip;q=0.5, identity;q=0.5"}));
}

TEST(AcceptEncoding, AQualityThatCannotBeReadRefuses) {
  for (const std::string_view value :
       {"gzip;", "gzip;q", "gzip;q=", "gzip;q=2", "gzip;q=1.001", "gzip;q=-1", "gzip;q=.5", "gzip;q=0.1234",
        "gzip;q=0,5", "gzip;q=1e0", "gzip;q=0..1", "gzip;q = 1", "gzip;level=9", "gzip;q=1;x", "gzip;q=0x1",
        "gzip;q=\"1\"", "gzip;q=01"}) {
    EXPECT_FALSE(accepts({value})) << value;
  }
}

// --- answers ---------------------------------------------------------------------------------------------------------

bool compressible(std::string_view status, std::string_view fields, Method method = Method::get) {
  const auto parsed = response("HTTP/1.1 " + std::string(status) + " X\r\n" + std::string(fields) + "\r\n", method);
  EXPECT_TRUE(parsed.taken()) << fields;
  return is_compressible(*parsed.head, service::Gzip{});
}
constexpr std::string_view page = "Content-Type: text/html\r\nContent-Length: 5000\r\n";

bool with(std::string_view fields) {
  return compressible("200", std::string(page) + std::string(fields));
}

TEST(Compressible, StatusesOfContent) {
  for (const std::string_view status : {"200", "201", "202", "203", "403", "404"}) {
    EXPECT_TRUE(compressible(status, page)) << status;
  }
  for (const std::string_view status : {"204", "205", "206", "226", "300", "301", "304", "400", "401", "500", "503"}) {
    EXPECT_FALSE(compressible(status, page)) << status;
  }
}

TEST(Compressible, BodiesThatAreLongEnoughOrOfUnknownLength) {
  const auto of = [](std::string_view framing) {
    return compressible("200", "Content-Type: text/css\r\n" + std::string(framing));
  };
  EXPECT_TRUE(of("Content-Length: 1024\r\n"));
  EXPECT_FALSE(of("Content-Length: 1023\r\n"));
  EXPECT_FALSE(of("Content-Length: 0\r\n"));
  EXPECT_TRUE(of("Transfer-Encoding: chunked\r\n"));
  EXPECT_TRUE(of("")) << "until the connection closes";
}

TEST(Compressible, TypesThatAreListedWhateverTheirParameters) {
  const auto of = [](std::string_view type) {
    return compressible("200", "Content-Length: 5000\r\n" + std::string(type));
  };
  for (const std::string_view type :
       {"text/html", "TEXT/HTML", "text/html; charset=utf-8", "text/html;charset=utf-8", "text/html ; x",
        "application/json", "application/rss+xml", "text/plain", "application/x-javascript"}) {
    EXPECT_TRUE(of("content-type: " + std::string(type) + "\r\n")) << type;
  }
  for (const std::string_view type : {"image/png", "text/htm", "text/html5", "text", "application/octet-stream",
                                      "text/event-stream", "multipart/form-data; text/html", "\"text/html\""}) {
    EXPECT_FALSE(of("Content-Type: " + std::string(type) + "\r\n")) << type;
  }
  EXPECT_FALSE(of(""));
  EXPECT_FALSE(of("Content-Type: text/html\r\nContent-Type: text/html\r\n"));
}

TEST(Compressible, NotWhatIsCodedAlready) {
  EXPECT_FALSE(with("Content-Encoding: br\r\n"));
  EXPECT_FALSE(with("content-encoding: gzip\r\n"));
  EXPECT_FALSE(with("Content-Encoding: identity\r\n"));
}

TEST(Compressible, NotWhatNobodyMayTransform) {
  EXPECT_FALSE(with("Cache-Control: no-transform\r\n"));
  EXPECT_FALSE(with("Cache-Control: max-age=1\r\ncache-control: public, NO-TRANSFORM\r\n"));
  EXPECT_TRUE(with("Cache-Control: no-store, max-age=0\r\n"));
}

TEST(Compressible, NotPartsOrDigestsThatComeAfterTheBody) {
  EXPECT_FALSE(with("Content-Range: bytes 0-4999/10000\r\n"));
  EXPECT_FALSE(with("Trailer: X-Time, Content-Digest\r\n"));
  EXPECT_TRUE(with("Trailer: X-Time\r\n"));
}

TEST(Compressible, NotWithAnEntityTagThatIsNone) {
  EXPECT_TRUE(with("ETag: \"a\"\r\n"));
  EXPECT_TRUE(with("ETag: W/\"a\"\r\n"));
  EXPECT_TRUE(with("ETag: \"\"\r\n"));
  for (const std::string_view tag : {"a", "\"", "\"a", "\"a\"b", "w/\"a\"", "\"a\", \"b\""}) {
    EXPECT_FALSE(with("ETag: " + std::string(tag) + "\r\n")) << tag;
  }
  EXPECT_FALSE(with("ETag: \"a\"\r\nETag: \"a\"\r\n"));
}

TEST(Vary, IsToldByTheNameOrTheStar) {
  const auto tells = [](std::vector<Field> fields) { return tells_coding_varies(fields); };
  EXPECT_TRUE(tells({{"Vary", "Origin"}, {"vary", "x, ACCEPT-encoding"}}));
  EXPECT_TRUE(tells({{"Vary", "*"}}));
  EXPECT_FALSE(tells({{"Vary", "Accept, X-Accept-Encoding"}, {"Accept-Encoding", "*"}}));
  EXPECT_FALSE(tells({}));
}

class OneRoom final : public Rooms {
 public:
  [[nodiscard]] std::span<std::uint8_t> more() override { return std::exchange(room_, {}); }

 private:
  std::array<std::uint8_t, 256> octets_{};
  std::span<std::uint8_t> room_{octets_};

 public:
  [[nodiscard]] std::string text(std::size_t length) const { return {octets_.begin(), octets_.begin() + length}; }
};

std::string gzipped(const Field& field) {
  OneRoom room;
  HeadWriter writer(room);
  return write_field_of_gzipped(writer, field) ? room.text(writer.written()) : "as it is";
}

TEST(FieldsOfGzipped, AStrongEntityTagBecomesWeak) {
  EXPECT_EQ(gzipped({"ETag", "\"a\""}), "ETag: W/\"a\"\r\n");
  EXPECT_EQ(gzipped({"etag", "\"\""}), "etag: W/\"\"\r\n");
  EXPECT_EQ(gzipped({"ETag", "W/\"a\""}), "as it is");
}

TEST(FieldsOfGzipped, WhatIsAboutOtherOctetsIsLeftOut) {
  for (const std::string_view name : {"Accept-Ranges", "content-md5", "Digest", "Content-Digest", "Repr-Digest"}) {
    EXPECT_EQ(gzipped({name, "x"}), "") << name;
  }
  EXPECT_EQ(gzipped({"Last-Modified", "x"}), "as it is");
}

}  // namespace
}  // namespace steelyard::http
