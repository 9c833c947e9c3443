/* Numbers of bf16, two bytes with the exponent of a float: stored from registers of floats, and multiplied.

   A register of pairs has two products for each sum. Cores with products of bf16 (EDGEC_BF16_PRODUCTS) add both to a
   float in one instruction, and round in ways of their own:
   - A64, FEAT_BF16 (Arm Architecture Reference Manual, BFDOT and BFMMLA, FPCR.EBF = 0): each product, the sum of two and
     the sum with the accumulator are rounded to odd; denormal operands and results are zeros.
   - x86, AVX512_BF16 (Intel Software Developer's Manual, VDPBF16PS): two multiply-adds, the odd one first, each rounded
     once to nearest; denormals are zeros.
   Any other core multiplies floats, which hold each product exactly. So a sum of K products lies within 2K units of
   2^-24 of the sum of their sizes on any of them, or 3K units of twice that where each step rounds to odd. */
#ifndef EDGEC_BF16_H
#define EDGEC_BF16_H

#include "half.h"
#include "isa.h"

#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4 && defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#define EDGEC_BF16_PRODUCTS 1
#elif !defined(EDGEC_SCALAR) && EDGEC_LANES == 16 && defined(__AVX512BF16__)
#define EDGEC_BF16_PRODUCTS 1
#else
#define EDGEC_BF16_PRODUCTS 0
#endif

typedef uint16_t edgec_bf16;
typedef uint32_t edgec_vu __attribute__((vector_size(4 * EDGEC_LANES), aligned(4), may_alias));
typedef edgec_bf16 edgec_vb16 __attribute__((vector_size(2 * EDGEC_LANES), aligned(2), may_alias));

/* To the nearest, ties to even; a NaN stays a NaN (edgec_bf16_from_float). */
EDGEC_INLINE void edgec_bstore(edgec_bf16 *p, edgec_vf v) {
#if EDGEC_BF16_PRODUCTS && EDGEC_LANES == 4
  *(edgec_vb16 *)p = (edgec_vb16)vcvt_bf16_f32((float32x4_t)v);
#else
  const edgec_vu u = (edgec_vu)v, nan = (edgec_vu)(v != v);
  const edgec_vu rounded = (nan & (u | 0x400000u)) | (~nan & (u + 0x7fffu + (u >> 16 & 1u)));
  *(edgec_vb16 *)p = __builtin_convertvector(rounded >> 16, edgec_vb16);
#endif
}
EDGEC_INLINE void edgec_bstore_n(edgec_bf16 *p, edgec_vf v, ptrdiff_t n) {
  if (n >= EDGEC_LANES) {
    edgec_bstore(p, v);
    return;
  }
  edgec_bf16 few[EDGEC_LANES];
  edgec_bstore(few, v);
  for (ptrdiff_t i = 0; i < n; i++) p[i] = few[i];
}
/* Four registers of floats. */
EDGEC_INLINE void edgec_bstore_four(edgec_bf16 *p, const edgec_vf *v) {
#if EDGEC_BF16_PRODUCTS && EDGEC_LANES == 4
  typedef edgec_bf16 eight __attribute__((vector_size(16), aligned(2), may_alias));
  EDGEC_UNROLL for (int i = 0; i < 4; i += 2)
    *(eight *)(p + 4 * i) =
        (eight)vcvtq_high_bf16_f32(vcvtq_low_bf16_f32((float32x4_t)v[i]), (float32x4_t)v[i + 1]);
#else
  EDGEC_UNROLL for (int i = 0; i < 4; i++) edgec_bstore(p + EDGEC_LANES * i, v[i]);
#endif
}

/* The first and the second number of each pair. */
EDGEC_INLINE edgec_vf edgec_even(edgec_vi pairs) { return (edgec_vf)((edgec_vu)pairs << 16); }
EDGEC_INLINE edgec_vf edgec_odd(edgec_vi pairs) { return (edgec_vf)((edgec_vu)pairs & 0xffff0000u); }

/* acc + the products of each lane's pairs; what splits a or b is done once by compilers, however often it is used. */
EDGEC_INLINE edgec_vf edgec_bdot(edgec_vf acc, edgec_vi b, edgec_vi a) {
#if EDGEC_BF16_PRODUCTS && EDGEC_LANES == 16
  return (edgec_vf)_mm512_dpbf16_ps((__m512)acc, (__m512bh)(__m512i)b, (__m512bh)(__m512i)a);
#elif EDGEC_BF16_PRODUCTS
  return (edgec_vf)vbfdotq_f32((float32x4_t)acc, (bfloat16x8_t)b, (bfloat16x8_t)a);
#else
  acc += edgec_even(b) * edgec_even(a);
  return acc + edgec_odd(b) * edgec_odd(a);
#endif
}

/* The same pair in every lane: two numbers, or one and a zero. */
EDGEC_INLINE edgec_vi edgec_splat_pair(const char *p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, 4);
  return pair - (edgec_vi){0};
}
EDGEC_INLINE edgec_vi edgec_splat_last(const char *p) {
  edgec_bf16 last;
  __builtin_memcpy(&last, p, 2);
  return (int32_t)last - (edgec_vi){0};
}

/* The same with pair k of a in every lane; k is known when it is compiled. */
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
EDGEC_INLINE edgec_vf edgec_bdot_lane(edgec_vf acc, edgec_vi b, edgec_vi a, int k) {
#if EDGEC_BF16_PRODUCTS
  const float32x4_t sum = (float32x4_t)acc;
  const bfloat16x8_t bv = (bfloat16x8_t)b, av = (bfloat16x8_t)a;
  return (edgec_vf)(k == 0   ? vbfdotq_laneq_f32(sum, bv, av, 0)
                    : k == 1 ? vbfdotq_laneq_f32(sum, bv, av, 1)
                    : k == 2 ? vbfdotq_laneq_f32(sum, bv, av, 2)
                             : vbfdotq_laneq_f32(sum, bv, av, 3));
#else
  acc += edgec_even(b) * edgec_splat(edgec_even(a)[k]);
  return acc + edgec_odd(b) * edgec_splat(edgec_odd(a)[k]);
#endif
}
#endif

#endif
