/* Element-wise kernels of bytes (edgec.ir.ops.integer). Calls with tasks: a task is EDGEC_QMAP_CHUNK elements. */
#ifndef EDGEC_QMAP_H
#define EDGEC_QMAP_H

#include "map.h"

#define EDGEC_QMAP_CHUNK 4096

typedef struct {
  int32_t x_scale, y_scale, bias, shift; /* of a sum */
  int32_t x_zero, y_zero, multiplier;    /* of a product */
  int32_t lo, hi;
} edgec_qpair;

/* (acc * m + 2^(s-1)) >> s, clamped. */
EDGEC_INLINE int32_t edgec_requant_one(int32_t acc, int32_t m, int32_t s, int32_t lo, int32_t hi) {
  const int32_t q = (int32_t)(((int64_t)acc * m + ((int64_t)1 << (s - 1))) >> s);
  return q < lo ? lo : q > hi ? hi : q;
}

/* y = saturate(round(x / scale) + zero), half to even; a NaN becomes zero. Adding 1.5 * 2^23 rounds what is below
   2^22 to a whole number, in the last bits of the sum. */
#define EDGEC_QUANTIZE(NAME, T, LO, HI)                                                                        \
  EDGEC_FN void edgec_quantize_##NAME(const float *x, T *y, float scale, int32_t zero, ptrdiff_t n,            \
                                      ptrdiff_t begin, ptrdiff_t end) {                                        \
    const ptrdiff_t stop = end * EDGEC_QMAP_CHUNK < n ? end * EDGEC_QMAP_CHUNK : n;                            \
    for (ptrdiff_t i = begin * EDGEC_QMAP_CHUNK; i < stop; i++) {                                              \
      float t = x[i] / scale;                                                                                  \
      t = t > -1e6f ? t : -1e6f;                                                                               \
      t = t < 1e6f ? t : 1e6f;                                                                                 \
      t = x[i] == x[i] ? t : 0.0f;                                                                             \
      const int32_t q = edgec_float_to_bits(t + 12582912.0f) - 0x4b400000 + zero;                              \
      y[i] = (T)(q < (LO) ? (LO) : q > (HI) ? (HI) : q);                                                       \
    }                                                                                                          \
  }

/* y = (x - zero) * scale */
#define EDGEC_DEQUANTIZE(NAME, T)                                                                              \
  EDGEC_FN void edgec_dequantize_##NAME(const T *x, float *y, float scale, int32_t zero, ptrdiff_t n,          \
                                        ptrdiff_t begin, ptrdiff_t end) {                                      \
    const ptrdiff_t stop = end * EDGEC_QMAP_CHUNK < n ? end * EDGEC_QMAP_CHUNK : n;                            \
    for (ptrdiff_t i = begin * EDGEC_QMAP_CHUNK; i < stop; i++)                                                \
      y[i] = (float)(int32_t)((uint32_t)x[i] - (uint32_t)zero) * scale;                                        \
  }

/* The same with a scale and a zero point for each of `count` places of an axis behind which `inner` elements lie. A
   task is what lies behind one place in front of the axis. */
#define EDGEC_QUANTIZE_AXIS(NAME, T, LO, HI)                                                                   \
  EDGEC_FN void edgec_quantize_axis_##NAME(const float *x, T *y, const float *scale, const T *zero,            \
                                           ptrdiff_t count, ptrdiff_t inner, ptrdiff_t begin, ptrdiff_t end) { \
    for (ptrdiff_t task = begin; task < end; task++)                                                           \
      for (ptrdiff_t c = 0; c < count; c++)                                                                    \
        for (ptrdiff_t j = 0; j < inner; j++) {                                                                \
          const ptrdiff_t i = (task * count + c) * inner + j;                                                  \
          float t = x[i] / scale[c];                                                                           \
          t = t > -1e6f ? t : -1e6f;                                                                           \
          t = t < 1e6f ? t : 1e6f;                                                                             \
          t = x[i] == x[i] ? t : 0.0f;                                                                         \
          const int32_t q = edgec_float_to_bits(t + 12582912.0f) - 0x4b400000 + (int32_t)zero[c];              \
          y[i] = (T)(q < (LO) ? (LO) : q > (HI) ? (HI) : q);                                                   \
        }                                                                                                      \
  }
