/* Bytes widened and narrowed within 128-bit lanes, where x86 does it in one instruction: of a register of bytes, half i
   has bytes 8i … 8i+7 of each lane, and register j of four registers of sums has bytes 4j … 4j+3 of each. With one lane
   that is their natural order. */
#ifndef EDGEC_QLANES_H
#define EDGEC_QLANES_H

#include "q8.h"

enum { EDGEC_Q8_BLOCK = 4 * EDGEC_LANES };

typedef int16_t edgec_vh __attribute__((vector_size(4 * EDGEC_LANES), aligned(2), may_alias));

EDGEC_INLINE edgec_vh edgec_splat_h(int32_t x) { return (int16_t)x - (edgec_vh){0}; }

EDGEC_INLINE edgec_vh edgec_widen_lanes(edgec_vq x, int half) {
#if defined(EDGEC_SCALAR)
  edgec_vh h = {0};
  for (int i = 0; i < 2 * EDGEC_LANES; i++) h[i] = x[8 * half + i];
  return h;
#elif EDGEC_LANES == 16
  const __m512i v = (__m512i)x, zero = _mm512_setzero_si512();
  return (edgec_vh)(half ? _mm512_unpackhi_epi8(v, zero) : _mm512_unpacklo_epi8(v, zero));
#elif EDGEC_LANES == 8
  const __m256i v = (__m256i)x, zero = _mm256_setzero_si256();
  return (edgec_vh)(half ? _mm256_unpackhi_epi8(v, zero) : _mm256_unpacklo_epi8(v, zero));
#else
  return (edgec_vh)(half ? vmovl_high_s8((int8x16_t)x) : vmovl_s8(vget_low_s8((int8x16_t)x)));
#endif
}

/* acc + a * b, for half `half` of the four registers. */
EDGEC_INLINE void edgec_multiply_lanes(edgec_vi *acc, edgec_vh a, edgec_vh b, int half) {
  edgec_vi *to = acc + 2 * half;
#if defined(EDGEC_SCALAR)
  for (int i = 0; i < 2 * EDGEC_LANES; i++) to[i / 4][i % 4] += a[i] * b[i];
#elif EDGEC_LANES == 16
  const __m512i low = _mm512_mullo_epi16((__m512i)a, (__m512i)b), high = _mm512_mulhi_epi16((__m512i)a, (__m512i)b);
  to[0] += (edgec_vi)_mm512_unpacklo_epi16(low, high);
  to[1] += (edgec_vi)_mm512_unpackhi_epi16(low, high);
#elif EDGEC_LANES == 8
  const __m256i low = _mm256_mullo_epi16((__m256i)a, (__m256i)b), high = _mm256_mulhi_epi16((__m256i)a, (__m256i)b);
  to[0] += (edgec_vi)_mm256_unpacklo_epi16(low, high);
  to[1] += (edgec_vi)_mm256_unpackhi_epi16(low, high);
#else
  to[0] = (edgec_vi)vmlal_s16((int32x4_t)to[0], vget_low_s16((int16x8_t)a), vget_low_s16((int16x8_t)b));
  to[1] = (edgec_vi)vmlal_high_s16((int32x4_t)to[1], (int16x8_t)a, (int16x8_t)b);
#endif
}

/* acc + a, for half `half` of the four registers. */
EDGEC_INLINE void edgec_add_lanes(edgec_vi *acc, edgec_vh a, int half) {
  edgec_vi *to = acc + 2 * half;
#if defined(EDGEC_SCALAR)
  for (int i = 0; i < 2 * EDGEC_LANES; i++) to[i / 4][i % 4] += a[i];
#elif EDGEC_LANES > 4
  edgec_multiply_lanes(acc, a, edgec_splat_h(1), half);
  (void)to;
#else
  to[0] = (edgec_vi)vaddw_s16((int32x4_t)to[0], vget_low_s16((int16x8_t)a));
  to[1] = (edgec_vi)vaddw_high_s16((int32x4_t)to[1], (int16x8_t)a);
#endif
}

/* Four registers of sums as bytes, saturated, in their natural order. */
EDGEC_INLINE edgec_vq edgec_narrow_lanes(const edgec_vi *v) {
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 16
  const __m512i ab = _mm512_packs_epi32((__m512i)v[0], (__m512i)v[1]);
  const __m512i cd = _mm512_packs_epi32((__m512i)v[2], (__m512i)v[3]);
  return (edgec_vq)_mm512_packus_epi16(ab, cd);
#elif !defined(EDGEC_SCALAR) && EDGEC_LANES == 8
  const __m256i ab = _mm256_packs_epi32((__m256i)v[0], (__m256i)v[1]);
  const __m256i cd = _mm256_packs_epi32((__m256i)v[2], (__m256i)v[3]);
  return (edgec_vq)_mm256_packus_epi16(ab, cd);
#else
  return edgec_narrow(v, 4);
#endif
}

