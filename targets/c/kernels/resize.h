/* Interpolation along the middle axis of x [outer][size][inner]: y[o][j] = sum over taps of weight[j][t] x[o][index[j][t]].
   A task is one (outer, j). */
#ifndef EDGEC_RESIZE_H
#define EDGEC_RESIZE_H

#include "edgec_base.h"

EDGEC_FN void edgec_resize(const float *x, const int64_t *index, const float *weight, float *y, ptrdiff_t size,
                           ptrdiff_t out, ptrdiff_t inner, ptrdiff_t taps, ptrdiff_t begin, ptrdiff_t end) {
  for (ptrdiff_t task = begin; task < end; task++) {
    const ptrdiff_t o = task / out, j = task % out;
    const float *from = x + o * size * inner;
    float *to = y + task * inner;
    for (ptrdiff_t t = 0; t < taps; t++) {
      const float w = weight[j * taps + t], *row = from + index[j * taps + t] * inner;
      if (t == 0)
        for (ptrdiff_t i = 0; i < inner; i++) to[i] = w * row[i];
      else
        for (ptrdiff_t i = 0; i < inner; i++) to[i] += w * row[i];
    }
  }
}

#endif
