/* Attention with a running softmax (Milakov and Gimelshein, Online normalizer calculation for softmax, 2018): no matrix
   of scores is ever stored. edgec_attention_block puts queries into lanes, EDGEC_ATTENTION_QUERIES of one head a task,
   so that scores, exponentials and sums of values need no sums across lanes; edgec_attention takes one query row a
   task, for a few queries and for long keys. */
#ifndef EDGEC_ATTENTION_H
#define EDGEC_ATTENTION_H

#include "edgec_vmath.h"

typedef struct {
  ptrdiff_t heads, kv_heads, n, m, d, e; /* query heads, key heads, queries, keys, length of a key, of a value */
  ptrdiff_t mb, mh, mn, mm;              /* strides of the mask over batch, head, query, key; 0 where it is repeated */
  ptrdiff_t causal, boolean;             /* boolean: the mask is bytes, 0 hides a key; else floats are added */
  float scale;
} edgec_attention_shape;

EDGEC_FN float edgec_dot(const float *a, const float *b, ptrdiff_t n) {
  edgec_vf sum = edgec_splat(0.0f);
  ptrdiff_t i = 0;
  for (; i + EDGEC_LANES <= n; i += EDGEC_LANES) sum += edgec_load(a + i) * edgec_load(b + i);
  if (i < n) sum += edgec_load_n(a + i, n - i) * edgec_load_n(b + i, n - i);
  return edgec_vsum(sum);
}

/* q [b][heads][n][d], k [b][kv_heads][m][d], v [b][kv_heads][m][e], mask or null -> y [b][heads][n][e] */
EDGEC_FN void edgec_attention(const float *q, const float *k, const float *v, const void *mask, float *y,
                              const edgec_attention_shape *s, ptrdiff_t begin, ptrdiff_t end) {
  for (ptrdiff_t task = begin; task < end; task++) {
    const ptrdiff_t row = task % s->n, head = task / s->n % s->heads, batch = task / s->n / s->heads;
    const ptrdiff_t kv = batch * s->kv_heads + head / (s->heads / s->kv_heads);
    const float *qr = q + task * s->d;
    float *to = y + task * s->e, top = -__builtin_inff(), total = 0.0f;
    const ptrdiff_t at = batch * s->mb + head * s->mh + row * s->mn;
    const ptrdiff_t keys = s->causal && row + 1 < s->m ? row + 1 : s->m;
    for (ptrdiff_t i = 0; i < s->e; i++) to[i] = 0.0f;
    for (ptrdiff_t j = 0; j < keys; j++) {
      if (mask && s->boolean && !((const uint8_t *)mask)[at + j * s->mm]) continue;
      float score = edgec_dot(qr, k + (kv * s->m + j) * s->d, s->d) * s->scale;
      if (mask && !s->boolean) score += ((const float *)mask)[at + j * s->mm];
      if (score == -__builtin_inff()) continue;
      const float *vr = v + (kv * s->m + j) * s->e;
      if (score > top) {
        const float shrink = edgec_exp(top - score);
        for (ptrdiff_t i = 0; i < s->e; i++) to[i] *= shrink;
        total *= shrink;
        top = score;
      }
      const float p = edgec_exp(score - top);
      total += p;
      for (ptrdiff_t i = 0; i < s->e; i++) to[i] += p * vr[i];
    }
    const float inverse = total == 0.0f ? 0.0f : 1.0f / total; /* every key hidden: zeros */
    for (ptrdiff_t i = 0; i < s->e; i++) to[i] *= inverse;
  }
}

#define EDGEC_ATTENTION_VECTORS (EDGEC_LANES == 16 ? 1 : 2)
#define EDGEC_ATTENTION_QUERIES (EDGEC_LANES * EDGEC_ATTENTION_VECTORS)
#define EDGEC_ATTENTION_LONGEST 128 /* length of a key and of a value that the block form takes */
#define EDGEC_ATTENTION_KEYS 32     /* keys whose scores are held at once; a multiple of 4 */

typedef struct {
  edgec_vf lane[EDGEC_ATTENTION_VECTORS];
} edgec_queries;

/* scores[j] = q . k[j] for four keys of `d` numbers; k[j] past the last key is the last one. */
EDGEC_INLINE void edgec_scores4(const edgec_queries *q, const float *const *k, ptrdiff_t d, edgec_queries *scores) {
  edgec_queries sum[4] = {0};
  ptrdiff_t i = 0;
  for (; i + 4 <= d; i += 4)
    EDGEC_UNROLL for (int j = 0; j < 4; j++) {
      const edgec_four part = edgec_take4(k[j] + i);
      EDGEC_UNROLL for (int c = 0; c < 4; c++)
        EDGEC_UNROLL for (int w = 0; w < EDGEC_ATTENTION_VECTORS; w++) sum[j].lane[w] += q[i + c].lane[w] * part[c];
    }
  if (d % 4) /* or gcc warns of an overflow in a loop that never runs */
    for (; i < d; i++)
      EDGEC_UNROLL for (int j = 0; j < 4; j++)
        EDGEC_UNROLL for (int w = 0; w < EDGEC_ATTENTION_VECTORS; w++) sum[j].lane[w] += q[i].lane[w] * k[j][i];
  EDGEC_UNROLL for (int j = 0; j < 4; j++) scores[j] = sum[j];
}