#define EDGEC_DEQUANTIZE_AXIS(NAME, T)                                                                         \
  EDGEC_FN void edgec_dequantize_axis_##NAME(const T *x, float *y, const float *scale, const T *zero,          \
                                             ptrdiff_t count, ptrdiff_t inner, ptrdiff_t begin,                \
                                             ptrdiff_t end) {                                                  \
    for (ptrdiff_t task = begin; task < end; task++)                                                           \
      if (inner == 1)                                                                                          \
        for (ptrdiff_t c = 0; c < count; c++)                                                                  \
          y[task * count + c] = (float)(int32_t)((uint32_t)x[task * count + c] - (uint32_t)zero[c]) * scale[c]; \
      else                                                                                                     \
        for (ptrdiff_t c = 0; c < count; c++)                                                                  \
          for (ptrdiff_t i = (task * count + c) * inner; i < (task * count + c + 1) * inner; i++)              \
            y[i] = (float)(int32_t)((uint32_t)x[i] - (uint32_t)zero[c]) * scale[c];                            \
  }

/* y = clamp((a * x_scale + b * y_scale + bias + 2^(shift-1)) >> shift) */
#define EDGEC_QADD(NAME, TA, TB, T)                                                                            \
  EDGEC_FN void edgec_qadd_##NAME(const TA *a, const TB *b, T *y, const edgec_qpair *d, ptrdiff_t n,           \
                                  ptrdiff_t begin, ptrdiff_t end) {                                            \
    const ptrdiff_t stop = end * EDGEC_QMAP_CHUNK < n ? end * EDGEC_QMAP_CHUNK : n;                            \
    const int32_t by_a = d->x_scale, by_b = d->y_scale, s = d->shift, lo = d->lo, hi = d->hi;                  \
    const int32_t bias = d->bias + (1 << (s - 1));                                                             \
    for (ptrdiff_t i = begin * EDGEC_QMAP_CHUNK; i < stop; i++) {                                              \
      const int32_t q = (a[i] * by_a + b[i] * by_b + bias) >> s;                                               \
      y[i] = (T)(q < lo ? lo : q > hi ? hi : q);                                                               \
    }                                                                                                          \
  }

/* y = requant((a - x_zero) * (b - y_zero) + bias) with broadcasting; a task is a row of dims[rank-1] elements. */
#define EDGEC_QMUL(NAME, TA, TB, T)                                                                            \
  EDGEC_FN void edgec_qmul_##NAME(const TA *a, const TB *b, T *y, const edgec_qpair *d, const int64_t *dims,   \
                                  const int64_t *sa, const int64_t *sb, ptrdiff_t rank, ptrdiff_t begin,       \
                                  ptrdiff_t end) {                                                             \
    const ptrdiff_t n = dims[rank - 1], ib = sb[rank - 1];                                                     \
    for (ptrdiff_t task = begin; task < end; task++) {                                                         \
      const TA *ra = a + edgec_row_offset(task, dims, sa, rank);                                               \
      const TB *rb = b + edgec_row_offset(task, dims, sb, rank);                                               \
      for (ptrdiff_t i = 0; i < n; i++)                                                                        \
        y[task * n + i] = (T)edgec_requant_one(((int32_t)ra[i] - d->x_zero) * ((int32_t)rb[i * ib] - d->y_zero) + d->bias, \
                                               d->multiplier, d->shift, d->lo, d->hi);                         \
    }                                                                                                          \
  }

