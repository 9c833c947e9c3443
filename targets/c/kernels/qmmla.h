/* qgemm.h with products of matrices (FEAT_I8MM): smmla adds two rows of A by two columns of B, eight products each, to
   a register of four sums: twice as many products an instruction as dot products have.

   Rows of A are read where they lie, 16 bytes each, and zipped in pairs; where the rows are odd, the last one is a pair
   with itself. K goes in groups of eight. A panel of B has for each group all columns, a column's eight weights side by
   side. While a tile runs, sums of a pair of rows lie as [row][column] of two columns; they become rows at its end. */
#ifndef EDGEC_QMMLA_H
#define EDGEC_QMMLA_H

#include "qconv.h"
#include "qmatmul.h"

#if !defined(EDGEC_SCALAR) && defined(__ARM_NEON) && defined(__ARM_FEATURE_MATMUL_INT8)

/* The halves `half` of two registers. */
EDGEC_INLINE edgec_vq edgec_zip_q(edgec_vq a, edgec_vq b, int half) {
  return half ? (edgec_vq)vzip2q_s64((int64x2_t)a, (int64x2_t)b) : (edgec_vq)vzip1q_s64((int64x2_t)a, (int64x2_t)b);
}

/* acc[2 * p + h][v] are the sums of rows 2p and 2p + 1, columns 4v + 2h and 4v + 2h + 1. */
#define EDGEC_QGEMM_START_PAIRS(MR, NV)                                                                 \
  enum { PAIRS = ((MR) + 1) / 2, OF_B = 2 * PAIRS * (NV) + (MR) < 28 ? 4 : 3 };                                                                       \
  edgec_vi acc[2 * PAIRS][NV];                                                                          \
  const int32_t *bias = t->bias;                                                                        \
  EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                                         \
    int64x2_t both = (int64x2_t)edgec_load_i(bias + 4 * v);                                             \
    EDGEC_UNROLL for (int p = 0; p < PAIRS; p++) {                                                      \
      acc[2 * p][v] = (edgec_vi)vdupq_laneq_s64(both, 0);                                               \
      acc[2 * p + 1][v] = (edgec_vi)vdupq_laneq_s64(both, 1);                                           \
    }                                                                                                   \
  }

/* G groups, one or two. */
#define EDGEC_QMMLA_STEP(MR, NV, G)                                                                     \
  {                                                                                                     \
    EDGEC_QGEMM_LOAD_A(MR, 8 * (G))                                                                     \
    edgec_vq pair[G][PAIRS];                                                                            \
    EDGEC_UNROLL for (int p = 0; p < PAIRS; p++) {                                                      \
      EDGEC_UNROLL for (int g = 0; g < (G); g++)                                                        \
        pair[g][p] = edgec_zip_q(av[2 * p], av[2 * p + 1 < (MR) ? 2 * p + 1 : 2 * p], g);               \
    }                                                                                                   \
    EDGEC_UNROLL for (int at = 0; at < 2 * (NV) * (G); at += OF_B) {                                    \
      const int n = 2 * (NV) * (G) - at < OF_B ? 2 * (NV) * (G) - at : OF_B;                            \
      edgec_vw bv[4];                                                                                   \
      edgec_load_run_w(bv, b, n);                                                                       \
      EDGEC_ADVANCE(b, n * 16);                                                                         \
      EDGEC_UNROLL for (int i = 0; i < n; i++) {                                                        \
        const int g = (at + i) / (2 * (NV)), v = (at + i) / 2 % (NV), h = (at + i) % 2;                 \
        EDGEC_UNROLL for (int p = 0; p < PAIRS; p++)                                                    \
          acc[2 * p + h][v] = (edgec_vi)vmmlaq_s32((int32x4_t)acc[2 * p + h][v], (int8x16_t)pair[g][p], \
                                                   (int8x16_t)bv[i]);                                   \
      }                                                                                                 \
      EDGEC_UNROLL for (int i = 0; i < n && i < 2 * (NV); i++) {                                        \
        EDGEC_UNROLL for (int p = 0; p < PAIRS; p++) EDGEC_TIE(acc[2 * p + (at + i) % 2][(at + i) / 2 % (NV)]); \
      }                                                                                                 \
    }                                                                                                   \
  }
