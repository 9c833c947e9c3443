/* Matmul of bytes by constant weights, over qgemm.h. */
#ifndef EDGEC_QMATMUL_H
#define EDGEC_QMATMUL_H

#include "qgemm.h"

/* a [m][k] -> y [m][n]; a task is `chunk` rows, the last task what is left too. y are bytes, or int32_t where by is
   null. r [m][n] is added times r_steps, or both are null. A column of b is b_column bytes. */
EDGEC_FN void edgec_qmatmul(const edgec_q8 *a, const int8_t *b, const int32_t *bias, const int32_t *by,
                            const edgec_q8 *r, const int32_t *r_steps, void *y, ptrdiff_t m,
                            ptrdiff_t n, ptrdiff_t k, ptrdiff_t b_column, ptrdiff_t chunk, int32_t lo, int32_t hi,
                            const edgec_qgemm_tiles *tiles, ptrdiff_t begin, ptrdiff_t end) {
  for (ptrdiff_t task = begin; task < end; task++) {
    const ptrdiff_t first = task * chunk, rows = m - first < 2 * chunk ? m - first : chunk;
    const ptrdiff_t groups = (k + tiles->group - 1) / tiles->group;
    const edgec_q8 *from[1] = {a + first * k};
    const edgec_qgemm_args t = {.a = from,
                                .segments = 1,
                                .groups = groups,
                                .a_stride = k,
                                .b = b,
                                .bias = bias,
                                .by = by,
                                .c = (char *)y + first * n * tiles->size,
                                .r = r ? r + first * n : 0,
                                .r_steps = r_steps,
                                .lo = lo,
                                .hi = hi,
                                .n = 0};
    const edgec_qgemm_lines l = {.lines = 1, .pixels = rows, .c_pixel = n, .r_pixel = n, .k = b_column};
    edgec_qgemm(&t, n, &l, tiles);
  }
}

#endif
