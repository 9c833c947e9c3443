/* Interpolation along the middle axis of x [outer][size][inner]: y[o][j] = sum over taps of weight[j][t] x[o][index[j][t]].
   A task is one (outer, j). */
#ifndef EDGEC_RESIZE_H
#define EDGEC_RESIZE_H

#include "map.h"

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

#endif
