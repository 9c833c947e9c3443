/* Bytes of quantised values: products by int8 weights in int32 sums, requantisation, and narrowing back to bytes.

   Exact on every instruction set, so that all make the same bits (edgec.ir.ops.integer). A value's byte is signed, but
   on x86 unsigned, as its dot products want it. Weights are in [-127, 127]: two products fit int16. */
#ifndef EDGEC_Q8_H
#define EDGEC_Q8_H

#include "isa.h"

#if !defined(EDGEC_SCALAR) && EDGEC_LANES > 4
typedef uint8_t edgec_q8;
#define EDGEC_Q8_MIN 0
#define EDGEC_Q8_MAX 255
#define EDGEC_Q8_MIDDLE 128 /* what is added to requantised sums */
#else
typedef int8_t edgec_q8;
#define EDGEC_Q8_MIN (-128)
#define EDGEC_Q8_MAX 127
#define EDGEC_Q8_MIDDLE 0
#endif

/* Weights are laid out for cores that have dot products of bytes, or that have not; plans of a core with halves that
   another machine computes (devices.computed_here) are for the first kind. */
#if defined(EDGEC_HALVES_IN_FLOATS) || !defined(EDGEC_SCALAR) && (defined(__AVX512VNNI__) || defined(__ARM_FEATURE_DOTPROD))
#define EDGEC_DOT 1
#else
#define EDGEC_DOT 0
#endif
#define EDGEC_LAID_OUT(DOT) \
  _Static_assert((DOT) == EDGEC_DOT, "edgec: compile with the flags of CMakeLists.txt: weights are for another core");

/* A vector register of values, and of weights. edgec_vi has EDGEC_LANES sums. */
typedef edgec_q8 edgec_vq __attribute__((vector_size(4 * EDGEC_LANES), aligned(1), may_alias));
typedef int8_t edgec_vw __attribute__((vector_size(4 * EDGEC_LANES), aligned(1), may_alias));
typedef int32_t edgec_i32 __attribute__((aligned(1), may_alias));

EDGEC_INLINE edgec_vq edgec_load_q(const edgec_q8 *p) { return *(const edgec_vq *)p; }
EDGEC_INLINE edgec_vw edgec_load_w(const int8_t *p) { return *(const edgec_vw *)p; }
EDGEC_INLINE edgec_vi edgec_load_i(const int32_t *p) { return *(const edgec_vi *)p; }
EDGEC_INLINE void edgec_store_i(int32_t *p, edgec_vi v) { *(edgec_vi *)p = v; }
EDGEC_INLINE edgec_vi edgec_splat_i(int32_t x) { return x - (edgec_vi){0}; }
EDGEC_INLINE edgec_vq edgec_splat_q(int32_t x) { return (edgec_q8)x - (edgec_vq){0}; }
/* The same four bytes in every lane. */
EDGEC_INLINE edgec_vq edgec_splat_4(const edgec_q8 *p) { return (edgec_vq)edgec_splat_i(*(const edgec_i32 *)p); }

/* acc + the sums of each lane's four products of weights b by values a. What splits b or a is done once by compilers,
   however many dot products use them. */
EDGEC_INLINE edgec_vi edgec_dot4(edgec_vi acc, edgec_vw b, edgec_vq a) {
#if defined(EDGEC_SCALAR)
  for (int i = 0; i < EDGEC_LANES; i++)
    for (int j = 4 * i; j < 4 * i + 4; j++) acc[i] += b[j] * a[j];
  return acc;
#elif EDGEC_LANES == 16 && defined(__AVX512VNNI__)
  return (edgec_vi)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)a, (__m512i)b);
#elif EDGEC_LANES == 16
  /* vpmaddubsw saturates: bytes of even and of odd places apart */
  const __m512i av = (__m512i)a, bv = (__m512i)b;
  const __m512i even = _mm512_madd_epi16(_mm512_and_si512(av, _mm512_set1_epi16(255)),
                                         _mm512_srai_epi16(_mm512_slli_epi16(bv, 8), 8));
  const __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(av, 8), _mm512_srai_epi16(bv, 8));
  return acc + (edgec_vi)even + (edgec_vi)odd;
