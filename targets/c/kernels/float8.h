/* Floats as bytes in memory, and back: E4M3 and E5M2, to the nearest, half to even, saturated; a NaN becomes 0. */
#ifndef EDGEC_FLOAT8_H
#define EDGEC_FLOAT8_H

#include "codes.h"
#include "map.h"
#include "qlanes.h"

/* The code of x, with so many bits of fraction. Fractions of normal numbers are rounded as integers, smaller numbers by
   adding one whose last bit is the format's least number. The sign is bit 7, as edgec_q8 has it. */
EDGEC_INLINE edgec_vi edgec_float8_code(edgec_vf x, int fraction, int bias, float largest) {
  const edgec_vf number = (edgec_vf)((edgec_vi)x & (edgec_vi)(x == x));
  const edgec_vf size = edgec_vmin(edgec_splat(largest), (edgec_vf)((edgec_vi)number & 0x7fffffff));
  const edgec_vi bits = (edgec_vi)size, shift = edgec_splat_i(23 - fraction);
  const edgec_vi half = edgec_splat_i((1 << (22 - fraction)) - 1);
  const edgec_vi normal = ((bits + half + ((bits >> shift) & 1)) >> shift) - ((127 - bias) << fraction);
  const edgec_vi unit = edgec_splat_i((127 + 23 + 1 - bias - fraction) << 23);
  const edgec_vi small = (edgec_vi)(size + (edgec_vf)unit) - unit;
  const edgec_vi is_small = bits < edgec_splat_i((127 + 1 - bias) << 23);
  const edgec_vi sign = ((edgec_vi)number >> 31) & (EDGEC_Q8_MIN ? -128 : 128);
  return ((small & is_small) | (normal & ~is_small)) + sign;
}
#define EDGEC_FLOAT8_CODE_E4M3(x) edgec_float8_code(x, 3, 7, 448.0f)
#define EDGEC_FLOAT8_CODE_E5M2(x) edgec_float8_code(x, 2, 15, 57344.0f)

/* The floats of 4 * EDGEC_LANES codes; `left`: how many there are to read. */
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
#define EDGEC_FLOAT8_FOUR(FORM, v, bytes) edgec_decode_##FORM(v, (uint8x16_t)(bytes), 0)
#else
#define EDGEC_FLOAT8_FOUR(FORM, v, bytes) \
  EDGEC_UNROLL for (int j = 0; j < 4; j++) \
    (v)[j] = edgec_decode_##FORM(edgec_load_codes((const uint8_t *)&(bytes) + j * EDGEC_LANES), 0)
#endif

/* y = codes of x / scale, and y = floats of x * by; a task is EDGEC_MAP_CHUNK elements. */
#define EDGEC_FLOAT8(FORM)                                                                                       \
  EDGEC_FN void edgec_to_##FORM(const float *x, uint8_t *y, ptrdiff_t n, float scale, ptrdiff_t begin, ptrdiff_t end) { \
    const ptrdiff_t stop = end * EDGEC_MAP_CHUNK < n ? end * EDGEC_MAP_CHUNK : n;                                \
    for (ptrdiff_t i = begin * EDGEC_MAP_CHUNK; i < stop; i += EDGEC_Q8_BLOCK) {                                 \
      const ptrdiff_t count = stop - i;                                                                          \
      edgec_vi v[4];                                                                                             \
      EDGEC_UNROLL for (int j = 0; j < 4; j++) {                                                                 \
        const ptrdiff_t left = count - j * EDGEC_LANES;                                                          \
        edgec_vf in = edgec_splat(0.0f);                                                                         \
        if (left > 0) in = edgec_load_n(x + i + j * EDGEC_LANES, left < EDGEC_LANES ? left : EDGEC_LANES);       \
        v[j] = EDGEC_FLOAT8_CODE_##FORM(in / edgec_splat(scale));                                                                \
      }                                                                                                          \
      edgec_store_few((edgec_q8 *)(y + i), edgec_narrow(v, 4), count);                                           \
    }                                                                                                            \
  }                                                                                                              \
  EDGEC_FN void edgec_from_##FORM(const uint8_t *x, float *y, ptrdiff_t n, float by, ptrdiff_t begin,            \
                                  ptrdiff_t end) {                                                               \
    const ptrdiff_t stop = end * EDGEC_MAP_CHUNK < n ? end * EDGEC_MAP_CHUNK : n;                                \
    for (ptrdiff_t i = begin * EDGEC_MAP_CHUNK; i < stop; i += EDGEC_Q8_BLOCK) {                                 \
      const ptrdiff_t count = stop - i;                                                                          \
      const edgec_vq bytes = edgec_load_few((const edgec_q8 *)(x + i), count);                                   \
      edgec_vf v[4];                                                                                             \
      EDGEC_FLOAT8_FOUR(FORM, v, bytes);                                                                         \
      EDGEC_UNROLL for (int j = 0; j < 4; j++) {                                                                 \
        const ptrdiff_t left = count - j * EDGEC_LANES;                                                          \
        if (left > 0) edgec_store_n(y + i + j * EDGEC_LANES, v[j] * by, left < EDGEC_LANES ? left : EDGEC_LANES); \
      }                                                                                                          \
    }                                                                                                            \
  }

#endif
