/* Between element types of different width: double to half without rounding twice. */
#ifndef EDGEC_CAST_H
#define EDGEC_CAST_H

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

#endif
