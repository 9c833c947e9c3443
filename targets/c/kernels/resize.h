/* Interpolation along the middle axis of x [outer][size][inner]: y[o][j] = sum over taps of weight[j][t] x[o][index[j][t]].
   A task is one (outer, j). */
#ifndef EDGEC_RESIZE_H
#define EDGEC_RESIZE_H

#include "map.h"
#include "rows.h"

#define EDGEC_RESIZE(NAME, T)                                                                                         \
  EDGEC_FN void edgec_resize_##NAME(const T *x, const int64_t *index, const T *weight, T *y, ptrdiff_t size,          \
                                    ptrdiff_t out, ptrdiff_t inner, ptrdiff_t taps, ptrdiff_t begin, ptrdiff_t end) { \
    for (ptrdiff_t task = begin; task < end; task++) {                                                                \
      const ptrdiff_t o = task / out, j = task % out;                                                                 \
      const T *from = x + o * size * inner;                                                                           \
      T *to = y + task * inner;                                                                                       \
      for (ptrdiff_t t = 0; t < taps; t++) {                                                                          \
        const T w = weight[j * taps + t], *row = from + index[j * taps + t] * inner;                                  \
        if (t == 0)                                                                                                   \
          for (ptrdiff_t i = 0; i < inner; i++) to[i] = w * row[i];                                                   \
        else                                                                                                          \
          for (ptrdiff_t i = 0; i < inner; i++) to[i] += w * row[i];                                                  \
      }                                                                                                               \
    }                                                                                                                 \
  }

#define EDGEC_RESIZE_TAPS 16

/* Rows of an image resized in both directions: result pixel (oy, ox) is the sum over v and u of
   row_weight[oy][v] * column_weight[ox][u] * x[row[oy][v]][column[ox][u]]. d->w is the result's width. */
EDGEC_FN void edgec_resize_rows(const float *x, const int64_t *row, const float *row_weight, const int64_t *column,
                                const float *column_weight, float *y, const edgec_rows_shape *d, ptrdiff_t row_taps,
                                ptrdiff_t column_taps, ptrdiff_t image, ptrdiff_t y0, ptrdiff_t y1) {
  for (ptrdiff_t oy = y0; oy < y1; oy++) {
    const float *from[EDGEC_RESIZE_TAPS], *wv = row_weight + oy * row_taps;
    for (ptrdiff_t v = 0; v < row_taps; v++)
      from[v] = x + image * d->x_image + row[oy * row_taps + v] % d->x_depth * d->x_row;
    float *to = y + image * d->y_image + oy % d->y_depth * d->y_row;
    for (ptrdiff_t ox = 0; ox < d->w; ox++, to += d->c) {
      const int64_t *at = column + ox * column_taps;
      const float *wu = column_weight + ox * column_taps;
      for (ptrdiff_t c = 0; c < d->c; c += EDGEC_LANES) {
        const ptrdiff_t n = d->c - c < EDGEC_LANES ? d->c - c : EDGEC_LANES;
        edgec_vf sum = edgec_splat(0.0f);
        for (ptrdiff_t u = 0; u < column_taps; u++) {
          edgec_vf here = edgec_load_n(from[0] + at[u] * d->c + c, n) * wv[0];
          for (ptrdiff_t v = 1; v < row_taps; v++) here += edgec_load_n(from[v] + at[u] * d->c + c, n) * wv[v];
          sum = u ? sum + here * wu[u] : here * wu[u];
        }
        edgec_store_n(to + c, sum, n);
      }
    }
  }
}

#endif
