# From proto/: protobuf-c structs and the embedded FileDescriptorSets, all in ${CMAKE_BINARY_DIR}/generated.
find_program(PROTOC protoc REQUIRED)
find_program(PROTOC_C protoc-c REQUIRED)
set(SONDE_GENERATED ${CMAKE_BINARY_DIR}/generated)

# sonde_protoc_c(OUT_VAR FILES...): names relative to proto/ or to protoc's own include directory.
function(sonde_protoc_c out)
  set(sources)
  file(MAKE_DIRECTORY ${SONDE_GENERATED})
  foreach(file IN LISTS ARGN)
    string(REGEX REPLACE "\\.proto$" ".pb-c" base ${file})
    set(depends)
    if(EXISTS ${CMAKE_SOURCE_DIR}/proto/${file})
      set(depends ${CMAKE_SOURCE_DIR}/proto/${file})
    endif()
    add_custom_command(
      OUTPUT ${SONDE_GENERATED}/${base}.c ${SONDE_GENERATED}/${base}.h
      COMMAND ${PROTOC_C} -I${CMAKE_SOURCE_DIR}/proto -I/usr/include --c_out=${SONDE_GENERATED} ${file}
      DEPENDS ${depends}
      COMMENT "protoc-c ${file}" VERBATIM)
    list(APPEND sources ${SONDE_GENERATED}/${base}.c)
  endforeach()
  set(${out} ${sources} PARENT_SCOPE)
endfunction()

# sonde_descriptor_set(NAME FILES...): generated/NAME.fds (serialised FileDescriptorSet with all imports) and
# generated/NAME.fds.h with its size-independent SHA-256 as `#define NAME_SHA256 {0x..,...}`.
function(sonde_descriptor_set name)
  set(depends)
  foreach(file IN LISTS ARGN)
    list(APPEND depends ${CMAKE_SOURCE_DIR}/proto/${file})
  endforeach()
  file(GLOB all CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/proto/sonde/v1/*.proto)
  add_custom_command(
    OUTPUT ${SONDE_GENERATED}/${name}.fds ${SONDE_GENERATED}/${name}.fds.h
    COMMAND ${PROTOC} -I${CMAKE_SOURCE_DIR}/proto --include_imports --descriptor_set_out=${SONDE_GENERATED}/${name}.fds ${ARGN}
    COMMAND ${CMAKE_COMMAND} -DIN=${SONDE_GENERATED}/${name}.fds -DOUT=${SONDE_GENERATED}/${name}.fds.h -DNAME=${name}
            -P ${CMAKE_SOURCE_DIR}/cmake/sha256.cmake
    DEPENDS ${depends} ${all} ${CMAKE_SOURCE_DIR}/cmake/sha256.cmake
    COMMENT "descriptor set ${name}" VERBATIM)
endfunction()

# sonde_descriptor_comments(NAME FILES...): generated/NAME.fds with what the files' comments say, without their imports.
function(sonde_descriptor_comments name)
  set(depends)
  foreach(file IN LISTS ARGN)
    list(APPEND depends ${CMAKE_SOURCE_DIR}/proto/${file})
  endforeach()
  add_custom_command(
    OUTPUT ${SONDE_GENERATED}/${name}.fds
    COMMAND ${PROTOC} -I${CMAKE_SOURCE_DIR}/proto --include_source_info --descriptor_set_out=${SONDE_GENERATED}/${name}.fds ${ARGN}
    DEPENDS ${depends}
    COMMENT "descriptor set ${name}" VERBATIM)
endfunction()
