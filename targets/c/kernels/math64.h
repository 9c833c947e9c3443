/* exp, log, powers, remainders and the trigonometric functions in double, without libc: an exact reduction of the
   argument, then the Taylor series on what is left. Relative error below 1e-15 except where said. The float forms of
   sin, cos … are these, rounded once. */
#ifndef EDGEC_MATH64_H
#define EDGEC_MATH64_H

#include "map.h"

EDGEC_INLINE double edgec_f64_of_bits(uint64_t u) {
  double d;
  __builtin_memcpy(&d, &u, 8);
  return d;
}
EDGEC_INLINE uint64_t edgec_f64_bits(double d) {
  uint64_t u;
  __builtin_memcpy(&u, &d, 8);
  return u;
}
EDGEC_INLINE double edgec_f64_abs(double x) { return edgec_f64_of_bits(edgec_f64_bits(x) & INT64_MAX); }
EDGEC_INLINE double edgec_f64_copysign(double x, double s) {
  return edgec_f64_of_bits((edgec_f64_bits(x) & INT64_MAX) | (edgec_f64_bits(s) & (uint64_t)INT64_MIN));
}

/* x = n ln 2 + r with |r| <= ln 2 / 2; the sum of r^k / k! up to 13. */
EDGEC_FN double edgec_f64_exp(double x) {
  const double c = x < -746.0 ? -746.0 : x > 710.0 ? 710.0 : x == x ? x : 0.0;
  const double n = __builtin_rint(c * 1.4426950408889634);
  const double r = (c - n * 0.6931467056274414) - n * 4.7493250390316726e-07;
  double p = 1.6059043836821613e-10;
  p = p * r + 2.08767569878681e-09;
  p = p * r + 2.505210838544172e-08;
  p = p * r + 2.755731922398589e-07;
  p = p * r + 2.7557319223985893e-06;
  p = p * r + 2.48015873015873e-05;
  p = p * r + 0.0001984126984126984;
  p = p * r + 0.001388888888888889;
  p = p * r + 0.008333333333333333;
  p = p * r + 0.041666666666666664;
  p = p * r + 0.16666666666666666;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const int64_t e = (int64_t)n, half = e / 2;
  const double low = edgec_f64_of_bits((uint64_t)(half + 1023) << 52);
  const double high = edgec_f64_of_bits((uint64_t)(e - half + 1023) << 52);
  return x != x ? x : p * low * high;
}

EDGEC_FN double edgec_f64_expm1(double x) {
  if (!(edgec_f64_abs(x) < 0.5)) return edgec_f64_exp(x) - 1.0;
  double p = 4.779477332387385e-14;
  p = p * x + 7.647163731819816e-13;
  p = p * x + 1.1470745597729725e-11;
  p = p * x + 1.6059043836821613e-10;
  p = p * x + 2.08767569878681e-09;
  p = p * x + 2.505210838544172e-08;
  p = p * x + 2.755731922398589e-07;
  p = p * x + 2.7557319223985893e-06;
  p = p * x + 2.48015873015873e-05;
  p = p * x + 0.0001984126984126984;
  p = p * x + 0.001388888888888889;
  p = p * x + 0.008333333333333333;
  p = p * x + 0.041666666666666664;
  p = p * x + 0.16666666666666666;
  p = p * x + 0.5;
  p = p * x + 1.0;
  return p * x;
}

