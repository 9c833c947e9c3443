/* PRelu of bytes (edgec.ir.ops.integer_rows). */
#ifndef EDGEC_QPRELU_H
#define EDGEC_QPRELU_H

#include "map.h"
#include "qshort.h"

typedef struct {
  int32_t x_zero, zero; /* the result's, less EDGEC_Q8_MIDDLE */
  int32_t positive, shift;
} edgec_qprelu_shape;

/* Slopes of so many registers of bytes that channels begin anew, in the order of halves. A task is EDGEC_MAP_CHUNK
   elements. y may be x. */
EDGEC_FN void edgec_qprelu(const edgec_q8 *x, const int16_t *slopes, edgec_q8 *y, ptrdiff_t n, ptrdiff_t registers,
                           const edgec_qprelu_shape *d, ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t stop = end * EDGEC_MAP_CHUNK < n ? end * EDGEC_MAP_CHUNK : n;
  const edgec_vh by = edgec_rounding(d->shift), x_zero = edgec_splat_h(128 * d->x_zero);
  const edgec_vh positive = edgec_splat_h(d->positive), zero = edgec_splat_h(d->zero);
  ptrdiff_t at = begin * (EDGEC_MAP_CHUNK / EDGEC_Q8_BLOCK) % registers;
  for (ptrdiff_t i = begin * EDGEC_MAP_CHUNK; i < stop; i += EDGEC_Q8_BLOCK) {
    const edgec_vq v = edgec_load_few(x + i, stop - i);
    edgec_vh z[2];
    EDGEC_UNROLL for (int h = 0; h < 2; h++) {
      const edgec_vh t = edgec_widen_128(v, h) - x_zero, below = (edgec_vh)(t < 0);
      const edgec_vh slope = edgec_load_h(slopes + (2 * at + h) * (EDGEC_Q8_BLOCK / 2));
      z[h] = edgec_rounded(edgec_r15(t, (below & slope) | (~below & positive)), by) + zero;
    }
    edgec_store_few(y + i, edgec_narrow_halves(z[0], z[1]), stop - i);
    at = at + 1 < registers ? at + 1 : 0;
  }
}

#endif
