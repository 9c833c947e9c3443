/* Codes of numbers as floats in registers: bytes (I8), half bytes (I4, and E2M1, whose floats are 16 halves of integers), and
   the 8-bit floats E4M3 and E5M2, which are half precision of fewer bits. What decoding leaves out is in a scale that is
   multiplied later: 1/16 for I4, 1/2 for E2M1, 2^8 for E4M3.
   The codes of NaN and infinity are met nowhere (edgec.ir.encodings.nearest_float8). */
#ifndef EDGEC_CODES_H
#define EDGEC_CODES_H

#include "isa.h"

#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
EDGEC_INLINE edgec_vf edgec_short_scale(const uint8_t *p) {
  return (edgec_vf)vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16);
}
EDGEC_INLINE void edgec_four_of_i8(edgec_vf *v, int8x16_t x) {
  const int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_high_s8(x);
  v[0] = (edgec_vf)vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
  v[1] = (edgec_vf)vcvtq_f32_s32(vmovl_high_s16(low));
  v[2] = (edgec_vf)vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
  v[3] = (edgec_vf)vcvtq_f32_s32(vmovl_high_s16(high));
}
EDGEC_INLINE void edgec_four_of_f16(edgec_vf *v, int16x8_t low, int16x8_t high) {
  v[0] = (edgec_vf)vcvt_f32_f16(vget_low_f16(vreinterpretq_f16_s16(low)));
  v[1] = (edgec_vf)vcvt_high_f32_f16(vreinterpretq_f16_s16(low));
  v[2] = (edgec_vf)vcvt_f32_f16(vget_low_f16(vreinterpretq_f16_s16(high)));
  v[3] = (edgec_vf)vcvt_high_f32_f16(vreinterpretq_f16_s16(high));
}
/* Four vectors of 16 bytes. */
EDGEC_INLINE void edgec_decode_I8(edgec_vf *v, uint8x16_t x, int half) {
  (void)half;
  edgec_four_of_i8(v, vreinterpretq_s8_u8(x));
}
EDGEC_INLINE void edgec_decode_I4(edgec_vf *v, uint8x16_t x, int half) {
  edgec_four_of_i8(v, vreinterpretq_s8_u8(half ? vandq_u8(x, vdupq_n_u8(0xf0)) : vshlq_n_u8(x, 4)));
}
EDGEC_INLINE void edgec_decode_E2M1(edgec_vf *v, uint8x16_t x, int half) {
  const int8x16_t twice = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  edgec_four_of_i8(v, vqtbl1q_s8(twice, half ? vshrq_n_u8(x, 4) : vandq_u8(x, vdupq_n_u8(15))));
}
EDGEC_INLINE void edgec_decode_E5M2(edgec_vf *v, uint8x16_t x, int half) {
  (void)half;
  const uint8x16_t zero = vdupq_n_u8(0);
  edgec_four_of_f16(v, vreinterpretq_s16_u8(vzip1q_u8(zero, x)), vreinterpretq_s16_u8(vzip2q_u8(zero, x)));
}
/* The exponent has a bit less than that of half precision, and a bias that is 8 less. */
EDGEC_INLINE void edgec_decode_E4M3(edgec_vf *v, uint8x16_t x, int half) {
  (void)half;
  const uint8x16_t zero = vdupq_n_u8(0);
  const int16x8_t kept = vdupq_n_s16((int16_t)0xbfff);
  const int16x8_t low = vshrq_n_s16(vreinterpretq_s16_u8(vzip1q_u8(zero, x)), 1);
  const int16x8_t high = vshrq_n_s16(vreinterpretq_s16_u8(vzip2q_u8(zero, x)), 1);
  edgec_four_of_f16(v, vandq_s16(low, kept), vandq_s16(high, kept));
}
#else
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 16
EDGEC_INLINE edgec_vf edgec_short_scale(const uint8_t *p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
  return (edgec_vf)_mm512_slli_epi32(wide, 16);
}
typedef __m128i edgec_codes;
EDGEC_INLINE edgec_codes edgec_load_codes(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
EDGEC_INLINE edgec_vf edgec_of_i8(edgec_codes x) { return (edgec_vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(x)); }
EDGEC_INLINE edgec_vf edgec_decode_E5M2(edgec_codes x, int half) {
  (void)half;
  return (edgec_vf)_mm512_cvtph_ps(_mm256_slli_epi16(_mm256_cvtepu8_epi16(x), 8));
}
EDGEC_INLINE edgec_vf edgec_decode_E4M3(edgec_codes x, int half) {
  (void)half;
  const __m256i wide = _mm256_srai_epi16(_mm256_slli_epi16(_mm256_cvtepu8_epi16(x), 8), 1);
  return (edgec_vf)_mm512_cvtph_ps(_mm256_and_si256(wide, _mm256_set1_epi16((int16_t)0xbfff)));
}
#elif !defined(EDGEC_SCALAR)
EDGEC_INLINE edgec_vf edgec_short_scale(const uint8_t *p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
  return (edgec_vf)_mm256_slli_epi32(wide, 16);
}
typedef __m128i edgec_codes;
EDGEC_INLINE edgec_codes edgec_load_codes(const uint8_t *p) { return _mm_loadl_epi64((const __m128i *)(const void *)p); }
EDGEC_INLINE edgec_vf edgec_of_i8(edgec_codes x) { return (edgec_vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)); }
EDGEC_INLINE edgec_vf edgec_decode_E5M2(edgec_codes x, int half) {
  (void)half;
  return (edgec_vf)_mm256_cvtph_ps(_mm_slli_epi16(_mm_cvtepu8_epi16(x), 8));
}
EDGEC_INLINE edgec_vf edgec_decode_E4M3(edgec_codes x, int half) {
  (void)half;
  const __m128i wide = _mm_srai_epi16(_mm_slli_epi16(_mm_cvtepu8_epi16(x), 8), 1);
  return (edgec_vf)_mm256_cvtph_ps(_mm_and_si128(wide, _mm_set1_epi16((int16_t)0xbfff)));
}
#else
EDGEC_INLINE edgec_vf edgec_short_scale(const uint8_t *p) {
  edgec_vi v;
  for (int i = 0; i < EDGEC_LANES; i++) v[i] = (int32_t)((uint32_t)p[2 * i] << 16 | (uint32_t)p[2 * i + 1] << 24);
  return (edgec_vf)v;
}
typedef struct {
  uint8_t at[EDGEC_LANES];
} edgec_codes;
EDGEC_INLINE edgec_codes edgec_load_codes(const uint8_t *p) {
  edgec_codes x;
  __builtin_memcpy(x.at, p, sizeof x.at);
  return x;
}
EDGEC_INLINE edgec_vf edgec_of_i8(edgec_codes x) {
  edgec_vf v;
  for (int i = 0; i < EDGEC_LANES; i++) v[i] = (float)(int8_t)x.at[i];
  return v;
}
/* The bits of a byte's float in their places: so many of exponent and fraction, `times` for the bias. */
EDGEC_INLINE edgec_vf edgec_of_float8(edgec_codes x, int fraction, float times) {
  edgec_vi v;
  for (int i = 0; i < EDGEC_LANES; i++)
    v[i] = (int32_t)((uint32_t)(x.at[i] & 0x80) << 24 | (uint32_t)(x.at[i] & 0x7f) << (23 - fraction));
  return (edgec_vf)v * times;
}
EDGEC_INLINE edgec_vf edgec_decode_E5M2(edgec_codes x, int half) {
  (void)half;
  return edgec_of_float8(x, 2, 0x1p112f);
}
EDGEC_INLINE edgec_vf edgec_decode_E4M3(edgec_codes x, int half) {
  (void)half;
  return edgec_of_float8(x, 3, 0x1p112f);
}
#endif
EDGEC_INLINE edgec_vf edgec_decode_I8(edgec_codes x, int half) {
  (void)half;
  return edgec_of_i8(x);
}
EDGEC_INLINE edgec_vf edgec_decode_E2M1(edgec_codes x, int half) {
#if defined(EDGEC_SCALAR)
  static const int8_t twice[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  for (int i = 0; i < EDGEC_LANES; i++) x.at[i] = (uint8_t)twice[half ? x.at[i] >> 4 : x.at[i] & 15];
  return edgec_of_i8(x);
#else
  const edgec_codes twice = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
  return edgec_of_i8(_mm_shuffle_epi8(twice, _mm_and_si128(half ? _mm_srli_epi16(x, 4) : x, _mm_set1_epi8(15))));
#endif
}
EDGEC_INLINE edgec_vf edgec_decode_I4(edgec_codes x, int half) {
#if defined(EDGEC_SCALAR)
  for (int i = 0; i < EDGEC_LANES; i++) x.at[i] = half ? x.at[i] & 0xf0 : (uint8_t)(x.at[i] << 4);
  return edgec_of_i8(x);
#else
  return edgec_of_i8(_mm_and_si128(half ? x : _mm_slli_epi16(x, 4), _mm_set1_epi8((char)0xf0)));
#endif
}
#endif

/* A vector of scales of so many bytes. */
EDGEC_INLINE edgec_vf edgec_coded_scale(const uint8_t *p, int bytes) {
  return bytes == 2 ? edgec_short_scale(p) : edgec_load((const float *)(const void *)p);
}
/* What codes stand for; a difference of two of them is exact. */
EDGEC_INLINE edgec_vf edgec_coded_times(edgec_vf codes, int has_zero, edgec_vf zero, edgec_vf scale) {
  if (has_zero) codes -= zero;
  return codes * scale;
}

#endif
