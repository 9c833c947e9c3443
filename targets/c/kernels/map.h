/* Element-wise kernels, made from an expression by the lowering: EDGEC_MAP1(neg_f32, float, float, -x). */
#ifndef EDGEC_MAP_H
#define EDGEC_MAP_H

#include "edgec_vmath.h"

#define EDGEC_MAP_CHUNK 4096

#define EDGEC_MAP_BLOCK 16

/* EXPR over a block: every operand is read before a result is written, so that a result may lie on an operand. The
   last block is filled up with zeros: its elements go through the code of all others. */
#define EDGEC_BLOCK_IN(T, NAME, FROM, STEP, COUNT)                      \
  T NAME[EDGEC_MAP_BLOCK] = {0};                                        \
  if ((COUNT) == EDGEC_MAP_BLOCK && (STEP) == 1)                        \
    for (int j_ = 0; j_ < EDGEC_MAP_BLOCK; j_++) NAME[j_] = (FROM)[j_]; \
  else                                                                  \
    for (ptrdiff_t j_ = 0; j_ < (COUNT); j_++) NAME[j_] = (FROM)[j_ * (STEP)];
#define EDGEC_BLOCK_OUT(NAME, TO, COUNT)                              \
  if ((COUNT) == EDGEC_MAP_BLOCK)                                     \
    for (int j_ = 0; j_ < EDGEC_MAP_BLOCK; j_++) (TO)[j_] = NAME[j_]; \
  else                                                                \
    for (ptrdiff_t j_ = 0; j_ < (COUNT); j_++) (TO)[j_] = NAME[j_];

/* y[i] = EXPR(x); a task is EDGEC_MAP_CHUNK elements. y may be x. */
#define EDGEC_MAP1(NAME, TX, TY, EXPR)                                                          \
  EDGEC_FN void edgec_##NAME(const TX *a, TY *y, ptrdiff_t n, ptrdiff_t begin, ptrdiff_t end) { \
    const ptrdiff_t stop = end * EDGEC_MAP_CHUNK < n ? end * EDGEC_MAP_CHUNK : n;               \
    EDGEC_BLOCKS for (ptrdiff_t i = begin * EDGEC_MAP_CHUNK; i < stop; i += EDGEC_MAP_BLOCK) {  \
      const ptrdiff_t count = stop - i < EDGEC_MAP_BLOCK ? stop - i : EDGEC_MAP_BLOCK;          \
      EDGEC_BLOCK_IN(TX, in, a + i, 1, count)                                                   \
      TY out[EDGEC_MAP_BLOCK];                                                                  \
      for (int j = 0; j < EDGEC_MAP_BLOCK; j++) {                                               \
        const TX x = in[j];                                                                     \
        out[j] = (TY)(EXPR);                                                                    \
      }                                                                                         \
      EDGEC_BLOCK_OUT(out, y + i, count)                                                        \
    }                                                                                           \
  }

/* y[i] = edgec_vFUNCTION(x[i]) on vectors; a task is EDGEC_MAP_CHUNK elements. y may be x. */
#define EDGEC_VMAP1(FUNCTION)                                                                                 \
  EDGEC_FN void EDGEC_NAMED(map_##FUNCTION)(const edgec_real *a, edgec_real *y, ptrdiff_t n, ptrdiff_t begin, \
                                            ptrdiff_t end) {                                                  \
    const ptrdiff_t first = begin * EDGEC_MAP_CHUNK;                                                          \
    const ptrdiff_t stop = end * EDGEC_MAP_CHUNK < n ? end * EDGEC_MAP_CHUNK : n;                             \
    EDGEC_VROW(FUNCTION, a + first, y + first, stop - first);                                                 \
  }

/* Offsets of row `task`: dims[0 .. rank-2] are the outer lengths, strides in elements. */
EDGEC_INLINE ptrdiff_t edgec_row_offset(ptrdiff_t task, const int64_t *dims, const int64_t *strides, ptrdiff_t rank) {
  ptrdiff_t offset = 0;
  if (rank == 2) return task * (ptrdiff_t)strides[0];
  for (ptrdiff_t d = rank - 2; d >= 0; d--) {
    offset += task % dims[d] * strides[d];
    task /= dims[d];
  }
  return offset;
}

/* y = EXPR(x, z) with broadcasting; a task is a row of dims[rank-1] elements. y may be a, or b of the same shape. */
#define EDGEC_MAP2(NAME, TX, TY, EXPR)                                                                             \
  EDGEC_FN void edgec_##NAME(const TX *a, const TX *b, TY *y, const int64_t *dims, const int64_t *sa,              \
                             const int64_t *sb, ptrdiff_t rank, ptrdiff_t begin, ptrdiff_t end) {                  \
    const ptrdiff_t n = dims[rank - 1], ia = sa[rank - 1], ib = sb[rank - 1];                                      \
    for (ptrdiff_t task = begin; task < end; task++) {                                                             \
      const TX *ra = a + edgec_row_offset(task, dims, sa, rank), *rb = b + edgec_row_offset(task, dims, sb, rank); \
      TY *ry = y + task * n;                                                                                       \
      EDGEC_BLOCKS for (ptrdiff_t i = 0; i < n; i += EDGEC_MAP_BLOCK) {                                            \
        const ptrdiff_t count = n - i < EDGEC_MAP_BLOCK ? n - i : EDGEC_MAP_BLOCK;                                 \
        EDGEC_BLOCK_IN(TX, left, ra + i * ia, ia, count)                                                           \
        EDGEC_BLOCK_IN(TX, right, rb + i * ib, ib, count)                                                          \
        TY out[EDGEC_MAP_BLOCK];                                                                                   \
        for (int j = 0; j < EDGEC_MAP_BLOCK; j++) {                                                                \
          const TX x = left[j], z = right[j];                                                                      \
          out[j] = (TY)(EXPR);                                                                                     \
        }                                                                                                          \
        EDGEC_BLOCK_OUT(out, ry + i, count)                                                                        \
      }                                                                                                            \
    }                                                                                                              \
  }

