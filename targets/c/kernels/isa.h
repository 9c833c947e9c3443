/* Vector types of the instruction set that the compiler was told: widths follow the ISA's own macros.
   Float arithmetic is GNU vector extensions; what they cannot say stands here, once per ISA. */
#ifndef EDGEC_ISA_H
#define EDGEC_ISA_H

#include <stddef.h>
#include <stdint.h>
#include "edgec_base.h"

#if defined(EDGEC_SCALAR)
#define EDGEC_FLOAT_LANES 4
#elif defined(__AVX512F__) && defined(__AVX512VL__)
#include <immintrin.h>
#define EDGEC_FLOAT_LANES 16
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define EDGEC_FLOAT_LANES 8
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#define EDGEC_FLOAT_LANES 4
#else
#error "edgec: this instruction set has no vector header; compile with -DEDGEC_SCALAR"
#endif
#define EDGEC_LANES EDGEC_FLOAT_LANES

/* A multiply-add takes its other factor from a lane of a register: kernels load that side, too, a vector at a time. So
   they do where the plan is one for such a core (halves.h). */
#if (!defined(EDGEC_SCALAR) && defined(__ARM_NEON)) || defined(EDGEC_HALVES_IN_FLOATS)
#define EDGEC_BY_LANE
#endif

/* What a kernel's numbers are: in memory, and as a lane of a register. Kernels that keep to these words and to the loads
   and stores below are kernels of halves too (halves_on.inc, half_storage_on.inc); what they define is EDGEC_NAMED. */
typedef float edgec_real;
typedef float edgec_lane;
typedef float edgec_left;   /* of a GEMM: its left operand */
typedef float edgec_result; /* and what it writes */
#define EDGEC_NAMED(NAME) edgec_##NAME
#define EDGEC_BIASES 1 /* vectors in a GEMM's packed bias for each of columns */

typedef float edgec_vf __attribute__((vector_size(4 * EDGEC_LANES), aligned(4), may_alias));
typedef int32_t edgec_vi __attribute__((vector_size(4 * EDGEC_LANES), aligned(4), may_alias));

EDGEC_INLINE edgec_vf edgec_load(const float *p) { return *(const edgec_vf *)p; }
EDGEC_INLINE void edgec_store(float *p, edgec_vf v) { *(edgec_vf *)p = v; }

/* n vectors that lie side by side; n is known when it is compiled. A64 moves four of them at once. */
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
EDGEC_INLINE void edgec_load_run(edgec_vf *v, const float *p, int n) {
  if (n == 4) {
    const float32x4x4_t four = vld1q_f32_x4(p);
    EDGEC_UNROLL for (int i = 0; i < 4; i++) v[i] = (edgec_vf)four.val[i];
  } else if (n == 3) {
    const float32x4x3_t three = vld1q_f32_x3(p);
    EDGEC_UNROLL for (int i = 0; i < 3; i++) v[i] = (edgec_vf)three.val[i];
  } else if (n == 2) {
    const float32x4x2_t two = vld1q_f32_x2(p);
    EDGEC_UNROLL for (int i = 0; i < 2; i++) v[i] = (edgec_vf)two.val[i];
  } else {
    EDGEC_UNROLL for (int i = 0; i < n; i++) v[i] = edgec_load(p + 4 * i);
  }
}
EDGEC_INLINE void edgec_store_run(float *p, const edgec_vf *v, int n) {
  if (n == 4) {
    const float32x4x4_t four = {{(float32x4_t)v[0], (float32x4_t)v[1], (float32x4_t)v[2], (float32x4_t)v[3]}};
    vst1q_f32_x4(p, four);
  } else if (n == 3) {
    const float32x4x3_t three = {{(float32x4_t)v[0], (float32x4_t)v[1], (float32x4_t)v[2]}};
    vst1q_f32_x3(p, three);
  } else if (n == 2) {
    const float32x4x2_t two = {{(float32x4_t)v[0], (float32x4_t)v[1]}};
    vst1q_f32_x2(p, two);
  } else {
    EDGEC_UNROLL for (int i = 0; i < n; i++) edgec_store(p + 4 * i, v[i]);
  }
}
#else
EDGEC_INLINE void edgec_load_run(edgec_vf *v, const float *p, int n) {
  EDGEC_UNROLL for (int i = 0; i < n; i++) v[i] = edgec_load(p + EDGEC_LANES * i);
}
EDGEC_INLINE void edgec_store_run(float *p, const edgec_vf *v, int n) {
  EDGEC_UNROLL for (int i = 0; i < n; i++) edgec_store(p + EDGEC_LANES * i, v[i]);
}
#endif

