/* What every kernel header starts from: function kinds, and copying bytes without libc. */
#ifndef EDGEC_BASE_H
#define EDGEC_BASE_H

#include <stddef.h>
#include <stdint.h>

#define EDGEC_FN static __attribute__((unused))
#define EDGEC_NOINLINE static __attribute__((unused, noinline))
#define EDGEC_INLINE static inline __attribute__((unused, always_inline))
/* Of functions that only pass arguments on: what they call is never inlined into them (emit.py). */
#if defined(__clang__)
#define EDGEC_SMALL __attribute__((minsize))
#else
#define EDGEC_SMALL
#endif
/* Hides how a pointer was computed, so that loops index from it instead of recomputing it. */
#define EDGEC_OPAQUE(POINTER) __asm__("" : "+r"(POINTER))
#define EDGEC_UNROLL _Pragma("GCC unroll 32")
/* Of loops over blocks whose own loops become vectors: compilers would gather one element of many blocks instead. */
#if defined(__clang__)
#define EDGEC_BLOCKS _Pragma("clang loop vectorize(disable)")
#else
#define EDGEC_BLOCKS
#endif

/* clang 14 has no _Float16 on x86-64, but the storage type __fp16, which becomes a float in every expression. */
#if defined(__clang__) && __clang_major__ < 15 && defined(__x86_64__) && !defined(__AVX512FP16__)
#define _Float16 __fp16
#endif

EDGEC_FN void edgec_copy(void *to, const void *from, ptrdiff_t bytes) {
  __builtin_memcpy(to, from, (size_t)bytes);
}

#endif
