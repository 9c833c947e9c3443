/* gemm.h with operands of bf16 and sums in float32: what adds the products of one segment.

   PAIRS: B has pairs of products, a vector of EDGEC_LANES columns for two k; an odd K ends with zeros. BLOCKS (A64, an
   even number of rows): four k of two columns in a vector, whose product with four k of two rows is a block of two by
   two sums; K is rounded up to four. Up to 6 bytes behind a row of A are read there, and masked.
   A panel's bias has two numbers a column: blocks begin with a vector for each two columns, both rows of it alike. */
#ifndef EDGEC_BF16GEMM_H
#define EDGEC_BF16GEMM_H

#include "bf16.h"
#include "gemm.h"

/* One pair of each row, at any k. */
#define EDGEC_BF16_PAIR(MR, NV, A)                                                                        \
  {                                                                                                       \
    edgec_vf bv[NV];                                                                                      \
    edgec_load_run(bv, b, NV);                                                                            \
    EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                         \
      const edgec_vi am = A(row[m] + at);                                                                 \
      EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[m][v] = edgec_bdot(acc[m][v], (edgec_vi)bv[v], am); \
    }                                                                                                     \
    b += (NV) * EDGEC_LANES;                                                                              \
    at += 4;                                                                                              \
  }
#define EDGEC_BF16_PAIRS(MR, NV, COUNT)                                                      \
  ptrdiff_t at = 0;                                                                          \
  for (ptrdiff_t left = (COUNT); left > 0; left--) EDGEC_BF16_PAIR(MR, NV, edgec_splat_pair) \
  if (length & 1) EDGEC_BF16_PAIR(MR, NV, edgec_splat_last)

#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
#define EDGEC_GEMM_SEGMENT_OF_PAIRS(MR, NV)                                                                      \
  for (ptrdiff_t left = length >> 3; left != 0; left--) EDGEC_GEMM_LANES_STEP(MR, NV, edgec_vi, edgec_bdot_lane) \
  EDGEC_BF16_PAIRS(MR, NV, length >> 1 & 3)
#else
#define EDGEC_GEMM_SEGMENT_OF_PAIRS(MR, NV) EDGEC_BF16_PAIRS(MR, NV, length >> 1)
#endif

#if EDGEC_BF16_PRODUCTS && EDGEC_LANES == 4

/* Four k of two rows. */
EDGEC_INLINE uint64x2_t edgec_two_rows(const char *p, const char *q) {
  typedef uint64_t four __attribute__((aligned(2), may_alias));
  const uint16x4_t first = (uint16x4_t)*(const edgec_vb16 *)(const void *)p;
  return vsetq_lane_u64(*(const four *)(const void *)q, vreinterpretq_u64_u16(vcombine_u16(first, first)), 1);
}
/* acc[2p + h][v] is the block of rows 2p, 2p + 1 and columns 4v + 2h, 4v + 2h + 1; rows of sums become that, and that
   rows of sums. */
#define EDGEC_GEMM_END_TURNED(MR, NV)                                                    \
  EDGEC_UNROLL for (int m = 0; m < (MR); m += 2) {                                       \
    EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                        \
      const float64x2_t low = (float64x2_t)acc[m][v], high = (float64x2_t)acc[m + 1][v]; \
      acc[m][v] = (edgec_vf)vzip1q_f64(low, high);                                       \
      acc[m + 1][v] = (edgec_vf)vzip2q_f64(low, high);                                   \
    }                                                                                    \
  }
#define EDGEC_GEMM_FROM_BIAS_IN_BLOCKS(MR, NV)                                                        \
  const edgec_real *bias = t->bias;                                                                   \
  EDGEC_UNROLL for (int m = 0; m < (MR); m += 2) {                                                    \
    EDGEC_OPAQUE(bias);                                                                               \
    EDGEC_UNROLL for (int v = 0; v < 2 * (NV); v++) acc[m + v % 2][v / 2] = edgec_load(bias + 4 * v); \
  }