/* x = 2^e m with m in [sqrt 1/2, sqrt 2); log m = 2 artanh((m - 1) / (m + 1)). */
EDGEC_FN double edgec_f64_log(double x) {
  if (x != x || x > 1.7976931348623157e308) return x;
  if (x <= 0.0) return x < 0.0 ? __builtin_nan("") : -__builtin_inf();
  const int tiny = x < 2.2250738585072014e-308;
  const uint64_t bits = edgec_f64_bits(tiny ? x * 18014398509481984.0 : x), up = bits - 0x3FE6A09E667F3BCDu;
  const double e = (double)((int64_t)up >> 52) - (tiny ? 54.0 : 0.0);
  const double m = edgec_f64_of_bits((up & 0x000FFFFFFFFFFFFFu) + 0x3FE6A09E667F3BCDu) - 1.0;
  const double s = m / (2.0 + m), z = s * s;
  double p = 0.0;
  for (int k = 23; k > 1; k -= 2) p = (p + 1.0 / (double)k) * z;
  return e * 0.6931467056274414 + (e * 4.7493250390316726e-07 + (2.0 * s * p + 2.0 * s));
}
EDGEC_FN double edgec_f64_log1p(double x) {
  const double u = 1.0 + x;
  return u == 1.0 ? x : x > 1e16 ? edgec_f64_log(x) : edgec_f64_log(u) * (x / (u - 1.0));
}

/* Relative error |y log x| 1e-16. */
EDGEC_FN double edgec_f64_pow(double x, double y) {
  if (y == 0.0 || x == 1.0) return 1.0;
  const double a = edgec_f64_abs(x), whole = __builtin_trunc(y);
  const int odd = whole == y && __builtin_trunc(y * 0.5) != y * 0.5;
  double r = a == 0.0 ? (y < 0.0 ? __builtin_inf() : 0.0) : a == 1.0 ? 1.0 : edgec_f64_exp(y * edgec_f64_log(a));
  if (edgec_f64_bits(x) >> 63) r = odd ? -r : x < 0.0 && whole != y ? __builtin_nan("") : r;
  return x != x || y != y ? __builtin_nan("") : y == 1.0 ? x : r;
}

/* x 2/pi modulo 4 for any x from 2^20 on, after Payne and Hanek (Radian reduction for trigonometric functions, 1983):
   bits of 2/pi whose products are multiples of 4 are left out, 192 bits of it are multiplied exactly. */
EDGEC_FN int edgec_f64_far_quadrant(double x, double *rest) {
  static const uint64_t table[21] = {
      0, /* the binary point */
      0xA2F9836E4E441529u, 0xFC2757D1F534DDC0u, 0xDB6295993C439041u, 0xFE5163ABDEBBC561u, 0xB7246E3A424DD2E0u,
      0x06492EEA09D1921Cu, 0xFE1DEB1CB129A73Eu, 0xE88235F52EBB4484u, 0xE99C7026B45F7E41u, 0x3991D639835339F4u,
      0x9C845F8BBDF9283Bu, 0x1FF897FFDE05980Fu, 0xEF2F118B5A0A6D1Fu, 0x6D367ECF27CB09B7u, 0x4F463F669E5FEA2Du,
      0x7527BAC7EBE5F17Bu, 0x3D0739F78A5292EAu, 0x6BFB5FB11F8D5D08u, 0x56033046FC7B6BABu, 0xF0CFBC209AF4361Du};
  const uint64_t bits = edgec_f64_bits(x), m = (bits & 0x000FFFFFFFFFFFFFu) | 0x0010000000000000u;
  const int first = (int)(bits >> 52 & 0x7FF) - 1075 - 2 + 64, word = first >> 6, shift = first & 63;
  uint64_t w[3], low;
  for (int i = 0; i < 3; i++)
    w[i] = shift ? table[word + i] << shift | table[word + i + 1] >> (64 - shift) : table[word + i];
  unsigned __int128 sum = (unsigned __int128)m * w[2];
  sum = (unsigned __int128)m * w[1] + (uint64_t)(sum >> 64);
  low = (uint64_t)sum;
  const uint64_t high = m * w[0] + (uint64_t)(sum >> 64);
  const int64_t signed_high = (int64_t)(high << 2 | low >> 62); /* what is left of 2 bits of quadrant, in [-1/2, 1/2) */
  const double turns = (double)signed_high * 5.421010862427522e-20 + (double)(low << 2) * 2.938735877055719e-39;
  *rest = turns * 1.5707963267948966;
  return (int)((high >> 62) + (uint64_t)(signed_high < 0)) & 3;
}

