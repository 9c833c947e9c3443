/* Activations over finished rows: what conv and matmul run while a row is still in cache. */
#ifndef EDGEC_ACT_H
#define EDGEC_ACT_H

#include "edgec_vmath.h"

#define edgec_clamp_row EDGEC_NAMED(clamp_row)

#define EDGEC_ACT(NAME) \
  EDGEC_NOINLINE void EDGEC_NAMED(act_##NAME)(edgec_real *y, ptrdiff_t n) { EDGEC_VROW(NAME, y, y, n); }

EDGEC_FN void edgec_clamp_row(edgec_real *y, ptrdiff_t n, float lo, float hi) {
  for (ptrdiff_t i = 0; i < n; i++) y[i] = (edgec_real)(y[i] < lo ? lo : y[i] > hi ? hi : y[i]);
}

#endif
