/* Matmul over gemm.h: the right operand packed at compile time, or at run time. */
#ifndef EDGEC_MATMUL_H
#define EDGEC_MATMUL_H

#include "gemm.h"
#include "map.h"

#define edgec_act_fn EDGEC_NAMED(act_fn)
#define edgec_matmul_packed EDGEC_NAMED(matmul_packed)
#define edgec_matmul EDGEC_NAMED(matmul)
#define edgec_gemm_columns EDGEC_NAMED(gemm_columns)
#define edgec_gemm_pack EDGEC_NAMED(gemm_pack)
#define edgec_matmul_batched EDGEC_NAMED(matmul_batched)

typedef void (*edgec_act_fn)(edgec_result *y, ptrdiff_t n);

/* Matmul with a packed right operand: a [m][k] -> y [m][n]; a task is `chunk` rows, the last task what is left too. A
   column of b is b_column bytes. */
EDGEC_FN void edgec_matmul_packed(const edgec_left *a, const edgec_real *b, const edgec_real *bias, const edgec_real *r,
                                  edgec_result *y, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, ptrdiff_t b_column,
                                  ptrdiff_t chunk, float lo, float hi, const edgec_gemm_tiles *tiles, edgec_act_fn act,
                                  ptrdiff_t begin, ptrdiff_t end) {
  for (ptrdiff_t task = begin; task < end; task++) {
    const ptrdiff_t first = task * chunk, rows = m - first < 2 * chunk ? m - first : chunk;
    const edgec_left *from[1] = {a + first * k};
    const edgec_gemm_args t = {.a = from,
                               .segments = 1,
                               .length = k,
                               .a_stride = k,
                               .b = b,
                               .bias = bias,
                               .c = y + first * n,
                               .r = r ? r + first * n : 0,
                               .lo = lo,
                               .hi = hi,
                               .n = 0};
    const edgec_gemm_lines l = {.lines = 1, .pixels = rows, .c_pixel = n, .r_pixel = n, .k = b_column};
    edgec_gemm(&t, n, &l, tiles);
    if (act) act(y + first * n, rows * n);
  }
}

/* The same where b is not coded. */
EDGEC_FN void edgec_matmul(const edgec_left *a, const edgec_real *b, const edgec_real *bias, const edgec_real *r,
                           edgec_result *y, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, ptrdiff_t chunk, float lo, float hi,
                           const edgec_gemm_tiles *tiles, edgec_act_fn act, ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t b_column = k * (ptrdiff_t)sizeof(edgec_real);
  edgec_matmul_packed(a, b, bias, r, y, m, n, k, b_column, chunk, lo, hi, tiles, act, begin, end);
}

/* Columns of the panels of n columns. */
EDGEC_FN ptrdiff_t edgec_gemm_columns(ptrdiff_t n, const edgec_gemm_tiles *f) {
  const ptrdiff_t left = n - f->wide * f->nv * EDGEC_LANES, width = f->last_nv * EDGEC_LANES;
  return n - left + (left + width - 1) / width * width;
}

/* The right operand of a matmul at run time, b [k][n] or (transposed) [n][k], into panels. */
EDGEC_FN void edgec_gemm_pack(const edgec_real *b, edgec_real *to, ptrdiff_t k, ptrdiff_t n, const edgec_gemm_tiles *f,
                              ptrdiff_t transposed) {
  for (ptrdiff_t j = 0, width, wide = f->wide; j < n; j += width, wide--) {
    width = (wide > 0 ? f->nv : f->last_nv) * EDGEC_LANES;
    const ptrdiff_t real = n - j < width ? n - j : width;
    for (ptrdiff_t i = 0; i < k; i++) {
      for (ptrdiff_t l = 0; l < real; l++) to[l] = transposed ? b[(j + l) * k + i] : b[i * n + j + l];
      for (ptrdiff_t l = real; l < width; l++) to[l] = 0.0f;
      to += width;
    }
  }
}

/* Batches of a [m][k] by b [k][n] (transposed: [n][k]) -> y [m][n]; `panel` holds one packed b. Batches that share b
   pack it once. dims, sa, sb: lengths of the batch axes and the operands' strides over them, in floats. */
EDGEC_FN void edgec_matmul_batched(const edgec_left *a, const edgec_real *b, const edgec_real *bias, edgec_result *y,
                                   edgec_real *panel, const int64_t *dims, const int64_t *sa, const int64_t *sb,
                                   ptrdiff_t rank, ptrdiff_t batches, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                                   ptrdiff_t transposed, float lo, float hi, const edgec_gemm_tiles *tiles,
                                   edgec_act_fn act) {
  const edgec_real *packed = 0;
  for (ptrdiff_t i = 0; i < batches; i++) {
    const edgec_real *pb = b + edgec_row_offset(i, dims, sb, rank);
    if (pb != packed) edgec_gemm_pack(pb, panel, k, n, tiles, transposed);
    packed = pb;
    edgec_matmul(a + edgec_row_offset(i, dims, sa, rank), panel, bias, 0, y + i * m * n, m, n, k, m, lo, hi, tiles, act,
                 0, 1);
  }
}

#endif
