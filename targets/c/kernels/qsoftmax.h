/* Softmax of bytes, to the lowest byte and a scale of 2^(16-finer) / (256 numerator) (edgec.ir.ops.integer_rows). */
#ifndef EDGEC_QSOFTMAX_H
#define EDGEC_QSOFTMAX_H

#include "qshort.h"
#include "qtable.h"

enum { EDGEC_SOFTMAX_HELD = 1024 }; /* exponentials of a row that are kept; of longer rows they are looked up twice */

/* What a sum of exponentials makes of each: R and b - finer of the definition. */
typedef struct {
  int32_t by, bits;
} edgec_share;
EDGEC_INLINE edgec_share edgec_share_of(uint64_t exponentials, ptrdiff_t numerator, ptrdiff_t finer) {
  const uint64_t sum = exponentials < 1 << 15 ? 1 << 15 : exponentials;
  const int32_t bits = edgec_bits(sum);
  const uint64_t by = ((uint64_t)numerator << (bits - 1)) / sum;
  return (edgec_share){by > 65535 ? 65535 : (int32_t)by, bits - (int32_t)finer};
}
EDGEC_INLINE edgec_q8 edgec_share_one(uint32_t e, edgec_share s) {
  const uint32_t p = ((e * (uint32_t)s.by >> 16 >> (s.bits - 10)) + 1) >> 1;
  return (edgec_q8)((int32_t)(p > 255 ? 255 : p) + EDGEC_Q8_MIN);
}

/* The exponential of a byte, by how far it is below the largest; a table has its lower bytes first, then the upper. */
EDGEC_INLINE uint32_t edgec_exponential(const uint8_t *table, edgec_q8 top, edgec_q8 x) {
  const uint8_t below = (uint8_t)(top - x);
  return table[below] | (uint32_t)table[256 + below] << 8;
}

EDGEC_INLINE edgec_q8 edgec_largest(const edgec_q8 *x, ptrdiff_t n, ptrdiff_t step) {
  edgec_q8 top = EDGEC_Q8_MIN;
  for (ptrdiff_t i = 0; i < n; i++) top = x[i * step] > top ? x[i * step] : top;
  return top;
}

/* The same over any axis, one by one: x [outer][size][inner]; a task is an outer and an inner index. */
EDGEC_FN void edgec_qsoftmax_any(const edgec_q8 *x, const uint8_t *table, edgec_q8 *y, ptrdiff_t size, ptrdiff_t inner,
                                 ptrdiff_t numerator, ptrdiff_t finer, ptrdiff_t begin, ptrdiff_t end) {
  for (ptrdiff_t task = begin; task < end; task++) {
    const ptrdiff_t at = task / inner * size * inner + task % inner;
    const edgec_q8 top = edgec_largest(x + at, size, inner);
    uint64_t sum = 0;
    for (ptrdiff_t i = 0; i < size; i++) sum += edgec_exponential(table, top, x[at + i * inner]);
    const edgec_share share = edgec_share_of(sum, numerator, finer);
    for (ptrdiff_t i = 0; i < size; i++)
      y[at + i * inner] = edgec_share_one(edgec_exponential(table, top, x[at + i * inner]), share);
  }
}

#if !defined(EDGEC_SCALAR) && (defined(__ARM_NEON) || (EDGEC_LANES == 16 && defined(__AVX512BW__)))
enum { EDGEC_SOFTMAX_BLOCK = 64 }; /* elements whose exponentials are looked up by one load of the tables */

EDGEC_INLINE edgec_q8 edgec_row_largest(const edgec_q8 *x, ptrdiff_t n) {
  if (n < EDGEC_Q8_BLOCK) return edgec_largest(x, n, 1);
  edgec_vq best = edgec_load_q(x + n - EDGEC_Q8_BLOCK); /* reaches back: a maximum may see an element twice */
  const edgec_vq top = edgec_splat_q(EDGEC_Q8_MAX);
  for (ptrdiff_t i = 0; i + EDGEC_Q8_BLOCK <= n; i += EDGEC_Q8_BLOCK)
    best = edgec_clamp_q(edgec_load_q(x + i), best, top);
#if EDGEC_LANES == 4
  return vmaxvq_s8((int8x16_t)best);
#else
  edgec_q8 all[EDGEC_Q8_BLOCK];
  __builtin_memcpy(all, &best, sizeof all);
  return edgec_largest(all, EDGEC_Q8_BLOCK, 1);
#endif
}

