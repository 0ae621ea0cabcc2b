# sonde_target(NAME): our own code is held to strict warnings; generated code and foreign headers are not.
function(sonde_target name)
  target_compile_options(${name} PRIVATE
    -Wall -Wextra -Werror -Wshadow -Wformat -Wformat-security -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wpointer-arith
    -Wwrite-strings -Wvla -Wno-unused-parameter -Wno-missing-field-initializers)
  target_compile_definitions(${name} PRIVATE _GNU_SOURCE SONDE_VERSION="${PROJECT_VERSION}")
endfunction()
