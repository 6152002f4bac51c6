foreach(part request response)
  steelyard_fuzzer(fuzz_http_${part} SOURCES ${CMAKE_CURRENT_LIST_DIR}/http_${part}_fuzzer.cc DEPENDS steelyard_http)
endforeach()