/* Lower bytes of the table's entries, and upper ones, of the same places. */
typedef struct {
  uint8_t part[2][EDGEC_SOFTMAX_BLOCK] __attribute__((aligned(64)));
} edgec_exponentials;

/* Of n <= EDGEC_SOFTMAX_BLOCK bytes, and zeros behind them. */
EDGEC_INLINE void edgec_look_up_exponentials(const edgec_q8 *x, ptrdiff_t n, edgec_q8 top, const uint8_t *table,
                                             edgec_exponentials *e) {
  uint8_t place[EDGEC_SOFTMAX_BLOCK] __attribute__((aligned(64)));
  EDGEC_UNROLL for (int i = 0; i < EDGEC_SOFTMAX_BLOCK; i += EDGEC_Q8_BLOCK)
    if (i < n) *(edgec_vq *)(place + i) = edgec_splat_q(top) - edgec_load_few(x + i, n - i);
  EDGEC_UNROLL for (int j = 0; j < 2; j++) {
    const edgec_table t = edgec_table_of(table + 256 * j, 0);
    EDGEC_UNROLL for (int i = 0; i < EDGEC_SOFTMAX_BLOCK; i += EDGEC_TABLE_BYTES)
      if (i < n) edgec_look_up_block(&t, place + i, e->part[j] + i);
    const ptrdiff_t rest = n % EDGEC_Q8_BLOCK;
    if (rest) {
      edgec_q8 *last = (edgec_q8 *)e->part[j] + n - rest;
      *(edgec_vq *)last = edgec_load_few(last, rest);
    }
  }
}

/* Sum of the first n, rounded up to whole registers. */
EDGEC_INLINE uint64_t edgec_sum_exponentials(const edgec_exponentials *e, ptrdiff_t n) {
#if EDGEC_LANES == 4
  uint32x4_t low = vdupq_n_u32(0), high = low;
  EDGEC_UNROLL for (int i = 0; i < EDGEC_SOFTMAX_BLOCK; i += 16)
    if (i < n) {
      low = vpadalq_u16(low, vpaddlq_u8(vld1q_u8(e->part[0] + i)));
      high = vpadalq_u16(high, vpaddlq_u8(vld1q_u8(e->part[1] + i)));
    }
  return vaddvq_u32(vaddq_u32(low, vshlq_n_u32(high, 8)));
#else
  (void)n;
  const __m512i zero = _mm512_setzero_si512();
  const __m512i low = _mm512_sad_epu8(_mm512_load_si512(e->part[0]), zero);
  const __m512i high = _mm512_sad_epu8(_mm512_load_si512(e->part[1]), zero);
  return (uint64_t)_mm512_reduce_add_epi64(_mm512_add_epi64(low, _mm512_slli_epi64(high, 8)));
#endif
}

EDGEC_INLINE void edgec_share_block(const edgec_exponentials *e, edgec_q8 *y, ptrdiff_t n, edgec_share s) {
#if EDGEC_LANES == 4
  const uint16x8_t by = vdupq_n_u16((uint16_t)s.by);
  const int16x8_t shift = vdupq_n_s16((int16_t)(9 - s.bits));
  EDGEC_UNROLL for (int i = 0; i < EDGEC_SOFTMAX_BLOCK; i += 16)
    if (i < n) {
      const uint8x16_t low = vld1q_u8(e->part[0] + i), high = vld1q_u8(e->part[1] + i);
      const uint16x8_t v[2] = {vreinterpretq_u16_u8(vzip1q_u8(low, high)), vreinterpretq_u16_u8(vzip2q_u8(low, high))};
      uint16x8_t p[2];
      EDGEC_UNROLL for (int j = 0; j < 2; j++) {
        const uint32x4_t a = vmull_u16(vget_low_u16(v[j]), vget_low_u16(by)), b = vmull_high_u16(v[j], by);
        p[j] = vrshlq_u16(vuzp2q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b)), shift);
      }
      const uint8x16_t bytes = vqmovn_high_u16(vqmovn_u16(p[0]), p[1]);
      edgec_store_few(y + i, (edgec_vq)veorq_u8(bytes, vdupq_n_u8(0x80)), n - i);
    }
