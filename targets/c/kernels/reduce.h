/* Reductions of x[outer][size][inner] over the middle axis, softmax and norms over it. */
#ifndef EDGEC_REDUCE_H
#define EDGEC_REDUCE_H

#include "edgec_math.h"

#define EDGEC_REDUCE_COLUMNS 64

/* EXPR combines acc and x, FINAL makes the result of acc. A task is an outer index. */
#define EDGEC_REDUCE(NAME, T, INIT, EXPR, FINAL)                                                                   \
  EDGEC_FN void edgec_##NAME(const T *a, T *y, ptrdiff_t size, ptrdiff_t inner, ptrdiff_t begin, ptrdiff_t end) {  \
    for (ptrdiff_t task = begin; task < end; task++) {                                                             \
      const T *from = a + task * size * inner;                                                                     \
      T *to = y + task * inner;                                                                                    \
      if (inner == 1) {                                                                                            \
        T part[16];                                                                                                \
        for (int j = 0; j < 16; j++) part[j] = (INIT);                                                             \
        ptrdiff_t i = 0;                                                                                           \
        for (; i + 16 <= size; i += 16)                                                                            \
          for (int j = 0; j < 16; j++) {                                                                           \
            const T acc = part[j], x = from[i + j];                                                                \
            part[j] = (T)(EXPR);                                                                                   \
          }                                                                                                        \
        T acc = (INIT);                                                                                            \
        for (int j = 0; j < 16; j++) {                                                                             \
          const T x = part[j];                                                                                     \
          acc = (T)(EXPR);                                                                                         \
        }                                                                                                          \
        if (size % 16) /* or gcc warns of an overflow in a loop that never runs */                                 \
          for (; i < size; i++) {                                                                                  \
            const T x = from[i];                                                                                   \
            acc = (T)(EXPR);                                                                                       \
          }                                                                                                        \
        to[0] = (T)(FINAL);                                                                                        \
        continue;                                                                                                  \
      }                                                                                                            \
      for (ptrdiff_t c = 0; c < inner; c += EDGEC_REDUCE_COLUMNS) {                                                \
        const ptrdiff_t n = inner - c < EDGEC_REDUCE_COLUMNS ? inner - c : EDGEC_REDUCE_COLUMNS;                   \
        T part[EDGEC_REDUCE_COLUMNS];                                                                              \
        for (ptrdiff_t j = 0; j < n; j++) part[j] = (INIT);                                                        \
        for (ptrdiff_t i = 0; i < size; i++)                                                                       \
          for (ptrdiff_t j = 0; j < n; j++) {                                                                      \
            const T acc = part[j], x = from[i * inner + c + j];                                                    \
            part[j] = (T)(EXPR);                                                                                   \
          }                                                                                                        \
        for (ptrdiff_t j = 0; j < n; j++) {                                                                        \
          const T acc = part[j];                                                                                   \
          to[c + j] = (T)(FINAL);                                                                                  \
        }                                                                                                          \
      }                                                                                                            \
    }                                                                                                              \
  }

EDGEC_FN void edgec_softmax(const float *x, float *y, ptrdiff_t size, ptrdiff_t inner, ptrdiff_t logarithm,
                            ptrdiff_t begin, ptrdiff_t end) {
  for (ptrdiff_t task = begin; task < end; task++)
    for (ptrdiff_t j = 0; j < inner; j++) {
      const float *from = x + task * size * inner + j;
      float *to = y + task * size * inner + j;
      float top = -__builtin_inff(), total = 0.0f;
      for (ptrdiff_t i = 0; i < size; i++) top = from[i * inner] > top ? from[i * inner] : top;
      if (inner == 1) {
        for (ptrdiff_t i = 0; i < size; i++) to[i] = logarithm ? from[i] - top : edgec_exp(from[i] - top);
      } else {
        for (ptrdiff_t i = 0; i < size; i++) {
          const float d = from[i * inner] - top;
          to[i * inner] = logarithm ? d : edgec_exp(d);
        }
      }
      if (logarithm) {
        for (ptrdiff_t i = 0; i < size; i++) total += edgec_exp(to[i * inner]);
        total = edgec_log(total);
        for (ptrdiff_t i = 0; i < size; i++) to[i * inner] -= total;
      } else {
        for (ptrdiff_t i = 0; i < size; i++) total += to[i * inner];
        total = 1.0f / total;
        for (ptrdiff_t i = 0; i < size; i++) to[i * inner] *= total;
      }
    }
}

/* Rows of `size`: (x - mean) / sqrt(var + eps) * scale + bias; `centre` 0 leaves the mean alone (RMS norm). */
EDGEC_FN void edgec_norm(const float *x, const float *scale, const float *bias, float *y, ptrdiff_t size, float eps,
                         ptrdiff_t centre, ptrdiff_t begin, ptrdiff_t end) {
  for (ptrdiff_t task = begin; task < end; task++) {
    const float *from = x + task * size;
    float *to = y + task * size;
    float sums[16] = {0}, mean = 0.0f, square = 0.0f;
    if (centre) {
      for (ptrdiff_t i = 0; i < size; i++) sums[i & 15] += from[i];
      for (int j = 0; j < 16; j++) mean += sums[j], sums[j] = 0.0f;
      mean /= (float)size;
    }
    for (ptrdiff_t i = 0; i < size; i++) sums[i & 15] += (from[i] - mean) * (from[i] - mean);
    for (int j = 0; j < 16; j++) square += sums[j];
    const float factor = 1.0f / __builtin_sqrtf(square / (float)size + eps);
    for (ptrdiff_t i = 0; i < size; i++) {
      const float v = (from[i] - mean) * factor * (scale ? scale[i] : 1.0f);
      to[i] = bias ? v + bias[i] : v;
    }
  }
}

#endif
