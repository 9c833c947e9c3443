/* Plain loops for element types that have no fast kernel. */
#ifndef EDGEC_ANY_H
#define EDGEC_ANY_H

#include "map.h"

/* y[b][m][n] = a[b][m][k] b[b][k][n] (or [n][k]); sums in WIDE, which wraps where T is an integer. A task is a batch. */
#define EDGEC_MATMUL_ANY(NAME, T, WIDE)                                                                            \
  EDGEC_FN void edgec_matmul_##NAME(const T *a, const T *b, T *y, const int64_t *dims, const int64_t *sa,          \
                                    const int64_t *sb, ptrdiff_t rank, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,      \
                                    ptrdiff_t transposed, ptrdiff_t begin, ptrdiff_t end) {                        \
    for (ptrdiff_t task = begin; task < end; task++) {                                                             \
      const T *pa = a + edgec_row_offset(task, dims, sa, rank), *pb = b + edgec_row_offset(task, dims, sb, rank);  \
      for (ptrdiff_t i = 0; i < m; i++)                                                                            \
        for (ptrdiff_t j = 0; j < n; j++) {                                                                        \
          WIDE sum = 0;                                                                                            \
          for (ptrdiff_t l = 0; l < k; l++)                                                                        \
            sum += (WIDE)pa[i * k + l] * (WIDE)(transposed ? pb[j * k + l] : pb[l * n + j]);                       \
          y[(task * m + i) * n + j] = (T)sum;                                                                      \
        }                                                                                                          \
    }                                                                                                              \
  }

/* Up to three spatial axes; absent ones have length 1. Strides in elements, so that both layouts are served. */
typedef struct {
  ptrdiff_t in[3], out[3], k[3], stride[3], dilation[3], pad[3], xs[3], ys[3];
  ptrdiff_t xn, xc, yn, yc;          /* strides of image and channel */
  ptrdiff_t channels, outputs, groups; /* of the whole operand and result */
  ptrdiff_t transposed, average;
  ptrdiff_t count[3];                /* average pool: padding counts up to here; 0: never */
} edgec_window;

/* Where tap `k` of output place `o` reads along one axis, or -1. */
EDGEC_INLINE ptrdiff_t edgec_window_at(const edgec_window *d, int axis, ptrdiff_t o, ptrdiff_t k) {
  ptrdiff_t i;
  if (d->transposed) {
    const ptrdiff_t t = o + d->pad[axis] - k * d->dilation[axis];
    if (t < 0 || t % d->stride[axis]) return -1;
    i = t / d->stride[axis];
  } else {
    i = o * d->stride[axis] - d->pad[axis] + k * d->dilation[axis];
  }
  return i < 0 || i >= d->in[axis] ? -1 : i;
}

/* w [outputs][channels/groups][k...], or [channels][outputs/groups][k...] where transposed. A task is an image and an
   output channel. */
#define EDGEC_CONV_ANY(NAME, T, WIDE)                                                                                \
  EDGEC_FN void edgec_conv_##NAME(const T *x, const T *w, const T *bias, T *y, const edgec_window *d,                \
                                  ptrdiff_t begin, ptrdiff_t end) {                                                  \
    const ptrdiff_t gi = d->channels / d->groups, go = d->outputs / d->groups, taps = d->k[0] * d->k[1] * d->k[2];   \
    for (ptrdiff_t task = begin; task < end; task++) {                                                               \
      const ptrdiff_t n = task / d->outputs, o = task % d->outputs, g = o / go;                                      \
      for (ptrdiff_t p = 0; p < d->out[0] * d->out[1] * d->out[2]; p++) {                                            \
        const ptrdiff_t at[3] = {p / (d->out[1] * d->out[2]), p / d->out[2] % d->out[1], p % d->out[2]};             \
        WIDE sum = bias ? (WIDE)bias[o] : (WIDE)0;                                                                   \
        for (ptrdiff_t t = 0; t < taps; t++) {                                                                       \
          const ptrdiff_t i0 = edgec_window_at(d, 0, at[0], t / (d->k[1] * d->k[2]));                                \
          const ptrdiff_t i1 = edgec_window_at(d, 1, at[1], t / d->k[2] % d->k[1]);                                  \
          const ptrdiff_t i2 = edgec_window_at(d, 2, at[2], t % d->k[2]);                                            \
          if (i0 < 0 || i1 < 0 || i2 < 0) continue;                                                                  \
          const T *from = x + n * d->xn + g * gi * d->xc + i0 * d->xs[0] + i1 * d->xs[1] + i2 * d->xs[2];            \
          for (ptrdiff_t c = 0; c < gi; c++) {                                                                       \
            const ptrdiff_t row = d->transposed ? (g * gi + c) * go + o % go : o * gi + c;                           \
            sum += (WIDE)from[c * d->xc] * (WIDE)w[row * taps + t];                                                  \
          }                                                                                                          \
        }                                                                                                            \
        y[n * d->yn + o * d->yc + at[0] * d->ys[0] + at[1] * d->ys[1] + at[2] * d->ys[2]] = (T)sum;                  \
      }                                                                                                              \
    }                                                                                                                \
  }

/* A task is an image and a channel; LOWEST starts a maximum. */
#define EDGEC_POOL_ANY(NAME, T, LOWEST)                                                                              \
  EDGEC_FN void edgec_pool_##NAME(const T *x, T *y, const edgec_window *d, ptrdiff_t begin, ptrdiff_t end) {         \
    const ptrdiff_t taps = d->k[0] * d->k[1] * d->k[2];                                                              \
    for (ptrdiff_t task = begin; task < end; task++) {                                                               \
      const ptrdiff_t n = task / d->channels, c = task % d->channels;                                                \
      for (ptrdiff_t p = 0; p < d->out[0] * d->out[1] * d->out[2]; p++) {                                            \
        const ptrdiff_t at[3] = {p / (d->out[1] * d->out[2]), p / d->out[2] % d->out[1], p % d->out[2]};             \
        T best = (LOWEST), sum = 0;                                                                                  \
        ptrdiff_t count = 0, inside = 0;                                                                             \
        for (ptrdiff_t t = 0; t < taps; t++) {                                                                       \
          const ptrdiff_t k[3] = {t / (d->k[1] * d->k[2]), t / d->k[2] % d->k[1], t % d->k[2]};                      \
          ptrdiff_t i[3], counted = 1;                                                                               \
          for (int a = 0; a < 3; a++) {                                                                              \
            i[a] = edgec_window_at(d, a, at[a], k[a]);                                                               \
            counted &= at[a] * d->stride[a] - d->pad[a] + k[a] * d->dilation[a] < d->count[a];                       \
          }                                                                                                          \
          count += counted;                                                                                          \
          if (i[0] < 0 || i[1] < 0 || i[2] < 0) continue;                                                            \
          const T v = x[n * d->xn + c * d->xc + i[0] * d->xs[0] + i[1] * d->xs[1] + i[2] * d->xs[2]];                \
          best = v > best || v != v ? v : best;                                                                      \
          sum = (T)(sum + v);                                                                                        \
          inside++;                                                                                                  \
        }                                                                                                            \
        const ptrdiff_t by = d->count[0] ? count : inside;                                                           \
        const T mean = by ? (T)(sum / (T)by) : (T)0;                                                                 \
        y[n * d->yn + c * d->yc + at[0] * d->ys[0] + at[1] * d->ys[1] + at[2] * d->ys[2]] = d->average ? mean : best; \
      }                                                                                                              \
    }                                                                                                                \
  }

#endif
