/* Bytes whose scales are found at run time, a row at a time, and sums of products with them as floats. */
#ifndef EDGEC_DYNAMIC_H
#define EDGEC_DYNAMIC_H

#include "qmap.h"

EDGEC_INLINE edgec_vf edgec_number_n(const float *p, ptrdiff_t n) {
  const edgec_vf x = edgec_load_n(p, n < EDGEC_LANES ? n : EDGEC_LANES);
  return (edgec_vf)((edgec_vi)x & (edgec_vi)(x == x));
}

/* y [rows][k], a scale and a zero point for each row, from the least number to the largest and 0. A task is a row. */
EDGEC_FN void edgec_quantize_rows(const float *x, edgec_q8 *y, float *scales, int32_t *zeros, ptrdiff_t k,
                                  ptrdiff_t begin, ptrdiff_t end) {
  for (ptrdiff_t row = begin; row < end; row++) {
    const float *from = x + row * k;
    edgec_q8 *to = y + row * k;
    edgec_vf low = edgec_splat(0.0f), high = low;
    ptrdiff_t i = 0;
    for (; i + EDGEC_Q8_BLOCK <= k; i += EDGEC_Q8_BLOCK) {
      EDGEC_UNROLL for (int j = 0; j < 4; j++) {
        const edgec_vf number = edgec_number_n(from + i + j * EDGEC_LANES, EDGEC_LANES);
        low = edgec_vmin(low, number);
        high = edgec_vmax(high, number);
      }
    }
    for (; i < k; i += EDGEC_LANES) { /* lanes beyond the row are zeros */
      const edgec_vf number = edgec_number_n(from + i, k - i);
      low = edgec_vmin(low, number);
      high = edgec_vmax(high, number);
    }
    float lo = 0.0f, hi = 0.0f;
    for (int j = 0; j < EDGEC_LANES; j++) {
      lo = low[j] < lo ? low[j] : lo;
      hi = high[j] > hi ? high[j] : hi;
    }
    const float range = (hi - lo) / 255.0f, scale = range == 0.0f ? 1.0f : range;
    const int32_t zero = edgec_quantized(-lo, scale, 0, 0, 255) + EDGEC_Q8_MIN;
    scales[row] = scale;
    zeros[row] = zero;
    const edgec_grid steps = edgec_grid_of(scale, (float)(EDGEC_Q8_MIN - zero), (float)(EDGEC_Q8_MAX - zero));
    for (i = 0; i + EDGEC_Q8_BLOCK <= k; i += EDGEC_Q8_BLOCK) {
      edgec_vi v[4];
      EDGEC_UNROLL for (int j = 0; j < 4; j++)
        v[j] = edgec_splat_i(zero) + edgec_vsteps(edgec_load(from + i + j * EDGEC_LANES), &steps);
      edgec_store_few(to + i, edgec_narrow(v, 4), EDGEC_Q8_BLOCK);
    }
    if (i < k) {
      edgec_vi v[4];
      EDGEC_UNROLL for (int j = 0; j < 4; j++) {
        const ptrdiff_t left = k - i - j * EDGEC_LANES;
        v[j] = edgec_splat_i(zero);
        if (left > 0) {
          const edgec_vf in = edgec_load_n(from + i + j * EDGEC_LANES, left < EDGEC_LANES ? left : EDGEC_LANES);
          v[j] += edgec_vsteps(in, &steps);
        }
      }
      edgec_store_few(to + i, edgec_narrow(v, 4), k - i);
    }
  }
}

/* LANES numbers of edgec_dequantize_row. */
EDGEC_INLINE void edgec_dequantize_lanes(const int32_t *sums, edgec_vf scale, edgec_vi zero, const float *by,
                                         const int32_t *of, const float *a, const float *b, float *y) {
  const edgec_vi exact = edgec_load_i(sums) - zero * edgec_load_i(of);
  edgec_vf z = __builtin_convertvector(exact, edgec_vf) * (scale * edgec_load(by));
  if (a) z += edgec_load(a);
  if (b) z += edgec_load(b);
  edgec_store(y, z);
}
EDGEC_INLINE void edgec_dequantize_inline(const int32_t *sums, float scale, int32_t zero, const float *by,
                                          const int32_t *of, const float *a, const float *b, float *y, ptrdiff_t n) {
  const edgec_vf scales = edgec_splat(scale);
  const edgec_vi zeros = edgec_splat_i(zero);
  ptrdiff_t j = 0;
  for (; j + 4 * EDGEC_LANES <= n; j += 4 * EDGEC_LANES) {
    EDGEC_UNROLL for (ptrdiff_t i = j; i < j + 4 * EDGEC_LANES; i += EDGEC_LANES)
      edgec_dequantize_lanes(sums + i, scales, zeros, by + i, of + i, a ? a + i : 0, b ? b + i : 0, y + i);
  }
  for (; j + EDGEC_LANES <= n; j += EDGEC_LANES)
    edgec_dequantize_lanes(sums + j, scales, zeros, by + j, of + j, a ? a + j : 0, b ? b + j : 0, y + j);
  for (; j < n; j++) {
    float z = (float)(sums[j] - zero * of[j]) * (scale * by[j]);
    if (a) z += a[j];
    if (b) z += b[j];
    y[j] = z;
  }
}

/* y [n] = (sums - zero * of) * (scale * by) + a + b; a or both may be null. */
EDGEC_FN void edgec_dequantize_row(const int32_t *sums, float scale, int32_t zero, const float *by, const int32_t *of,
                                   const float *a, const float *b, float *y, ptrdiff_t n) {
  if (a && b)
    edgec_dequantize_inline(sums, scale, zero, by, of, a, b, y, n);
  else if (b)
    edgec_dequantize_inline(sums, scale, zero, by, of, 0, b, y, n);
  else
    edgec_dequantize_inline(sums, scale, zero, by, of, 0, 0, y, n);
}

/* So for rows with scales and zero points of their own, and a bias or null. A task is a row. */
EDGEC_FN void edgec_dequantize_rows(const int32_t *sums, const float *scales, const int32_t *zeros, const float *by,
                                    const int32_t *of, const float *bias, float *y, ptrdiff_t n, ptrdiff_t begin,
                                    ptrdiff_t end) {
  for (ptrdiff_t row = begin; row < end; row++)
    edgec_dequantize_row(sums + row * n, scales[row], zeros[row], by, of, 0, bias, y + row * n, n);
}

#endif
