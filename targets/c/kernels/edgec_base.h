/* What every kernel header starts from: function kinds, and copying bytes without libc. */
#ifndef EDGEC_BASE_H
#define EDGEC_BASE_H

#include <stddef.h>
#include <stdint.h>

#define EDGEC_FN static __attribute__((unused))
#define EDGEC_NOINLINE static __attribute__((unused, noinline))
#define EDGEC_INLINE static inline __attribute__((unused, always_inline))
/* Hides how a pointer was computed, so that loops index from it instead of recomputing it. */
#define EDGEC_OPAQUE(POINTER) __asm__("" : "+r"(POINTER))
#define EDGEC_UNROLL _Pragma("GCC unroll 32")

EDGEC_FN void edgec_copy(void *to, const void *from, ptrdiff_t bytes) {
  __builtin_memcpy(to, from, (size_t)bytes);
}

#endif
