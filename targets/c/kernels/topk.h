/* The k best along the middle axis of x [outer][size][inner], where the best one is, and running sums. */
#ifndef EDGEC_TOPK_H
#define EDGEC_TOPK_H

#include "half.h"

/* Orders: ABOVE and BELOW for floats, where a NaN is above every number; MORE and LESS for integers. LEAST
   is what argmin wants: below every number, too. */
#define EDGEC_MORE(a, b) ((a) > (b))
#define EDGEC_LESS(a, b) ((a) < (b))
#define EDGEC_ABOVE(a, b) ((a) > (b) || ((a) != (a) && (b) == (b)))
#define EDGEC_BELOW(a, b) EDGEC_ABOVE(b, a)
#define EDGEC_LEAST(a, b) ((a) < (b) || ((a) != (a) && (b) == (b)))

/* Values and places of the k first in ORDER, sorted; of equals the earlier one goes first. The results themselves are the heap, whose
   root is the last of the k found so far. A task is one (outer, inner). */
#define EDGEC_TOPK(NAME, T, WIDE, FORM, ORDER)                                                                     \
  EDGEC_INLINE int edgec_##NAME##_after(const T *v, const int64_t *at, ptrdiff_t a, ptrdiff_t b) {                 \
    const WIDE x = EDGEC_GET_##FORM(v[a]), z = EDGEC_GET_##FORM(v[b]);                                             \
    return ORDER(z, x) || (!ORDER(x, z) && at[a] > at[b]);                                                         \
  }                                                                                                                \
  EDGEC_FN void edgec_##NAME##_sink(T *v, int64_t *at, ptrdiff_t root, ptrdiff_t n, ptrdiff_t step) {              \
    const T value = v[root * step];                                                                                \
    const int64_t place = at[root * step];                                                                         \
    for (;;) {                                                                                                     \
      ptrdiff_t child = 2 * root + 1;                                                                              \
      if (child >= n) break;                                                                                       \
      if (child + 1 < n && edgec_##NAME##_after(v, at, (child + 1) * step, child * step)) child++;                 \
      const WIDE x = EDGEC_GET_##FORM(v[child * step]), z = EDGEC_GET_##FORM(value);                               \
      if (!(ORDER(z, x) || (!ORDER(x, z) && at[child * step] > place))) break;                                     \
      v[root * step] = v[child * step];                                                                            \
      at[root * step] = at[child * step];                                                                          \
      root = child;                                                                                                \
    }                                                                                                              \
    v[root * step] = value;                                                                                        \
    at[root * step] = place;                                                                                       \
  }                                                                                                                \
  EDGEC_FN void edgec_##NAME(const T *x, T *values, int64_t *places, ptrdiff_t size, ptrdiff_t k, ptrdiff_t inner, \
                             ptrdiff_t begin, ptrdiff_t end) {                                                     \
    for (ptrdiff_t task = begin; task < end; task++) {                                                             \
      const T *from = x + task / inner * size * inner + task % inner;                                              \
      T *v = values + task / inner * k * inner + task % inner;                                                     \
      int64_t *at = places + task / inner * k * inner + task % inner;                                              \
      for (ptrdiff_t i = 0; i < k; i++) v[i * inner] = from[i * inner], at[i * inner] = i;                         \
      for (ptrdiff_t i = k / 2 - 1; i >= 0; i--) edgec_##NAME##_sink(v, at, i, k, inner);                          \
      for (ptrdiff_t i = k; i < size; i++) {                                                                       \
        const WIDE new = EDGEC_GET_##FORM(from[i * inner]), worst = EDGEC_GET_##FORM(v[0]);                        \
        if (!ORDER(new, worst)) continue; /* an equal one that comes later is no better */                         \
        v[0] = from[i * inner];                                                                                    \
        at[0] = i;                                                                                                 \
        edgec_##NAME##_sink(v, at, 0, k, inner);                                                                   \
      }                                                                                                            \
      for (ptrdiff_t n = k - 1; n > 0; n--) {                                                                      \
        const T value = v[0];                                                                                      \
        const int64_t place = at[0];                                                                               \
        v[0] = v[n * inner];                                                                                       \
        at[0] = at[n * inner];                                                                                     \
        v[n * inner] = value;                                                                                      \
        at[n * inner] = place;                                                                                     \
        edgec_##NAME##_sink(v, at, 0, n, inner);                                                                   \
      }                                                                                                            \
    }                                                                                                              \
  }

