foreach(part segments operations options)
  steelyard_fuzzer(fuzz_tcp_${part} SOURCES ${CMAKE_CURRENT_LIST_DIR}/tcp_${part}_fuzzer.cc DEPENDS steelyard_tcp_simulation)
endforeach()
steelyard_fuzzer(fuzz_tcp_channel
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/tcp_channel_fuzzer.cc ${PROJECT_SOURCE_DIR}/tests/services/call_json.cc
          ${PROJECT_SOURCE_DIR}/tests/services/options.cc
  DEPENDS steelyard_admin steelyard_service steelyard_dpdk)
