steelyard_fuzzer(fuzz_config SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/config_fuzzer.cc DEPENDS steelyard_config)