#else
  const __m512i low = _mm512_load_si512(e->part[0]), high = _mm512_load_si512(e->part[1]);
  const __m512i zero = _mm512_setzero_si512();
  const __m512i by = _mm512_set1_epi16((int16_t)s.by);
  const __m128i shift = _mm_cvtsi32_si128(s.bits - 10);
  __m512i p[2] = {_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high)};
  EDGEC_UNROLL for (int j = 0; j < 2; j++)
    p[j] = _mm512_avg_epu16(_mm512_srl_epi16(_mm512_mulhi_epu16(p[j], by), shift), zero);
  edgec_store_q_n(y, (edgec_vq)_mm512_packus_epi16(p[0], p[1]), n);
#endif
}

/* A task is a row of n bytes. y may be x. */
EDGEC_FN void edgec_qsoftmax(const edgec_q8 *x, const uint8_t *table, edgec_q8 *y, ptrdiff_t n, ptrdiff_t numerator,
                             ptrdiff_t finer, ptrdiff_t begin, ptrdiff_t end) {
  edgec_exponentials held[EDGEC_SOFTMAX_HELD / EDGEC_SOFTMAX_BLOCK];
  for (ptrdiff_t task = begin; task < end; task++) {
    const edgec_q8 *from = x + task * n;
    edgec_q8 *to = y + task * n;
    const edgec_q8 top = edgec_row_largest(from, n);
    const ptrdiff_t step = n <= EDGEC_SOFTMAX_HELD;
    uint64_t sum = 0;
    for (ptrdiff_t i = 0; i < n; i += EDGEC_SOFTMAX_BLOCK) {
      const ptrdiff_t count = n - i < EDGEC_SOFTMAX_BLOCK ? n - i : EDGEC_SOFTMAX_BLOCK;
      edgec_exponentials *e = held + step * (i / EDGEC_SOFTMAX_BLOCK);
      if (count == EDGEC_SOFTMAX_BLOCK) {
        edgec_look_up_exponentials(from + i, EDGEC_SOFTMAX_BLOCK, top, table, e);
        sum += edgec_sum_exponentials(e, EDGEC_SOFTMAX_BLOCK);
      } else {
        edgec_look_up_exponentials(from + i, count, top, table, e);
        sum += edgec_sum_exponentials(e, count);
      }
    }
    const edgec_share share = edgec_share_of(sum, numerator, finer);
    for (ptrdiff_t i = 0; i < n; i += EDGEC_SOFTMAX_BLOCK) {
      const ptrdiff_t count = n - i < EDGEC_SOFTMAX_BLOCK ? n - i : EDGEC_SOFTMAX_BLOCK;
      edgec_exponentials *e = held + step * (i / EDGEC_SOFTMAX_BLOCK);
      if (!step) edgec_look_up_exponentials(from + i, count, top, table, e);
      if (count == EDGEC_SOFTMAX_BLOCK)
        edgec_share_block(e, to + i, EDGEC_SOFTMAX_BLOCK, share);
      else
        edgec_share_block(e, to + i, count, share);
    }
  }
}
#else
EDGEC_FN void edgec_qsoftmax(const edgec_q8 *x, const uint8_t *table, edgec_q8 *y, ptrdiff_t n, ptrdiff_t numerator,
                             ptrdiff_t finer, ptrdiff_t begin, ptrdiff_t end) {
  edgec_qsoftmax_any(x, table, y, n, 1, numerator, finer, begin, end);
}
#endif

#endif