#elif EDGEC_LANES == 8
  const __m256i av = (__m256i)a, bv = (__m256i)b;
  const __m256i even = _mm256_madd_epi16(_mm256_and_si256(av, _mm256_set1_epi16(255)),
                                         _mm256_srai_epi16(_mm256_slli_epi16(bv, 8), 8));
  const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(av, 8), _mm256_srai_epi16(bv, 8));
  return acc + (edgec_vi)even + (edgec_vi)odd;
#elif defined(__ARM_FEATURE_DOTPROD)
  return (edgec_vi)vdotq_s32((int32x4_t)acc, (int8x16_t)b, (int8x16_t)a);
#else
  const int16x8_t low = vmull_s8(vget_low_s8((int8x16_t)b), vget_low_s8((int8x16_t)a));
  const int16x8_t high = vmull_high_s8((int8x16_t)b, (int8x16_t)a);
  return (edgec_vi)vpadalq_s16((int32x4_t)acc, vpaddq_s16(low, high));
#endif
}

/* The same with lane k of a in every place; k is known when it is compiled. */
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
EDGEC_INLINE edgec_vi edgec_dot4_lane(edgec_vi acc, edgec_vw b, edgec_vq a, int k) {
#if defined(__ARM_FEATURE_DOTPROD)
  const int32x4_t sum = (int32x4_t)acc;
  const int8x16_t bv = (int8x16_t)b, av = (int8x16_t)a;
  return (edgec_vi)(k == 0   ? vdotq_laneq_s32(sum, bv, av, 0)
                    : k == 1 ? vdotq_laneq_s32(sum, bv, av, 1)
                    : k == 2 ? vdotq_laneq_s32(sum, bv, av, 2)
                             : vdotq_laneq_s32(sum, bv, av, 3));
#else
  return edgec_dot4(acc, b, (edgec_vq)edgec_splat_i(((edgec_vi)a)[k]));
#endif
}
#endif

/* (acc * m + 2^(s-1)) >> s for |acc| < 2^31. `by` is m << (31 - s), on x86 m << (32 - s) (requant.py). */
EDGEC_INLINE edgec_vi edgec_requant(edgec_vi acc, edgec_vi by) {
#if defined(EDGEC_SCALAR)
  for (int i = 0; i < EDGEC_LANES; i++) acc[i] = (int32_t)(((int64_t)acc[i] * by[i] + (1 << 30)) >> 31);
  return acc;
#elif EDGEC_LANES == 16
  const __m512i half = _mm512_set1_epi64(1LL << 31), x = (__m512i)acc, m = (__m512i)by;
  const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(x, m), half);
  const __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(m, 32)), half);
  return (edgec_vi)_mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
#elif EDGEC_LANES == 8
  const __m256i half = _mm256_set1_epi64x(1LL << 31), x = (__m256i)acc, m = (__m256i)by;
  const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(x, m), half);
  const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(m, 32)), half);
  return (edgec_vi)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
#else
  return (edgec_vi)vqrdmulhq_s32((int32x4_t)acc, (int32x4_t)by);
#endif
}

/* The same for results that become bytes by way of 16 bits (edgec_narrow_short). On x86 a bit is left to be rounded away
   there, where that is one instruction for two registers of sums: it is twice the result, on AVX-512 and one. With
   AVX2, `by` is twice that of edgec_requant, and lanes are 0, 2, 1, 3 of each 128 bits. With AVX-512, `by` are floats:
   sums are known to be exact in these and their results to be below 2^21, so that a multiply-add onto 1.5 * 2^22, where
   floats are halves, makes a result with one rounding, and downwards. */
EDGEC_INLINE edgec_vi edgec_requant_short(edgec_vi acc, edgec_vi by) {
#if defined(EDGEC_SCALAR) || EDGEC_LANES == 4
  return edgec_requant(acc, by);
#elif EDGEC_LANES == 16
  const __m512 x = _mm512_cvtepi32_ps((__m512i)acc), middle = _mm512_set1_ps(0x1.8p22f);
  const __m512 y = _mm512_fmadd_round_ps(x, (__m512)by, middle + 0.5f, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  return (edgec_vi)y - (edgec_vi)middle;
#else
  const __m256i x = (__m256i)acc, m = (__m256i)by, even = _mm256_mul_epi32(x, m);
  const __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(m, 32));
  return (edgec_vi)_mm256_shuffle_ps((__m256)even, (__m256)odd, _MM_SHUFFLE(3, 1, 3, 1));
#endif
}

