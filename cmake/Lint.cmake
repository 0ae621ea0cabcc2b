# cmake --build --preset dev --target format | format-check | tidy
find_program(CLANG_FORMAT NAMES clang-format clang-format-14)
find_program(CLANG_TIDY NAMES clang-tidy clang-tidy-14)
file(GLOB_RECURSE SONDE_C_FILES CONFIGURE_DEPENDS
  ${CMAKE_SOURCE_DIR}/common/*.[ch] ${CMAKE_SOURCE_DIR}/agent/*.[ch] ${CMAKE_SOURCE_DIR}/backend/*.[ch]
  ${CMAKE_SOURCE_DIR}/bpf/*.[ch] ${CMAKE_SOURCE_DIR}/tests/*.[ch])
if(CLANG_FORMAT)
  add_custom_target(format COMMAND ${CLANG_FORMAT} -i ${SONDE_C_FILES} VERBATIM)
  add_custom_target(format-check COMMAND ${CLANG_FORMAT} --dry-run --Werror ${SONDE_C_FILES} VERBATIM)
endif()
if(CLANG_TIDY)
  set(tidy_files ${SONDE_C_FILES})
  list(FILTER tidy_files INCLUDE REGEX "(common|agent|backend)/.*\\.c$")
  add_custom_target(tidy COMMAND ${CLANG_TIDY} -p ${CMAKE_BINARY_DIR} --quiet ${tidy_files} VERBATIM)
endif()