/* Four registers of sums as bytes in their natural order, requantised as edgec_requant does, or edgec_requant_short. */
EDGEC_INLINE edgec_vq edgec_requant_four(const edgec_vi *acc, const int32_t *by, int exact) {
  edgec_vi q[4];
  EDGEC_UNROLL for (int j = 0; j < 4; j++) {
    const edgec_vi m = edgec_load_i(by + j * EDGEC_LANES);
    q[j] = exact ? edgec_requant(acc[j], m) : edgec_requant_short(acc[j], m);
    if (exact) q[j] += edgec_splat_i(EDGEC_Q8_MIDDLE);
  }
#if !defined(EDGEC_SCALAR) && EDGEC_LANES > 4
  if (!exact) return edgec_round_short(q[0], q[1], q[2], q[3]) ^ edgec_splat_q(EDGEC_Q8_MIDDLE);
#endif
  return edgec_narrow_lanes(q);
}

/* The first n bytes, 0 < n <= EDGEC_Q8_BLOCK, by few copies; others are not touched. */
EDGEC_INLINE void edgec_copy_few(void *to, const void *from, ptrdiff_t n) {
  char *y = (char *)to;
  const char *x = (const char *)from;
#define EDGEC_COPY_PART(BYTES)              \
  if (n & (BYTES)) {                        \
    __builtin_memcpy(y, x, BYTES);          \
    y += BYTES;                             \
    x += BYTES;                             \
  }
#if EDGEC_LANES >= 16
  EDGEC_COPY_PART(32)
#endif
#if EDGEC_LANES >= 8
  EDGEC_COPY_PART(16)
#endif
  EDGEC_COPY_PART(8)
  EDGEC_COPY_PART(4)
  EDGEC_COPY_PART(2)
  EDGEC_COPY_PART(1)
#undef EDGEC_COPY_PART
}
EDGEC_INLINE edgec_vq edgec_load_few(const edgec_q8 *p, ptrdiff_t n) {
  if (n >= EDGEC_Q8_BLOCK) return edgec_load_q(p);
  edgec_vq x = {0};
  edgec_copy_few(&x, p, n);
  return x;
}
EDGEC_INLINE void edgec_store_few(edgec_q8 *p, edgec_vq x, ptrdiff_t n) {
  if (n >= EDGEC_Q8_BLOCK)
    *(edgec_vq *)p = x;
  else
    edgec_copy_few(p, &x, n);
}

/* One multiplier for all elements. */
typedef struct {
  int32_t bias, m, s, by; /* by: m and s as edgec_requant wants them */
  int32_t lo, hi;
} edgec_qscale;

EDGEC_INLINE edgec_q8 edgec_requant_one(int32_t sum, const edgec_qscale *d) {
  const int64_t scaled = ((int64_t)(sum + d->bias) * d->m + ((int64_t)1 << (d->s - 1))) >> d->s;
  const int64_t q = scaled + EDGEC_Q8_MIDDLE;
  return (edgec_q8)(q < d->lo ? d->lo : q > d->hi ? d->hi : q);
}
/* Sums that have their bias. */
EDGEC_INLINE edgec_vq edgec_requant_lanes(const edgec_vi *v, const edgec_qscale *d) {
  edgec_vi q[4];
  EDGEC_UNROLL for (int j = 0; j < 4; j++)
    q[j] = edgec_requant(v[j], edgec_splat_i(d->by)) + edgec_splat_i(EDGEC_Q8_MIDDLE);
  return edgec_clamp_q(edgec_narrow_lanes(q), edgec_splat_q(d->lo), edgec_splat_q(d->hi));
}

/* Sums of bytes, channel by channel: in 16 bits for EDGEC_SUM_RUN bytes, then in 32. */
enum { EDGEC_SUM_RUN = 128 };
typedef struct {
  edgec_vh part[2];
  edgec_vi sum[4];
  ptrdiff_t run;
} edgec_byte_sums;

