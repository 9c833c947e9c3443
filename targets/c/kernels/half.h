/* Element types as C sees them: EDGEC_GET and EDGEC_PUT take a stored number to the type it is computed in and back.
   bf16 is stored as its bits; halves are computed in float and rounded once. */
#ifndef EDGEC_HALF_H
#define EDGEC_HALF_H

#include "edgec_base.h"

EDGEC_INLINE float edgec_bf16_to_float(uint16_t b) {
  const uint32_t u = (uint32_t)b << 16;
  float f;
  __builtin_memcpy(&f, &u, 4);
  return f;
}

/* To nearest, ties to even; a NaN stays a NaN. */
EDGEC_INLINE uint16_t edgec_bf16_from_float(float f) {
  uint32_t u;
  __builtin_memcpy(&u, &f, 4);
  if (f != f) return (uint16_t)(u >> 16 | 0x40u);
  return (uint16_t)((u + 0x7FFFu + (u >> 16 & 1u)) >> 16);
}

#define EDGEC_GET_SAME(x) (x)
#define EDGEC_PUT_SAME(x) (x)
#define EDGEC_GET_F16(x) ((float)(x))
#define EDGEC_PUT_F16(x) ((_Float16)(x))
#define EDGEC_GET_BF16(x) edgec_bf16_to_float(x)
#define EDGEC_PUT_BF16(x) edgec_bf16_from_float((float)(x))
#define EDGEC_GET_BOOL(x) ((uint8_t)((x) != 0))
#define EDGEC_PUT_BOOL(x) ((uint8_t)((x) != 0))

#endif
