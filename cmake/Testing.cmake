# How tests are declared. Everything scripts/test runs is a ctest test; exit code 77 is a skip whose reason is the
# last line printed ("SKIP: why").

# sonde_unit_test(NAME SOURCES... LIBS libs...): a cmocka program, mirrored under tests/unit/.
function(sonde_unit_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBS;LABELS" ${ARGN})
  add_executable(test_${name} ${arg_SOURCES})
  sonde_target(test_${name})
  target_compile_definitions(test_${name} PRIVATE
    SONDE_FIXTURES="${CMAKE_SOURCE_DIR}/tests/fixtures" SONDE_BINARY_DIR="${CMAKE_BINARY_DIR}")
  target_link_libraries(test_${name} PRIVATE ${arg_LIBS} PkgConfig::CMOCKA)
  add_test(NAME unit/${name} COMMAND test_${name})
  set_tests_properties(unit/${name} PROPERTIES LABELS "unit;${arg_LABELS}" SKIP_RETURN_CODE 77 TIMEOUT 120)
endfunction()

# sonde_script_test(NAME COMMAND ... LABELS ... TIMEOUT n [COST seconds]): any program; finds the build in $SONDE_BUILD.
# Labels that scripts/test goes by: `beside` for what waits most of its time, or counts nothing that neighbours change: such tests run next
# to each other, those with the largest COST first. `sanitized` for what --slow runs again in the builds with sanitizers.
function(sonde_script_test name)
  cmake_parse_arguments(arg "SERIAL" "TIMEOUT;COST" "COMMAND;LABELS" ${ARGN})
  add_test(NAME ${name} COMMAND ${arg_COMMAND} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" SKIP_RETURN_CODE 77 TIMEOUT ${arg_TIMEOUT}
    ENVIRONMENT "SONDE_BUILD=${CMAKE_BINARY_DIR};SONDE_SOURCE=${CMAKE_SOURCE_DIR}")
  if(arg_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  endif()
  if(arg_COST)
    set_tests_properties(${name} PROPERTIES COST ${arg_COST})
  endif()
endfunction()

# sonde_fuzz_target(NAME SOURCE LIBS libs...): with -DSONDE_FUZZ=ON a libFuzzer program; otherwise a program that
# replays tests/fuzz/corpus/NAME, so that the corpus is a regression test in every build.
# The target fuzz_targets is all of them and nothing else.
add_custom_target(fuzz_targets)
function(sonde_fuzz_target name)
  cmake_parse_arguments(arg "" "SOURCE" "LIBS" ${ARGN})
  add_executable(fuzz_${name} ${arg_SOURCE})
  add_dependencies(fuzz_targets fuzz_${name})
  sonde_target(fuzz_${name})
  target_compile_options(fuzz_${name} PRIVATE -Wno-missing-prototypes)
  target_link_libraries(fuzz_${name} PRIVATE ${arg_LIBS})
  if(SONDE_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME fuzz/${name} COMMAND fuzz_${name} -runs=0 ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
  else()
    target_sources(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
    add_test(NAME fuzz/${name} COMMAND fuzz_${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
  endif()
  set_tests_properties(fuzz/${name} PROPERTIES LABELS fuzz TIMEOUT 120)
endfunction()
