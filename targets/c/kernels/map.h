/* Element-wise kernels, made from an expression by the lowering: EDGEC_MAP1(neg_f32, float, float, -x). */
#ifndef EDGEC_MAP_H
#define EDGEC_MAP_H

#include "edgec_vmath.h"

#define EDGEC_MAP_CHUNK 4096

/* y[i] = EXPR(x); a task is EDGEC_MAP_CHUNK elements. y may be x. */
#define EDGEC_MAP1(NAME, TX, TY, EXPR)                                                                  \
  EDGEC_FN void edgec_##NAME(const TX *a, TY *y, ptrdiff_t n, ptrdiff_t begin, ptrdiff_t end) {         \
    const ptrdiff_t stop = end * EDGEC_MAP_CHUNK < n ? end * EDGEC_MAP_CHUNK : n;                       \
    for (ptrdiff_t i = begin * EDGEC_MAP_CHUNK; i < stop; i++) {                                        \
      const TX x = a[i];                                                                                \
      y[i] = (TY)(EXPR);                                                                                \
    }                                                                                                   \
  }

/* y[i] = edgec_vFUNCTION(x[i]) on vectors; a task is EDGEC_MAP_CHUNK elements. y may be x. */
#define EDGEC_VMAP1(FUNCTION)                                                                                    \
  EDGEC_FN void edgec_map_##FUNCTION(const float *a, float *y, ptrdiff_t n, ptrdiff_t begin, ptrdiff_t end) {    \
    const ptrdiff_t first = begin * EDGEC_MAP_CHUNK;                                                             \
    const ptrdiff_t stop = end * EDGEC_MAP_CHUNK < n ? end * EDGEC_MAP_CHUNK : n;                                \
    EDGEC_VROW(FUNCTION, a + first, y + first, stop - first);                                                    \
  }

/* Offsets of row `task`: dims[0 .. rank-2] are the outer lengths, strides in elements. */
EDGEC_INLINE ptrdiff_t edgec_row_offset(ptrdiff_t task, const int64_t *dims, const int64_t *strides, ptrdiff_t rank) {
  ptrdiff_t offset = 0;
  for (ptrdiff_t d = rank - 2; d >= 0; d--) {
    offset += task % dims[d] * strides[d];
    task /= dims[d];
  }
  return offset;
}

/* y = EXPR(x, z) with broadcasting; a task is a row of dims[rank-1] elements. y may be a, or b of the same shape. */
#define EDGEC_MAP2(NAME, TX, TY, EXPR)                                                                           \
  EDGEC_FN void edgec_##NAME(const TX *a, const TX *b, TY *y, const int64_t *dims, const int64_t *sa,            \
                             const int64_t *sb, ptrdiff_t rank, ptrdiff_t begin, ptrdiff_t end) {                \
    const ptrdiff_t n = dims[rank - 1], ia = sa[rank - 1], ib = sb[rank - 1];                                    \
    for (ptrdiff_t task = begin; task < end; task++) {                                                           \
      const TX *ra = a + edgec_row_offset(task, dims, sa, rank), *rb = b + edgec_row_offset(task, dims, sb, rank); \
      TY *ry = y + task * n;                                                                                     \
      if (ia == 1 && ib == 1) {                                                                                  \
        for (ptrdiff_t i = 0; i < n; i++) {                                                                      \
          const TX x = ra[i], z = rb[i];                                                                         \
          ry[i] = (TY)(EXPR);                                                                                    \
        }                                                                                                        \
      } else if (ia == 1 && ib == 0) {                                                                           \
        const TX z = rb[0];                                                                                      \
        for (ptrdiff_t i = 0; i < n; i++) {                                                                      \
          const TX x = ra[i];                                                                                    \
          ry[i] = (TY)(EXPR);                                                                                    \
        }                                                                                                        \
      } else {                                                                                                   \
        for (ptrdiff_t i = 0; i < n; i++) {                                                                      \
          const TX x = ra[i * ia], z = rb[i * ib];                                                               \
          ry[i] = (TY)(EXPR);                                                                                    \
        }                                                                                                        \
      }                                                                                                          \
    }                                                                                                            \
  }

/* y = c ? a : b with broadcasting. */
#define EDGEC_WHERE(BITS)                                                                                         \
  EDGEC_FN void edgec_where_##BITS(const uint8_t *c, const uint##BITS##_t *a, const uint##BITS##_t *b,            \
                                   uint##BITS##_t *y, const int64_t *dims, const int64_t *sc, const int64_t *sa,  \
                                   const int64_t *sb, ptrdiff_t rank, ptrdiff_t begin, ptrdiff_t end) {           \
    const ptrdiff_t n = dims[rank - 1], ic = sc[rank - 1], ia = sa[rank - 1], ib = sb[rank - 1];                  \
    for (ptrdiff_t task = begin; task < end; task++) {                                                            \
      const uint8_t *rc = c + edgec_row_offset(task, dims, sc, rank);                                             \
      const uint##BITS##_t *ra = a + edgec_row_offset(task, dims, sa, rank);                                      \
      const uint##BITS##_t *rb = b + edgec_row_offset(task, dims, sb, rank);                                      \
      for (ptrdiff_t i = 0; i < n; i++) y[task * n + i] = rc[i * ic] ? ra[i * ia] : rb[i * ib];                   \
    }                                                                                                             \
  }

#endif
