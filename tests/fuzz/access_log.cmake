steelyard_fuzzer(fuzz_access_log
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/access_log_fuzzer.cc
  DEPENDS steelyard_access_log Boost::json)
