steelyard_fuzzer(fuzz_l4 SOURCES ${CMAKE_CURRENT_LIST_DIR}/l4_fuzzer.cc DEPENDS steelyard_l4)
