/* Transposes of 32-bit elements in register tiles: 4 x 4 in general, 3 and 4 channels of an image at once. */
#ifndef EDGEC_TRANSPOSE_H
#define EDGEC_TRANSPOSE_H

#include "isa.h"
#include "map.h"

#define EDGEC_TRANSPOSE_CHUNK 512

/* y[i][j] = x[j][i] for 4 x 4. */
EDGEC_INLINE void edgec_transpose_4x4(const float *x, ptrdiff_t sx, float *y, ptrdiff_t sy) {
  const edgec_f4 a = edgec_load4(x), b = edgec_load4(x + sx), c = edgec_load4(x + 2 * sx), d = edgec_load4(x + 3 * sx);
  const edgec_f4 ac = __builtin_shufflevector(a, c, 0, 4, 1, 5), bd = __builtin_shufflevector(b, d, 0, 4, 1, 5);
  const edgec_f4 ac2 = __builtin_shufflevector(a, c, 2, 6, 3, 7), bd2 = __builtin_shufflevector(b, d, 2, 6, 3, 7);
  edgec_store4(y, __builtin_shufflevector(ac, bd, 0, 4, 1, 5));
  edgec_store4(y + sy, __builtin_shufflevector(ac, bd, 2, 6, 3, 7));
  edgec_store4(y + 2 * sy, __builtin_shufflevector(ac2, bd2, 0, 4, 1, 5));
  edgec_store4(y + 3 * sy, __builtin_shufflevector(ac2, bd2, 2, 6, 3, 7));
}

/* Three planes -> pixels of three, four pixels. */
EDGEC_INLINE void edgec_weave_3(const float *x, ptrdiff_t sx, float *y) {
  const edgec_f4 a = edgec_load4(x), b = edgec_load4(x + sx), c = edgec_load4(x + 2 * sx);
#if defined(__ARM_NEON) && defined(__aarch64__) && !defined(EDGEC_SCALAR)
  const float32x4x3_t planes = {{(float32x4_t)a, (float32x4_t)b, (float32x4_t)c}};
  vst3q_f32(y, planes);
#else
  const edgec_f4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  edgec_store4(y, __builtin_shufflevector(ab, __builtin_shufflevector(c, a, 0, 5, 1, 2), 0, 1, 4, 5));
  edgec_store4(y + 4, __builtin_shufflevector(__builtin_shufflevector(b, c, 1, 5, 2, 6), ab2, 0, 1, 4, 5));
  edgec_store4(y + 8, __builtin_shufflevector(__builtin_shufflevector(c, a, 2, 7, 3, 3), ab2, 0, 1, 7, 2));
#endif
}

/* Pixels of three -> three planes, four pixels. */
EDGEC_INLINE void edgec_part_3(const float *x, float *y, ptrdiff_t sy) {
#if defined(__ARM_NEON) && defined(__aarch64__) && !defined(EDGEC_SCALAR)
  const float32x4x3_t v = vld3q_f32(x);
  vst1q_f32(y, v.val[0]);
  vst1q_f32(y + sy, v.val[1]);
  vst1q_f32(y + 2 * sy, v.val[2]);
#else
  const edgec_f4 p = edgec_load4(x), q = edgec_load4(x + 4), r = edgec_load4(x + 8);
  edgec_store4(y, __builtin_shufflevector(__builtin_shufflevector(p, q, 0, 3, 6, 6), r, 0, 1, 2, 5));
  edgec_store4(y + sy, __builtin_shufflevector(__builtin_shufflevector(p, q, 1, 4, 7, 7), r, 0, 1, 2, 6));
  edgec_store4(y + 2 * sy, __builtin_shufflevector(__builtin_shufflevector(p, q, 2, 5, 5, 5), r, 0, 1, 4, 7));
#endif
}

/* y[i][j] = x[j][i] for `rows` j and `columns` i; rows of x lie sx apart, rows of y sy. */
EDGEC_FN void edgec_transpose_tile(const float *x, ptrdiff_t sx, float *y, ptrdiff_t sy, ptrdiff_t rows,
                                   ptrdiff_t columns) {
  ptrdiff_t i = 0, j = 0;
  if (rows == 3 && sy == 3) {
    for (; i + 4 <= columns; i += 4) edgec_weave_3(x + i, sx, y + i * 3);
    j = 0;
  } else if (columns == 3 && sx == 3) {
    for (; j + 4 <= rows; j += 4) edgec_part_3(x + j * 3, y + j, sy);
  } else if (rows >= 4 && columns >= 4) {
    /* the last tile reaches back: elements may be written twice */
    for (; i < columns; i += 4) {
      const ptrdiff_t c = i + 4 <= columns ? i : columns - 4;
      for (j = 0; j < rows; j += 4) {
        const ptrdiff_t r = j + 4 <= rows ? j : rows - 4;
        edgec_transpose_4x4(x + r * sx + c, sx, y + c * sy + r, sy);
      }
    }
    return;
  }
  for (; i < columns; i++)
    for (ptrdiff_t r = j; r < rows; r++) y[i * sy + r] = x[r * sx + i];
}

/* Many transposes: dims and strides of what lies around them. A task is EDGEC_TRANSPOSE_CHUNK columns of one (rows, if
   there are more of those than columns). */
EDGEC_FN void edgec_transpose(const uint32_t *x, uint32_t *y, const int64_t *dims, const int64_t *around_x,
                              const int64_t *around_y, ptrdiff_t rank, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t sx,
                              ptrdiff_t sy, ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t longer = columns >= rows ? columns : rows;
  const ptrdiff_t chunks = (longer + EDGEC_TRANSPOSE_CHUNK - 1) / EDGEC_TRANSPOSE_CHUNK;
  for (ptrdiff_t task = begin; task < end; task++) {
    const ptrdiff_t first = task % chunks * EDGEC_TRANSPOSE_CHUNK;
    const ptrdiff_t n = longer - first < EDGEC_TRANSPOSE_CHUNK ? longer - first : EDGEC_TRANSPOSE_CHUNK;
    const float *from = (const float *)(const void *)x + edgec_row_offset(task / chunks, dims, around_x, rank);
    float *to = (float *)(void *)y + edgec_row_offset(task / chunks, dims, around_y, rank);
    if (columns >= rows)
      edgec_transpose_tile(from + first, sx, to + first * sy, sy, rows, n);
    else
      edgec_transpose_tile(from + first * sx, sx, to + first, sy, n, columns);
  }
}

#endif
