/* Reductions of x[outer][size][inner] over the middle axis, softmax and norms over it. */
#ifndef EDGEC_REDUCE_H
#define EDGEC_REDUCE_H

#include "edgec_vmath.h"

#define edgec_row_max EDGEC_NAMED(row_max)
#define edgec_softmax_row EDGEC_NAMED(softmax_row)
#define edgec_softmax_columns EDGEC_NAMED(softmax_columns)
#define edgec_softmax EDGEC_NAMED(softmax)
#define edgec_norm EDGEC_NAMED(norm)

#define EDGEC_REDUCE_COLUMNS 64

/* EXPR combines acc and x of type T, FINAL makes the result of acc; numbers are TX in memory. A task is an outer index. */
#define EDGEC_REDUCE(NAME, TX, T, INIT, EXPR, FINAL)                                                                   \
  EDGEC_FN void edgec_##NAME(const TX *a, TX *y, ptrdiff_t size, ptrdiff_t inner, ptrdiff_t begin, ptrdiff_t end) {  \
    for (ptrdiff_t task = begin; task < end; task++) {                                                             \
      const TX *from = a + task * size * inner;                                                                     \
      TX *to = y + task * inner;                                                                                    \
      if (inner == 1) {                                                                                            \
        T part[16];                                                                                                \
        for (int j = 0; j < 16; j++) part[j] = (INIT);                                                             \
        ptrdiff_t i = 0;                                                                                           \
        for (; i + 16 <= size; i += 16)                                                                            \
          for (int j = 0; j < 16; j++) {                                                                           \
            const T acc = part[j], x = (T)from[i + j];                                                                \
            part[j] = (T)(EXPR);                                                                                   \
          }                                                                                                        \
        T acc = (INIT);                                                                                            \
        for (int j = 0; j < 16; j++) {                                                                             \
          const T x = part[j];                                                                                     \
          acc = (T)(EXPR);                                                                                         \
        }                                                                                                          \
        if (size % 16) /* or gcc warns of an overflow in a loop that never runs */                                 \
          for (; i < size; i++) {                                                                                  \
            const T x = (T)from[i];                                                                                   \
            acc = (T)(EXPR);                                                                                       \
          }                                                                                                        \
        to[0] = (TX)(FINAL);                                                                                        \
        continue;                                                                                                  \
      }                                                                                                            \
      for (ptrdiff_t c = 0; c < inner; c += EDGEC_REDUCE_COLUMNS) {                                                \
        const ptrdiff_t n = inner - c < EDGEC_REDUCE_COLUMNS ? inner - c : EDGEC_REDUCE_COLUMNS;                   \
        T part[EDGEC_REDUCE_COLUMNS];                                                                              \
        for (ptrdiff_t j = 0; j < n; j++) part[j] = (INIT);                                                        \
        for (ptrdiff_t i = 0; i < size; i++)                                                                       \
          for (ptrdiff_t j = 0; j < n; j++) {                                                                      \
            const T acc = part[j], x = (T)from[i * inner + c + j];                                                    \
            part[j] = (T)(EXPR);                                                                                   \
          }                                                                                                        \
        for (ptrdiff_t j = 0; j < n; j++) {                                                                        \
          const T acc = part[j];                                                                                   \
          to[c + j] = (TX)(FINAL);                                                                                  \
        }                                                                                                          \
      }                                                                                                            \
    }                                                                                                              \
  }

/* The largest of x[0 .. size); what is no number does not count. */
EDGEC_INLINE float edgec_row_max(const edgec_real *x, ptrdiff_t size) {
  float top = -__builtin_inff();
  if (size >= EDGEC_LANES) {
    edgec_vf best = edgec_splat(top);
    for (ptrdiff_t i = 0; i < size; i += EDGEC_LANES) {
      /* the last vector reaches back: a maximum may see an element twice */
      const edgec_vf v = edgec_load(x + (i + EDGEC_LANES <= size ? i : size - EDGEC_LANES));
      best = edgec_select((edgec_vi)(v > best), v, best);
    }
    EDGEC_UNROLL for (int j = 0; j < EDGEC_LANES; j++) top = best[j] > top ? best[j] : top;
  } else {
    for (ptrdiff_t i = 0; i < size; i++) top = x[i] > top ? x[i] : top;
  }
  return top;
}

