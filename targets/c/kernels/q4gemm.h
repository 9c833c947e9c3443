/* qgemm.h with weights of four bits: of each 32 products of a column, a byte that multiplies them and a half byte each.
   Multiplied in registers they are int8 weights, so that all that is exact there is here.

   A panel has for every 32 products of every segment, the last rounded up: a multiplier for each of its columns (1 to
   17; weights are in [-7, 7]), then registers of half bytes. The lower halves of one are a vector as qgemm.h has it, the
   upper halves the next one of the same columns. On x86 half bytes are 8 more than the weight. */
#ifndef EDGEC_Q4GEMM_H
#define EDGEC_Q4GEMM_H

#include "qconv.h"
#include "qmatmul.h"

#define EDGEC_Q4_PRODUCTS 32

#if !defined(EDGEC_SCALAR) && defined(__ARM_NEON)
/* The multipliers of four columns, a column's in `each` bytes side by side: 4, or 2 and again in the upper half. */
EDGEC_INLINE int8x16_t edgec_q4_times(const int8_t *p, int each) {
  const uint8x16_t of4 = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
  const uint8x16_t of2 = {0, 0, 1, 1, 2, 2, 3, 3, 0, 0, 1, 1, 2, 2, 3, 3};
  const int8x16_t four = vreinterpretq_s8_s32(vdupq_n_s32(*(const edgec_i32 *)(const void *)p));
  return vqtbl1q_s8(four, each == 4 ? of4 : of2);
}
EDGEC_INLINE edgec_vw edgec_q4_low(int8x16_t x, int8x16_t times) {
  return (edgec_vw)vmulq_s8(vshrq_n_s8(vshlq_n_s8(x, 4), 4), times);
}
EDGEC_INLINE edgec_vw edgec_q4_high(int8x16_t x, int8x16_t times) {
  return (edgec_vw)vmulq_s8(vshrq_n_s8(x, 4), times);
}

/* G groups, 2 or 4. */
#define EDGEC_Q4_STEP(MR, NV, G)                                                                        \
  {                                                                                                     \
    EDGEC_QGEMM_LOAD_A(MR, 4 * (G))                                                                     \
    EDGEC_UNROLL for (int at = 0; at < (NV) * (G) / 2; at++) {                                          \
      const int k = at / (NV)*2, v = at % (NV);                                                         \
      const int8x16_t x = vld1q_s8(b);                                                                  \
      EDGEC_ADVANCE(b, 16);                                                                             \
      const edgec_vw low = edgec_q4_low(x, times[v]), high = edgec_q4_high(x, times[v]);                \
      EDGEC_UNROLL for (int m = 0; m < (MR); m++) acc[m][v] = edgec_dot4_lane(acc[m][v], low, av[m], k); \
      EDGEC_UNROLL for (int m = 0; m < (MR); m++) acc[m][v] = edgec_dot4_lane(acc[m][v], high, av[m], k + 1); \
      EDGEC_UNROLL for (int m = 0; m < (MR); m++) EDGEC_TIE(acc[m][v]);                                 \
    }                                                                                                   \
  }
#define EDGEC_QGEMM_FOUR(MR, NV)                                                                        \
  EDGEC_GEMM_ROWS_OF_A(MR)                                                                              \
  for (ptrdiff_t left = groups; left > 0; left -= 8) {                                                  \
    int8x16_t times[NV];                                                                                \
    EDGEC_UNROLL for (int v = 0; v < (NV); v++) times[v] = edgec_q4_times(b + 4 * v, 4);                \
    b += 4 * (NV);                                                                                      \
    ptrdiff_t now = left < 8 ? left : 8;                                                                \
    for (; now > 2; now -= 4) EDGEC_Q4_STEP(MR, NV, 4)                                                  \
    if (now > 0) EDGEC_Q4_STEP(MR, NV, 2)                                                               \
  }

/* Two groups of eight, as pairs (qgemm.h). */
#define EDGEC_Q4_PAIR_STEP(MR, NV)                                                                      \
  {                                                                                                     \
    EDGEC_QGEMM_LOAD_A(MR, 16)                                                                          \
    int8x16_t x[NV];                                                                                    \
    EDGEC_UNROLL for (int step = 0; step < 4; step++) {                                                 \
      EDGEC_UNROLL for (int m = 0; m < (MR) && step; m++)                                               \
        av[m] = step == 2 ? (edgec_vq)vrev64q_s32((int32x4_t)av[m]) : (edgec_vq)vrev32q_s16((int16x8_t)av[m]); \
      EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                                     \
        if (step % 2 == 0) {                                                                            \
          x[v] = vld1q_s8(b);                                                                           \
          EDGEC_ADVANCE(b, 16);                                                                         \
        }                                                                                               \
        const edgec_vw bv = step % 2 ? edgec_q4_high(x[v], times[v]) : edgec_q4_low(x[v], times[v]);    \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) acc[m][v] = edgec_pairs(acc[m][v], bv, av[m], 2);   \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) EDGEC_TIE(acc[m][v]);                               \
      }                                                                                                 \
    }                                                                                                   \
  }
#define EDGEC_QGEMM_FOUR_PAIRED(MR, NV)                                                                 \
  EDGEC_GEMM_ROWS_OF_A(MR)                                                                              \
  for (ptrdiff_t left = groups; left > 0; left -= 4) {                                                  \
    int8x16_t times[NV];                                                                                \
    EDGEC_UNROLL for (int v = 0; v < (NV); v++) times[v] = edgec_q4_times(b + 4 * v, 2);                \
    b += 4 * (NV);                                                                                      \
    for (ptrdiff_t now = left < 4 ? left : 4; now > 0; now -= 2) EDGEC_Q4_PAIR_STEP(MR, NV)             \
  }
