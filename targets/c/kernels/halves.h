/* Halves: numbers of two bytes. A core that multiplies them has eight in a register (edgec_h…, halves_on.inc); in any
   other, and where halves are too coarse to compute in, a load makes floats of them and a store rounds (edgec_s…,
   half_storage_on.inc). */
#ifndef EDGEC_HALVES_H
#define EDGEC_HALVES_H

#include "isa.h"

typedef _Float16 edgec_half;

/* A register of floats from and to halves. */
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 16
EDGEC_INLINE edgec_vf edgec_sload(const edgec_half *p) {
  return (edgec_vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)p));
}
EDGEC_INLINE void edgec_sstore(edgec_half *p, edgec_vf v) {
  _mm256_storeu_si256((__m256i_u *)p, _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#elif !defined(EDGEC_SCALAR) && EDGEC_LANES == 8
EDGEC_INLINE edgec_vf edgec_sload(const edgec_half *p) {
  return (edgec_vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)p));
}
EDGEC_INLINE void edgec_sstore(edgec_half *p, edgec_vf v) {
  _mm_storeu_si128((__m128i_u *)p, _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT));
}
#elif !defined(EDGEC_SCALAR)
typedef edgec_half edgec_h4 __attribute__((vector_size(8), aligned(2), may_alias));
EDGEC_INLINE edgec_vf edgec_sload(const edgec_half *p) {
  return (edgec_vf)vcvt_f32_f16((float16x4_t)*(const edgec_h4 *)p);
}
EDGEC_INLINE void edgec_sstore(edgec_half *p, edgec_vf v) {
  *(edgec_h4 *)p = (edgec_h4)vcvt_f16_f32((float32x4_t)v);
}
#else
EDGEC_INLINE edgec_vf edgec_sload(const edgec_half *p) {
  edgec_vf v;
  for (int i = 0; i < EDGEC_LANES; i++) v[i] = (float)p[i];
  return v;
}
EDGEC_INLINE void edgec_sstore(edgec_half *p, edgec_vf v) {
  for (int i = 0; i < EDGEC_LANES; i++) p[i] = (edgec_half)v[i];
}
#endif

EDGEC_INLINE edgec_vf edgec_sload_n(const edgec_half *p, ptrdiff_t n) {
  if (n >= EDGEC_LANES) return edgec_sload(p);
  edgec_half few[EDGEC_LANES] = {0};
  for (ptrdiff_t i = 0; i < n; i++) few[i] = p[i];
  return edgec_sload(few);
}
EDGEC_INLINE void edgec_sstore_n(edgec_half *p, edgec_vf v, ptrdiff_t n) {
  if (n >= EDGEC_LANES) {
    edgec_sstore(p, v);
    return;
  }
  edgec_half few[EDGEC_LANES];
  edgec_sstore(few, v);
  for (ptrdiff_t i = 0; i < n; i++) p[i] = few[i];
}
EDGEC_INLINE void edgec_sload_run(edgec_vf *v, const edgec_half *p, int n) {
  EDGEC_UNROLL for (int i = 0; i < n; i++) v[i] = edgec_sload(p + EDGEC_LANES * i);
}
EDGEC_INLINE void edgec_sstore_run(edgec_half *p, const edgec_vf *v, int n) {
  EDGEC_UNROLL for (int i = 0; i < n; i++) edgec_sstore(p + EDGEC_LANES * i, v[i]);
}
EDGEC_INLINE edgec_vf edgec_sload_strided(const edgec_half *p, ptrdiff_t step, ptrdiff_t n) {
  edgec_vf v = {0};
  for (ptrdiff_t i = 0; i < n; i++) v[i] = p[i * step];
  return v;
}
EDGEC_INLINE void edgec_sstore_3(edgec_half *p, edgec_vf a, edgec_vf b, edgec_vf c) {
  for (int i = 0; i < EDGEC_LANES; i++) {
    p[3 * i] = (edgec_half)a[i];
    p[3 * i + 1] = (edgec_half)b[i];
    p[3 * i + 2] = (edgec_half)c[i];
  }
}

/* Under EDGEC_HALVES_IN_FLOATS the compiler makes floats of halves, computes, and rounds, operation by operation: what a
   core with the arithmetic has, but that a multiply-add is rounded twice. No artifact is made so: it shows on another
   machine what such a core loses (devices.py). */
#if defined(EDGEC_HALVES_IN_FLOATS) || (!defined(EDGEC_SCALAR) && defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC))
#define EDGEC_HALF_LANES 8

typedef edgec_half edgec_vf16 __attribute__((vector_size(16), aligned(2), may_alias));
typedef int16_t edgec_vi16 __attribute__((vector_size(16), aligned(2), may_alias));

EDGEC_INLINE edgec_vf16 edgec_hload(const edgec_half *p) { return *(const edgec_vf16 *)p; }
EDGEC_INLINE void edgec_hstore(edgec_half *p, edgec_vf16 v) { *(edgec_vf16 *)p = v; }

