/* Attention by query rows with a running softmax (Milakov and Gimelshein, Online normalizer calculation for softmax,
   2018): no matrix of scores is ever stored. A task is one query row of one head. */
#ifndef EDGEC_ATTENTION_H
#define EDGEC_ATTENTION_H

#include "edgec_math.h"

typedef struct {
  ptrdiff_t heads, kv_heads, n, m, d, e; /* query heads, key heads, queries, keys, length of a key, of a value */
  ptrdiff_t mb, mh, mn, mm;              /* strides of the mask over batch, head, query, key; 0 where it is repeated */
  ptrdiff_t causal, boolean;             /* boolean: the mask is bytes, 0 hides a key; else floats are added */
  float scale;
} edgec_attention_shape;

EDGEC_FN float edgec_dot(const float *a, const float *b, ptrdiff_t n) {
  float part[8] = {0}, sum = 0.0f;
  ptrdiff_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int j = 0; j < 8; j++) part[j] += a[i + j] * b[i + j];
  for (int j = 0; j < 8; j++) sum += part[j];
  if (n % 8) /* or gcc warns of an overflow in a loop that never runs */
    for (; i < n; i++) sum += a[i] * b[i];
  return sum;
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

#endif