#define EDGEC_QGEMM_MMLA(MR, NV)                                                                        \
  EDGEC_GEMM_ROWS_OF_A(MR)                                                                              \
  for (ptrdiff_t left = groups >> 1; left != 0; left--) EDGEC_QMMLA_STEP(MR, NV, 2)                     \
  if (groups & 1) EDGEC_QMMLA_STEP(MR, NV, 1)

#define EDGEC_QMMLA_ROWS(NV)                                                                            \
  EDGEC_UNROLL for (int p = 0; p < PAIRS; p++) {                                                        \
    EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                                       \
      const int64x2_t low = (int64x2_t)acc[2 * p][v], high = (int64x2_t)acc[2 * p + 1][v];              \
      acc[2 * p][v] = (edgec_vi)vzip1q_s64(low, high);                                                  \
      acc[2 * p + 1][v] = (edgec_vi)vzip2q_s64(low, high);                                              \
    }                                                                                                   \
  }
#define EDGEC_QGEMM_FINISH_PAIRS_BYTES(MR, NV) EDGEC_QMMLA_ROWS(NV) EDGEC_QGEMM_FINISH_BYTES(MR, NV)
#define EDGEC_QGEMM_FINISH_PAIRS_SHORT(MR, NV) EDGEC_QMMLA_ROWS(NV) EDGEC_QGEMM_FINISH_SHORT(MR, NV)
#define EDGEC_QGEMM_FINISH_PAIRS_ONTO_BYTES(MR, NV) EDGEC_QMMLA_ROWS(NV) EDGEC_QGEMM_FINISH_ONTO_BYTES(MR, NV)
#define EDGEC_QGEMM_FINISH_PAIRS_ONTO_SHORT(MR, NV) EDGEC_QMMLA_ROWS(NV) EDGEC_QGEMM_FINISH_ONTO_SHORT(MR, NV)
#define EDGEC_QGEMM_FINISH_PAIRS_SUMS(MR, NV) EDGEC_QMMLA_ROWS(NV) EDGEC_QGEMM_FINISH_SUMS(MR, NV)

#define EDGEC_QMMLA_TILE(MR, NV) EDGEC_QGEMM_TILE_FROM(PAIRS, MMLA, PAIRS_BYTES, edgec_qmmla_##MR##x##NV, MR, NV)
#define EDGEC_QMMLA_SHORT(MR, NV) EDGEC_QGEMM_TILE_FROM(PAIRS, MMLA, PAIRS_SHORT, edgec_qmmla_short_##MR##x##NV, MR, NV)
#define EDGEC_QMMLA_SUMS(MR, NV) EDGEC_QGEMM_TILE_FROM(PAIRS, MMLA, PAIRS_SUMS, edgec_qmmla_sums_##MR##x##NV, MR, NV)
#define EDGEC_QMMLA_ONTO(MR, NV) \
  EDGEC_QGEMM_TILE_FROM(PAIRS, MMLA, PAIRS_ONTO_BYTES, edgec_qmmla_onto_##MR##x##NV, MR, NV)
#define EDGEC_QMMLA_ONTO_SHORT(MR, NV) \
  EDGEC_QGEMM_TILE_FROM(PAIRS, MMLA, PAIRS_ONTO_SHORT, edgec_qmmla_onto_short_##MR##x##NV, MR, NV)

#else
#define EDGEC_QMMLA_TILE(MR, NV) \
  _Static_assert(0, "edgec: compile with the flags of CMakeLists.txt: this source multiplies matrices of bytes");
#define EDGEC_QMMLA_SHORT EDGEC_QMMLA_TILE
#define EDGEC_QMMLA_SUMS EDGEC_QMMLA_TILE
#define EDGEC_QMMLA_ONTO EDGEC_QMMLA_TILE
#define EDGEC_QMMLA_ONTO_SHORT EDGEC_QMMLA_TILE
#endif
#endif
