/* Codes of element types of 8 bits and fewer, as ir/narrow.py defines them; what is not float comes rounded to odd. */
#ifndef EDGEC_NARROW_H
#define EDGEC_NARROW_H

#include "cast.h"
#include "qtable.h"

/* The nearest number, half to even. `bias` is that of the exponent, `most` the code of the largest number, `beyond` what
   becomes of larger ones. Where the NaN is the code of -0, there is neither a -0 nor a sign of the NaN. */
EDGEC_INLINE uint8_t edgec_small_float(float x, int mantissa, int bias, uint32_t sign, uint32_t most, uint32_t beyond,
                                       uint32_t nan) {
  const uint32_t bits = edgec_float_to_bits(x), magnitude = bits & 0x7fffffffu;
  const int least = 1 - bias, own = (int)(magnitude >> 23) - 127, e = own < least ? least : own;
  uint32_t code = beyond;
  if (magnitude > 0x7f800000u) {
    code = nan;
  } else if (own < 17) { /* 2^17 is beyond all of them */
    const float steps = edgec_bits_to_float(magnitude) * edgec_bits_to_float((uint32_t)(127 + mantissa - e) << 23);
    code = (uint32_t)__builtin_rintf(steps) + ((uint32_t)(e - least) << mantissa);
    code = code > most ? beyond : code;
  }
  if (nan == sign && (code == 0 || code == nan)) return (uint8_t)code;
  return (uint8_t)(code | (bits >> 31 ? sign : 0));
}

/* 2^(code - 127), without a sign; 255 is NaN. `up` is from which fraction on, of 2^23, a number goes to the next power:
   1, 2^22 or, never, 2^23. */
EDGEC_INLINE uint8_t edgec_power_of_two(float x, uint32_t up, int saturate) {
  const uint32_t bits = edgec_float_to_bits(x);
  const uint32_t least = 0x00400000u, most = 0x7f000000u; /* 2^-127 and 2^127 */
  if (x != x || x < 0.0f || (!saturate && (bits << 1 == 0 || bits < least || bits > most))) return 255;
  if (bits << 1 == 0 || bits <= least) return 0;
  if (bits >= most) return 254;
  /* below 2^-126 the fraction is one of 2^22 */
  const uint32_t fraction = bits < 0x00800000u ? (bits - least) << 1 : bits & 0x007fffffu;
  return (uint8_t)((bits >> 23) + (fraction >= up));
}

#endif