EDGEC_INLINE void edgec_hload_run(edgec_vf16 *v, const edgec_half *p, int n) {
#if defined(__clang__) && !defined(EDGEC_HALVES_IN_FLOATS) /* gcc would not let these alias */
  if (n == 4) {
    const uint16x8x4_t four = vld1q_u16_x4((const uint16_t *)p);
    EDGEC_UNROLL for (int i = 0; i < 4; i++) v[i] = (edgec_vf16)four.val[i];
    return;
  }
  if (n == 3) {
    const uint16x8x3_t three = vld1q_u16_x3((const uint16_t *)p);
    EDGEC_UNROLL for (int i = 0; i < 3; i++) v[i] = (edgec_vf16)three.val[i];
    return;
  }
  if (n == 2) {
    const uint16x8x2_t two = vld1q_u16_x2((const uint16_t *)p);
    EDGEC_UNROLL for (int i = 0; i < 2; i++) v[i] = (edgec_vf16)two.val[i];
    return;
  }
#endif
  EDGEC_UNROLL for (int i = 0; i < n; i++) v[i] = edgec_hload(p + 8 * i);
}
EDGEC_INLINE void edgec_hstore_run(edgec_half *p, const edgec_vf16 *v, int n) {
#if defined(__clang__) && !defined(EDGEC_HALVES_IN_FLOATS)
  if (n == 4) {
    const uint16x8x4_t four = {{(uint16x8_t)v[0], (uint16x8_t)v[1], (uint16x8_t)v[2], (uint16x8_t)v[3]}};
    vst1q_u16_x4((uint16_t *)p, four);
    return;
  }
  if (n == 3) {
    const uint16x8x3_t three = {{(uint16x8_t)v[0], (uint16x8_t)v[1], (uint16x8_t)v[2]}};
    vst1q_u16_x3((uint16_t *)p, three);
    return;
  }
  if (n == 2) {
    const uint16x8x2_t two = {{(uint16x8_t)v[0], (uint16x8_t)v[1]}};
    vst1q_u16_x2((uint16_t *)p, two);
    return;
  }
#endif
  EDGEC_UNROLL for (int i = 0; i < n; i++) edgec_hstore(p + 8 * i, v[i]);
}
EDGEC_INLINE edgec_vf16 edgec_hsplat(edgec_half x) { return x - (edgec_vf16){0}; }
EDGEC_INLINE edgec_vf16 edgec_hselect(edgec_vi16 mask, edgec_vf16 a, edgec_vf16 b) {
  return (edgec_vf16)((mask & (edgec_vi16)a) | (~mask & (edgec_vi16)b));
}
#ifdef EDGEC_HALVES_IN_FLOATS
#define EDGEC_MINUS_LANE_F16(x, a, k, LANE) ((x) - (a) * edgec_hsplat((k)[LANE]))
EDGEC_INLINE edgec_vf16 edgec_hvmax(edgec_vf16 a, edgec_vf16 b) {
  return edgec_hselect((edgec_vi16)(a > b) | (edgec_vi16)(a != a), a, b);
}
EDGEC_INLINE edgec_vf16 edgec_hvmin(edgec_vf16 a, edgec_vf16 b) {
  return edgec_hselect((edgec_vi16)(a < b) | (edgec_vi16)(a != a), a, b);
}
#else
#define EDGEC_MINUS_LANE_F16(x, a, k, LANE) \
  ((edgec_vf16)vfmsq_laneq_f16((float16x8_t)(x), (float16x8_t)(a), (float16x8_t)(k), LANE))
EDGEC_INLINE edgec_vf16 edgec_hvmax(edgec_vf16 a, edgec_vf16 b) {
  return (edgec_vf16)vmaxq_f16((float16x8_t)a, (float16x8_t)b);
}
EDGEC_INLINE edgec_vf16 edgec_hvmin(edgec_vf16 a, edgec_vf16 b) {
  return (edgec_vf16)vminq_f16((float16x8_t)a, (float16x8_t)b);
}
#endif
EDGEC_INLINE edgec_vf16 edgec_hclamp(edgec_vf16 x, edgec_vf16 lo, edgec_vf16 hi) { return edgec_hvmin(hi, edgec_hvmax(lo, x)); }
EDGEC_INLINE edgec_vf16 edgec_hvhard_sigmoid(edgec_vf16 x) {
  return edgec_hclamp(x * (edgec_half)(1.0f / 6.0f) + (edgec_half)0.5f, edgec_hsplat(0), edgec_hsplat(1));
}
EDGEC_INLINE edgec_vf16 edgec_hvhard_swish(edgec_vf16 x) { return x * edgec_hvhard_sigmoid(x); }
EDGEC_INLINE void edgec_hstore_n(edgec_half *p, edgec_vf16 v, ptrdiff_t n) {
  if (n >= 8) {
    edgec_hstore(p, v);
    return;
  }
  for (ptrdiff_t i = 0; i < n; i++) p[i] = v[i];
}
EDGEC_INLINE edgec_vf16 edgec_hload_n(const edgec_half *p, ptrdiff_t n) {
  if (n >= 8) return edgec_hload(p);
  edgec_vf16 v = {0};
  for (ptrdiff_t i = 0; i < n; i++) v[i] = p[i];
  return v;
}
EDGEC_INLINE edgec_vf16 edgec_hload_strided(const edgec_half *p, ptrdiff_t step, ptrdiff_t n) {
  edgec_vf16 v = {0};
  for (ptrdiff_t i = 0; i < n; i++) v[i] = p[i * step];
  return v;
}
EDGEC_INLINE void edgec_hstore_3(edgec_half *p, edgec_vf16 a, edgec_vf16 b, edgec_vf16 c) {
#ifndef EDGEC_HALVES_IN_FLOATS
  const uint16x8x3_t v = {{(uint16x8_t)a, (uint16x8_t)b, (uint16x8_t)c}};
  vst3q_u16((uint16_t *)p, v);
#else
  for (int i = 0; i < 8; i++) {
    p[3 * i] = a[i];
    p[3 * i + 1] = b[i];
    p[3 * i + 2] = c[i];
  }
#endif
}
#endif

#endif