/* Adds bytes from p on, times `steps` below 2^15, to `count` vectors of sums: 1 <= count <= 4, known when it is compiled.
   Lanes of AVX-512 from the n-th on add nothing, and their bytes are not read; others read all. */
EDGEC_INLINE void edgec_add_steps(edgec_vi *acc, const edgec_q8 *p, const int32_t *steps, int count, ptrdiff_t n) {
#if defined(EDGEC_SCALAR)
  (void)n;
  for (int i = 0; i < count * EDGEC_LANES; i++) acc[i / EDGEC_LANES][i % EDGEC_LANES] += p[i] * steps[i];
#elif EDGEC_LANES == 16
  EDGEC_UNROLL for (int v = 0; v < count; v++) {
    const ptrdiff_t left = n - 16 * v;
    const __mmask16 lanes = (__mmask16)(left >= 16 ? 0xffff : left <= 0 ? 0 : (1 << left) - 1);
    const __m512i x = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, p + 16 * v));
    acc[v] += (edgec_vi)_mm512_madd_epi16(x, (__m512i)edgec_load_i(steps + 16 * v));
  }
#elif EDGEC_LANES == 8
  (void)n;
  EDGEC_UNROLL for (int v = 0; v < count; v++) {
    const __m256i x = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p + 8 * v)));
    acc[v] += (edgec_vi)_mm256_madd_epi16(x, (__m256i)edgec_load_i(steps + 8 * v));
  }
#else
  (void)n;
  EDGEC_UNROLL for (int v = 0; v < count; v += 2) {
    const int8x8_t bytes = v + 1 < count ? vld1_s8(p + 4 * v)
                                         : vreinterpret_s8_s32(vdup_n_s32(*(const edgec_i32 *)(const void *)(p + 4 * v)));
    const int16x8_t x = vmovl_s8(bytes);
    acc[v] = (edgec_vi)vmlal_s16((int32x4_t)acc[v], vget_low_s16(x), vmovn_s32((int32x4_t)edgec_load_i(steps + 4 * v)));
    if (v + 1 < count)
      acc[v + 1] = (edgec_vi)vmlal_s16((int32x4_t)acc[v + 1], vget_high_s16(x),
                                       vmovn_s32((int32x4_t)edgec_load_i(steps + 4 * v + 4)));
  }
#endif
}

EDGEC_INLINE edgec_vq edgec_clamp_q(edgec_vq x, edgec_vq lo, edgec_vq hi) {
#if defined(EDGEC_SCALAR)
  for (int i = 0; i < 4 * EDGEC_LANES; i++) x[i] = x[i] < lo[i] ? lo[i] : x[i] > hi[i] ? hi[i] : x[i];
  return x;
#elif EDGEC_LANES == 16
  return (edgec_vq)_mm512_min_epu8((__m512i)hi, _mm512_max_epu8((__m512i)lo, (__m512i)x));
#elif EDGEC_LANES == 8
  return (edgec_vq)_mm256_min_epu8((__m256i)hi, _mm256_max_epu8((__m256i)lo, (__m256i)x));
#else
  return (edgec_vq)vminq_s8((int8x16_t)hi, vmaxq_s8((int8x16_t)lo, (int8x16_t)x));
#endif
}