/* |x| = quadrant pi/2 + rest. */
EDGEC_FN int edgec_f64_quadrant(double x, double *rest) {
  if (x >= 1048576.0) return edgec_f64_far_quadrant(x, rest);
  const double n = __builtin_rint(x * 0.6366197723675814);
  double r = __builtin_fma(-n, 1.5707963267948966, x);
  r = __builtin_fma(-n, 6.123233995736766e-17, r);
  *rest = __builtin_fma(n, 1.4973849048591698e-33, r);
  return (int)n & 3;
}

EDGEC_FN double edgec_f64_sine(double r) {
  const double s = r * r;
  double p = -8.22063524662433e-18;
  p = p * s + 2.8114572543455206e-15;
  p = p * s - 7.647163731819816e-13;
  p = p * s + 1.6059043836821613e-10;
  p = p * s - 2.505210838544172e-08;
  p = p * s + 2.7557319223985893e-06;
  p = p * s - 0.0001984126984126984;
  p = p * s + 0.008333333333333333;
  p = p * s - 0.16666666666666666;
  p = p * s + 1.0;
  return p * r;
}
EDGEC_FN double edgec_f64_cosine(double r) {
  const double s = r * r;
  double p = 4.110317623312165e-19;
  p = p * s - 1.5619206968586225e-16;
  p = p * s + 4.779477332387385e-14;
  p = p * s - 1.1470745597729725e-11;
  p = p * s + 2.08767569878681e-09;
  p = p * s - 2.755731922398589e-07;
  p = p * s + 2.48015873015873e-05;
  p = p * s - 0.001388888888888889;
  p = p * s + 0.041666666666666664;
  p = p * s - 0.5;
  p = p * s + 1.0;
  return p;
}
EDGEC_FN double edgec_f64_sin(double x) {
  const double a = edgec_f64_abs(x);
  double r;
  if (!(a <= 1.7976931348623157e308)) return x - x;
  const int q = edgec_f64_quadrant(a, &r);
  const double y = q & 1 ? edgec_f64_cosine(r) : edgec_f64_sine(r);
  return (q & 2) != 0 ? (x < 0.0 ? y : -y) : edgec_f64_bits(x) >> 63 ? -y : y;
}
EDGEC_FN double edgec_f64_cos(double x) {
  const double a = edgec_f64_abs(x);
  double r;
  if (!(a <= 1.7976931348623157e308)) return x - x;
  const int q = edgec_f64_quadrant(a, &r);
  const double y = q & 1 ? edgec_f64_sine(r) : edgec_f64_cosine(r);
  return q == 1 || q == 2 ? -y : y;
}
EDGEC_FN double edgec_f64_tan(double x) { return edgec_f64_sin(x) / edgec_f64_cos(x); }

/* Two halvings of the angle leave |t| <= tan pi/16. */
EDGEC_FN double edgec_f64_atan(double x) {
  const double a = edgec_f64_abs(x);
  double t = a > 1.0 ? 1.0 / a : a, p = 0.0;
  t = t / (1.0 + __builtin_sqrt(1.0 + t * t));
  t = t / (1.0 + __builtin_sqrt(1.0 + t * t));
  const double z = t * t;
  for (int k = 25; k > 1; k -= 2) p = (1.0 / (double)k - p) * z;
  const double y = 4.0 * (t - t * p);
  return x != x ? x : edgec_f64_copysign(a > 1.0 ? 1.5707963267948966 - y : y, x);
}
EDGEC_FN double edgec_f64_asin(double x) { return edgec_f64_atan(x / __builtin_sqrt((1.0 - x) * (1.0 + x))); }
EDGEC_FN double edgec_f64_acos(double x) { return 2.0 * edgec_f64_atan(__builtin_sqrt((1.0 - x) / (1.0 + x))); }

