/* Arithmetic of 16 bits on widened bytes (qlanes.h): products of which the upper half is kept, and back to bytes;
   sums of lanes. */
#ifndef EDGEC_QSHORT_H
#define EDGEC_QSHORT_H

#include "qlanes.h"

/* The sum of a register of 32-bit integers. */
EDGEC_INLINE int32_t edgec_sum_i(edgec_vi v) {
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
  return vaddvq_s32((int32x4_t)v);
#else
  int32_t sum = 0;
  EDGEC_UNROLL for (int i = 0; i < EDGEC_LANES; i++) sum += v[i];
  return sum;
#endif
}

/* (a * b + 2^14) >> 15; not both are -2^15. */
EDGEC_INLINE edgec_vh edgec_r15(edgec_vh a, edgec_vh b) {
#if defined(EDGEC_SCALAR)
  for (int i = 0; i < 2 * EDGEC_LANES; i++) a[i] = (int16_t)((a[i] * b[i] + (1 << 14)) >> 15);
  return a;
#elif EDGEC_LANES == 16
  return (edgec_vh)_mm512_mulhrs_epi16((__m512i)a, (__m512i)b);
#elif EDGEC_LANES == 8
  return (edgec_vh)_mm256_mulhrs_epi16((__m256i)a, (__m256i)b);
#else
  return (edgec_vh)vqrdmulhq_s16((int16x8_t)a, (int16x8_t)b);
#endif
}

/* a + b, saturated. */
EDGEC_INLINE edgec_vh edgec_add_short(edgec_vh a, edgec_vh b) {
#if defined(EDGEC_SCALAR)
  for (int i = 0; i < 2 * EDGEC_LANES; i++) {
    const int32_t s = a[i] + b[i];
    a[i] = (int16_t)(s < INT16_MIN ? INT16_MIN : s > INT16_MAX ? INT16_MAX : s);
  }
  return a;
#elif EDGEC_LANES == 16
  return (edgec_vh)_mm512_adds_epi16((__m512i)a, (__m512i)b);
#elif EDGEC_LANES == 8
  return (edgec_vh)_mm256_adds_epi16((__m256i)a, (__m256i)b);
#else
  return (edgec_vh)vqaddq_s16((int16x8_t)a, (int16x8_t)b);
#endif
}

/* (a + 2^(shift-1)) >> shift, 1 <= shift <= 14; `by` is edgec_rounding(shift). */
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
EDGEC_INLINE edgec_vh edgec_rounding(int32_t shift) { return edgec_splat_h(-shift); }
EDGEC_INLINE edgec_vh edgec_rounded(edgec_vh a, edgec_vh by) {
  return (edgec_vh)vrshlq_s16((int16x8_t)a, (int16x8_t)by);
}
#else
EDGEC_INLINE edgec_vh edgec_rounding(int32_t shift) { return edgec_splat_h(1 << (15 - shift)); }
EDGEC_INLINE edgec_vh edgec_rounded(edgec_vh a, edgec_vh by) { return edgec_r15(a, by); }
#endif

/* 128 * a byte, for half `half` of a register. */
EDGEC_INLINE edgec_vh edgec_widen_128(edgec_vq x, int half) {
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
  return (edgec_vh)(half ? vshll_high_n_s8((int8x16_t)x, 7) : vshll_n_s8(vget_low_s8((int8x16_t)x), 7));
#else
  return edgec_widen_lanes(x, half) << 7;
#endif
}

/* Two halves, less EDGEC_Q8_MIDDLE, as bytes, saturated. */
EDGEC_INLINE edgec_vq edgec_narrow_halves(edgec_vh low, edgec_vh high) {
#if defined(EDGEC_SCALAR)
  edgec_vq x;
  for (int i = 0; i < 4 * EDGEC_LANES; i++) {
    const int32_t s = i < 8 ? low[i] : high[i - 8];
    x[i] = (edgec_q8)(s < -128 ? -128 : s > 127 ? 127 : s);
  }
  return x;
#elif EDGEC_LANES == 16
  const __m512i bytes = _mm512_packs_epi16((__m512i)low, (__m512i)high);
  return (edgec_vq)_mm512_xor_si512(bytes, _mm512_set1_epi8((char)EDGEC_Q8_MIDDLE));
#elif EDGEC_LANES == 8
  const __m256i bytes = _mm256_packs_epi16((__m256i)low, (__m256i)high);
  return (edgec_vq)_mm256_xor_si256(bytes, _mm256_set1_epi8((char)EDGEC_Q8_MIDDLE));
#else
  return (edgec_vq)vqmovn_high_s16(vqmovn_s16((int16x8_t)low), (int16x8_t)high);
#endif
}

EDGEC_INLINE edgec_vh edgec_load_h(const int16_t *p) { return *(const edgec_vh *)p; }

/* The number of bits of v > 0. */
EDGEC_INLINE int32_t edgec_bits(uint64_t v) { return 64 - __builtin_clzll(v); }

#endif
