#include "control/runtime/cookie_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>

namespace steelyard::control {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string failure_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return {};
}

class CookieKeyFile : public ::testing::Test {
 protected:
  CookieKeyFile() {
    std::string name = (std::filesystem::temp_directory_path() / "cookie-key-XXXXXX").native();
    folder_ = ::mkdtemp(name.data());
  }
  ~CookieKeyFile() override { std::filesystem::remove_all(folder_); }
  CookieKeyFile(const CookieKeyFile&) = delete;
  CookieKeyFile& operator=(const CookieKeyFile&) = delete;

  std::string write(const std::string& content, mode_t mode = 0600) const {
    const std::string path = folder_ / "cookie.key";
    std::ofstream(path, std::ios::binary) << content;
    ::chmod(path.c_str(), mode);
    return path;
  }
  std::string content() const {
    std::ifstream file(folder_ / "cookie.key", std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::string text_of(const http::CookieKey& key) { return {key.octets.begin(), key.octets.end()}; }

  std::filesystem::path folder_;
  const std::string good_ = "0123456789abcdef0123456789ABCDEF";
};

TEST_F(CookieKeyFile, HasTheKeyInItsFirstOctets) {
  EXPECT_EQ(text_of(read_cookie_key(write(good_)).key), good_);
  EXPECT_EQ(text_of(read_cookie_key(write(good_ + "more\n")).key), good_);
  EXPECT_EQ(text_of(read_cookie_key(write(good_, 0640)).key), good_);
}

TEST_F(CookieKeyFile, IsRefusedWhenItIsShortOrOpenToEverybodyOrNoFile) {
  EXPECT_THAT(failure_of([&] { (void)read_cookie_key(write("short")); }),
              HasSubstr("cookie.key: it has 5 bytes; allowed: at least 32"));
  for (const mode_t mode : {0604U, 0602U, 0666U}) {
    EXPECT_THAT(failure_of([&] { (void)read_cookie_key(write(good_, mode)); }),
                HasSubstr("everybody on this machine may read or write it; allowed: e.g. mode 0600"));
  }
  EXPECT_THAT(failure_of([&] { (void)read_cookie_key(folder_); }), HasSubstr("it is not a regular file"));
  EXPECT_THAT(failure_of([&] { (void)read_cookie_key(folder_ / "none"); }), HasSubstr("No such file or directory"));
}

TEST_F(CookieKeyFile, IsNeverShownInAMessage) {
  EXPECT_THAT(failure_of([&] { (void)read_cookie_key(write(good_, 0644)); }), Not(HasSubstr("0123")));
}

TEST_F(CookieKeyFile, IsMadeOnceAndKept) {
  const LoadedCookieKey first = keep_cookie_key(folder_);
  EXPECT_THAT(first.warning, IsEmpty());
  EXPECT_EQ(content(), text_of(first.key));
  EXPECT_NE(text_of(first.key), std::string(32, '\0'));
  struct stat found {};
  ASSERT_EQ(::stat((folder_ / "cookie.key").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0600U);
  EXPECT_EQ(text_of(keep_cookie_key(folder_).key), text_of(first.key));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1) << "nothing else is left";
}

TEST_F(CookieKeyFile, IsMadeInAFolderThatIsNotThereYet) {
  const std::string deep = folder_ / "a/b";
  const LoadedCookieKey first = keep_cookie_key(deep);
  EXPECT_THAT(first.warning, IsEmpty());
  EXPECT_EQ(text_of(keep_cookie_key(deep).key), text_of(first.key));
}

TEST_F(CookieKeyFile, ThatIsThereAndNoGoodIsNotReplaced) {
  write("short");
  EXPECT_THAT(failure_of([&] { (void)keep_cookie_key(folder_); }), HasSubstr("it has 5 bytes"));
  EXPECT_EQ(content(), "short");
  write(good_, 0644);
  EXPECT_THAT(failure_of([&] { (void)keep_cookie_key(folder_); }), HasSubstr("everybody"));
}

TEST_F(CookieKeyFile, ThatCannotBeMadeIsForTheLifeOfTheProcess) {
  write(good_);
  const std::string below_a_file = folder_ / "cookie.key/state";
  const LoadedCookieKey first = keep_cookie_key(below_a_file);
  EXPECT_THAT(first.warning, HasSubstr("the cookie key cannot be kept in " + below_a_file + "/cookie.key: "));
  EXPECT_THAT(first.warning, HasSubstr("session cookies of this process end with it"));
  EXPECT_NE(text_of(keep_cookie_key(below_a_file).key), text_of(first.key));
}

}  // namespace
}  // namespace steelyard::control
