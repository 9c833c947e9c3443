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
    for (ptrdiff_t i = 0; i < k; i += EDGEC_LANES) { /* lanes beyond the row are zeros */
      const edgec_vf number = edgec_number_n(from + i, k - i);
      low = edgec_vmin(low, number);
      high = edgec_vmax(high, number);
    }
    float lo = 0.0f, hi = 0.0f;
    for (int i = 0; i < EDGEC_LANES; i++) {
      lo = low[i] < lo ? low[i] : lo;
      hi = high[i] > hi ? high[i] : hi;
    }
    const float range = (hi - lo) / 255.0f, scale = range == 0.0f ? 1.0f : range;
    const int32_t zero = edgec_quantized(-lo, scale, 0, 0, 255) + EDGEC_Q8_MIN;
    scales[row] = scale;
    zeros[row] = zero;
    const edgec_vf by = edgec_splat(scale), least = edgec_splat((float)(EDGEC_Q8_MIN - zero)),
                   most = edgec_splat((float)(EDGEC_Q8_MAX - zero));
    for (ptrdiff_t i = 0; i < k; i += EDGEC_Q8_BLOCK) {
      edgec_vi v[4];
      EDGEC_UNROLL for (int j = 0; j < 4; j++) {
        const ptrdiff_t left = k - i - j * EDGEC_LANES;
        v[j] = edgec_splat_i(zero);
        if (left > 0) {
          const edgec_vf in = edgec_load_n(from + i + j * EDGEC_LANES, left < EDGEC_LANES ? left : EDGEC_LANES);
          v[j] += edgec_vsteps(in, by, least, most);
        }
      }
      edgec_store_few(to + i, edgec_narrow(v, 4), k - i);
    }
  }
}

/* y = (sums - zero * of) * (scale * by) + bias, where zero and scale are the row's; bias may be null. A task is a row. */
EDGEC_FN void edgec_dequantize_rows(const int32_t *sums, const float *scales, const int32_t *zeros, const float *by,
                                    const int32_t *of, const float *bias, float *y, ptrdiff_t n, ptrdiff_t begin,
                                    ptrdiff_t end) {
  for (ptrdiff_t row = begin; row < end; row++) {
    const edgec_vf scale = edgec_splat(scales[row]);
    const edgec_vi zero = edgec_splat_i(zeros[row]);
    const int32_t *from = sums + row * n;
    float *to = y + row * n;
    ptrdiff_t j = 0;
    for (; j + EDGEC_LANES <= n; j += EDGEC_LANES) {
      const edgec_vi exact = edgec_load_i(from + j) - zero * edgec_load_i(of + j);
      edgec_vf z = __builtin_convertvector(exact, edgec_vf) * (scale * edgec_load(by + j));
      if (bias) z += edgec_load(bias + j);
      edgec_store(to + j, z);
    }
    for (; j < n; j++) {
      const float z = (float)(from[j] - zeros[row] * of[j]) * (scales[row] * by[j]);
      to[j] = bias ? z + bias[j] : z;
    }
  }
}

#endif