/* out[i] = out[i] * shrink + sum over keys of p[j] * v[j][i], four of a value or one. */
EDGEC_INLINE void edgec_values4(const edgec_queries *p, const float *v, ptrdiff_t keys, ptrdiff_t e,
                                const edgec_queries *shrink, edgec_queries *out) {
  edgec_queries sum[4];
  EDGEC_UNROLL for (int i = 0; i < 4; i++)
    EDGEC_UNROLL for (int w = 0; w < EDGEC_ATTENTION_VECTORS; w++)
      sum[i].lane[w] = out[i].lane[w] * shrink->lane[w];
  for (ptrdiff_t j = 0; j < keys; j++) {
    const edgec_four part = edgec_take4(v + j * e);
    EDGEC_UNROLL for (int i = 0; i < 4; i++)
      EDGEC_UNROLL for (int w = 0; w < EDGEC_ATTENTION_VECTORS; w++) sum[i].lane[w] += p[j].lane[w] * part[i];
  }
  EDGEC_UNROLL for (int i = 0; i < 4; i++) out[i] = sum[i];
}
EDGEC_INLINE void edgec_values1(const edgec_queries *p, const float *v, ptrdiff_t keys, ptrdiff_t e,
                                const edgec_queries *shrink, edgec_queries *out) {
  EDGEC_UNROLL for (int w = 0; w < EDGEC_ATTENTION_VECTORS; w++) {
    edgec_vf sum = out->lane[w] * shrink->lane[w];
    for (ptrdiff_t j = 0; j < keys; j++) sum += p[j].lane[w] * v[j * e];
    out->lane[w] = sum;
  }
}

/* The mask of key j on the scores of the block's queries. */
EDGEC_INLINE void edgec_mask_scores(const void *mask, ptrdiff_t at, const edgec_attention_shape *s, ptrdiff_t rows,
                                    edgec_queries *scores) {
  float add[EDGEC_ATTENTION_QUERIES] = {0};
  if (s->mn == 1 && !s->boolean) {
    const float *from = (const float *)mask + at;
    EDGEC_UNROLL for (int w = 0; w < EDGEC_ATTENTION_VECTORS; w++) {
      const ptrdiff_t rest = rows - w * EDGEC_LANES;
      if (rest > 0) scores->lane[w] += edgec_load_n(from + w * EDGEC_LANES, rest < EDGEC_LANES ? rest : EDGEC_LANES);
    }
    return;
  }
  if (s->boolean) {
    const uint8_t *from = (const uint8_t *)mask + at;
    for (ptrdiff_t r = 0; r < rows; r++) add[r] = from[r * s->mn] ? 0.0f : -__builtin_inff();
  } else {
    const float *from = (const float *)mask + at;
    for (ptrdiff_t r = 0; r < rows; r++) add[r] = from[r * s->mn];
  }
  EDGEC_UNROLL for (int w = 0; w < EDGEC_ATTENTION_VECTORS; w++)
    scores->lane[w] += edgec_load(add + w * EDGEC_LANES);
}

/* Keys after the query are hidden. */
EDGEC_INLINE void edgec_hide_later(ptrdiff_t key, ptrdiff_t first, edgec_queries *scores) {
  EDGEC_UNROLL for (int w = 0; w < EDGEC_ATTENTION_VECTORS; w++) {
    const ptrdiff_t below = key - first - w * EDGEC_LANES;
    const edgec_vi hidden = edgec_lanes_below(below < 0 ? 0 : below > EDGEC_LANES ? EDGEC_LANES : below);
    scores->lane[w] = edgec_select(hidden, edgec_splat(-__builtin_inff()), scores->lane[w]);
  }
}

