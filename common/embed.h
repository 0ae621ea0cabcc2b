/* A file's bytes in the program: .incbin keeps them out of a generated C array, which compilers are slow to read.
 * EMBED(name, "path") defines what `extern const uint8_t name_begin[], name_end[]` declares; a NUL stands behind the
 * end.
 */
#pragma once

#define EMBED(name, file)                                                                                              \
	__asm__(".section .rodata\n"                                                                                   \
		".balign 16\n"                                                                                         \
		".global " #name "_begin\n" #name "_begin:\n"                                                          \
		".incbin \"" file "\"\n"                                                                               \
		".global " #name "_end\n" #name "_end:\n"                                                              \
		".byte 0\n"                                                                                            \
		".previous\n")
