steelyard_fuzzer(fuzz_client_address SOURCES ${CMAKE_CURRENT_LIST_DIR}/client_address_fuzzer.cc DEPENDS steelyard_l4)
