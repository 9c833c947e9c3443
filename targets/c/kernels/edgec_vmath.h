/* exp, tanh, erf, sigmoid and the activations on whole vectors: the polynomials of edgec_math.h, one register at a
   time. Tails go through the same code as masked vectors, so a value does not depend on where in its row it stands. */
#ifndef EDGEC_VMATH_H
#define EDGEC_VMATH_H

#include "edgec_math.h"
#include "isa.h"

/* Lanes 0 … n-1 are all ones. */
EDGEC_INLINE edgec_vi edgec_lanes_below(ptrdiff_t n) {
#if EDGEC_LANES == 16
  const edgec_vi lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif EDGEC_LANES == 8
  const edgec_vi lane = {0, 1, 2, 3, 4, 5, 6, 7};
#else
  const edgec_vi lane = {0, 1, 2, 3};
#endif
  return (edgec_vi)(lane < (int32_t)n);
}
EDGEC_INLINE edgec_vf edgec_vabs(edgec_vf x) { return (edgec_vf)((edgec_vi)x & 0x7FFFFFFF); }
EDGEC_INLINE edgec_vf edgec_vcopysign(edgec_vf x, edgec_vf s) {
  return (edgec_vf)(((edgec_vi)x & 0x7FFFFFFF) | ((edgec_vi)s & ~0x7FFFFFFF));
}
EDGEC_INLINE float edgec_vsum(edgec_vf v) {
  float sum = 0.0f;
  EDGEC_UNROLL for (int i = 0; i < EDGEC_LANES; i++) sum += v[i];
  return sum;
}

/* exp(c) = 2^e p: c is within bounds or no number, which p then is, too. */
EDGEC_INLINE edgec_vf edgec_vexp_part(edgec_vf c, edgec_vi *e) {
  const edgec_vf shifted = c * 1.44269504f + 12582912.0f;
  const edgec_vf n = shifted - 12582912.0f;
  const edgec_vf r = (c - n * 0.693145752f) - n * 1.42860677e-6f;
  edgec_vf p = edgec_splat(1.98756915e-4f);
  p = p * r + 1.39819995e-3f;
  p = p * r + 8.33345190e-3f;
  p = p * r + 4.16657960e-2f;
  p = p * r + 1.66666657e-1f;
  p = p * r + 5.00000001e-1f;
  *e = (edgec_vi)shifted - 0x4B400000;
  return (p * r) * r + r + 1.0f;
}
EDGEC_INLINE edgec_vf edgec_vexp(edgec_vf x) {
  edgec_vi e;
  const edgec_vf p = edgec_vexp_part(edgec_clamp(x, edgec_splat(-104.0f), edgec_splat(89.0f)), &e);
  const edgec_vi half = e >> 1;
  return p * (edgec_vf)((half + 127) << 23) * (edgec_vf)((e - half + 127) << 23);
}
/* For x <= 0; what would be denormal is 0. */
EDGEC_INLINE edgec_vf edgec_vexp_low(edgec_vf x) {
  edgec_vi e;
  const edgec_vf p = edgec_vexp_part(edgec_vmax(edgec_splat(-87.0f), x), &e);
  return edgec_select((edgec_vi)(x < -87.0f), edgec_splat(0.0f), p * (edgec_vf)((e + 127) << 23));
}

EDGEC_INLINE edgec_vf edgec_vsigmoid(edgec_vf x) {
  const edgec_vf e = edgec_vexp_low(-edgec_vabs(x)), s = 1.0f / (1.0f + e);
  return edgec_select((edgec_vi)(x < 0.0f), e * s, s);
}
EDGEC_INLINE edgec_vf edgec_vtanh(edgec_vf x) {
  const edgec_vf a = edgec_vabs(x), s = a * a;
  edgec_vf p = edgec_splat(-5.70498872745e-3f);
  p = p * s + 2.06390887954e-2f;
  p = p * s - 5.37397155531e-2f;
  p = p * s + 1.33314422036e-1f;
  p = p * s - 3.33332819422e-1f;
  const edgec_vf small = a + a * s * p;
  const edgec_vf e = edgec_vexp_low(-2.0f * a), large = (1.0f - e) / (1.0f + e);
  return edgec_vcopysign(edgec_select((edgec_vi)(a < 0.625f), small, large), x);
}
EDGEC_INLINE edgec_vf edgec_verf(edgec_vf x) {
  const edgec_vf a = edgec_vabs(x), c = edgec_vmin(edgec_splat(4.0f), a), s = c * c;
  edgec_vf p = edgec_splat(7.898202156e-05f);
  p = p * s - 8.024351377e-04f;
  p = p * s + 5.190053212e-03f;
  p = p * s - 2.685480830e-02f;
  p = p * s + 1.128361242e-01f;
  p = p * s - 3.761262884e-01f;
  p = p * s + 1.128379167e+00f;
  const edgec_vf t = 1.0f / (1.0f + 0.5f * c);
  edgec_vf q = edgec_splat(1.168641990e-01f);
  q = q * t - 4.606506065e-01f;
  q = q * t + 5.442918887e-01f;
  q = q * t - 8.485072786e-02f;
  q = q * t + 3.367878890e-01f;
  q = q * t + 2.635299479e-01f;
  q = q * t + 2.841749451e-01f;
  q = q * t - 9.405617385e-05f;
  const edgec_vf y = edgec_select((edgec_vi)(c < 1.0f), c * p, 1.0f - edgec_vexp_low(-s) * q);
  return edgec_vcopysign(y, x);
}

EDGEC_INLINE edgec_vf edgec_vhard_sigmoid(edgec_vf x) {
  return edgec_clamp(x * (1.0f / 6.0f) + 0.5f, edgec_splat(0.0f), edgec_splat(1.0f));
}
EDGEC_INLINE edgec_vf edgec_vhard_swish(edgec_vf x) { return x * edgec_vhard_sigmoid(x); }
EDGEC_INLINE edgec_vf edgec_vsilu(edgec_vf x) { return x * edgec_vsigmoid(x); }
EDGEC_INLINE edgec_vf edgec_vgelu(edgec_vf x) { return x * (0.5f * (1.0f + edgec_verf(x * 0.707106781f))); }
/* 0.5 (1 + tanh u) is the sigmoid of 2 u. */
EDGEC_INLINE edgec_vf edgec_vgelu_tanh(edgec_vf x) {
  return x * edgec_vsigmoid(1.595769122f * (x + 0.044715f * x * x * x));
}

/* y[i] = edgec_vFUNCTION(x[i]); y may be x. Two vectors at a time. */
#define EDGEC_VROW(FUNCTION, X, Y, N)                                                                        \
  do {                                                                                                       \
    ptrdiff_t at_ = 0;                                                                                       \
    for (; at_ + 2 * EDGEC_LANES <= (N); at_ += 2 * EDGEC_LANES) {                                           \
      const edgec_vf first_ = edgec_load((X) + at_), second_ = edgec_load((X) + at_ + EDGEC_LANES);          \
      edgec_store((Y) + at_, edgec_v##FUNCTION(first_));                                                     \
      edgec_store((Y) + at_ + EDGEC_LANES, edgec_v##FUNCTION(second_));                                      \
    }                                                                                                        \
    for (; at_ < (N); at_ += EDGEC_LANES) {                                                                  \
      const ptrdiff_t n_ = (N) - at_ < EDGEC_LANES ? (N) - at_ : EDGEC_LANES;                                \
      edgec_store_n((Y) + at_, edgec_v##FUNCTION(edgec_load_n((X) + at_, n_)), n_);                          \
    }                                                                                                        \
  } while (0)

#endif
