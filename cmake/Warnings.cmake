# sonde_target(NAME): our own code is held to strict warnings; generated code and foreign headers are not.
# -Wformat-truncation is off: its guesses at ranges change with the sanitizer; a cut that matters is checked by the result.
# -Wmaybe-uninitialized is off: gcc does not know that errno is positive, and takes every `ret_` output behind `return -errno` for unset.
function(sonde_target name)
  target_compile_options(${name} PRIVATE
    -Wall -Wextra -Werror -Wshadow -Wformat -Wformat-security -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wpointer-arith
    -Wwrite-strings -Wvla -Wno-unused-parameter -Wno-missing-field-initializers
    "$<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-format-truncation>")
  target_compile_definitions(${name} PRIVATE _GNU_SOURCE SONDE_VERSION="${PROJECT_VERSION}")
endfunction()
