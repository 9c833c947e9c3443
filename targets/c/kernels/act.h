/* Activations over finished rows: what conv and matmul run while a row is still in cache. */
#ifndef EDGEC_ACT_H
#define EDGEC_ACT_H

#include "edgec_vmath.h"

#define EDGEC_ACT(NAME) \
  EDGEC_NOINLINE void edgec_act_##NAME(float *y, ptrdiff_t n) { EDGEC_VROW(NAME, y, y, n); }

EDGEC_FN void edgec_clamp_row(float *y, ptrdiff_t n, float lo, float hi) {
  for (ptrdiff_t i = 0; i < n; i++) y[i] = y[i] < lo ? lo : y[i] > hi ? hi : y[i];
}

#endif
