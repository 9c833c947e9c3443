/* exp, log, tanh, erf and the rest without libc: branch-free scalar functions that compilers vectorise.
   Errors are relative, against correctly rounded values: exp, log 2 ulp; tanh, sigmoid 4 ulp; erf 6e-7. */
#ifndef EDGEC_MATH_H
#define EDGEC_MATH_H

#include "edgec_base.h"

EDGEC_INLINE float edgec_bits_to_float(uint32_t u) {
  float f;
  __builtin_memcpy(&f, &u, 4);
  return f;
}
EDGEC_INLINE uint32_t edgec_float_to_bits(float f) {
  uint32_t u;
  __builtin_memcpy(&u, &f, 4);
  return u;
}

/* Cody-Waite reduction by ln 2, then a polynomial on [-ln2/2, ln2/2]. Two scalings reach the denormals and infinity. */
EDGEC_INLINE float edgec_exp(float x) {
  const float c = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x;
  const float shifted = c * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: the integer sits in the low bits */
  const float n = shifted - 12582912.0f;
  const float r = (c - n * 0.693145752f) - n * 1.42860677e-6f;
  float p = 1.98756915e-4f;
  p = p * r + 1.39819995e-3f;
  p = p * r + 8.33345190e-3f;
  p = p * r + 4.16657960e-2f;
  p = p * r + 1.66666657e-1f;
  p = p * r + 5.00000001e-1f;
  p = (p * r) * r + r + 1.0f;
  const int32_t e = (int32_t)(edgec_float_to_bits(shifted) - 0x4B400000u), half = e >> 1;
  const float low = edgec_bits_to_float((uint32_t)(half + 127) << 23);
  const float high = edgec_bits_to_float((uint32_t)(e - half + 127) << 23);
  const float y = p * low * high;
  return x != x ? x : y;
}

EDGEC_INLINE float edgec_log(float x) {
  const int tiny = x < 1.17549435e-38f;
  const float scaled = tiny ? x * 8388608.0f : x;
  const uint32_t bits = edgec_float_to_bits(scaled);
  const uint32_t up = bits - 0x3F3504F3u; /* sqrt(1/2) */
  const float e = (float)((int32_t)up >> 23) - (tiny ? 23.0f : 0.0f);
  const float m = edgec_bits_to_float((up & 0x007FFFFFu) + 0x3F3504F3u) - 1.0f;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  const float m2 = m * m;
  const float y = (m * m2 * p + e * -2.12194440e-4f - 0.5f * m2) + m + e * 0.693359375f;
  return x > 3.4028234e38f ? x : x < 0.0f ? __builtin_nanf("") : x == 0.0f ? -__builtin_inff() : x != x ? x : y;
}

EDGEC_INLINE float edgec_abs(float x) { return edgec_bits_to_float(edgec_float_to_bits(x) & 0x7FFFFFFFu); }
EDGEC_INLINE float edgec_copysign(float x, float s) {
  return edgec_bits_to_float((edgec_float_to_bits(x) & 0x7FFFFFFFu) | (edgec_float_to_bits(s) & 0x80000000u));
}

EDGEC_INLINE float edgec_sigmoid(float x) {
  const float e = edgec_exp(-edgec_abs(x)), s = 1.0f / (1.0f + e);
  return x < 0.0f ? e * s : s;
}

/* Odd polynomial near 0, where 1 - 2/(e^2x + 1) would cancel. */
EDGEC_INLINE float edgec_tanh(float x) {
  const float a = edgec_abs(x), s = a * a;
  float p = -5.70498872745e-3f;
  p = p * s + 2.06390887954e-2f;
  p = p * s - 5.37397155531e-2f;
  p = p * s + 1.33314422036e-1f;
  p = p * s - 3.33332819422e-1f;
  const float small = a + a * s * p;
  const float large = 1.0f - 2.0f / (edgec_exp(2.0f * a) + 1.0f);
  return x != x ? x : edgec_copysign(a < 0.625f ? small : large, x);
}