/* y[o][i] = requant(sum over r of x[o][r][i] + bias); a task is an o. */
#define EDGEC_QSUM_LANES 16
#define EDGEC_QSUM(NAME, TX, T)                                                                                \
  EDGEC_FN void edgec_qsum_##NAME(const TX *x, T *y, const edgec_qpair *d, ptrdiff_t count, ptrdiff_t inner,   \
                                  ptrdiff_t begin, ptrdiff_t end) {                                            \
    for (ptrdiff_t o = begin; o < end; o++)                                                                    \
      for (ptrdiff_t i = 0; i < inner; i += EDGEC_QSUM_LANES) {                                                \
        const ptrdiff_t lanes = inner - i < EDGEC_QSUM_LANES ? inner - i : EDGEC_QSUM_LANES;                   \
        const TX *from = x + o * count * inner + i;                                                            \
        int32_t sum[EDGEC_QSUM_LANES] = {0};                                                                   \
        if (lanes == EDGEC_QSUM_LANES)                                                                         \
          for (ptrdiff_t r = 0; r < count; r++)                                                                \
            for (int j = 0; j < EDGEC_QSUM_LANES; j++) sum[j] += from[r * inner + j];                          \
        else                                                                                                   \
          for (ptrdiff_t r = 0; r < count; r++)                                                                \
            for (ptrdiff_t j = 0; j < lanes; j++) sum[j] += from[r * inner + j];                               \
        for (ptrdiff_t j = 0; j < lanes; j++)                                                                  \
          y[o * inner + i + j] = (T)edgec_requant_one(sum[j] + d->bias, d->multiplier, d->shift, d->lo, d->hi); \
      }                                                                                                        \
  }

/* y = table[x], the first entry for the lowest byte. */
#define EDGEC_TABLE(NAME, TX, T, LOW)                                                                          \
  EDGEC_FN void edgec_table_##NAME(const TX *x, const T *table, T *y, ptrdiff_t n, ptrdiff_t begin,            \
                                   ptrdiff_t end) {                                                            \
    const ptrdiff_t stop = end * EDGEC_QMAP_CHUNK < n ? end * EDGEC_QMAP_CHUNK : n;                            \
    const T *from = table - (LOW);                                                                             \
    for (ptrdiff_t i = begin * EDGEC_QMAP_CHUNK; i < stop; i++) y[i] = from[x[i]];                             \
  }

#if !defined(EDGEC_SCALAR) && defined(__ARM_NEON)
/* Tables of bytes: 64 entries a look-up, which leaves places alone that are not its. */
EDGEC_FN void edgec_table_bytes(const uint8_t *x, const uint8_t *table, uint8_t *y, ptrdiff_t flip, ptrdiff_t n,
                                ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t stop = end * EDGEC_QMAP_CHUNK < n ? end * EDGEC_QMAP_CHUNK : n;
  const uint8x16x4_t t0 = vld1q_u8_x4(table), t1 = vld1q_u8_x4(table + 64), t2 = vld1q_u8_x4(table + 128),
                     t3 = vld1q_u8_x4(table + 192);
  const uint8x16_t by = vdupq_n_u8((uint8_t)flip), quarter = vdupq_n_u8(64);
  ptrdiff_t i = begin * EDGEC_QMAP_CHUNK;
  for (; i + 16 <= stop; i += 16) {
    uint8x16_t at = veorq_u8(vld1q_u8(x + i), by);
    uint8x16_t v = vqtbl4q_u8(t0, at);
    v = vqtbx4q_u8(v, t1, at = vsubq_u8(at, quarter));
    v = vqtbx4q_u8(v, t2, at = vsubq_u8(at, quarter));
    vst1q_u8(y + i, vqtbx4q_u8(v, t3, vsubq_u8(at, quarter)));
  }
  for (; i < stop; i++) y[i] = table[(uint8_t)(x[i] ^ flip)];
}
#else
EDGEC_FN void edgec_table_bytes(const uint8_t *x, const uint8_t *table, uint8_t *y, ptrdiff_t flip, ptrdiff_t n,
                                ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t stop = end * EDGEC_QMAP_CHUNK < n ? end * EDGEC_QMAP_CHUNK : n;
  for (ptrdiff_t i = begin * EDGEC_QMAP_CHUNK; i < stop; i++) y[i] = table[(uint8_t)(x[i] ^ flip)];
}
#endif

#endif