/* For code that fills A64's registers. EDGEC_TIE: v is computed here, and loads that follow stay behind; else compilers
   load so far ahead that registers run out. EDGEC_ADVANCE: the pointer moves here, where a load can do it in passing. */
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
#define EDGEC_TIE(v) __asm__ volatile("" : "+w"(v) : : "memory")
#define EDGEC_ADVANCE(POINTER, N)         \
  do {                                    \
    (POINTER) += (N);                     \
    __asm__ volatile("" : "+r"(POINTER)); \
  } while (0)
#else
#define EDGEC_TIE(v) (void)(v)
#define EDGEC_ADVANCE(POINTER, N) ((POINTER) += (N))
#endif

/* x - a * k[LANE] in one instruction where x is a product too: compilers negate one of the two on A64. */
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
#define EDGEC_MINUS_LANE_F32(x, a, k, LANE) \
  ((edgec_vf)vfmsq_laneq_f32((float32x4_t)(x), (float32x4_t)(a), (float32x4_t)(k), LANE))
#else
#define EDGEC_MINUS_LANE_F32(x, a, k, LANE) ((x) - (a) * edgec_splat((k)[LANE]))
#endif
#define EDGEC_MINUS_LANE EDGEC_MINUS_LANE_F32

/* Four floats that are used one by one: a register with lanes where an FMA takes a lane, else memory, from where a
   broadcast costs nothing. */
typedef float edgec_f4 __attribute__((vector_size(16), aligned(4), may_alias));
EDGEC_INLINE edgec_f4 edgec_load4(const float *p) { return *(const edgec_f4 *)p; }
EDGEC_INLINE void edgec_store4(float *p, edgec_f4 v) { *(edgec_f4 *)p = v; }
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
typedef edgec_f4 edgec_four;
EDGEC_INLINE edgec_four edgec_take4(const float *p) { return edgec_load4(p); }
#else
typedef const float *edgec_four;
EDGEC_INLINE edgec_four edgec_take4(const float *p) { return p; }
#endif
EDGEC_INLINE edgec_vf edgec_splat(float x) { return x - (edgec_vf){0}; }

/* mask ? a : b, bit by bit: gcc's C front end has no vector ?: */
EDGEC_INLINE edgec_vf edgec_select(edgec_vi mask, edgec_vf a, edgec_vf b) {
  return (edgec_vf)((mask & (edgec_vi)a) | (~mask & (edgec_vi)b));
}

/* min and max return the second operand when either is a NaN on x86; on NEON a NaN stays a NaN. Clamp therefore keeps
   a NaN only where the ISA does: edgec_clamp puts x second, so that it survives on every ISA. */
#if defined(EDGEC_SCALAR)
EDGEC_INLINE edgec_vf edgec_vmax(edgec_vf a, edgec_vf b) { return edgec_select(a > b, a, b); }
EDGEC_INLINE edgec_vf edgec_vmin(edgec_vf a, edgec_vf b) { return edgec_select(a < b, a, b); }
EDGEC_INLINE edgec_vf edgec_vsqrt(edgec_vf a) {
  for (int i = 0; i < EDGEC_LANES; i++) a[i] = __builtin_sqrtf(a[i]);
  return a;
}
#elif EDGEC_LANES == 16
EDGEC_INLINE edgec_vf edgec_vmax(edgec_vf a, edgec_vf b) { return (edgec_vf)_mm512_max_ps((__m512)a, (__m512)b); }
EDGEC_INLINE edgec_vf edgec_vmin(edgec_vf a, edgec_vf b) { return (edgec_vf)_mm512_min_ps((__m512)a, (__m512)b); }
EDGEC_INLINE edgec_vf edgec_vsqrt(edgec_vf a) { return (edgec_vf)_mm512_sqrt_ps((__m512)a); }
#elif EDGEC_LANES == 8
EDGEC_INLINE edgec_vf edgec_vmax(edgec_vf a, edgec_vf b) { return (edgec_vf)_mm256_max_ps((__m256)a, (__m256)b); }
EDGEC_INLINE edgec_vf edgec_vmin(edgec_vf a, edgec_vf b) { return (edgec_vf)_mm256_min_ps((__m256)a, (__m256)b); }
EDGEC_INLINE edgec_vf edgec_vsqrt(edgec_vf a) { return (edgec_vf)_mm256_sqrt_ps((__m256)a); }
#else
EDGEC_INLINE edgec_vf edgec_vmax(edgec_vf a, edgec_vf b) {
  return (edgec_vf)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
}
EDGEC_INLINE edgec_vf edgec_vmin(edgec_vf a, edgec_vf b) {
  return (edgec_vf)vminq_f32((float32x4_t)a, (float32x4_t)b);
}
EDGEC_INLINE edgec_vf edgec_vsqrt(edgec_vf a) { return (edgec_vf)vsqrtq_f32((float32x4_t)a); }
#endif