EDGEC_INLINE void edgec_sums_flush(edgec_byte_sums *s) {
  EDGEC_UNROLL for (int i = 0; i < 2; i++) {
    edgec_add_lanes(s->sum, s->part[i], i);
    s->part[i] = edgec_splat_h(0);
  }
  s->run = 0;
}
EDGEC_INLINE void edgec_sums_add(edgec_byte_sums *s, edgec_vq x) {
  EDGEC_UNROLL for (int i = 0; i < 2; i++) s->part[i] += edgec_widen_lanes(x, i);
  if (++s->run == EDGEC_SUM_RUN) edgec_sums_flush(s);
}

EDGEC_INLINE edgec_byte_sums edgec_sums_start(int32_t bias) {
  edgec_byte_sums s = {.run = 0};
  EDGEC_UNROLL for (int j = 0; j < 4; j++) s.sum[j] = edgec_splat_i(bias);
  return s;
}
EDGEC_INLINE edgec_vq edgec_sums_finish(edgec_byte_sums *s, const edgec_qscale *scale) {
  edgec_sums_flush(s);
  return edgec_requant_lanes(s->sum, scale);
}

/* The first n sums, in their natural order. */
EDGEC_INLINE void edgec_store_sums(int32_t *y, edgec_byte_sums *s, ptrdiff_t n) {
  int32_t all[EDGEC_Q8_BLOCK];
  edgec_sums_flush(s);
  EDGEC_UNROLL for (int lane = 0; lane < EDGEC_LANES / 4; lane++)
    EDGEC_UNROLL for (int j = 0; j < 4; j++)
      __builtin_memcpy(all + 16 * lane + 4 * j, (const char *)(s->sum + j) + 16 * lane, 16);
  __builtin_memcpy(y, all, sizeof(int32_t) * (size_t)(n < EDGEC_Q8_BLOCK ? n : EDGEC_Q8_BLOCK));
}

/* Steps of a scale within [lo, hi], which are below 2^22. On x86 a multiplication by the inverse and one step by the
   remainder take the place of a division, and round as it does (P. Markstein, "Computation of elementary functions on
   the IBM RISC System/6000 processor", 1990; N. Brisebarre, J.-M. Muller and S. K. Raina, "Accelerating correctly rounded
   floating-point division when the divisor is known in advance", 2004). `unit` keeps scales from under- and overflow. */
typedef struct {
  edgec_vf scale, inverse, unit, lo, hi;
} edgec_grid;

EDGEC_INLINE edgec_grid edgec_grid_of(float scale, float lo, float hi) {
#if !defined(EDGEC_SCALAR) && EDGEC_LANES > 4
  const float unit = scale < 0x1p-60f ? 0x1p60f : scale > 0x1p60f ? 0x1p-60f : 1.0f, by = scale * unit;
  return (edgec_grid){edgec_splat(by), edgec_splat(1.0f / by), edgec_splat(unit), edgec_splat(lo * by),
                       edgec_splat(hi * by)};
#else
  return (edgec_grid){.scale = edgec_splat(scale), .lo = edgec_splat(lo), .hi = edgec_splat(hi)};
#endif
}

/* x / scale as the nearest integer, the even one of two, within the bounds; a NaN is 0. */
EDGEC_INLINE edgec_vi edgec_vsteps(edgec_vf x, const edgec_grid *s) {
#if !defined(EDGEC_SCALAR) && EDGEC_LANES > 4
  const edgec_vf t = x * s->unit;
#else
  const edgec_vf t = x / s->scale;
#endif
  const edgec_vf number = (edgec_vf)((edgec_vi)t & (edgec_vi)(t == t));
  edgec_vf steps = edgec_vmin(s->hi, edgec_vmax(s->lo, number));
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 16
  const __m512 by = (__m512)s->scale, inverse = (__m512)s->inverse, q = _mm512_mul_ps((__m512)steps, inverse);
  steps = (edgec_vf)_mm512_fmadd_ps(_mm512_fnmadd_ps(q, by, (__m512)steps), inverse, q);
#elif !defined(EDGEC_SCALAR) && EDGEC_LANES == 8
  const __m256 by = (__m256)s->scale, inverse = (__m256)s->inverse, q = _mm256_mul_ps((__m256)steps, inverse);
  steps = (edgec_vf)_mm256_fmadd_ps(_mm256_fnmadd_ps(q, by, (__m256)steps), inverse, q);
#endif
  return (edgec_vi)(steps + 12582912.0f) - 0x4B400000;
}

/* (x - zero) * scale; the difference wraps at 32 bits. */
#define EDGEC_DEQUANTIZED(X, ZERO, SCALE) ((float)(int32_t)((uint32_t)(X) - (uint32_t)(ZERO)) * (SCALE))

#endif
