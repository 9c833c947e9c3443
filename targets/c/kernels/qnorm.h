/* Layer norm and RMS norm of rows of bytes (edgec.ir.ops.integer_rows). */
#ifndef EDGEC_QNORM_H
#define EDGEC_QNORM_H

#include "qshort.h"

/* Sums of bytes, less EDGEC_Q8_MIDDLE, and of their squares, in the lanes of a register. */
typedef struct {
  edgec_vi sum, squares;
} edgec_moments;

EDGEC_INLINE void edgec_moments_add(edgec_moments *m, edgec_vq x) {
#if defined(EDGEC_SCALAR)
  for (int i = 0; i < 4 * EDGEC_LANES; i++) {
    m->sum[i / 4] += x[i];
    m->squares[i / 4] += x[i] * x[i];
  }
#elif EDGEC_LANES > 4
  EDGEC_UNROLL for (int h = 0; h < 2; h++) {
    const edgec_vh w = edgec_widen_lanes(x, h) - edgec_splat_h(EDGEC_Q8_MIDDLE);
#if EDGEC_LANES == 16
    m->sum += (edgec_vi)_mm512_madd_epi16((__m512i)w, _mm512_set1_epi16(1));
    m->squares += (edgec_vi)_mm512_madd_epi16((__m512i)w, (__m512i)w);
#else
    m->sum += (edgec_vi)_mm256_madd_epi16((__m256i)w, _mm256_set1_epi16(1));
    m->squares += (edgec_vi)_mm256_madd_epi16((__m256i)w, (__m256i)w);
#endif
  }
#elif defined(__ARM_FEATURE_DOTPROD)
  m->sum = (edgec_vi)vdotq_s32((int32x4_t)m->sum, (int8x16_t)x, vdupq_n_s8(1));
  m->squares = (edgec_vi)vdotq_s32((int32x4_t)m->squares, (int8x16_t)x, (int8x16_t)x);
#else
  /* four squares of -128 do not fit 16 bits: pairs of products are added in 32 */
  const int8x16_t v = (int8x16_t)x;
  m->sum = (edgec_vi)vpadalq_s16((int32x4_t)m->sum, vpaddlq_s8(v));
  m->squares = (edgec_vi)vpadalq_s16((int32x4_t)m->squares, vmull_s8(vget_low_s8(v), vget_low_s8(v)));
  m->squares = (edgec_vi)vpadalq_s16((int32x4_t)m->squares, vmull_high_s8(v, v));
#endif
}

/* 2^46 / sqrt(v) of 2^30 <= v < 2^32: Newton's steps from a line. */
EDGEC_INLINE uint64_t edgec_rsqrt30(uint64_t v) {
  uint64_t y = 2287070085u - (v * 1304596316u >> 32);
  EDGEC_UNROLL for (int i = 0; i < 3; i++) y = y * ((3ull << 30) - ((y * y >> 30) * v >> 32)) >> 31;
  return y;
}

#define EDGEC_EPS_BITS 16 /* that a variance has behind the least but 0 */

/* What deviations, times 128 and 2^k, are multiplied with: k is returned. `bits` is norm_bits(n). */
EDGEC_INLINE int32_t edgec_norm_factor(uint64_t variance, ptrdiff_t n, int32_t bits, int32_t *factor) {
  const int32_t half = (edgec_bits(variance) + 1) / 2 - 16;
  const uint64_t v = half >= 0 ? variance >> 2 * half : variance << -2 * half;
  const uint64_t whole = (uint64_t)n * edgec_rsqrt30(v);
  const int32_t drop = 38 - EDGEC_EPS_BITS / 2 + half - bits, more = edgec_bits(whole) - drop - 15, k = more > 0 ? more : 0;
  *factor = (int32_t)(whole >> (drop + k));
  return k;
}

typedef struct {
  int32_t centre, zero; /* zero point, less EDGEC_Q8_MIDDLE, where the mean is not taken off */
  int32_t bits, shift;
  int64_t eps;
} edgec_qnorm_shape;

/* A task is a row of n bytes. gain and offset are in the order of halves, and whole registers. y may be x. */
EDGEC_FN void edgec_qnorm(const edgec_q8 *x, const int16_t *gain, const int16_t *offset, edgec_q8 *y, ptrdiff_t n,
                          const edgec_qnorm_shape *d, ptrdiff_t begin, ptrdiff_t end) {
  const edgec_vh by = edgec_rounding(d->shift);
  for (ptrdiff_t task = begin; task < end; task++) {
    const edgec_q8 *from = x + task * n;
    edgec_q8 *to = y + task * n;
    edgec_moments m = {edgec_splat_i(0), edgec_splat_i(0)};
    ptrdiff_t i = 0;
    for (; i + EDGEC_Q8_BLOCK <= n; i += EDGEC_Q8_BLOCK) edgec_moments_add(&m, edgec_load_q(from + i));
    if (i < n) edgec_moments_add(&m, edgec_load_few(from + i, n - i));
    const int64_t beyond = i < n ? i + EDGEC_Q8_BLOCK - n : 0; /* zeros, of which the middle was taken off */
    const int64_t sum = edgec_sum_i(m.sum) + beyond * EDGEC_Q8_MIDDLE;
    const int64_t squares = edgec_sum_i(m.squares) - beyond * EDGEC_Q8_MIDDLE * EDGEC_Q8_MIDDLE;
    int64_t mean = d->zero * 128, variance = n * (squares - 2 * d->zero * sum + n * d->zero * d->zero);
    if (d->centre) {
      mean = (int64_t)((uint64_t)(256 * (sum + 128 * n) + n) / (uint64_t)(2 * n)) - 128 * 128;
      variance = n * squares - sum * sum;
    }
    const int64_t least = (int64_t)1 << EDGEC_EPS_BITS, fine = variance * least + d->eps;
    int32_t factor;
    const int32_t k = edgec_norm_factor((uint64_t)(fine < least ? least : fine), n, d->bits, &factor);
    const edgec_vh middle = edgec_splat_h((int32_t)mean + 128 * EDGEC_Q8_MIDDLE), f = edgec_splat_h(factor);
    for (i = 0; i < n; i += EDGEC_Q8_BLOCK) {
      const edgec_vq v = edgec_load_few(from + i, n - i);
      edgec_vh z[2];
      EDGEC_UNROLL for (int h = 0; h < 2; h++) {
        const ptrdiff_t at = i + h * (EDGEC_Q8_BLOCK / 2);
        const edgec_vh u = edgec_r15((edgec_widen_128(v, h) - middle) << (int16_t)k, f);
        const edgec_vh s = edgec_add_short(edgec_r15(u, edgec_load_h(gain + at)), edgec_load_h(offset + at));
        z[h] = edgec_rounded(s, by);
      }
      edgec_store_few(to + i, edgec_narrow_halves(z[0], z[1]), n - i);
    }
  }
}

#endif
