/* Attention of bytes (edgec.ir.ops.integer_rows). Keys and values are packed first, once for each of their heads; then
   a head's queries are taken EDGEC_QATTENTION_ROWS at a time: all scores of a row in 32 bits, the bytes of exponentials
   that their table makes of them, and sums of values. */
#ifndef EDGEC_QATTENTION_H
#define EDGEC_QATTENTION_H

#include "qshort.h"
#include "qtable.h"

enum {
  EDGEC_QATTENTION_ROWS = 4,
  EDGEC_QATTENTION_VECTORS = EDGEC_LANES == 8 ? 2 : 4, /* registers of keys, or of a value, at once */
  EDGEC_QATTENTION_VECTOR = 4 * EDGEC_LANES            /* bytes of one: four of each lane */
};
/* Weights are unsigned bytes; where values' are signed, they are kept 128 less, and sums of values make up for it. */
#define EDGEC_WEIGHTS_ABOVE (128 - EDGEC_Q8_MIDDLE)

typedef struct {
  ptrdiff_t heads, kv_heads, n, m, d, e; /* query heads, key heads, queries, keys, length of a key, of a value */
  ptrdiff_t keys, values;                /* registers of keys, and of a value */
  ptrdiff_t row;                         /* scores of a row: whole registers of bytes */
  ptrdiff_t mb, mh, mn;                  /* strides of the mask over batch, head, query; its keys fill a row */
  int32_t q_zero, v_zero, zero;          /* v_zero less EDGEC_Q8_MIDDLE */
  int32_t by;                            /* of differences of scores (edgec_requant) */
  int32_t beyond;                        /* weights of places behind the last key */
  int64_t factor;
} edgec_qattention_shape;

/* Bytes of packed keys, and of packed values; behind each are 32 bits for each of their lanes. */
#define EDGEC_PACKED_KEYS(S) ((S)->keys * (((S)->d + 3) / 4) * EDGEC_QATTENTION_VECTOR)
#define EDGEC_PACKED_VALUES(S) ((S)->values * (((S)->m + 3) / 4) * EDGEC_QATTENTION_VECTOR)
#define EDGEC_PACKED_HEAD(S) \
  (EDGEC_PACKED_KEYS(S) + EDGEC_PACKED_VALUES(S) + ((S)->keys + (S)->values) * EDGEC_QATTENTION_VECTOR)

/* Register w of `count`, step g of `steps`: EDGEC_QATTENTION_VECTORS registers side by side, the last ones alone. */
EDGEC_INLINE ptrdiff_t edgec_packed_at(ptrdiff_t w, ptrdiff_t count, ptrdiff_t g, ptrdiff_t steps) {
  const ptrdiff_t first = w - w % EDGEC_QATTENTION_VECTORS, many = first + EDGEC_QATTENTION_VECTORS <= count;
  const ptrdiff_t at = many ? first * steps + g * EDGEC_QATTENTION_VECTORS + (w - first) : w * steps + g;
  return at * EDGEC_QATTENTION_VECTOR;
}

/* Bytes less the middle, at least -127; zeros behind n. */
EDGEC_INLINE edgec_vw edgec_signed_few(const edgec_q8 *p, ptrdiff_t n) {
  edgec_vq x = edgec_splat_q(EDGEC_Q8_MIDDLE);
  if (n >= EDGEC_Q8_BLOCK)
    x = edgec_load_q(p);
  else
    edgec_copy_few(&x, p, n);
  const edgec_vw v = (edgec_vw)(x ^ edgec_splat_q(EDGEC_Q8_MIDDLE));
  return v - (edgec_vw)(v == -128); /* -128 + 1 */
}

EDGEC_INLINE void edgec_pack_keys(const edgec_q8 *k, int8_t *to, const edgec_qattention_shape *s) {
  const ptrdiff_t steps = (s->d + 3) / 4;
  int32_t *added = (int32_t *)(to + EDGEC_PACKED_KEYS(s));
  for (ptrdiff_t j = 0; j < s->keys * EDGEC_LANES; j++) {
    const ptrdiff_t w = j / EDGEC_LANES, lane = j % EDGEC_LANES;
    edgec_vi sum = edgec_splat_i(0);
    for (ptrdiff_t i = 0; i < s->d; i += EDGEC_Q8_BLOCK) {
      edgec_vw v = {0};
      if (j < s->m) v = edgec_signed_few(k + j * s->d + i, s->d - i);
      const edgec_vi words = (edgec_vi)v;
      sum = edgec_dot4(sum, v, edgec_splat_q(1));
      const ptrdiff_t left = steps - i / 4;
      for (ptrdiff_t g = 0; g < EDGEC_LANES && g < left; g++)
        ((edgec_i32 *)(to + edgec_packed_at(w, s->keys, i / 4 + g, steps)))[lane] = words[g];
    }
    /* what is no key is far below all scores */
    added[j] = j < s->m ? -s->q_zero * edgec_sum_i(sum) : -(1 << 30);
  }
}