#define EDGEC_Q4GEMM_PAIRS(MR, NV) EDGEC_QGEMM_TILE_OF(FOUR_PAIRED, BYTES, edgec_q4gemm_pairs_##MR##x##NV, MR, NV)
#define EDGEC_Q4GEMM_PAIRS_SHORT(MR, NV) \
  EDGEC_QGEMM_TILE_OF(FOUR_PAIRED, SHORT, edgec_q4gemm_pairs_short_##MR##x##NV, MR, NV)
#define EDGEC_Q4GEMM_PAIRS_ONTO(MR, NV) \
  EDGEC_QGEMM_TILE_OF(FOUR_PAIRED, ONTO_BYTES, edgec_q4gemm_pairs_onto_##MR##x##NV, MR, NV)
#define EDGEC_Q4GEMM_PAIRS_ONTO_SHORT(MR, NV) \
  EDGEC_QGEMM_TILE_OF(FOUR_PAIRED, ONTO_SHORT, edgec_q4gemm_pairs_onto_short_##MR##x##NV, MR, NV)
#define EDGEC_Q4GEMM_PAIRS_SUMS(MR, NV) \
  EDGEC_QGEMM_TILE_OF(FOUR_PAIRED, SUMS, edgec_q4gemm_pairs_sums_##MR##x##NV, MR, NV)
#else
typedef uint8_t edgec_vb __attribute__((vector_size(4 * EDGEC_LANES), aligned(1), may_alias));
typedef uint16_t edgec_vbb __attribute__((vector_size(4 * EDGEC_LANES), aligned(1), may_alias));

/* One byte a lane as a number. */
EDGEC_INLINE edgec_vi edgec_q4_times(const int8_t *p) {
#if defined(EDGEC_SCALAR)
  edgec_vi v;
  for (int i = 0; i < EDGEC_LANES; i++) v[i] = p[i];
  return v;
#elif EDGEC_LANES == 16
  return (edgec_vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
#else
  return (edgec_vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
#endif
}
/* Half bytes, 8 more than the weights, times 17 at most are bytes: two are multiplied in 16 bits without a carry. */
EDGEC_INLINE edgec_vw edgec_q4_weights(edgec_vbb halves, edgec_vbb times, edgec_vb eight) {
  return (edgec_vw)((edgec_vb)((halves & 0x0f0f) * times) - eight);
}
#define EDGEC_QGEMM_FOUR(MR, NV)                                                                        \
  EDGEC_GEMM_ROWS_OF_A(MR)                                                                              \
  for (ptrdiff_t left = groups; left > 0; left -= 8) {                                                  \
    edgec_vbb times[NV];                                                                                \
    edgec_vb eight[NV];                                                                                 \
    EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                                       \
      const edgec_vi each = edgec_q4_times(b + v * EDGEC_LANES);                                        \
      times[v] = (edgec_vbb)(each * 0x00010001);                                                        \
      eight[v] = (edgec_vb)((edgec_vbb)(each * 0x00010001) * 0x0808);                                   \
    }                                                                                                   \
    b += (NV) * EDGEC_LANES;                                                                            \
    for (ptrdiff_t now = left < 8 ? left : 8; now > 0; now -= 2) {                                      \
      edgec_vw bv[2][NV];                                                                               \
      EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                                     \
        const edgec_vbb x = *(const edgec_vbb *)(const void *)(b + v * 4 * EDGEC_LANES);                \
        bv[0][v] = edgec_q4_weights(x, times[v], eight[v]);                                             \
        bv[1][v] = edgec_q4_weights(x >> 4, times[v], eight[v]);                                        \
      }                                                                                                 \
      b += (NV) * 4 * EDGEC_LANES;                                                                      \
      EDGEC_UNROLL for (int g = 0; g < 2; g++) {                                                        \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                   \
          const edgec_vq am = edgec_splat_4(row[m / 3] + m % 3 * stride + 4 * g);                       \
          EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[m][v] = edgec_dot4(acc[m][v], bv[g][v], am);  \
        }                                                                                               \
      }                                                                                                 \
      EDGEC_UNROLL for (int m = 0; m < ((MR) + 2) / 3; m++) {                                           \
        row[m] += 8;                                                                                    \
        EDGEC_OPAQUE(row[m]);                                                                           \
      }                                                                                                 \
    }                                                                                                   \
  }
#endif

#define EDGEC_Q4GEMM_TILE(MR, NV) EDGEC_QGEMM_TILE_OF(FOUR, BYTES, edgec_q4gemm_##MR##x##NV, MR, NV)
#define EDGEC_Q4GEMM_SHORT(MR, NV) EDGEC_QGEMM_TILE_OF(FOUR, SHORT, edgec_q4gemm_short_##MR##x##NV, MR, NV)
#define EDGEC_Q4GEMM_ONTO(MR, NV) EDGEC_QGEMM_TILE_OF(FOUR, ONTO_BYTES, edgec_q4gemm_onto_##MR##x##NV, MR, NV)
#define EDGEC_Q4GEMM_ONTO_SHORT(MR, NV) \
  EDGEC_QGEMM_TILE_OF(FOUR, ONTO_SHORT, edgec_q4gemm_onto_short_##MR##x##NV, MR, NV)
#define EDGEC_Q4GEMM_SUMS(MR, NV) EDGEC_QGEMM_TILE_OF(FOUR, SUMS, edgec_q4gemm_sums_##MR##x##NV, MR, NV)

#endif
