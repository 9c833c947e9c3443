/* A table of 256 entries, read by bytes; entry 0 is for the lowest number: `flip` is 0x80 where bytes are signed. */
#ifndef EDGEC_QTABLE_H
#define EDGEC_QTABLE_H

#include "map.h"

/* A task is EDGEC_MAP_CHUNK elements. y may be x where they are of one size. */
#define EDGEC_TABLE(NAME, T)                                                                                       \
  EDGEC_FN void edgec_##NAME(const uint8_t *x, const T *table, T *y, ptrdiff_t n, ptrdiff_t flip, ptrdiff_t begin, \
                             ptrdiff_t end) {                                                                      \
    const ptrdiff_t stop = end * EDGEC_MAP_CHUNK < n ? end * EDGEC_MAP_CHUNK : n;                                  \
    for (ptrdiff_t i = begin * EDGEC_MAP_CHUNK; i < stop; i++) y[i] = table[x[i] ^ flip];                          \
  }

/* The entries of register after register of bytes. */
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 16 && defined(__AVX512BW__)
enum { EDGEC_TABLE_BYTES = 64 };
#if defined(__AVX512VBMI__)
typedef struct {
  __m512i part[4], flip;
} edgec_table;
EDGEC_INLINE __m512i edgec_look_up(const edgec_table *t, __m512i x) {
  const __m512i at = _mm512_xor_si512(x, t->flip);
  const __m512i low = _mm512_permutex2var_epi8(t->part[0], at, t->part[1]);
  const __m512i high = _mm512_permutex2var_epi8(t->part[2], at, t->part[3]);
  return _mm512_mask_blend_epi8(_mm512_movepi8_mask(at), low, high);
}
#else
typedef struct {
  __m512i part[4], flip;
} edgec_table;
/* Entries two by two, as 16-bit words, which a permutation finds by 16-bit places. */
EDGEC_INLINE __m512i edgec_look_up(const edgec_table *t, __m512i x) {
  const __m512i at = _mm512_xor_si512(x, t->flip), byte = _mm512_set1_epi16(255);
  __m512i found[2];
  EDGEC_UNROLL for (int odd = 0; odd < 2; odd++) {
    const __m512i place = odd ? _mm512_srli_epi16(at, 8) : _mm512_and_si512(at, byte);
    const __m512i pair = _mm512_srli_epi16(place, 1);
    const __m512i low = _mm512_permutex2var_epi16(t->part[0], pair, t->part[1]);
    const __m512i high = _mm512_permutex2var_epi16(t->part[2], pair, t->part[3]);
    const __m512i words = _mm512_mask_blend_epi16(_mm512_test_epi16_mask(place, _mm512_set1_epi16(128)), low, high);
    /* the upper byte of the pair, where the place is odd */
    const __m512i shift = _mm512_slli_epi16(_mm512_and_si512(place, _mm512_set1_epi16(1)), 3);
    found[odd] = _mm512_srlv_epi16(words, shift);
  }
  return _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaa, found[0], _mm512_slli_epi16(found[1], 8));
}
#endif
EDGEC_INLINE edgec_table edgec_table_of(const uint8_t *table, ptrdiff_t flip) {
  edgec_table t;
  EDGEC_UNROLL for (int i = 0; i < 4; i++) t.part[i] = _mm512_loadu_si512(table + 64 * i);
  t.flip = _mm512_set1_epi8((char)flip);
  return t;
}
EDGEC_INLINE void edgec_look_up_block(const edgec_table *t, const uint8_t *x, uint8_t *y) {
  _mm512_storeu_si512(y, edgec_look_up(t, _mm512_loadu_si512(x)));
}
#elif !defined(EDGEC_SCALAR) && defined(__ARM_NEON)
enum { EDGEC_TABLE_BYTES = 16 };
typedef struct {
  uint8x16x4_t part[4];
  uint8x16_t flip;
} edgec_table;
EDGEC_INLINE edgec_table edgec_table_of(const uint8_t *table, ptrdiff_t flip) {
  edgec_table t;
  EDGEC_UNROLL for (int i = 0; i < 4; i++) t.part[i] = vld1q_u8_x4(table + 64 * i);
  t.flip = vdupq_n_u8((uint8_t)flip);
  return t;
}
/* A place beyond a part of the table leaves what was found before. */
EDGEC_INLINE void edgec_look_up_block(const edgec_table *t, const uint8_t *x, uint8_t *y) {
  uint8x16_t at = veorq_u8(vld1q_u8(x), t->flip), found = vqtbl4q_u8(t->part[0], at);
  EDGEC_UNROLL for (int i = 1; i < 4; i++) {
    at = vsubq_u8(at, vdupq_n_u8(64));
    found = vqtbx4q_u8(found, t->part[i], at);
  }
  vst1q_u8(y, found);
}
#else
enum { EDGEC_TABLE_BYTES = 8 };
typedef struct {
  const uint8_t *table;
  ptrdiff_t flip;
} edgec_table;
EDGEC_INLINE edgec_table edgec_table_of(const uint8_t *table, ptrdiff_t flip) { return (edgec_table){table, flip}; }
EDGEC_INLINE void edgec_look_up_block(const edgec_table *t, const uint8_t *x, uint8_t *y) {
  uint8_t found[EDGEC_TABLE_BYTES];
  EDGEC_UNROLL for (int i = 0; i < EDGEC_TABLE_BYTES; i++) found[i] = t->table[x[i] ^ t->flip];
  __builtin_memcpy(y, found, EDGEC_TABLE_BYTES);
}
#endif

EDGEC_FN void edgec_table_bytes(const uint8_t *x, const uint8_t *table, uint8_t *y, ptrdiff_t n, ptrdiff_t flip,
                                ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t stop = end * EDGEC_MAP_CHUNK < n ? end * EDGEC_MAP_CHUNK : n;
  const edgec_table t = edgec_table_of(table, flip);
  ptrdiff_t i = begin * EDGEC_MAP_CHUNK;
  for (; i + EDGEC_TABLE_BYTES <= stop; i += EDGEC_TABLE_BYTES) edgec_look_up_block(&t, x + i, y + i);
  for (; i < stop; i++) y[i] = table[x[i] ^ flip];
}

#endif
