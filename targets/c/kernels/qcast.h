/* Between reals and small integers that stand for them. */
#ifndef EDGEC_QCAST_H
#define EDGEC_QCAST_H

#include "map.h"
#include "qlanes.h"

#define edgec_quantize EDGEC_NAMED(quantize)

/* y = saturated(round(x / scale) + zero). `zero` is of edgec_q8, and `flip` leads from there to y: 0x80 from signed
   bytes to unsigned or back. A task is EDGEC_MAP_CHUNK elements. */
EDGEC_FN void edgec_quantize(const edgec_real *x, uint8_t *y, ptrdiff_t n, float scale, ptrdiff_t zero, ptrdiff_t flip,
                             ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t stop = end * EDGEC_MAP_CHUNK < n ? end * EDGEC_MAP_CHUNK : n;
  const edgec_grid steps = edgec_grid_of(scale, (float)(EDGEC_Q8_MIN - zero), (float)(EDGEC_Q8_MAX - zero));
  const edgec_vi base = edgec_splat_i((int32_t)zero);
  const edgec_vq turned = edgec_splat_q((int32_t)flip);
  for (ptrdiff_t i = begin * EDGEC_MAP_CHUNK; i < stop; i += EDGEC_Q8_BLOCK) {
    const ptrdiff_t count = stop - i;
    edgec_vi v[4];
    if (count >= EDGEC_Q8_BLOCK) {
      EDGEC_UNROLL for (int j = 0; j < 4; j++)
        v[j] = edgec_vsteps(edgec_load(x + i + j * EDGEC_LANES), &steps) + base;
      *(edgec_vq *)(y + i) = edgec_narrow(v, 4) ^ turned;
    } else {
      EDGEC_UNROLL for (int j = 0; j < 4; j++) {
        const ptrdiff_t left = count - j * EDGEC_LANES, some = left < EDGEC_LANES ? left : EDGEC_LANES;
        v[j] = base;
        if (some > 0) v[j] += edgec_vsteps(edgec_load_n(x + i + j * EDGEC_LANES, some), &steps);
      }
      edgec_store_few((edgec_q8 *)(y + i), edgec_narrow(v, 4) ^ turned, count);
    }
  }
}

/* (x - zero) * scale: x [outer][n][inner], scale and zero [n]; a task is an outer index. */
#define EDGEC_DEQUANTIZE(NAME, T)                                                                               \
  EDGEC_FN void EDGEC_NAMED(NAME)(const T *x, const float *scale, const T *zero, edgec_real *y, ptrdiff_t n,    \
                                  ptrdiff_t inner, ptrdiff_t begin, ptrdiff_t end) {                            \
    for (ptrdiff_t task = begin; task < end; task++) {                                                          \
      const T *from = x + task * n * inner;                                                                     \
      edgec_real *to = y + task * n * inner;                                                                    \
      if (inner == 1) {                                                                                         \
        for (ptrdiff_t j = 0; j < n; j++) to[j] = (edgec_real)EDGEC_DEQUANTIZED(from[j], zero[j], scale[j]);    \
        continue;                                                                                               \
      }                                                                                                         \
      for (ptrdiff_t j = 0; j < n; j++, from += inner, to += inner) {                                           \
        const uint32_t base = (uint32_t)zero[j];                                                                \
        const float by = scale[j];                                                                              \
        ptrdiff_t i = 0;                                                                                        \
        EDGEC_BLOCKS for (; i + EDGEC_MAP_BLOCK <= inner; i += EDGEC_MAP_BLOCK) {                               \
          T in[EDGEC_MAP_BLOCK]; /* all are read first, for all that compilers know */                          \
          __builtin_memcpy(in, from + i, sizeof in);                                                            \
          for (int k = 0; k < EDGEC_MAP_BLOCK; k++) to[i + k] = (edgec_real)EDGEC_DEQUANTIZED(in[k], base, by); \
        }                                                                                                       \
        for (; i < inner; i++) to[i] = (edgec_real)EDGEC_DEQUANTIZED(from[i], base, by);                        \
      }                                                                                                         \
    }                                                                                                           \
  }

/* The same of bytes with one scale; a task is EDGEC_MAP_CHUNK elements. */
#define EDGEC_DEQUANTIZE_BYTES(NAME, T)                                                                          \
  EDGEC_FN void EDGEC_NAMED(NAME)(const T *x, edgec_real *y, ptrdiff_t n, float scale, ptrdiff_t zero,           \
                                  ptrdiff_t begin, ptrdiff_t end) {                                              \
    typedef T bytes __attribute__((vector_size(4 * EDGEC_LANES), aligned(1), may_alias));                        \
    typedef int32_t wide __attribute__((vector_size(16 * EDGEC_LANES)));                                         \
    const ptrdiff_t stop = end * EDGEC_MAP_CHUNK < n ? end * EDGEC_MAP_CHUNK : n;                                \
    const edgec_vf by = edgec_splat(scale);                                                                      \
    ptrdiff_t i = begin * EDGEC_MAP_CHUNK;                                                                       \
    for (; i + EDGEC_Q8_BLOCK <= stop; i += EDGEC_Q8_BLOCK) {                                                    \
      union {                                                                                                    \
        wide all;                                                                                                \
        edgec_vi part[4];                                                                                        \
      } v = {__builtin_convertvector(*(const bytes *)(x + i), wide)};                                            \
      EDGEC_UNROLL for (int j = 0; j < 4; j++)                                                                   \
        edgec_store(y + i + j * EDGEC_LANES, __builtin_convertvector(v.part[j] - (int32_t)zero, edgec_vf) * by); \
    }                                                                                                            \
    for (; i < stop; i++) y[i] = (edgec_real)EDGEC_DEQUANTIZED(x[i], zero, scale);                               \
  }

#endif
