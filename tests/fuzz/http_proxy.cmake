# The world of the proxy's unit tests, whose expectations end the program here.
find_package(GTest REQUIRED)
steelyard_fuzzer(fuzz_http_proxy
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/http_proxy_fuzzer.cc ${PROJECT_SOURCE_DIR}/tests/unit/http/proxy_world.cc
  DEPENDS steelyard_http GTest::gtest)