/* One row: y = exp(x - max) / sum, or x - max - log(sum). y may be x. */
EDGEC_INLINE void edgec_softmax_row(const edgec_real *x, edgec_real *y, ptrdiff_t size, ptrdiff_t logarithm) {
  const edgec_vf top = edgec_splat(edgec_row_max(x, size));
  const edgec_vi kept = edgec_lanes_below(logarithm ? EDGEC_LANES : 0); /* differences stay, or exponentials */
  edgec_vf sums = edgec_splat(0.0f);
  const ptrdiff_t whole = size - size % EDGEC_LANES, rest = size - whole;
  for (ptrdiff_t i = 0; i < whole; i += EDGEC_LANES) {
    const edgec_vf d = edgec_load(x + i) - top, e = edgec_vexp_low(d);
    sums += e;
    edgec_store(y + i, edgec_select(kept, d, e));
  }
  if (rest) {
    const edgec_vf d = edgec_load_n(x + whole, rest) - top, e = edgec_vexp_low(d);
    sums += (edgec_vf)((edgec_vi)e & edgec_lanes_below(rest));
    edgec_store_n(y + whole, edgec_select(kept, d, e), rest);
  }
  const float total = edgec_vsum(sums);
  if (logarithm) {
    const float by = edgec_log(total);
    for (ptrdiff_t i = 0; i < size; i++) y[i] = (edgec_real)(y[i] - by);
  } else {
    const float by = 1.0f / total;
    for (ptrdiff_t i = 0; i < size; i++) y[i] = (edgec_real)(y[i] * by);
  }
}

/* Columns of the middle axis, a vector of them at a time. */
EDGEC_INLINE void edgec_softmax_columns(const edgec_real *x, edgec_real *y, ptrdiff_t size, ptrdiff_t inner, ptrdiff_t n,
                                        ptrdiff_t logarithm) {
  const edgec_vi kept = edgec_lanes_below(logarithm ? EDGEC_LANES : 0);
  edgec_vf top = edgec_splat(-__builtin_inff()), total = edgec_splat(0.0f);
  for (ptrdiff_t i = 0; i < size; i++) {
    const edgec_vf v = edgec_load_n(x + i * inner, n);
    top = edgec_select((edgec_vi)(v > top), v, top);
  }
  for (ptrdiff_t i = 0; i < size; i++) {
    const edgec_vf d = edgec_load_n(x + i * inner, n) - top, e = edgec_vexp_low(d);
    total += e;
    edgec_store_n(y + i * inner, edgec_select(kept, d, e), n);
  }
  if (logarithm) {
    EDGEC_UNROLL for (int j = 0; j < EDGEC_LANES; j++) total[j] = edgec_log(total[j]);
    for (ptrdiff_t i = 0; i < size; i++) edgec_store_n(y + i * inner, edgec_load_n(y + i * inner, n) - total, n);
  } else {
    const edgec_vf by = 1.0f / total;
    for (ptrdiff_t i = 0; i < size; i++) edgec_store_n(y + i * inner, edgec_load_n(y + i * inner, n) * by, n);
  }
}

/* A task is an outer index. */
EDGEC_FN void edgec_softmax(const edgec_real *x, edgec_real *y, ptrdiff_t size, ptrdiff_t inner, ptrdiff_t logarithm,
                            ptrdiff_t begin, ptrdiff_t end) {
  for (ptrdiff_t task = begin; task < end; task++) {
    const edgec_real *from = x + task * size * inner;
    edgec_real *to = y + task * size * inner;
    if (inner == 1) {
      edgec_softmax_row(from, to, size, logarithm);
      continue;
    }
    for (ptrdiff_t j = 0; j < inner; j += EDGEC_LANES)
      edgec_softmax_columns(from + j, to + j, size, inner, inner - j < EDGEC_LANES ? inner - j : EDGEC_LANES,
                            logarithm);
  }
}

/* Rows of `size`: (x - mean) / sqrt(var + eps) * scale + bias; `centre` 0 leaves the mean alone (RMS norm). */
EDGEC_FN void edgec_norm(const edgec_real *x, const edgec_real *scale, const edgec_real *bias, edgec_real *y, ptrdiff_t size, float eps,
                         ptrdiff_t centre, ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t whole = size - size % EDGEC_LANES, rest = size - whole;
  for (ptrdiff_t task = begin; task < end; task++) {
    const edgec_real *from = x + task * size;
    edgec_real *to = y + task * size;
    float mean = 0.0f;
    if (centre) {
      edgec_vf sums = edgec_splat(0.0f);
      for (ptrdiff_t i = 0; i < whole; i += EDGEC_LANES) sums += edgec_load(from + i);
      if (rest) sums += edgec_load_n(from + whole, rest);
      mean = edgec_vsum(sums) / (float)size;
    }
    edgec_vf squares = edgec_splat(0.0f);
    for (ptrdiff_t i = 0; i < whole; i += EDGEC_LANES) {
      const edgec_vf d = edgec_load(from + i) - mean;
      squares += d * d;
    }
    if (rest) {
      const edgec_vf d = edgec_load_n(from + whole, rest) - mean;
      squares += (edgec_vf)((edgec_vi)(d * d) & edgec_lanes_below(rest));
    }
    const float factor = 1.0f / __builtin_sqrtf(edgec_vsum(squares) / (float)size + eps);
    for (ptrdiff_t i = 0; i < size; i += EDGEC_LANES) {
      const ptrdiff_t n = i < whole ? EDGEC_LANES : rest;
      edgec_vf v = (edgec_load_n(from + i, n) - mean) * factor;
      if (scale) v *= edgec_load_n(scale + i, n);
      if (bias) v += edgec_load_n(bias + i, n);
      edgec_store_n(to + i, v, n);
    }
  }
}

#endif