#if !defined(EDGEC_SCALAR) && EDGEC_LANES > 4
/* Bytes of four registers, of each 128 bits four of the first, four of the second …, one register after the other. */
EDGEC_INLINE edgec_vq edgec_in_order(edgec_vq x) {
#if EDGEC_LANES == 16
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return (edgec_vq)_mm512_permutexvar_epi32(order, (__m512i)x);
#else
  return (edgec_vq)_mm256_permutevar8x32_epi32((__m256i)x, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
#endif
}
#endif

/* `count` vectors of sums as bytes, saturated, side by side; what follows them is any. 1 <= count <= 4, and known when
   it is compiled. `middle` is 0, or EDGEC_Q8_MIDDLE: that is added, as the first bit of signed bytes turned over. */
EDGEC_INLINE edgec_vq edgec_narrow_by(const edgec_vi *v, int count, int middle) {
  const edgec_vi a = v[0], b = v[count > 1 ? 1 : 0], c = v[count > 2 ? 2 : 0], d = v[count > 3 ? 3 : count > 2 ? 2 : 0];
#if defined(EDGEC_SCALAR)
  const edgec_vi all[4] = {a, b, c, d};
  edgec_vq x;
  (void)middle;
  for (int i = 0; i < 4 * EDGEC_LANES; i++) {
    const int32_t s = all[i / EDGEC_LANES][i % EDGEC_LANES];
    x[i] = (edgec_q8)(s < EDGEC_Q8_MIN ? EDGEC_Q8_MIN : s > EDGEC_Q8_MAX ? EDGEC_Q8_MAX : s);
  }
  return x;
#elif EDGEC_LANES == 16
  const __m512i ab = _mm512_packs_epi32((__m512i)a, (__m512i)b);
  const __m512i cd = count > 2 ? _mm512_packs_epi32((__m512i)c, (__m512i)d) : ab;
  const __m512i bytes = middle ? _mm512_packs_epi16(ab, cd) : _mm512_packus_epi16(ab, cd);
  return edgec_in_order((edgec_vq)bytes) ^ edgec_splat_q(middle);
#elif EDGEC_LANES == 8
  const __m256i ab = _mm256_packs_epi32((__m256i)a, (__m256i)b);
  const __m256i cd = count > 2 ? _mm256_packs_epi32((__m256i)c, (__m256i)d) : ab;
  const __m256i bytes = middle ? _mm256_packs_epi16(ab, cd) : _mm256_packus_epi16(ab, cd);
  return edgec_in_order((edgec_vq)bytes) ^ edgec_splat_q(middle);
#else
  (void)middle;
  const int16x4_t a16 = vqmovn_s32((int32x4_t)a);
  const int16x8_t ab = count > 1 ? vqmovn_high_s32(a16, (int32x4_t)b) : vcombine_s16(a16, a16);
  const int8x8_t low = vqmovn_s16(ab);
  if (count < 3) return (edgec_vq)vcombine_s8(low, low);
  const int16x4_t c16 = vqmovn_s32((int32x4_t)c);
  const int16x8_t cd = count > 3 ? vqmovn_high_s32(c16, (int32x4_t)d) : vcombine_s16(c16, c16);
  return (edgec_vq)vqmovn_high_s16(low, cd);
#endif
}
EDGEC_INLINE edgec_vq edgec_narrow(const edgec_vi *v, int count) { return edgec_narrow_by(v, count, 0); }
EDGEC_INLINE edgec_vq edgec_narrow_middle(const edgec_vi *v, int count) {
  return edgec_narrow_by(v, count, EDGEC_Q8_MIDDLE);
}

#if !defined(EDGEC_SCALAR) && EDGEC_LANES > 4
/* Results of edgec_requant_short as signed bytes, saturated: of each 128 bits four of a, four of b … */
EDGEC_INLINE edgec_vq edgec_round_short(edgec_vi a, edgec_vi b, edgec_vi c, edgec_vi d) {
#if EDGEC_LANES == 16
  const __m512i ab = _mm512_srai_epi16(_mm512_packs_epi32((__m512i)a, (__m512i)b), 1);
  const __m512i cd = _mm512_srai_epi16(_mm512_packs_epi32((__m512i)c, (__m512i)d), 1);
  return (edgec_vq)_mm512_packs_epi16(ab, cd);
#else
  const __m256i half = _mm256_set1_epi16(1 << 14); /* (x + 1) >> 1 */
  const __m256i ab = _mm256_mulhrs_epi16(_mm256_packs_epi32((__m256i)a, (__m256i)b), half);
  const __m256i cd = _mm256_mulhrs_epi16(_mm256_packs_epi32((__m256i)c, (__m256i)d), half);
  const __m256i order = _mm256_set1_epi32(0x03010200) + _mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0,
                                                                         0x04040404, 0x08080808, 0x0c0c0c0c);
  return (edgec_vq)_mm256_shuffle_epi8(_mm256_packs_epi16(ab, cd), order);
#endif
}
#endif