typedef int8_t edgec_b16 __attribute__((vector_size(16), aligned(1), may_alias));
enum { EDGEC_PER_16 = 16 / EDGEC_LANES }; /* registers that four rows of 16 bytes become */

/* 16 bytes as edgec_signed_few has them. */
EDGEC_INLINE edgec_b16 edgec_signed_16(const edgec_q8 *p, ptrdiff_t n) {
  edgec_vq few = edgec_splat_q(EDGEC_Q8_MIDDLE);
  if (n < 16) edgec_copy_few(&few, p, n);
  const edgec_b16 v = *(const edgec_b16 *)(n < 16 ? (const void *)&few : p) ^ (int8_t)EDGEC_Q8_MIDDLE;
  return v - (edgec_b16)(v == -128); /* -128 + 1 */
}

EDGEC_INLINE void edgec_pack_values(const edgec_q8 *v, int8_t *to, const edgec_qattention_shape *s) {
  const ptrdiff_t steps = (s->m + 3) / 4;
  int32_t *added = (int32_t *)(to + EDGEC_PACKED_VALUES(s));
  for (ptrdiff_t i = 0; i < s->e; i += 16) {
    const ptrdiff_t first = i / EDGEC_LANES;
    edgec_vi sum[EDGEC_PER_16];
    EDGEC_UNROLL for (int j = 0; j < EDGEC_PER_16; j++) sum[j] = edgec_splat_i(0);
    for (ptrdiff_t g = 0; g < steps; g++) {
      edgec_b16 row[4], part[4];
      EDGEC_UNROLL for (int j = 0; j < 4; j++) {
        row[j] = (edgec_b16){0};
        if (4 * g + j < s->m) row[j] = edgec_signed_16(v + (4 * g + j) * s->e + i, s->e - i);
      }
#define EDGEC_ZIP_LOW(A, B) __builtin_shufflevector(A, B, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define EDGEC_ZIP_HIGH(A, B) \
  __builtin_shufflevector(A, B, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
      const edgec_b16 even[2] = {EDGEC_ZIP_LOW(row[0], row[2]), EDGEC_ZIP_HIGH(row[0], row[2])};
      const edgec_b16 odd[2] = {EDGEC_ZIP_LOW(row[1], row[3]), EDGEC_ZIP_HIGH(row[1], row[3])};
      EDGEC_UNROLL for (int j = 0; j < 2; j++) {
        part[2 * j] = EDGEC_ZIP_LOW(even[j], odd[j]);
        part[2 * j + 1] = EDGEC_ZIP_HIGH(even[j], odd[j]);
      }
      EDGEC_UNROLL for (int j = 0; j < EDGEC_PER_16; j++) {
        const edgec_vw all = edgec_load_w((const int8_t *)part + j * EDGEC_QATTENTION_VECTOR);
        sum[j] = edgec_dot4(sum[j], all, edgec_splat_q(1));
        if (first + j < s->values) *(edgec_vw *)(to + edgec_packed_at(first + j, s->values, g, steps)) = all;
      }
    }
    EDGEC_UNROLL for (int j = 0; j < EDGEC_PER_16; j++)
      if (first + j < s->values)
        edgec_store_i(added + (first + j) * EDGEC_LANES, sum[j] * EDGEC_WEIGHTS_ABOVE);
  }
}

/* k [b][kv_heads][m][d], v [b][kv_heads][m][e]; a task is a head of them. */
EDGEC_FN void edgec_qattention_pack(const edgec_q8 *k, const edgec_q8 *v, int8_t *packed,
                                    const edgec_qattention_shape *s, ptrdiff_t begin, ptrdiff_t end) {
  for (ptrdiff_t task = begin; task < end; task++) {
    int8_t *to = packed + task * EDGEC_PACKED_HEAD(s);
    edgec_pack_keys(k + task * s->m * s->d, to, s);
    edgec_pack_values(v + task * s->m * s->e, to + EDGEC_PACKED_KEYS(s) + s->keys * EDGEC_QATTENTION_VECTOR, s);
  }
}

/* acc[r][v] += rows of bytes, `steps` groups of four, by packed ones at b. */
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
#define EDGEC_QATTENTION_PRODUCTS(COUNT)                                                             \
  ptrdiff_t g = 0;                                                                                   \
  for (; g + 4 <= steps; g += 4) {                                                                   \
    edgec_vq a[EDGEC_QATTENTION_ROWS];                                                               \
    EDGEC_UNROLL for (int r = 0; r < EDGEC_QATTENTION_ROWS; r++) a[r] = edgec_load_q(row[r] + 4 * g); \
    EDGEC_UNROLL for (int lane = 0; lane < 4; lane++) {                                              \
      EDGEC_UNROLL for (int v = 0; v < (COUNT); v++) {                                               \
        const edgec_vw part = edgec_load_w(b + EDGEC_QATTENTION_VECTOR * v);                         \
        EDGEC_UNROLL for (int r = 0; r < EDGEC_QATTENTION_ROWS; r++)                                 \
          acc[r][v] = edgec_dot4_lane(acc[r][v], part, a[r], lane);                                  \
      }                                                                                              \
      b += (COUNT) * EDGEC_QATTENTION_VECTOR;                                                        \
    }                                                                                                \
  }                                                                                                  \
  for (; g < steps; g++, b += (COUNT) * EDGEC_QATTENTION_VECTOR)                                     \
    EDGEC_UNROLL for (int r = 0; r < EDGEC_QATTENTION_ROWS; r++) {                                   \
      const edgec_vq a = edgec_splat_4(row[r] + 4 * g);                                              \
      EDGEC_UNROLL for (int v = 0; v < (COUNT); v++)                                                 \
        acc[r][v] = edgec_dot4(acc[r][v], edgec_load_w(b + EDGEC_QATTENTION_VECTOR * v), a);         \
    }
#else
#define EDGEC_QATTENTION_PRODUCTS(COUNT)                                                             \
  for (ptrdiff_t g = 0; g < steps; g++, b += (COUNT) * EDGEC_QATTENTION_VECTOR)                      \
    EDGEC_UNROLL for (int r = 0; r < EDGEC_QATTENTION_ROWS; r++) {                                   \
      const edgec_vq a = edgec_splat_4(row[r] + 4 * g);                                              \
      EDGEC_UNROLL for (int v = 0; v < (COUNT); v++)                                                 \
        acc[r][v] = edgec_dot4(acc[r][v], edgec_load_w(b + EDGEC_QATTENTION_VECTOR * v), a);         \
    }
#endif

typedef struct {
  const edgec_q8 *row[EDGEC_QATTENTION_ROWS];
  const int32_t *mask[EDGEC_QATTENTION_ROWS]; /* null where there is none */
  int32_t *scores;
  edgec_q8 *weights;
  edgec_vi top[EDGEC_QATTENTION_ROWS];
} edgec_qattention_rows;

/* Scores of COUNT registers of keys from w, and the largest so far. */
#define EDGEC_QATTENTION_SCORES(NAME, COUNT)                                                                       \
  EDGEC_INLINE void edgec_qattention_##NAME(edgec_qattention_rows *t, const int8_t *b, const int32_t *added,       \
                                            ptrdiff_t w, ptrdiff_t steps, ptrdiff_t line) {                        \
    const edgec_q8 *const *row = t->row;                                                                           \
    edgec_vi acc[EDGEC_QATTENTION_ROWS][COUNT];                                                                    \
    EDGEC_UNROLL for (int v = 0; v < (COUNT); v++) {                                                               \
      const ptrdiff_t at = (w + v) * EDGEC_LANES;                                                                  \
      const edgec_vi first = edgec_load_i(added + at);                                                             \
      EDGEC_UNROLL for (int r = 0; r < EDGEC_QATTENTION_ROWS; r++) {                                               \
        acc[r][v] = first;                                                                                         \
        if (t->mask[r]) acc[r][v] += edgec_load_i(t->mask[r] + at);                                                \
      }                                                                                                            \
    }                                                                                                              \
    EDGEC_QATTENTION_PRODUCTS(COUNT)                                                                               \
    EDGEC_UNROLL for (int r = 0; r < EDGEC_QATTENTION_ROWS; r++)                                                   \
      EDGEC_UNROLL for (int v = 0; v < (COUNT); v++) {                                                             \
        edgec_store_i(t->scores + r * line + (w + v) * EDGEC_LANES, acc[r][v]);                                    \
        t->top[r] = edgec_max_i(t->top[r], acc[r][v]);                                                             \
      }                                                                                                            \
  }

