/* Products of 8-bit floats, added by fours to floats: the core's own instruction where it has FEAT_FP8DOT4.

   FDOT adds the exact sum of four products to a float and rounds once (Arm Architecture Reference Manual, FDOT of 8-bit
   floating point to single-precision). Which format the codes have, and by what power of two sums are scaled, is in the
   register FPMR: both operands of one format, no scaling. edgec_float8_formats sets it and is what products depend on,
   so that none is moved in front of it.

   Anywhere else stands a model of the instruction in C, number by number: what tests run, and no build is made of,
   since decoding in registers (coded.h) is faster. */
#ifndef EDGEC_FLOAT8DOT_H
#define EDGEC_FLOAT8DOT_H

#include "isa.h"

#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4 && defined(__ARM_FEATURE_FP8DOT4)
#define EDGEC_FLOAT8_PRODUCTS 1
#else
#define EDGEC_FLOAT8_PRODUCTS 0
#endif

/* F8S1 and F8S2 of FPMR: formats of the first and the second operand. */
#define EDGEC_FPMR_E5M2 0
#define EDGEC_FPMR_E4M3 (1 | 1 << 3)

/* A register of codes: four for each sum. */
typedef uint8_t edgec_vc __attribute__((vector_size(4 * EDGEC_LANES), aligned(1), may_alias));

EDGEC_INLINE uint64_t edgec_float8_formats(uint64_t formats) {
#if EDGEC_FLOAT8_PRODUCTS
  __asm__ volatile("msr s3_3_c4_c4_2, %0" : "+r"(formats));
#endif
  return formats;
}

/* acc + the products of each lane's four codes. */
EDGEC_INLINE edgec_vf edgec_fdot(edgec_vf acc, edgec_vc b, edgec_vc a, uint64_t formats) {
#if EDGEC_FLOAT8_PRODUCTS
  __asm__("fdot %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(b), "w"(a), "r"(formats));
#else
  const int fraction = formats == EDGEC_FPMR_E4M3 ? 3 : 2;
  const double times = formats == EDGEC_FPMR_E4M3 ? 0x1p240 : 0x1p224; /* of both, for what exponents are biased by */
  for (int i = 0; i < EDGEC_LANES; i++) {
    double sum = 0.0;
    for (int j = 4 * i; j < 4 * i + 4; j++) {
      const uint8_t codes[2] = {a[j], b[j]};
      float number[2];
      for (int k = 0; k < 2; k++) {
        const uint32_t bits = (uint32_t)(codes[k] & 0x80) << 24 | (uint32_t)(codes[k] & 0x7f) << (23 - fraction);
        __builtin_memcpy(&number[k], &bits, 4);
      }
      sum += (double)number[0] * number[1];
    }
    acc[i] = (float)(acc[i] + sum * times);
  }
#endif
  return acc;
}

/* The same with the four codes of lane k of a for every sum; k is known when it is compiled. */
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
EDGEC_INLINE edgec_vf edgec_fdot_lane(edgec_vf acc, edgec_vc b, edgec_vc a, int k, uint64_t formats) {
#if EDGEC_FLOAT8_PRODUCTS
#define EDGEC_FDOT_LANE(K) \
  if (k == K) __asm__("fdot %0.4s, %1.16b, %2.4b[" #K "]" : "+w"(acc) : "w"(b), "w"(a), "r"(formats));
  EDGEC_FDOT_LANE(0)
  EDGEC_FDOT_LANE(1)
  EDGEC_FDOT_LANE(2)
  EDGEC_FDOT_LANE(3)
#undef EDGEC_FDOT_LANE
  return acc;
#else
  return edgec_fdot(acc, b, (edgec_vc)(((edgec_vi)a)[k] - (edgec_vi){0}), formats);
#endif
}
#endif

#endif