EDGEC_INLINE edgec_vf edgec_clamp(edgec_vf x, edgec_vf lo, edgec_vf hi) { return edgec_vmin(hi, edgec_vmax(lo, x)); }

/* The first n lanes (0 < n <= EDGEC_LANES); no byte beyond them is touched. */
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 16
EDGEC_INLINE void edgec_store_n(float *p, edgec_vf v, ptrdiff_t n) {
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)v);
}
EDGEC_INLINE edgec_vf edgec_load_n(const float *p, ptrdiff_t n) {
  return (edgec_vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
}
#else
EDGEC_INLINE void edgec_store_n(float *p, edgec_vf v, ptrdiff_t n) {
  if (n >= EDGEC_LANES) {
    edgec_store(p, v);
    return;
  }
  for (ptrdiff_t i = 0; i < n; i++) p[i] = v[i];
}
EDGEC_INLINE edgec_vf edgec_load_n(const float *p, ptrdiff_t n) {
  if (n >= EDGEC_LANES) return edgec_load(p);
  edgec_vf v = {0};
  for (ptrdiff_t i = 0; i < n; i++) v[i] = p[i];
  return v;
}
#endif

/* n numbers that lie `step` apart. */
EDGEC_INLINE edgec_vf edgec_load_strided(const float *p, ptrdiff_t step, ptrdiff_t n) {
  edgec_vf v = {0};
  for (ptrdiff_t i = 0; i < n; i++) v[i] = p[i * step];
  return v;
}

/* p[3i + j] = lane i of vector j. On x86, each vector is brought into an order in which every lane is in its place in
   one of the three that are stored, since 3 and the number of lanes have no common divisor. */
EDGEC_INLINE void edgec_store_3(float *p, edgec_vf a, edgec_vf b, edgec_vf c) {
#if !defined(EDGEC_SCALAR) && defined(__ARM_NEON)
  const float32x4x3_t v = {{(float32x4_t)a, (float32x4_t)b, (float32x4_t)c}};
  vst3q_f32(p, v);
#elif !defined(EDGEC_SCALAR) && EDGEC_LANES == 16
  const __m512i order = _mm512_setr_epi32(0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10, 5); /* 11p is i at 3i */
  const __m512 x = _mm512_permutexvar_ps(order, (__m512)a);
  const __m512 y = _mm512_permutexvar_ps(_mm512_add_epi32(order, _mm512_set1_epi32(-11)), (__m512)b);
  const __m512 z = _mm512_permutexvar_ps(_mm512_add_epi32(order, _mm512_set1_epi32(-22)), (__m512)c);
  const __mmask16 second = 0x2492, third = 0x4924; /* of three lanes */
  _mm512_storeu_ps(p, _mm512_mask_mov_ps(_mm512_mask_mov_ps(x, second, y), third, z));
  _mm512_storeu_ps(p + 16, _mm512_mask_mov_ps(_mm512_mask_mov_ps(y, second, z), third, x));
  _mm512_storeu_ps(p + 32, _mm512_mask_mov_ps(_mm512_mask_mov_ps(z, second, x), third, y));
#elif !defined(EDGEC_SCALAR) && EDGEC_LANES == 8
  const __m256i order = _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5); /* 3p is i at 3i */
  const __m256 x = _mm256_permutevar8x32_ps((__m256)a, order);
  const __m256 y = _mm256_permutevar8x32_ps((__m256)b, _mm256_add_epi32(order, _mm256_set1_epi32(-3)));
  const __m256 z = _mm256_permutevar8x32_ps((__m256)c, _mm256_add_epi32(order, _mm256_set1_epi32(-6)));
  _mm256_storeu_ps(p, _mm256_blend_ps(_mm256_blend_ps(x, y, 0x92), z, 0x24));
  _mm256_storeu_ps(p + 8, _mm256_blend_ps(_mm256_blend_ps(z, x, 0x92), y, 0x24));
  _mm256_storeu_ps(p + 16, _mm256_blend_ps(_mm256_blend_ps(y, z, 0x92), x, 0x24));
#else
  for (int i = 0; i < EDGEC_LANES; i++) {
    p[3 * i] = a[i];
    p[3 * i + 1] = b[i];
    p[3 * i + 2] = c[i];
  }
#endif
}

#endif
