steelyard_fuzzer(fuzz_http_cookie SOURCES ${CMAKE_CURRENT_LIST_DIR}/http_cookie_fuzzer.cc DEPENDS steelyard_http)
steelyard_fuzzer(fuzz_http_rules SOURCES ${CMAKE_CURRENT_LIST_DIR}/http_rules_fuzzer.cc DEPENDS steelyard_service)