/* As edgec_attention; a task is EDGEC_ATTENTION_QUERIES query rows of one head. */
EDGEC_FN void edgec_attention_block(const float *q, const float *k, const float *v, const void *mask, float *y,
                                    const edgec_attention_shape *s, ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t blocks = (s->n + EDGEC_ATTENTION_QUERIES - 1) / EDGEC_ATTENTION_QUERIES;
  edgec_queries turned[EDGEC_ATTENTION_LONGEST], out[EDGEC_ATTENTION_LONGEST], p[EDGEC_ATTENTION_KEYS];
  float line[EDGEC_ATTENTION_QUERIES];
  for (ptrdiff_t task = begin; task < end; task++) {
    const ptrdiff_t first = task % blocks * EDGEC_ATTENTION_QUERIES, which = task / blocks;
    const ptrdiff_t head = which % s->heads, batch = which / s->heads;
    const ptrdiff_t kv = batch * s->kv_heads + head / (s->heads / s->kv_heads);
    const ptrdiff_t rows = s->n - first < EDGEC_ATTENTION_QUERIES ? s->n - first : EDGEC_ATTENTION_QUERIES;
    const float *from = q + (which * s->n + first) * s->d, *keys = k + kv * s->m * s->d, *values = v + kv * s->m * s->e;
    float *to = y + (which * s->n + first) * s->e;
    const ptrdiff_t at = batch * s->mb + head * s->mh + first * s->mn;
    for (ptrdiff_t i = 0; i < s->d; i++) {
      for (ptrdiff_t r = 0; r < EDGEC_ATTENTION_QUERIES; r++) line[r] = r < rows ? from[r * s->d + i] * s->scale : 0.0f;
      EDGEC_UNROLL for (int w = 0; w < EDGEC_ATTENTION_VECTORS; w++)
        turned[i].lane[w] = edgec_load(line + w * EDGEC_LANES);
    }
    edgec_queries top, total, shrink, safe;
    EDGEC_UNROLL for (int w = 0; w < EDGEC_ATTENTION_VECTORS; w++) {
      top.lane[w] = edgec_splat(-__builtin_inff());
      total.lane[w] = edgec_splat(0.0f);
      for (ptrdiff_t i = 0; i < s->e; i++) out[i].lane[w] = edgec_splat(0.0f);
    }
    const ptrdiff_t m = s->causal && first + rows < s->m ? first + rows : s->m;
    for (ptrdiff_t j0 = 0; j0 < m; j0 += EDGEC_ATTENTION_KEYS) {
      const ptrdiff_t count = m - j0 < EDGEC_ATTENTION_KEYS ? m - j0 : EDGEC_ATTENTION_KEYS;
      for (ptrdiff_t j = 0; j < count; j += 4) {
        const float *row[4];
        EDGEC_UNROLL for (int t = 0; t < 4; t++) row[t] = keys + (j0 + (j + t < count ? j + t : count - 1)) * s->d;
        edgec_scores4(turned, row, s->d, p + j);
      }
      if (mask)
        for (ptrdiff_t j = 0; j < count; j++) edgec_mask_scores(mask, at + (j0 + j) * s->mm, s, rows, p + j);
      if (s->causal)
        for (ptrdiff_t j = 0; j < count; j++) edgec_hide_later(j0 + j, first, p + j);
      EDGEC_UNROLL for (int w = 0; w < EDGEC_ATTENTION_VECTORS; w++) {
        edgec_vf best = top.lane[w], sum = edgec_splat(0.0f);
        for (ptrdiff_t j = 0; j < count; j++) best = edgec_vmax(p[j].lane[w], best);
        /* where every key so far is hidden, 0 stands for -inf: exp(-inf - 0) is 0 and no NaN */
        safe.lane[w] = edgec_select((edgec_vi)(best == -__builtin_inff()), edgec_splat(0.0f), best);
        shrink.lane[w] = edgec_vexp_low(top.lane[w] - safe.lane[w]);
        top.lane[w] = best;
        for (ptrdiff_t j = 0; j < count; j++) {
          p[j].lane[w] = edgec_vexp_low(p[j].lane[w] - safe.lane[w]);
          sum += p[j].lane[w];
        }
        total.lane[w] = total.lane[w] * shrink.lane[w] + sum;
      }
      ptrdiff_t i = 0;
      for (; i + 4 <= s->e; i += 4) edgec_values4(p, values + j0 * s->e + i, count, s->e, &shrink, out + i);
      if (s->e % 4) /* as above */
        for (; i < s->e; i++) edgec_values1(p, values + j0 * s->e + i, count, s->e, &shrink, out + i);
    }
    EDGEC_UNROLL for (int w = 0; w < EDGEC_ATTENTION_VECTORS; w++)
      shrink.lane[w] = edgec_select((edgec_vi)(total.lane[w] == 0.0f), edgec_splat(0.0f), 1.0f / total.lane[w]);
    for (ptrdiff_t i = 0; i < s->e; i++) {
      EDGEC_UNROLL for (int w = 0; w < EDGEC_ATTENTION_VECTORS; w++)
        edgec_store(line + w * EDGEC_LANES, out[i].lane[w] * shrink.lane[w]);
      for (ptrdiff_t r = 0; r < rows; r++) to[r * s->e + i] = line[r];
    }
  }
}

#endif
