/* Linear interpolation of images of bytes by rows and columns at once (edgec.ir.ops.resize, qresize). */
#ifndef EDGEC_QRESIZE_H
#define EDGEC_QRESIZE_H

#include "qshort.h"
#include "rows.h"

#define EDGEC_QRESIZE_TAPS 16

/* acc + x * w for half `half` of a register of bytes, 0 <= w <= 16. */
EDGEC_INLINE edgec_vh edgec_multiply_byte(edgec_vh acc, edgec_vq x, int16_t w, int half) {
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
  const int8x8_t by = vdup_n_s8((int8_t)w);
  const int8x8_t part = half ? vget_high_s8((int8x16_t)x) : vget_low_s8((int8x16_t)x);
  return (edgec_vh)vmlal_s8((int16x8_t)acc, part, by);
#else
  return acc + edgec_widen_lanes(x, half) * w;
#endif
}

/* A register of a result pixel, from channel c on; from[v] are the rows that it reads. Weights are in parts of 128. */
EDGEC_INLINE edgec_vq edgec_blend(const edgec_q8 *const *from, const int16_t *wv, ptrdiff_t row_taps, const int64_t *at,
                                  const int16_t *wu, ptrdiff_t column_taps, ptrdiff_t c, ptrdiff_t pixel, ptrdiff_t n) {
  edgec_vi sum[4];
  EDGEC_UNROLL for (int j = 0; j < 4; j++) sum[j] = edgec_splat_i(1 << 13);
  for (ptrdiff_t u = 0; u < column_taps; u++) {
    edgec_vh here[2] = {edgec_splat_h(0), edgec_splat_h(0)};
    for (ptrdiff_t v = 0; v < row_taps; v++) {
      const edgec_vq p = edgec_load_few(from[v] + at[u] * pixel + c, n);
      EDGEC_UNROLL for (int h = 0; h < 2; h++) here[h] += edgec_widen_lanes(p, h) * wv[v];
    }
    EDGEC_UNROLL for (int h = 0; h < 2; h++) edgec_multiply_lanes(sum, here[h], edgec_splat_h(wu[u]), h);
  }
  EDGEC_UNROLL for (int j = 0; j < 4; j++) sum[j] >>= 14;
  return edgec_narrow_lanes(sum);
}

/* The same with weights in parts of 16: sums fit 16 bits, without a sign where bytes have none. */
EDGEC_INLINE edgec_vq edgec_blend_sixteenths(const edgec_q8 *const *from, const int16_t *wv, ptrdiff_t row_taps,
                                             const int64_t *at, const int16_t *wu, ptrdiff_t column_taps, ptrdiff_t c,
                                             ptrdiff_t pixel, ptrdiff_t n) {
  edgec_vh sum[2] = {edgec_splat_h(1 << 7), edgec_splat_h(1 << 7)};
  for (ptrdiff_t u = 0; u < column_taps; u++) {
    edgec_vh here[2] = {edgec_splat_h(0), edgec_splat_h(0)};
    for (ptrdiff_t v = 0; v < row_taps; v++) {
      const edgec_vq p = edgec_load_few(from[v] + at[u] * pixel + c, n);
      EDGEC_UNROLL for (int h = 0; h < 2; h++) here[h] = edgec_multiply_byte(here[h], p, wv[v], h);
    }
    EDGEC_UNROLL for (int h = 0; h < 2; h++) sum[h] += here[h] * wu[u];
  }
#if EDGEC_Q8_MIDDLE
  typedef uint16_t edgec_vu __attribute__((vector_size(4 * EDGEC_LANES)));
  EDGEC_UNROLL for (int h = 0; h < 2; h++) sum[h] = (edgec_vh)((edgec_vu)sum[h] >> 8) - EDGEC_Q8_MIDDLE;
#else
  EDGEC_UNROLL for (int h = 0; h < 2; h++) sum[h] >>= 8;
#endif
  return edgec_narrow_halves(sum[0], sum[1]);
}

/* Result pixel (oy, ox) is the sum over v and u of row_weight[oy][v] * column_weight[ox][u] times
   x[row[oy][v]][column[ox][u]], rounded half up. d->w is the result's width. */
#define EDGEC_QRESIZE(NAME, BLEND)                                                                                    \
  EDGEC_FN void edgec_##NAME(const edgec_q8 *x, const int64_t *row, const int16_t *row_weight, const int64_t *column, \
                             const int16_t *column_weight, edgec_q8 *y, const edgec_rows_shape *d,                    \
                             ptrdiff_t row_taps, ptrdiff_t column_taps, ptrdiff_t image, ptrdiff_t y0,                \
                             ptrdiff_t y1) {                                                                          \
    for (ptrdiff_t oy = y0; oy < y1; oy++) {                                                                          \
      const edgec_q8 *from[EDGEC_QRESIZE_TAPS];                                                                       \
      for (ptrdiff_t v = 0; v < row_taps; v++)                                                                        \
        from[v] = x + image * d->x_image + row[oy * row_taps + v] % d->x_depth * d->x_row;                            \
      edgec_q8 *to = y + image * d->y_image + oy % d->y_depth * d->y_row;                                             \
      for (ptrdiff_t ox = 0; ox < d->w; ox++, to += d->c)                                                             \
        for (ptrdiff_t c = 0; c < d->c; c += EDGEC_Q8_BLOCK)                                                          \
          edgec_store_few(to + c,                                                                                     \
                          BLEND(from, row_weight + oy * row_taps, row_taps, column + ox * column_taps,                \
                                column_weight + ox * column_taps, column_taps, c, d->c, d->c - c),                    \
                          d->c - c);                                                                                  \
    }                                                                                                                 \
  }
EDGEC_QRESIZE(qresize_rows, edgec_blend)
EDGEC_QRESIZE(qresize_sixteenths, edgec_blend_sixteenths)

#endif
