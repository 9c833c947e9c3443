/* Between element types of different width: double to half without rounding twice, and floats to bf16. */
#ifndef EDGEC_CAST_H
#define EDGEC_CAST_H

#include "bf16.h"
#include "half.h"
#include "map.h"

/* The float towards zero of a double, with the last bit set where something was cut off: rounding that once more, to at
   most 22 bits, is rounding the double (Boldo and Melquiond, Emulation of FMA and correctly rounded sums, 2008). */
EDGEC_INLINE float edgec_f64_to_odd(double d) {
  const float f = (float)d;
  const double back = (double)f;
  uint32_t u = edgec_float_to_bits(f);
  if (back == d || d != d || edgec_abs(f) > 3.4028234e38f) return f;
  if ((back > d) == (d > 0.0)) u--;
  return edgec_bits_to_float(u | 1u);
}

/* A task is EDGEC_MAP_CHUNK elements. */
EDGEC_FN void edgec_to_bf16(const float *x, edgec_bf16 *y, ptrdiff_t n, ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t stop = end * EDGEC_MAP_CHUNK < n ? end * EDGEC_MAP_CHUNK : n;
  ptrdiff_t i = begin * EDGEC_MAP_CHUNK;
  for (; stop - i >= 4 * EDGEC_LANES; i += 4 * EDGEC_LANES) {
    edgec_vf v[4];
    edgec_load_run(v, x + i, 4);
    edgec_bstore_four(y + i, v);
  }
  for (ptrdiff_t left; (left = stop - i) > 0; i += EDGEC_LANES) {
    const ptrdiff_t few = left < EDGEC_LANES ? left : EDGEC_LANES;
    edgec_bstore_n(y + i, edgec_load_n(x + i, few), few);
  }
}

#endif
