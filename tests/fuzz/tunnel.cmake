steelyard_fuzzer(fuzz_tunnel SOURCES ${CMAKE_CURRENT_LIST_DIR}/tunnel_fuzzer.cc DEPENDS steelyard_l4)
