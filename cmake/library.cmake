# One library per folder, one test program per folder that has tests. Files are found, never listed; a folder that is
# still empty is an interface library, so that the table may be ahead of the code.

# The headers of the standard library that nearly every file reads are parsed once.
file(WRITE ${CMAKE_BINARY_DIR}/pch.cc.new "// Owner of the precompiled headers.\n")
file(COPY_FILE ${CMAKE_BINARY_DIR}/pch.cc.new ${CMAKE_BINARY_DIR}/pch.cc ONLY_IF_DIFFERENT)
add_library(mars_pch OBJECT ${CMAKE_BINARY_DIR}/pch.cc)
target_precompile_headers(mars_pch PRIVATE <algorithm> <array> <coroutine> <cstdint> <cstring> <deque> <expected>
                          <functional> <map> <memory> <optional> <set> <span> <string> <string_view> <utility>
                          <variant> <vector>)
target_link_libraries(mars_pch PRIVATE GTest::gtest)
add_library(mars_pch_test OBJECT ${CMAKE_BINARY_DIR}/pch.cc)
target_precompile_headers(mars_pch_test PRIVATE <algorithm> <array> <coroutine> <cstdint> <cstring> <deque> <expected>
                          <functional> <map> <memory> <optional> <set> <span> <string> <string_view> <utility>
                          <variant> <vector> <gtest/gtest.h>)
target_link_libraries(mars_pch_test PRIVATE GTest::gtest)
# Optimising tests would be half of a build.
set(mars_test_option $<$<CXX_COMPILER_ID:Clang>:-O0>)
target_compile_options(mars_pch_test PRIVATE ${mars_test_option})

# What libFuzzer watches; the precompiled header must be made the same way. Tests are not watched.
set(mars_fuzz_option "")
if(MARS_FUZZ)
  set(mars_fuzz_option -fsanitize=fuzzer-no-link)
endif()
target_compile_options(mars_pch PRIVATE ${mars_fuzz_option})

# A precompiled header holds the path of its build directory. So it is never taken from the compiler cache, and for the
# cache it stands as the sum of what makes it: its users have the same objects in every clone. (-Xclang, CMake's own way
# to name it, hides the path from the cache.)
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
  set(CMAKE_CXX_COMPILE_OPTIONS_USE_PCH -include-pch <PCH_FILE>)
endif()
set(debian_version "")
if(EXISTS /etc/debian_version)
  file(STRINGS /etc/debian_version debian_version)
endif()
foreach(pch IN ITEMS mars_pch mars_pch_test)
  set_target_properties(${pch} PROPERTIES C_COMPILER_LAUNCHER "" CXX_COMPILER_LAUNCHER "")
  get_target_property(pch_headers ${pch} PRECOMPILE_HEADERS)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/CMakeFiles/${pch}.dir/cmake_pch.hxx.pch.sum CONTENT
       "@debian_version@ @GTest_VERSION@ @CMAKE_CXX_COMPILER_VERSION@ @CMAKE_CXX_FLAGS@ @MARS_SANITIZE@ @MARS_FUZZ@
@pch_headers@" @ONLY)
endforeach()

function(mars_target folder result)
  string(REPLACE / _ name ${folder})
  set(${result} ${name} PARENT_SCOPE)
endfunction()

function(mars_source_dir folder result)
  set(path ${CMAKE_SOURCE_DIR}/src/${folder})
  if(folder MATCHES "^sim(/|$)")
    set(path ${CMAKE_SOURCE_DIR}/${folder})
  endif()
  set(${result} ${path} PARENT_SCOPE)
endfunction()

# Links target to the libraries of folders and packages ("-" and empty mean none).
function(mars_link target scope folders packages)
  separate_arguments(folders UNIX_COMMAND "${folders}")
  separate_arguments(packages UNIX_COMMAND "${packages}")
  foreach(folder IN LISTS folders)
    if(NOT folder STREQUAL "-")
      mars_target(${folder} name)
      target_link_libraries(${target} ${scope} mars_${name})
    endif()
  endforeach()
  foreach(package IN LISTS packages)
    if(NOT package STREQUAL "-")
      target_link_libraries(${target} ${scope} mars_package_${package})
    endif()
  endforeach()
endfunction()

# main() of a program lives in main.cc, so that everything else of its folder can be tested.
function(mars_library folder below packages test_extra)
  mars_target(${folder} name)
  mars_source_dir(${folder} path)
  file(GLOB sources CONFIGURE_DEPENDS ${path}/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  if(sources)
    add_library(mars_${name} STATIC ${sources})
    target_precompile_headers(mars_${name} REUSE_FROM mars_pch)
    mars_link(mars_${name} PUBLIC "${below}" "${packages}")
    target_compile_options(mars_${name} PRIVATE ${mars_fuzz_option})
  else()
    add_library(mars_${name} INTERFACE)
    mars_link(mars_${name} INTERFACE "${below}" "${packages}")
  endif()
  if(tests)
    add_executable(${name}_test ${tests})
    target_precompile_headers(${name}_test REUSE_FROM mars_pch_test)
    target_compile_options(${name}_test PRIVATE ${mars_test_option})
    target_link_libraries(${name}_test PRIVATE mars_${name} GTest::gtest_main)
    mars_link(${name}_test PRIVATE "${test_extra}" "-")
    gtest_discover_tests(${name}_test TEST_PREFIX ${name}. DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 30
                         PROPERTIES TIMEOUT 300
                         ENVIRONMENT TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tools/tsan.supp)
  endif()
endfunction()

function(mars_read_floors file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(STRINGS ${file} lines REGEX "^[a-z]")
  foreach(line IN LISTS lines)
    if(NOT line MATCHES "^([a-z/]+): *[0-9]+ *\\|([^|]*)\\|([^|]*)\\|([^|]*)$")
      message(FATAL_ERROR "${file}: cannot read \"${line}\"")
    endif()
    mars_library(${CMAKE_MATCH_1} "${CMAKE_MATCH_2}" "${CMAKE_MATCH_3}" "${CMAKE_MATCH_4}")
  endforeach()
endfunction()

function(mars_program program folder)
  mars_target(${folder} name)
  mars_source_dir(${folder} path)
  file(GLOB main CONFIGURE_DEPENDS ${path}/main.cc)
  if(main)
    add_executable(${program} ${main})
    target_precompile_headers(${program} REUSE_FROM mars_pch)
    target_compile_options(${program} PRIVATE ${mars_fuzz_option})
    target_link_libraries(${program} PRIVATE mars_${name})
    install(TARGETS ${program} RUNTIME)
    add_dependencies(programs ${program})
  endif()
endfunction()

# fuzz/NAME.cc becomes fuzz_NAME and the test fuzz.NAME. Whoever decodes foreign bytes is linked.
function(mars_fuzzers)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/fuzz/*.cc)
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM name)
    add_executable(fuzz_${name} ${source})
    target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_libraries(fuzz_${name} PRIVATE mars_node mars_front_nbd)
    add_test(NAME fuzz.${name} COMMAND ${CMAKE_SOURCE_DIR}/tools/fuzz.sh $<TARGET_FILE:fuzz_${name}> ${name})
    set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 900)
  endforeach()
endfunction()
