/* LSTM, GRU and RNN over time steps in one direction. The input's part of the gates comes ready-made (one GEMM over all
   steps); here are the recurrence, a product with packed weights a step (gemm.h), and the gates. Gate orders are ONNX's:
   iofc, zrh. */
#ifndef EDGEC_RECURRENT_H
#define EDGEC_RECURRENT_H

#include "edgec_math.h"
#include "matmul.h"

typedef struct {
  ptrdiff_t gates;            /* 4 LSTM, 3 GRU, 1 RNN */
  ptrdiff_t t, b, h;          /* steps, batch, hidden units */
  ptrdiff_t y_step;           /* floats between steps of y */
  ptrdiff_t x_step;           /* floats between rows of gx */
  ptrdiff_t reverse, option;  /* option: LSTM input_forget, GRU linear_before_reset */
  ptrdiff_t lens_bytes;       /* 4 or 8: size of an element of lens */
  ptrdiff_t f, g, o;          /* activations, as below */
  float clip;                 /* 0: none */
} edgec_recurrent_shape;

EDGEC_FN void edgec_recurrent_act(ptrdiff_t kind, float *v, ptrdiff_t n, float clip) {
  if (clip > 0.0f)
    for (ptrdiff_t i = 0; i < n; i++) v[i] = v[i] < -clip ? -clip : v[i] > clip ? clip : v[i];
  switch (kind) {
    case 0:
      for (ptrdiff_t i = 0; i < n; i++) v[i] = edgec_sigmoid(v[i]);
      break;
    case 1:
      for (ptrdiff_t i = 0; i < n; i++) v[i] = edgec_tanh(v[i]);
      break;
    case 2:
      for (ptrdiff_t i = 0; i < n; i++) v[i] = edgec_relu(v[i]);
      break;
    case 3:
      for (ptrdiff_t i = 0; i < n; i++) v[i] = v[i] < 0.0f ? 0.01f * v[i] : v[i];
      break;
    case 4:
      for (ptrdiff_t i = 0; i < n; i++) v[i] = v[i] > 1.0f ? v[i] : 0.0f;
      break;
    case 5:
      for (ptrdiff_t i = 0; i < n; i++) v[i] = edgec_clip01(0.2f * v[i] + 0.5f);
      break;
    case 6:
      for (ptrdiff_t i = 0; i < n; i++) v[i] = v[i] < 0.0f ? edgec_expm1(v[i]) : v[i];
      break;
    case 7:
      for (ptrdiff_t i = 0; i < n; i++) v[i] = v[i] / (1.0f + edgec_abs(v[i]));
      break;
    default:
      for (ptrdiff_t i = 0; i < n; i++) v[i] = edgec_softplus(v[i]);
  }
}

/* What a state adds to gates, in floats here, on bytes in qrecurrent.h. `start` stands before a step, with all states
   [b][h]. `add`: y = x + bias + the products of `from`, h floats, by the weights of the units that see the state as it is
   or (`inner`) of the others; `entry` is the one whose state `from` is, or -1 where it is none. x may be null. */
typedef void edgec_state_start(const void *part, const float *states, const void *lens, ptrdiff_t step,
                               const edgec_recurrent_shape *d);
typedef void edgec_state_add(const void *part, int inner, const float *from, ptrdiff_t entry, const float *x, float *y);

/* Steps of entry b: its length, or all there are. */
EDGEC_INLINE ptrdiff_t edgec_steps_of(const void *lens, ptrdiff_t b, const edgec_recurrent_shape *d) {
  if (!lens) return d->t;
  const int64_t end = d->lens_bytes == 4 ? ((const int32_t *)lens)[b] : ((const int64_t *)lens)[b];
  return end < d->t ? (ptrdiff_t)end : d->t;
}

/* Biases of all units, input's and state's, for those that see the state as it is; the state's alone for the others. The
   first are `columns` floats from `to` on, the others `more` behind them; what is beyond the units are zeros. */
EDGEC_FN void edgec_recurrent_bias(const float *bias, float *to, ptrdiff_t columns, ptrdiff_t more,
                                   const edgec_recurrent_shape *d) {
  const ptrdiff_t all = d->gates * d->h, seeing = d->gates == 3 ? 2 * d->h : all;
  for (ptrdiff_t j = 0; j < columns + more; j++) to[j] = 0.0f;
  for (ptrdiff_t j = 0; bias && j < seeing; j++) to[j] = bias[j] + bias[all + j];
  for (ptrdiff_t j = 0; bias && j < all - seeing; j++) to[columns + j] = bias[all + seeing + j];
}

/* gx [t][b] rows of [gates*h]; bias: input then recurrent [2*gates*h], or null; p: LSTM peepholes [3*h] (i, o, f), or
   null; h0, c0 [b][h] or null; y: step 0 of [t] steps of [b][h]; hn, cn [b][h]: the last state (cn is LSTM's alone); work:
   (gates + 2) * h floats. Backwards, each entry begins at its own end. The last state of an entry without steps is zeros. */