EDGEC_INLINE edgec_vi edgec_max_i(edgec_vi a, edgec_vi b) {
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
  return (edgec_vi)vmaxq_s32((int32x4_t)a, (int32x4_t)b);
#else
  const edgec_vi above = (edgec_vi)(a > b);
  return (above & a) | (~above & b);
#endif
}
EDGEC_INLINE int32_t edgec_largest_lane(edgec_vi v) {
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
  return vmaxvq_s32((int32x4_t)v);
#else
  int32_t top = v[0];
  EDGEC_UNROLL for (int i = 1; i < EDGEC_LANES; i++) top = v[i] > top ? v[i] : top;
  return top;
#endif
}
EDGEC_QATTENTION_SCORES(scores, EDGEC_QATTENTION_VECTORS)
EDGEC_QATTENTION_SCORES(few_scores, 1)

/* Four registers of numbers that are not negative, as unsigned bytes, saturated. */
EDGEC_INLINE edgec_vq edgec_narrow_unsigned(const edgec_vi *v) {
#if defined(EDGEC_SCALAR)
  edgec_vq x;
  for (int i = 0; i < 4 * EDGEC_LANES; i++) {
    const int32_t s = v[i / EDGEC_LANES][i % EDGEC_LANES];
    x[i] = (edgec_q8)(uint8_t)(s > 255 ? 255 : s);
  }
  return x;
#elif EDGEC_LANES == 4
  const uint16x8_t a = vqmovn_high_u32(vqmovn_u32((uint32x4_t)v[0]), (uint32x4_t)v[1]);
  const uint16x8_t b = vqmovn_high_u32(vqmovn_u32((uint32x4_t)v[2]), (uint32x4_t)v[3]);
  return (edgec_vq)vqmovn_high_u16(vqmovn_u16(a), b);
#else
  return edgec_narrow(v, 4);
#endif
}