EDGEC_FN double edgec_f64_sinh(double x) {
  const double a = edgec_f64_abs(x), half = edgec_f64_exp(0.5 * a), e = edgec_f64_expm1(a);
  return edgec_f64_copysign(a > 40.0 ? half * 0.5 * half : 0.5 * (e + e / (e + 1.0)), x);
}
EDGEC_FN double edgec_f64_cosh(double x) {
  const double half = edgec_f64_exp(0.5 * edgec_f64_abs(x));
  return half * 0.5 * half + 0.5 / half / half;
}
EDGEC_FN double edgec_f64_tanh(double x) {
  const double a = edgec_f64_abs(x), e = edgec_f64_expm1(2.0 * a);
  return x != x ? x : edgec_f64_copysign(a > 20.0 ? 1.0 : e / (e + 2.0), x);
}
EDGEC_FN double edgec_f64_asinh(double x) {
  const double a = edgec_f64_abs(x), s = a * a;
  const double y = a > 1e150 ? edgec_f64_log(a) + 0.6931471805599453
                             : edgec_f64_log1p(a + s / (1.0 + __builtin_sqrt(s + 1.0)));
  return x != x ? x : edgec_f64_copysign(y, x);
}
EDGEC_FN double edgec_f64_acosh(double x) {
  const double t = x - 1.0;
  return x > 1e150 ? edgec_f64_log(x) + 0.6931471805599453 : edgec_f64_log1p(t + __builtin_sqrt(t * (x + 1.0)));
}
EDGEC_FN double edgec_f64_atanh(double x) {
  const double a = edgec_f64_abs(x);
  return x != x ? x : edgec_f64_copysign(0.5 * edgec_f64_log1p(2.0 * a / (1.0 - a)), x);
}

/* 2/sqrt(pi) e^(-x^2) x sum (2 x^2)^n / (1 3 5 … (2n+1)), whose terms are positive; 1 from 6 on. Relative error 1e-14. */
EDGEC_FN double edgec_f64_erf(double x) {
  const double a = edgec_f64_abs(x);
  if (a >= 6.0 || x != x) return x != x ? x : edgec_f64_copysign(1.0, x);
  double term = x, sum = x;
  for (int n = 1; n < 200 && edgec_f64_abs(term) > edgec_f64_abs(sum) * 1e-17; n++) {
    term *= 2.0 * x * x / (double)(2 * n + 1);
    sum += term;
  }
  return 1.1283791670955126 * edgec_f64_exp(-x * x) * sum;
}
EDGEC_FN double edgec_f64_sigmoid(double x) {
  const double e = edgec_f64_exp(-edgec_f64_abs(x));
  return (x < 0.0 ? e : 1.0) / (1.0 + e);
}
EDGEC_FN double edgec_f64_softplus(double x) {
  return (x > 0.0 ? x : 0.0) + edgec_f64_log1p(edgec_f64_exp(-edgec_f64_abs(x)));
}

/* The exact remainder with x's sign: every step takes one bit of the quotient, and no step rounds. */
EDGEC_FN double edgec_f64_fmod(double x, double z) {
  double a = edgec_f64_abs(x), b = edgec_f64_abs(z), t = b;
  if (!(b > 0.0) || !(a <= 1.7976931348623157e308)) return __builtin_nan("");
  if (b > a) return x;
  while (t <= a * 0.5) t += t;
  for (; t >= b; t *= 0.5)
    if (a >= t) a -= t;
  return edgec_f64_copysign(a, x);
}
/* The remainder with z's sign. */
EDGEC_FN double edgec_f64_mod(double x, double z) {
  const double r = edgec_f64_fmod(x, z);
  return r == 0.0 ? edgec_f64_copysign(r, z) : (r < 0.0) != (z < 0.0) ? r + z : r;
}

/* Whole powers of integers by squaring; they wrap. A negative exponent leaves what 1 / x truncates to. */
EDGEC_FN uint64_t edgec_whole_pow(uint64_t x, int64_t y) {
  if (y < 0) return x == 1 ? 1 : x == UINT64_MAX ? (y & 1 ? x : 1) : 0;
  uint64_t r = 1;
  for (; y; y >>= 1, x *= x)
    if (y & 1) r *= x;
  return r;
}

#endif