#define EDGEC_GEMM_FROM_C_IN_BLOCKS(MR, NV) \
  EDGEC_GEMM_FROM_C(MR, NV)                 \
  EDGEC_GEMM_END_TURNED(MR, NV)
/* Four k; MASK has the bits of those that are there. */
#define EDGEC_BF16_FOUR(MR, NV, MASK)                                                                  \
  {                                                                                                    \
    uint64x2_t av[(MR) / 2];                                                                           \
    EDGEC_UNROLL for (int m = 0; m < (MR); m += 2) {                                                   \
      av[m / 2] = edgec_two_rows(row[m], row[m + 1]) & (MASK);                                         \
      EDGEC_ADVANCE(row[m], 8);                                                                        \
      EDGEC_ADVANCE(row[m + 1], 8);                                                                    \
    }                                                                                                  \
    EDGEC_UNROLL for (int at = 0; at < 2 * (NV); at += 4) {                                            \
      const int n = 2 * (NV)-at < 4 ? 2 * (NV)-at : 4;                                                 \
      edgec_vf bv[4];                                                                                  \
      edgec_load_run(bv, b, n);                                                                        \
      EDGEC_ADVANCE(b, n * EDGEC_LANES);                                                               \
      EDGEC_UNROLL for (int i = 0; i < n; i++) {                                                       \
        const int v = (at + i) / 2, half = (at + i) % 2;                                               \
        EDGEC_UNROLL for (int m = 0; m < (MR); m += 2)                                                 \
          acc[m + half][v] = (edgec_vf)vbfmmlaq_f32((float32x4_t)acc[m + half][v],                     \
                                                    (bfloat16x8_t)av[m / 2], (bfloat16x8_t)bv[i]);     \
      }                                                                                                \
      EDGEC_UNROLL for (int i = 0; i < n; i++) {                                                       \
        EDGEC_UNROLL for (int m = 0; m < (MR); m += 2) EDGEC_TIE(acc[m + (at + i) % 2][(at + i) / 2]); \
      }                                                                                                \
    }                                                                                                  \
  }
#define EDGEC_GEMM_SEGMENT_OF_BLOCKS(MR, NV)                                                      \
  for (ptrdiff_t left = length >> 2; left != 0; left--) EDGEC_BF16_FOUR(MR, NV, ~(uint64x2_t){0}) \
  if (length & 3) {                                                                               \
    const uint64x2_t mask = vdupq_n_u64(((uint64_t)1 << 16 * (length & 3)) - 1);                  \
    EDGEC_BF16_FOUR(MR, NV, mask)                                                                 \
  }
#define EDGEC_BF16_BLOCKS(MR, NV) \
  EDGEC_GEMM_TILE_OF(BIAS_IN_BLOCKS, BLOCKS, TURNED, EDGEC_NAMED(gemm_blocks_##MR##x##NV), MR, NV)
#define EDGEC_BF16_BLOCKS_ONTO(MR, NV) \
  EDGEC_GEMM_TILE_OF(C_IN_BLOCKS, BLOCKS, TURNED, EDGEC_NAMED(gemm_blocks_onto_##MR##x##NV), MR, NV)
#else
#define EDGEC_BF16_BLOCKS(MR, NV) \
  _Static_assert(0, "edgec: compile with the flags of CMakeLists.txt: weights are for another core");
#define EDGEC_BF16_BLOCKS_ONTO(MR, NV) EDGEC_BF16_BLOCKS(MR, NV)
#endif

#define EDGEC_BF16_TILE(MR, NV) EDGEC_GEMM_TILE_FROM(BIAS, PAIRS, EDGEC_NAMED(gemm_##MR##x##NV), MR, NV)
#define EDGEC_BF16_TILE_ONTO(MR, NV) EDGEC_GEMM_TILE_FROM(C, PAIRS, EDGEC_NAMED(gemm_onto_##MR##x##NV), MR, NV)

#endif
