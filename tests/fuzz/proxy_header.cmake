steelyard_fuzzer(fuzz_proxy_header SOURCES ${CMAKE_CURRENT_LIST_DIR}/proxy_header_fuzzer.cc DEPENDS steelyard_http)
