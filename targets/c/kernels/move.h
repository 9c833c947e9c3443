/* Moving elements: a strided copy (transpose, slice, broadcast, concat) and a copy through index tables (pad, nearest
   resize). Elements are moved by size, whatever they mean. */
#ifndef EDGEC_MOVE_H
#define EDGEC_MOVE_H

#include "map.h"

/* Short rows without a call. */
EDGEC_INLINE void edgec_copy_row(void *to, const void *from, ptrdiff_t bytes) {
  uint8_t *y = (uint8_t *)to;
  const uint8_t *x = (const uint8_t *)from;
  if (bytes > 256 || bytes % 16) {
    edgec_copy(to, from, bytes);
    return;
  }
  for (ptrdiff_t i = 0; i < bytes; i += 16) __builtin_memcpy(y + i, x + i, 16);
}

/* y[Σ i sy] = x[Σ i sx]; a task is one row over dims[rank-1]. */
#define EDGEC_MOVE(BITS)                                                                                           \
  EDGEC_FN void edgec_move_##BITS(const uint##BITS##_t *x, uint##BITS##_t *y, const int64_t *dims, const int64_t *sx, \
                                  const int64_t *sy, ptrdiff_t rank, ptrdiff_t begin, ptrdiff_t end) {             \
    const ptrdiff_t n = dims[rank - 1], ix = sx[rank - 1], iy = sy[rank - 1];                                      \
    for (ptrdiff_t task = begin; task < end; task++) {                                                             \
      const uint##BITS##_t *from = x + edgec_row_offset(task, dims, sx, rank);                                     \
      uint##BITS##_t *to = y + edgec_row_offset(task, dims, sy, rank);                                             \
      if (ix == 1 && iy == 1)                                                                                      \
        edgec_copy_row(to, from, n * (ptrdiff_t)sizeof *to);                                                       \
      else if (ix == 0 && iy == 1)                                                                                 \
        for (ptrdiff_t i = 0; i < n; i++) to[i] = from[0];                                                         \
      else                                                                                                         \
        for (ptrdiff_t i = 0; i < n; i++) to[i * iy] = from[i * ix];                                               \
    }                                                                                                              \
  }

/* y[i] = x[Σ table_d[i_d]] or `fill` where a table entry is negative; tables follow each other, offsets in elements.
   A task is one row over dims[rank-1]. */
#define EDGEC_TABLE_MOVE(BITS)                                                                                     \
  EDGEC_FN void edgec_table_move_##BITS(const uint##BITS##_t *x, const uint##BITS##_t *fill, uint##BITS##_t *y,    \
                                        const int64_t *dims, const int64_t *tables, ptrdiff_t rank,                \
                                        ptrdiff_t begin, ptrdiff_t end) {                                          \
    ptrdiff_t all = 0;                                                                                             \
    for (ptrdiff_t d = 0; d < rank - 1; d++) all += dims[d];                                                       \
    const int64_t *last = tables + all;                                                                            \
    const ptrdiff_t n = dims[rank - 1];                                                                            \
    for (ptrdiff_t task = begin; task < end; task++) {                                                             \
      ptrdiff_t rest = task, offset = 0;                                                                           \
      const int64_t *table = last;                                                                                 \
      int inside = 1;                                                                                              \
      for (ptrdiff_t d = rank - 2; d >= 0; d--) {                                                                  \
        table -= dims[d];                                                                                          \
        const int64_t at = table[rest % dims[d]];                                                                  \
        rest /= dims[d];                                                                                           \
        inside &= at >= 0;                                                                                         \
        offset += at;                                                                                              \
      }                                                                                                            \
      uint##BITS##_t *to = y + task * n;                                                                           \
      for (ptrdiff_t i = 0; i < n; i++) to[i] = inside && last[i] >= 0 ? x[offset + last[i]] : *fill;              \
    }                                                                                                              \
  }

/* y[o][j][:] = x[o][index[j]][:], rows of `inner` bytes; an index out of range is clamped. A task is one (o, j). */
#define EDGEC_GATHER(TI)                                                                                           \
  EDGEC_FN void edgec_gather_##TI(const uint8_t *x, const TI *index, uint8_t *y, ptrdiff_t size, ptrdiff_t count,  \
                                  ptrdiff_t inner, ptrdiff_t begin, ptrdiff_t end) {                               \
    for (ptrdiff_t task = begin; task < end; task++) {                                                             \
      int64_t at = (int64_t)index[task % count];                                                                   \
      if (at < 0) at += size;                                                                                      \
      at = at < 0 ? 0 : at >= size ? size - 1 : at;                                                                \
      edgec_copy(y + task * inner, x + (task / count * size + at) * inner, inner);                                 \
    }                                                                                                              \
  }

#endif
