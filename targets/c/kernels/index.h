/* Reading and writing where run-time indices say. A negative index counts from the end; one that is still out of range
   is clamped to the axis, so that no index leaves its tensor. */
#ifndef EDGEC_INDEX_H
#define EDGEC_INDEX_H

#include "half.h"
#include "map.h"

EDGEC_INLINE ptrdiff_t edgec_index(int64_t at, ptrdiff_t size) {
  if (at < 0) at += size;
  return (ptrdiff_t)(at < 0 ? 0 : at >= size ? size - 1 : at);
}

/* Offset of an index tuple at[0 .. depth-1]; strides in elements. */
#define EDGEC_TUPLE(TI)                                                                                            \
  EDGEC_INLINE ptrdiff_t edgec_tuple_##TI(const TI *at, const int64_t *sizes, const int64_t *strides,              \
                                          ptrdiff_t depth) {                                                       \
    ptrdiff_t offset = 0;                                                                                          \
    for (ptrdiff_t d = 0; d < depth; d++) offset += edgec_index((int64_t)at[d], sizes[d]) * strides[d];            \
    return offset;                                                                                                 \
  }

/* y[i] = x[i with index[i] on the axis]. dims are the result's; sx are x's strides, 0 on the axis, whose own stride and
   length are `step` and `size`. A task is a row over dims[rank-1]. */
#define EDGEC_GATHER_ELEMENTS(BITS, TI)                                                                            \
  EDGEC_FN void edgec_gather_elements_##BITS##_##TI(const uint##BITS##_t *x, const TI *index, uint##BITS##_t *y,   \
                                                    const int64_t *dims, const int64_t *sx, ptrdiff_t rank,        \
                                                    ptrdiff_t step, ptrdiff_t size, ptrdiff_t begin,               \
                                                    ptrdiff_t end) {                                               \
    const ptrdiff_t n = dims[rank - 1], ix = sx[rank - 1];                                                         \
    for (ptrdiff_t task = begin; task < end; task++) {                                                             \
      const uint##BITS##_t *from = x + edgec_row_offset(task, dims, sx, rank);                                     \
      const TI *at = index + task * n;                                                                             \
      for (ptrdiff_t i = 0; i < n; i++)                                                                            \
        y[task * n + i] = from[i * ix + edgec_index((int64_t)at[i], size) * step];                                 \
    }                                                                                                              \
  }

/* y[b][r] = x[b][index[b][r]], pieces of `inner` bytes; `strides` in pieces, `batch` the pieces of one b. A task is one
   (b, r) of `rows` rows a batch. */
#define EDGEC_GATHER_ND(TI)                                                                                        \
  EDGEC_FN void edgec_gather_nd_##TI(const uint8_t *x, const TI *index, uint8_t *y, const int64_t *sizes,          \
                                     const int64_t *strides, ptrdiff_t depth, ptrdiff_t rows, ptrdiff_t batch,     \
                                     ptrdiff_t inner, ptrdiff_t begin, ptrdiff_t end) {                            \
    for (ptrdiff_t task = begin; task < end; task++) {                                                             \
      const ptrdiff_t piece = task / rows * batch + edgec_tuple_##TI(index + task * depth, sizes, strides, depth); \
      edgec_copy(y + task * inner, x + piece * inner, inner);                                                      \
    }                                                                                                              \
  }

EDGEC_FN void edgec_scatter_start(const void *x, void *y, ptrdiff_t bytes) {
  if (y != x) edgec_copy(y, x, bytes);
}

/* y[i with index[i] on the axis] = EXPR(x: what stands there, z: the update). dims are the indices'; sy are y's strides,
   0 on the axis. Updates come in order, so that of two at one place the last wins. A task is `rows` rows over
   dims[rank-1]; tasks write to different places. */
#define EDGEC_SCATTER_ELEMENTS(NAME, T, WIDE, FORM, TI, EXPR)                                                      \
  EDGEC_FN void edgec_scatter_elements_##NAME##_##TI(const TI *index, const T *updates, T *y, const int64_t *dims, \
                                                     const int64_t *sy, ptrdiff_t rank, ptrdiff_t step,            \
                                                     ptrdiff_t size, ptrdiff_t rows, ptrdiff_t begin,              \
                                                     ptrdiff_t end) {                                              \
    const ptrdiff_t n = dims[rank - 1], iy = sy[rank - 1];                                                         \
    for (ptrdiff_t row = begin * rows; row < end * rows; row++) {                                                  \
      T *to = y + edgec_row_offset(row, dims, sy, rank);                                                           \
      for (ptrdiff_t i = 0; i < n; i++) {                                                                          \
        T *const place = to + i * iy + edgec_index((int64_t)index[row * n + i], size) * step;                      \
        const WIDE x = EDGEC_GET_##FORM(*place), z = EDGEC_GET_##FORM(updates[row * n + i]);                       \
        *place = (T)EDGEC_PUT_##FORM(EXPR);                                                                        \
        (void)x;                                                                                                   \
      }                                                                                                            \
    }                                                                                                              \
  }

/* y[index[r]] = EXPR(x: what stands there, z: the update), pieces of `inner` elements, in order. */
#define EDGEC_SCATTER_ND(NAME, T, WIDE, FORM, TI, EXPR)                                                            \
  EDGEC_FN void edgec_scatter_nd_##NAME##_##TI(const TI *index, const T *updates, T *y, const int64_t *sizes,      \
                                               const int64_t *strides, ptrdiff_t depth, ptrdiff_t rows,            \
                                               ptrdiff_t inner) {                                                  \
    for (ptrdiff_t r = 0; r < rows; r++) {                                                                         \
      T *const to = y + edgec_tuple_##TI(index + r * depth, sizes, strides, depth) * inner;                        \
      for (ptrdiff_t i = 0; i < inner; i++) {                                                                      \
        const WIDE x = EDGEC_GET_##FORM(to[i]), z = EDGEC_GET_##FORM(updates[r * inner + i]);                      \
        to[i] = (T)EDGEC_PUT_##FORM(EXPR);                                                                         \
        (void)x;                                                                                                   \
      }                                                                                                            \
    }                                                                                                              \
  }

#endif
