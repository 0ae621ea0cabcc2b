# sonde_bpf_skeleton(NAME [DIRECTORY]): compiles bpf/NAME.bpf.c, or that of another directory, and makes the INTERFACE library bpf_NAME, whose NAME.skel.h embeds the object.
# No vmlinux.h: programs declare the few kernel fields they read, relocated by CO-RE.
find_program(BPF_CLANG NAMES clang clang-14 REQUIRED)
find_program(BPF_STRIP NAMES llvm-strip llvm-strip-14 REQUIRED)
find_program(BPFTOOL NAMES bpftool PATHS /usr/sbin /usr/local/sbin REQUIRED)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(SONDE_BPF_ARCH arm64)
else()
  set(SONDE_BPF_ARCH x86)
endif()

function(sonde_bpf_skeleton name)
  set(src ${CMAKE_SOURCE_DIR}/bpf/${name}.bpf.c)
  if(ARGC GREATER 1)
    set(src ${ARGV1}/${name}.bpf.c)
  endif()
  set(dir ${CMAKE_BINARY_DIR}/generated/bpf)
  file(MAKE_DIRECTORY ${dir})
  add_custom_command(
    OUTPUT ${dir}/${name}.skel.h
    COMMAND ${BPF_CLANG} -g -O2 -target bpf -mcpu=v3 -Wall -Werror -D__TARGET_ARCH_${SONDE_BPF_ARCH}
            -I${CMAKE_SOURCE_DIR} -idirafter ${CMAKE_SYSROOT}/usr/include/${CMAKE_C_LIBRARY_ARCHITECTURE}
            -MD -MF ${dir}/${name}.d -MT ${dir}/${name}.skel.h -c ${src} -o ${dir}/${name}.bpf.o
    COMMAND ${BPF_STRIP} -g ${dir}/${name}.bpf.o
    COMMAND sh -c "${BPFTOOL} gen skeleton ${dir}/${name}.bpf.o name ${name} > ${dir}/${name}.skel.h"
    DEPENDS ${src} DEPFILE ${dir}/${name}.d
    COMMENT "BPF ${name}" VERBATIM)
  add_custom_target(bpf_${name}_skeleton DEPENDS ${dir}/${name}.skel.h)
  add_library(bpf_${name} INTERFACE)
  add_dependencies(bpf_${name} bpf_${name}_skeleton)
  target_include_directories(bpf_${name} SYSTEM INTERFACE ${dir})
  target_link_libraries(bpf_${name} INTERFACE PkgConfig::LIBBPF)
endfunction()