#define EDGEC_TOPK_COLUMNS 64

/* Where the extreme is; BETTER says whether x, which comes later, replaces best. A task is an outer index; columns go
   side by side. */
#define EDGEC_ARG_EXTREME(NAME, T, WIDE, FORM, BETTER)                                                             \
  EDGEC_FN void edgec_##NAME(const T *x_, int64_t *y, ptrdiff_t size, ptrdiff_t inner, ptrdiff_t begin,            \
                             ptrdiff_t end) {                                                                      \
    for (ptrdiff_t task = begin; task < end; task++)                                                               \
      for (ptrdiff_t c = 0; c < inner; c += EDGEC_TOPK_COLUMNS) {                                                  \
        const ptrdiff_t n = inner - c < EDGEC_TOPK_COLUMNS ? inner - c : EDGEC_TOPK_COLUMNS;                       \
        const T *from = x_ + task * size * inner + c;                                                              \
        int64_t *to = y + task * inner + c;                                                                        \
        WIDE extreme[EDGEC_TOPK_COLUMNS];                                                                          \
        for (ptrdiff_t j = 0; j < n; j++) extreme[j] = EDGEC_GET_##FORM(from[j]), to[j] = 0;                       \
        for (ptrdiff_t i = 1; i < size; i++)                                                                       \
          for (ptrdiff_t j = 0; j < n; j++) {                                                                      \
            const WIDE x = EDGEC_GET_##FORM(from[i * inner + j]), best = extreme[j];                               \
            const int better = (BETTER);                                                                           \
            extreme[j] = better ? x : best;                                                                        \
            to[j] = better ? (int64_t)i : to[j];                                                                   \
          }                                                                                                        \
      }                                                                                                            \
  }

/* Sums over what comes before (and, unless `exclusive`, with) each element; `reverse` starts at the end. A task is an
   outer index. */
#define EDGEC_CUMSUM(NAME, T, WIDE, FORM)                                                                          \
  EDGEC_FN void edgec_cumsum_##NAME(const T *x, T *y, ptrdiff_t size, ptrdiff_t inner, ptrdiff_t exclusive,        \
                                    ptrdiff_t reverse, ptrdiff_t begin, ptrdiff_t end) {                           \
    for (ptrdiff_t task = begin; task < end; task++)                                                               \
      for (ptrdiff_t c = 0; c < inner; c += EDGEC_TOPK_COLUMNS) {                                                  \
        const ptrdiff_t n = inner - c < EDGEC_TOPK_COLUMNS ? inner - c : EDGEC_TOPK_COLUMNS;                       \
        WIDE sum[EDGEC_TOPK_COLUMNS];                                                                              \
        for (ptrdiff_t j = 0; j < n; j++) sum[j] = 0;                                                              \
        for (ptrdiff_t i = 0; i < size; i++) {                                                                     \
          const ptrdiff_t row = (task * size + (reverse ? size - 1 - i : i)) * inner + c;                          \
          for (ptrdiff_t j = 0; j < n; j++) {                                                                      \
            const WIDE before = sum[j];                                                                            \
            sum[j] = before + (WIDE)EDGEC_GET_##FORM(x[row + j]);                                                  \
            y[row + j] = (T)EDGEC_PUT_##FORM(exclusive ? before : sum[j]);                                         \
          }                                                                                                        \
        }                                                                                                          \
      }                                                                                                            \
  }

#endif
