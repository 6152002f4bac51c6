steelyard_fuzzer(fuzz_admin SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/admin_fuzzer.cc DEPENDS steelyard_admin)
