# ctest reads this before each run, with TEST_PROGRAM, TEST_PREFIX, EACH (on: one test for each case), LAUNCHER,
# LOCKS and PROPERTIES set: the tests of one program of googletest, one for each of its suites.
#
# A process for each case was more than a third of the processor time of simulated clusters: the address sanitizer comes
# up, touches all of its memory for the first time, and looks for leaks at the end.
if(NOT EXISTS ${TEST_PROGRAM})
  add_test(${TEST_PREFIX}NOT_BUILT ${TEST_PROGRAM})
  return()
endif()
execute_process(COMMAND ${TEST_PROGRAM} --gtest_list_tests OUTPUT_VARIABLE listed RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${TEST_PROGRAM} cannot list its tests: ${status}\n${listed}")
endif()

# A case that was skipped is shown as such where it stands alone, and fails its suite where it would be hidden; so does
# one that does not run at all.
set(skips "\\[  SKIPPED \\]")
set(never "DISABLED TEST|Running 0 tests")
if(EACH)
  set(verdict SKIP_REGULAR_EXPRESSION ${skips} FAIL_REGULAR_EXPRESSION ${never})
else()
  set(verdict FAIL_REGULAR_EXPRESSION "${skips}|${never}")
endif()

function(add_one name filter)
  add_test(${TEST_PREFIX}${name} ${LAUNCHER} ${TEST_PROGRAM} --gtest_filter=${filter})
  set_tests_properties(${TEST_PREFIX}${name} PROPERTIES RESOURCE_LOCK "${LOCKS}" ${verdict} ${PROPERTIES})
endfunction()

string(REGEX REPLACE "[ \t]*#[^\n]*" "" listed "${listed}")
string(REGEX MATCHALL "[^\n]+" lines "${listed}")
set(suite "")
foreach(line IN LISTS lines)
  if(line MATCHES "^([^ ]+)\\.$")
    set(suite ${CMAKE_MATCH_1})
    if(NOT EACH)
      add_one(${suite} ${suite}.*)
    endif()
  elseif(EACH AND line MATCHES "^  ([^ ]+)$")
    add_one(${suite}.${CMAKE_MATCH_1} ${suite}.${CMAKE_MATCH_1})
  endif()
endforeach()