EDGEC_INLINE void edgec_recurrent_steps(const float *gx, const float *bias, const float *p, const void *lens,
                                        const float *h0, const float *c0, float *y, float *hn, float *cn, float *work,
                                        const edgec_recurrent_shape *d, edgec_state_start *start, edgec_state_add *add,
                                        const void *part) {
  const ptrdiff_t n = d->h, all = d->gates * n;
  float *spare = work + all, *sum = spare + n;
  for (ptrdiff_t i = 0; i < d->b * n; i++) hn[i] = h0 ? h0[i] : 0.0f;
  if (d->gates == 4)
    for (ptrdiff_t i = 0; i < d->b * n; i++) cn[i] = c0 ? c0[i] : 0.0f;
  for (ptrdiff_t step = 0; step < d->t; step++) {
    if (start) start(part, hn, lens, step, d);
    for (ptrdiff_t b = 0; b < d->b; b++) {
      const ptrdiff_t end = edgec_steps_of(lens, b, d), at = d->reverse && step < end ? end - 1 - step : step;
      float *h = hn + b * n, *out = y + at * d->y_step + b * n;
      if (step >= end) {
        for (ptrdiff_t j = 0; j < n; j++) out[j] = 0.0f;
        continue;
      }
      const float *x = gx + (at * d->b + b) * d->x_step;
      add(part, 0, h, b, x, work);
      if (d->gates == 4) {
        float *c = cn + b * n, *gi = work, *go = work + n, *gf = work + 2 * n, *gc = work + 3 * n;
        for (ptrdiff_t j = 0; p && j < n; j++) gi[j] += p[j] * c[j], gf[j] += p[2 * n + j] * c[j];
        edgec_recurrent_act(d->f, gi, n, d->clip);
        edgec_recurrent_act(d->f, gf, n, d->clip);
        edgec_recurrent_act(d->g, gc, n, d->clip);
        for (ptrdiff_t j = 0; j < n; j++) c[j] = (d->option ? 1.0f - gi[j] : gf[j]) * c[j] + gi[j] * gc[j];
        for (ptrdiff_t j = 0; p && j < n; j++) go[j] += p[n + j] * c[j];
        edgec_recurrent_act(d->f, go, n, d->clip);
        for (ptrdiff_t j = 0; j < n; j++) spare[j] = c[j];
        edgec_recurrent_act(d->o, spare, n, 0.0f);
        for (ptrdiff_t j = 0; j < n; j++) h[j] = go[j] * spare[j];
      } else if (d->gates == 3) {
        float *z = work, *reset = work + n, *gh = work + 2 * n;
        edgec_recurrent_act(d->f, work, 2 * n, d->clip);
        for (ptrdiff_t j = 0; j < n; j++) gh[j] = x[2 * n + j] + (bias ? bias[2 * n + j] : 0.0f);
        for (ptrdiff_t j = 0; !d->option && j < n; j++) spare[j] = reset[j] * h[j];
        add(part, 1, d->option ? h : spare, d->option ? b : -1, 0, sum);
        for (ptrdiff_t j = 0; j < n; j++) gh[j] += d->option ? reset[j] * sum[j] : sum[j];
        edgec_recurrent_act(d->g, gh, n, d->clip);
        for (ptrdiff_t j = 0; j < n; j++) h[j] = (1.0f - z[j]) * gh[j] + z[j] * h[j];
      } else {
        edgec_recurrent_act(d->f, work, n, d->clip);
        for (ptrdiff_t j = 0; j < n; j++) h[j] = work[j];
      }
      for (ptrdiff_t j = 0; j < n; j++) out[j] = h[j];
    }
  }
  for (ptrdiff_t b = 0; lens && b < d->b; b++) {
    if (edgec_steps_of(lens, b, d) > 0) continue;
    for (ptrdiff_t j = b * n; j < (b + 1) * n; j++) hn[j] = 0.0f;
    for (ptrdiff_t j = b * n; d->gates == 4 && j < (b + 1) * n; j++) cn[j] = 0.0f;
  }
}

/* Recurrent weights [h][units] as panels, with biases packed like them. */
typedef struct {
  const float *r, *bias;
  ptrdiff_t units, column; /* bytes of a column of r */
  const edgec_gemm_tiles *tiles;
} edgec_state_panels;
typedef struct {
  edgec_state_panels of[2]; /* of the units that see the state as it is, and of the others */
  ptrdiff_t h;
} edgec_float_state;

EDGEC_FN void edgec_float_state_add(const void *part, int inner, const float *from, ptrdiff_t entry, const float *x,
                                    float *y) {
  const edgec_float_state *s = (const edgec_float_state *)part;
  const edgec_state_panels *w = s->of + inner;
  const float inf = __builtin_inff();
  (void)entry;
  edgec_matmul_packed(from, w->r, w->bias, x, y, 1, w->units, s->h, w->column, 1, -inf, inf, w->tiles, 0, 0, 1);
}

/* As edgec_recurrent_steps. r: recurrent weights as panels of `fused`, r_column bytes a column, for the gates that see
   the state as it is, then (GRU) as panels of `inner` for the last; work has a bias for each column of the panels behind
   its gates. */
EDGEC_FN void edgec_recurrent(const float *gx, const float *r, ptrdiff_t r_column, const float *bias, const float *p,
                              const void *lens, const float *h0, const float *c0, float *y, float *hn, float *cn,
                              float *work, const edgec_recurrent_shape *d, const edgec_gemm_tiles *fused,
                              const edgec_gemm_tiles *inner) {
  const ptrdiff_t n = d->h, all = d->gates * n, seeing = d->gates == 3 ? 2 * n : all;
  const ptrdiff_t columns = edgec_gemm_columns(seeing, fused), more = inner ? edgec_gemm_columns(n, inner) : 0;
  float *biases = work + all + 2 * n;
  const char *behind = (const char *)r + columns * r_column;
  const edgec_float_state part = {
      {{r, biases, seeing, r_column, fused},
       {(const float *)(const void *)behind, biases + columns, all - seeing, r_column, inner}},
      n};
  edgec_recurrent_bias(bias, biases, columns, more, d);
  edgec_recurrent_steps(gx, bias, p, lens, h0, c0, y, hn, cn, work, d, 0, edgec_float_state_add, &part);
}

#endif
