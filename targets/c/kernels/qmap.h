/* Between floats and small integers, and arithmetic of quantised bytes element by element. */
#ifndef EDGEC_QMAP_H
#define EDGEC_QMAP_H

#include "map.h"
#include "qlanes.h"

/* As edgec_quantize (qcast.h), of one number, and to any integer of at most 16 bits. */
EDGEC_INLINE int32_t edgec_quantized(float x, float scale, int32_t zero, int32_t lo, int32_t hi) {
  const float t = x / scale, low = (float)(lo - zero), high = (float)(hi - zero);
  const float bounded = t != t ? 0.0f : t < low ? low : t > high ? high : t;
  return (int32_t)__builtin_rintf(bounded) + zero;
}

/* x [outer][n][inner], scale and zero [n]; a task is an outer index. */
#define EDGEC_QUANTIZE(NAME, T, LO, HI)                                                                            \
  EDGEC_FN void edgec_##NAME(const float *x, const float *scale, const T *zero, T *y, ptrdiff_t n, ptrdiff_t inner, \
                             ptrdiff_t begin, ptrdiff_t end) {                                                     \
    for (ptrdiff_t task = begin; task < end; task++)                                                               \
      for (ptrdiff_t j = 0; j < n; j++) {                                                                          \
        const ptrdiff_t at = (task * n + j) * inner;                                                               \
        for (ptrdiff_t i = at; i < at + inner; i++) y[i] = (T)edgec_quantized(x[i], scale[j], zero[j], LO, HI);     \
      }                                                                                                            \
  }

/* y = clamp((x * x_scale + z * z_scale + bias) >> shift); the rounding is in the bias. y may be x or z. */
typedef struct {
  int32_t x_scale, z_scale, bias, shift, lo, hi;
} edgec_qadd_shape;

EDGEC_FN void edgec_qadd(const edgec_q8 *x, const edgec_q8 *z, edgec_q8 *y, ptrdiff_t n, const edgec_qadd_shape *d,
                         ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t stop = end * EDGEC_MAP_CHUNK < n ? end * EDGEC_MAP_CHUNK : n;
  const edgec_vh xs = edgec_splat_h(d->x_scale), zs = edgec_splat_h(d->z_scale);
  const edgec_vi bias = edgec_splat_i(d->bias);
  const edgec_vq lo = edgec_splat_q(d->lo), hi = edgec_splat_q(d->hi);
  for (ptrdiff_t i = begin * EDGEC_MAP_CHUNK; i < stop; i += EDGEC_Q8_BLOCK) {
    const ptrdiff_t count = stop - i;
    const edgec_vq xv = edgec_load_few(x + i, count), zv = edgec_load_few(z + i, count);
    edgec_vi v[4];
    EDGEC_UNROLL for (int h = 0; h < 2; h++) {
      const edgec_vh a = edgec_widen_lanes(xv, h), b = edgec_widen_lanes(zv, h);
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 16
      const __m512i both = _mm512_unpacklo_epi16((__m512i)xs, (__m512i)zs);
      v[2 * h] = bias + (edgec_vi)_mm512_madd_epi16(_mm512_unpacklo_epi16((__m512i)a, (__m512i)b), both);
      v[2 * h + 1] = bias + (edgec_vi)_mm512_madd_epi16(_mm512_unpackhi_epi16((__m512i)a, (__m512i)b), both);
#elif !defined(EDGEC_SCALAR) && EDGEC_LANES == 8
      const __m256i both = _mm256_unpacklo_epi16((__m256i)xs, (__m256i)zs);
      v[2 * h] = bias + (edgec_vi)_mm256_madd_epi16(_mm256_unpacklo_epi16((__m256i)a, (__m256i)b), both);
      v[2 * h + 1] = bias + (edgec_vi)_mm256_madd_epi16(_mm256_unpackhi_epi16((__m256i)a, (__m256i)b), both);
#else
      v[2 * h] = v[2 * h + 1] = bias;
      edgec_multiply_lanes(v, a, xs, h);
      edgec_multiply_lanes(v, b, zs, h);
#endif
    }
    EDGEC_UNROLL for (int j = 0; j < 4; j++) v[j] >>= d->shift;
    edgec_store_few(y + i, edgec_clamp_q(edgec_narrow_lanes(v), lo, hi), count);
  }
}

/* y = requantised((x - x_zero) * (z - z_zero) + bias) where z is repeated; a task is a row of dims[rank-1] elements, in
   which z has steps of 0 or 1. y may be x, or z of the same shape. */
typedef struct {
  int32_t x_zero, z_zero;
  edgec_qscale scale;
} edgec_qmul_shape;

EDGEC_INLINE edgec_vq edgec_qmul_block(edgec_vq x, edgec_vq z, const edgec_qmul_shape *d) {
  edgec_vi v[4];
  EDGEC_UNROLL for (int h = 0; h < 2; h++) {
    v[2 * h] = v[2 * h + 1] = edgec_splat_i(d->scale.bias);
    edgec_multiply_lanes(v, edgec_widen_lanes(x, h) - edgec_splat_h(d->x_zero),
                         edgec_widen_lanes(z, h) - edgec_splat_h(d->z_zero), h);
  }
  return edgec_requant_lanes(v, &d->scale);
}

EDGEC_FN void edgec_qmul(const edgec_q8 *x, const edgec_q8 *z, edgec_q8 *y, const int64_t *dims, const int64_t *sx,
                         const int64_t *sz, ptrdiff_t rank, const edgec_qmul_shape *d, ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t n = dims[rank - 1], step = sz[rank - 1];
  for (ptrdiff_t task = begin; task < end; task++) {
    const edgec_q8 *rx = x + edgec_row_offset(task, dims, sx, rank), *rz = z + edgec_row_offset(task, dims, sz, rank);
    const edgec_vq same = edgec_splat_q(rz[0]);
    edgec_q8 *ry = y + task * n;
    for (ptrdiff_t i = 0; i < n; i += EDGEC_Q8_BLOCK) {
      const edgec_vq xv = edgec_load_few(rx + i, n - i), zv = step ? edgec_load_few(rz + i, n - i) : same;
      edgec_store_few(ry + i, edgec_qmul_block(xv, zv, d), n - i);
    }
  }
}

#endif