/* Weights of a row of scores, and their sum. What the table holds is 128 less where values are signed. */
EDGEC_INLINE int32_t edgec_weights(const int32_t *scores, edgec_q8 *weights, int32_t top, const edgec_table *table,
                                   const edgec_qattention_shape *s) {
  const edgec_vi by = edgec_splat_i(s->by), most = edgec_splat_i(top);
  edgec_vi sum = edgec_splat_i(0);
  for (ptrdiff_t i = 0; i < s->row; i += EDGEC_Q8_BLOCK) {
    edgec_vi v[4];
    EDGEC_UNROLL for (int j = 0; j < 4; j++)
      v[j] = edgec_requant(most - edgec_load_i(scores + i + j * EDGEC_LANES), by);
    edgec_vq places = edgec_narrow_unsigned(v);
    EDGEC_UNROLL for (int j = 0; j < EDGEC_Q8_BLOCK; j += EDGEC_TABLE_BYTES)
      edgec_look_up_block(table, (const uint8_t *)&places + j, (uint8_t *)weights + i + j);
    sum = edgec_dot4(sum, (edgec_vw)(edgec_splat_i(0x01010101)), edgec_load_q(weights + i));
  }
  const int32_t all = edgec_sum_i(sum) + (int32_t)s->row * EDGEC_WEIGHTS_ABOVE - s->beyond;
  return all > 1 ? all : 1;
}

/* COUNT registers of the results from w, at y[r] + w * EDGEC_LANES. */
#define EDGEC_QATTENTION_VALUES(NAME, COUNT)                                                                       \
  EDGEC_INLINE void edgec_qattention_##NAME(const edgec_qattention_rows *t, const int8_t *b, const int32_t *added, \
                                            ptrdiff_t w, const int32_t *sum, edgec_q8 *const *y,                   \
                                            const edgec_qattention_shape *s) {                                     \
    const ptrdiff_t steps = (s->m + 3) / 4, rest = s->e - w * EDGEC_LANES;                                         \
    const edgec_q8 *row[EDGEC_QATTENTION_ROWS];                                                                    \
    edgec_vi acc[EDGEC_QATTENTION_ROWS][COUNT];                                                                    \
    EDGEC_UNROLL for (int r = 0; r < EDGEC_QATTENTION_ROWS; r++) {                                                 \
      row[r] = t->weights + r * s->row;                                                                            \
      EDGEC_UNROLL for (int v = 0; v < (COUNT); v++)                                                               \
        acc[r][v] = edgec_load_i(added + (w + v) * EDGEC_LANES) - sum[r] * s->v_zero;                              \
    }                                                                                                              \
    EDGEC_QATTENTION_PRODUCTS(COUNT)                                                                               \
    EDGEC_UNROLL for (int r = 0; r < EDGEC_QATTENTION_ROWS; r++) {                                                 \
      const int64_t share = s->factor / sum[r], most = (1 << 30) - 1;                                              \
      const edgec_vi by = edgec_splat_i((int32_t)(share < most ? share : most) * EDGEC_SHARE_TIMES);               \
      EDGEC_UNROLL for (int v = 0; v < (COUNT); v++) acc[r][v] = edgec_requant(acc[r][v], by) + s->zero;           \
      edgec_store_few(y[r] + w * EDGEC_LANES, edgec_narrow(acc[r], COUNT),                                         \
                      rest < (COUNT) * EDGEC_LANES ? rest : (COUNT) * EDGEC_LANES);                                \
    }                                                                                                              \
  }