/* The same for float arithmetic, on vectors: x and z are edgec_vf. */
#define EDGEC_VMAP2_LOOP(EXPR, LOAD_X, LOAD_Z)                                                      \
  {                                                                                                 \
    ptrdiff_t i = 0;                                                                                \
    for (; i + 4 * EDGEC_LANES <= n; i += 4 * EDGEC_LANES) {                                        \
      edgec_vf out[4];                                                                              \
      EDGEC_UNROLL for (ptrdiff_t w = 0; w < 4; w++) {                                              \
        const ptrdiff_t at = i + w * EDGEC_LANES, count = EDGEC_LANES;                              \
        const edgec_vf x = LOAD_X, z = LOAD_Z;                                                      \
        out[w] = (EXPR);                                                                            \
        (void)at, (void)count;                                                                      \
      }                                                                                             \
      EDGEC_UNROLL for (ptrdiff_t w = 0; w < 4; w++) edgec_store(ry + i + w * EDGEC_LANES, out[w]); \
    }                                                                                               \
    for (; i < n; i += EDGEC_LANES) {                                                               \
      const ptrdiff_t at = i, count = n - i < EDGEC_LANES ? n - i : EDGEC_LANES;                    \
      const edgec_vf x = LOAD_X, z = LOAD_Z;                                                        \
      edgec_store_n(ry + i, (EXPR), count);                                                         \
      (void)at;                                                                                     \
    }                                                                                               \
  }
#define EDGEC_VMAP2(NAME, EXPR)                                                                                           \
  EDGEC_FN void EDGEC_NAMED(NAME)(const edgec_real *a, const edgec_real *b, edgec_real *y, const int64_t *dims,           \
                                  const int64_t *sa, const int64_t *sb, ptrdiff_t rank, ptrdiff_t begin, ptrdiff_t end) { \
    const ptrdiff_t n = dims[rank - 1], ia = sa[rank - 1], ib = sb[rank - 1];                                             \
    for (ptrdiff_t task = begin; task < end; task++) {                                                                    \
      const edgec_real *ra = a + edgec_row_offset(task, dims, sa, rank);                                                  \
      const edgec_real *rb = b + edgec_row_offset(task, dims, sb, rank);                                                  \
      edgec_real *ry = y + task * n;                                                                                      \
      if (ia == 1 && ib == 1) {                                                                                           \
        EDGEC_VMAP2_LOOP(EXPR, edgec_load_n(ra + at, count), edgec_load_n(rb + at, count))                                \
      } else if (ia == 1 && ib == 0) {                                                                                    \
        const edgec_vf same = edgec_splat(rb[0]);                                                                         \
        EDGEC_VMAP2_LOOP(EXPR, edgec_load_n(ra + at, count), same)                                                        \
      } else if (ia == 0 && ib == 1) {                                                                                    \
        const edgec_vf same = edgec_splat(ra[0]);                                                                         \
        EDGEC_VMAP2_LOOP(EXPR, same, edgec_load_n(rb + at, count))                                                        \
      } else {                                                                                                            \
        EDGEC_VMAP2_LOOP(EXPR, edgec_load_strided(ra + at * ia, ia, count),                                               \
                         edgec_load_strided(rb + at * ib, ib, count))                                                     \
      }                                                                                                                   \
    }                                                                                                                     \
  }

/* y = c ? a : b with broadcasting. */
#define EDGEC_WHERE(BITS)                                                                                        \
  EDGEC_FN void edgec_where_##BITS(const uint8_t *c, const uint##BITS##_t *a, const uint##BITS##_t *b,           \
                                   uint##BITS##_t *y, const int64_t *dims, const int64_t *sc, const int64_t *sa, \
                                   const int64_t *sb, ptrdiff_t rank, ptrdiff_t begin, ptrdiff_t end) {          \
    const ptrdiff_t n = dims[rank - 1], ic = sc[rank - 1], ia = sa[rank - 1], ib = sb[rank - 1];                 \
    for (ptrdiff_t task = begin; task < end; task++) {                                                           \
      const uint8_t *rc = c + edgec_row_offset(task, dims, sc, rank);                                            \
      const uint##BITS##_t *ra = a + edgec_row_offset(task, dims, sa, rank);                                     \
      const uint##BITS##_t *rb = b + edgec_row_offset(task, dims, sb, rank);                                     \
      for (ptrdiff_t i = 0; i < n; i++) y[task * n + i] = rc[i * ic] ? ra[i * ia] : rb[i * ib];                  \
    }                                                                                                            \
  }

#endif