/* As edgec_narrow_middle, of results of edgec_requant_short. On A64 they are known to fit 16 bits. */
EDGEC_INLINE edgec_vq edgec_narrow_short(const edgec_vi *v, int count) {
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
  const int16x8_t ab = vuzp1q_s16((int16x8_t)v[0], (int16x8_t)v[count > 1 ? 1 : 0]);
  const int8x8_t low = vqmovn_s16(ab);
  if (count < 3) return (edgec_vq)vcombine_s8(low, low);
  return (edgec_vq)vqmovn_high_s16(low, vuzp1q_s16((int16x8_t)v[2], (int16x8_t)v[count > 3 ? 3 : 2]));
#elif !defined(EDGEC_SCALAR)
  const edgec_vi a = v[0], b = v[count > 1 ? 1 : 0], c = count > 2 ? v[2] : a, d = count > 2 ? v[count - 1] : b;
  return edgec_in_order(edgec_round_short(a, b, c, d)) ^ edgec_splat_q(EDGEC_Q8_MIDDLE);
#else
  return edgec_narrow(v, count);
#endif
}

/* The first n bytes, 0 < n <= 4 * EDGEC_LANES; no byte beyond them is touched. Whether that is one instruction. */
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 16
#define EDGEC_STORES_PARTS 1
#else
#define EDGEC_STORES_PARTS 0
#endif
EDGEC_INLINE void edgec_store_q_n(edgec_q8 *p, edgec_vq x, ptrdiff_t n) {
  if (n >= 4 * EDGEC_LANES) {
    *(edgec_vq *)p = x; /* a mask of all costs more */
    return;
  }
#if EDGEC_STORES_PARTS
  _mm512_mask_storeu_epi8(p, ~(__mmask64)0 >> (64 - n), (__m512i)x);
#else
  for (ptrdiff_t i = 0; i < n; i++) p[i] = x[i];
#endif
}

#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 16
/* The i-th 16 * `count` bytes of x, or the first n of them; all but n is known when it is compiled. */
EDGEC_INLINE void edgec_store_q_part(edgec_q8 *p, edgec_vq x, int i, int count, ptrdiff_t n) {
  const __m512i v = (__m512i)x;
  if (count == 2) {
    const __m256i half = i ? _mm512_extracti64x4_epi64(v, 1) : _mm512_castsi512_si256(v);
    if (n >= 32)
      _mm256_storeu_si256((__m256i *)(void *)p, half);
    else
      _mm256_mask_storeu_epi8(p, ~(__mmask32)0 >> (32 - n), half);
  } else {
    const __m128i quarter = i == 0   ? _mm512_castsi512_si128(v)
                            : i == 1 ? _mm512_extracti32x4_epi32(v, 1)
                            : i == 2 ? _mm512_extracti32x4_epi32(v, 2)
                                     : _mm512_extracti32x4_epi32(v, 3);
    if (n >= 16)
      _mm_storeu_si128((__m128i *)(void *)p, quarter);
    else
      _mm_mask_storeu_epi8(p, (__mmask16)(0xffff >> (16 - n)), quarter);
  }
}
#endif

/* As many bytes as `count` vectors of sums have; count is known when it is compiled. */
EDGEC_INLINE void edgec_store_q(edgec_q8 *p, edgec_vq x, int count) {
  if (count == 4) {
    *(edgec_vq *)p = x;
    return;
  }
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
  /* lanes as they are: compilers take four bytes apart and put them together again */
  if (count & 2) __builtin_memcpy(p, &x, 8);
  if (count & 1) ((edgec_i32 *)(void *)p)[count - 1] = ((edgec_vi)x)[count - 1];
#else
  __builtin_memcpy(p, &x, (size_t)count * EDGEC_LANES);
#endif
}

#endif
