steelyard_fuzzer(fuzz_fragments SOURCES ${CMAKE_CURRENT_LIST_DIR}/fragments_fuzzer.cc DEPENDS steelyard_l4)