#define EDGEC_SHARE_TIMES (EDGEC_Q8_MIDDLE ? 2 : 1) /* x86 keeps a bit less of a product (edgec_requant) */
EDGEC_QATTENTION_VALUES(values, EDGEC_QATTENTION_VECTORS)
EDGEC_QATTENTION_VALUES(few_values, 1)

/* q [b][heads][n][d] -> y [b][heads][n][e]; a task is a head. `scratch` has rows of scores and weights for each. */
EDGEC_FN void edgec_qattention(const edgec_q8 *q, const int8_t *packed, const uint8_t *table, const int32_t *mask,
                               edgec_q8 *y, int32_t *scratch, const edgec_qattention_shape *s, ptrdiff_t begin,
                               ptrdiff_t end) {
  const edgec_table entries = edgec_table_of(table, 0);
  const ptrdiff_t steps = (s->d + 3) / 4, all = EDGEC_QATTENTION_VECTORS;
  for (ptrdiff_t task = begin; task < end; task++) {
    const ptrdiff_t head = task % s->heads, batch = task / s->heads;
    const ptrdiff_t kv = batch * s->kv_heads + head / (s->heads / s->kv_heads);
    const int8_t *keys = packed + kv * EDGEC_PACKED_HEAD(s);
    const int8_t *values = keys + EDGEC_PACKED_KEYS(s) + s->keys * EDGEC_QATTENTION_VECTOR;
    const int32_t *to_keys = (const int32_t *)(keys + EDGEC_PACKED_KEYS(s));
    const int32_t *to_values = (const int32_t *)(values + EDGEC_PACKED_VALUES(s));
    edgec_qattention_rows t = {.scores = scratch + task * EDGEC_QATTENTION_ROWS * (s->row + s->row / 4)};
    t.weights = (edgec_q8 *)(t.scores + EDGEC_QATTENTION_ROWS * s->row);
    EDGEC_UNROLL for (int r = 0; r < EDGEC_QATTENTION_ROWS; r++)
      for (ptrdiff_t i = s->keys * EDGEC_LANES; i < s->row; i++) t.scores[r * s->row + i] = -(1 << 30);
    for (ptrdiff_t first = 0; first < s->n; first += EDGEC_QATTENTION_ROWS) {
      edgec_q8 *to[EDGEC_QATTENTION_ROWS];
      int32_t sum[EDGEC_QATTENTION_ROWS];
      EDGEC_UNROLL for (int r = 0; r < EDGEC_QATTENTION_ROWS; r++) {
        const ptrdiff_t i = first + r < s->n ? first + r : s->n - 1; /* rows behind the last are the last again */
        t.row[r] = q + (task * s->n + i) * s->d;
        t.mask[r] = mask ? mask + batch * s->mb + head * s->mh + i * s->mn : 0;
        t.top[r] = edgec_splat_i(-(1 << 30));
        to[r] = y + (task * s->n + i) * s->e;
      }
      ptrdiff_t w = 0;
      for (; w + all <= s->keys; w += all)
        edgec_qattention_scores(&t, keys + w * steps * EDGEC_QATTENTION_VECTOR, to_keys, w, steps, s->row);
      for (; w < s->keys; w++)
        edgec_qattention_few_scores(&t, keys + w * steps * EDGEC_QATTENTION_VECTOR, to_keys, w, steps, s->row);
      EDGEC_UNROLL for (int r = 0; r < EDGEC_QATTENTION_ROWS; r++)
        sum[r] = edgec_weights(t.scores + r * s->row, t.weights + r * s->row, edgec_largest_lane(t.top[r]), &entries,
                               s);
      const ptrdiff_t value_steps = (s->m + 3) / 4;
      for (w = 0; w + all <= s->values; w += all)
        edgec_qattention_values(&t, values + w * value_steps * EDGEC_QATTENTION_VECTOR, to_values, w, sum, to, s);
      for (; w < s->values; w++)
        edgec_qattention_few_values(&t, values + w * value_steps * EDGEC_QATTENTION_VECTOR, to_values, w, sum, to, s);
    }
  }
}

#endif