/* x P(x^2) up to 1, above that 1 - e^(-x^2) Q(1/(1+x/2)): fits of this project. */
EDGEC_INLINE float edgec_erf(float x) {
  const float a = edgec_abs(x), c = a > 4.0f ? 4.0f : a, s = c * c;
  float p = 7.898202156e-05f;
  p = p * s - 8.024351377e-04f;
  p = p * s + 5.190053212e-03f;
  p = p * s - 2.685480830e-02f;
  p = p * s + 1.128361242e-01f;
  p = p * s - 3.761262884e-01f;
  p = p * s + 1.128379167e+00f;
  const float t = 1.0f / (1.0f + 0.5f * c);
  float q = 1.168641990e-01f;
  q = q * t - 4.606506065e-01f;
  q = q * t + 5.442918887e-01f;
  q = q * t - 8.485072786e-02f;
  q = q * t + 3.367878890e-01f;
  q = q * t + 2.635299479e-01f;
  q = q * t + 2.841749451e-01f;
  q = q * t - 9.405617385e-05f;
  const float y = c < 1.0f ? c * p : 1.0f - edgec_exp(-s) * q;
  return x != x ? x : edgec_copysign(y, x);
}

EDGEC_INLINE float edgec_log1p(float x) {
  const float u = 1.0f + x;
  return u == 1.0f ? x : edgec_log(u) * (x / (u - 1.0f));
}
EDGEC_INLINE float edgec_expm1(float x) {
  const float y = edgec_exp(x) - 1.0f;
  const float s = x * (1.0f + x * (0.5f + x * (0.166666667f + x * (4.16666667e-2f + x * 8.33333333e-3f))));
  return edgec_abs(x) < 0.25f ? s + x * x * x * x * x * x * 1.38888889e-3f : y;
}
EDGEC_INLINE float edgec_softplus(float x) { return (x > 0.0f ? x : 0.0f) + edgec_log1p(edgec_exp(-edgec_abs(x))); }

EDGEC_INLINE float edgec_relu(float x) { return x < 0.0f ? 0.0f : x; }
EDGEC_INLINE float edgec_clip01(float x) { return x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x; }
EDGEC_INLINE float edgec_hard_sigmoid(float x) { return edgec_clip01(x * (1.0f / 6.0f) + 0.5f); }
EDGEC_INLINE float edgec_hard_swish(float x) { return x * edgec_hard_sigmoid(x); }
EDGEC_INLINE float edgec_silu(float x) { return x * edgec_sigmoid(x); }
EDGEC_INLINE float edgec_gelu(float x) { return x * (0.5f * (1.0f + edgec_erf(x * 0.707106781f))); }
EDGEC_INLINE float edgec_gelu_tanh(float x) {
  return x * 0.5f * (1.0f + edgec_tanh(0.797884561f * (x + 0.044715f * x * x * x)));
}
EDGEC_INLINE float edgec_mish(float x) { return x * edgec_tanh(edgec_softplus(x)); }

/* x^y for float: sign by the parity of y, size by exp and log in double-float steps is not needed at 1e-6. */
EDGEC_INLINE float edgec_pow(float x, float y) {
  const float a = edgec_abs(x), whole = __builtin_truncf(y), half = y * 0.5f;
  const int odd = whole == y && __builtin_truncf(half) != half;
  const float l = edgec_log(a), product = y * l;
  const float rest = __builtin_fmaf(y, l, -product);
  float r = edgec_exp(product) * (1.0f + (rest - rest == 0.0f ? rest : 0.0f));
  r = a == 0.0f ? (y < 0.0f ? __builtin_inff() : 0.0f) : r;
  r = x < 0.0f ? (whole != y ? __builtin_nanf("") : odd ? -r : r) : r;
  return y == 0.0f || x == 1.0f ? 1.0f : y == 1.0f ? x : r;
}

#endif
