/* recurrent.h with products of bytes: the state becomes bytes at each step, with a scale and a zero point found then
   (dynamic.h). Weights beyond a byte are sums of a few that are not, one run of the products each (qgemm.h). */
#ifndef EDGEC_QRECURRENT_H
#define EDGEC_QRECURRENT_H

#include "dynamic.h"
#include "qgemm.h"
#include "recurrent.h"

enum { EDGEC_STATE_RUNS = 3 };

/* Weights of some units as panels; their scales, their sums, and biases or null. */
typedef struct {
  const int8_t *r;
  const float *by;
  const int32_t *of;
  const float *bias;
  ptrdiff_t units, column; /* bytes of a column of the panels */
  const edgec_qgemm_tiles *tiles;
} edgec_byte_panels;

typedef struct {
  edgec_byte_panels of[2];
  ptrdiff_t h, runs, together; /* together: one scale for all states of the step before */
  edgec_q8 *bytes;             /* [b + 1][h]: of states, and of one row more; read up to 15 bytes behind */
  float *scales, *copy;        /* [b + 1]; [b][h] */
  int32_t *zeros, *sums;       /* [b + 1]; the gates' */
  const int32_t *nothing;      /* zeros for the columns of a panel */
  ptrdiff_t spare;             /* the row that is none of a state: b */
} edgec_byte_state;

EDGEC_FN void edgec_byte_state_start(const void *part, const float *states, const void *lens, ptrdiff_t step,
                                     const edgec_recurrent_shape *d) {
  const edgec_byte_state *s = (const edgec_byte_state *)part;
  if (!s->together) {
    edgec_quantize_rows(states, s->bytes, s->scales, s->zeros, d->h, 0, d->b);
    return;
  }
  for (ptrdiff_t b = 0; b < d->b; b++) {
    const int made = step <= edgec_steps_of(lens, b, d);
    for (ptrdiff_t j = b * d->h; j < (b + 1) * d->h; j++) s->copy[j] = made ? states[j] : 0.0f;
  }
  edgec_quantize_rows(s->copy, s->bytes, s->scales, s->zeros, d->b * d->h, 0, 1);
  for (ptrdiff_t b = 1; b < d->b; b++) s->scales[b] = s->scales[0], s->zeros[b] = s->zeros[0];
}

EDGEC_FN void edgec_byte_state_add(const void *part, int inner, const float *from, ptrdiff_t entry, const float *x,
                                   float *y) {
  const edgec_byte_state *s = (const edgec_byte_state *)part;
  const edgec_byte_panels *w = s->of + inner;
  const ptrdiff_t row = entry < 0 ? s->spare : entry;
  edgec_q8 *bytes = s->bytes + row * s->h;
  if (entry < 0) edgec_quantize_rows(from, bytes, s->scales + row, s->zeros + row, s->h, 0, 1);
  const edgec_q8 *const runs[EDGEC_STATE_RUNS] = {bytes, bytes, bytes};
  const edgec_qgemm_args t = {.a = runs,
                              .segments = s->runs,
                              .groups = (s->h + w->tiles->group - 1) / w->tiles->group,
                              .a_stride = s->h,
                              .b = w->r,
                              .bias = s->nothing,
                              .c = (char *)s->sums,
                              .n = 0};
  const edgec_qgemm_lines l = {.lines = 1, .pixels = 1, .c_pixel = w->units, .r_pixel = w->units, .k = w->column};
  edgec_qgemm(&t, w->units, &l, w->tiles);
  edgec_dequantize_row(s->sums, s->scales[row], s->zeros[row], w->by, w->of, x && w->bias ? w->bias : 0, x ? x : w->bias,
                       y, w->units);
}

/* As edgec_recurrent. r, r_column and inner_r, inner_column: panels, and bytes of a column of theirs; by, of [gates*h]:
   scales of the weights and their sums; bytes: b + 1 states and 15 bytes; numbers: b + 1, gates*h, and the columns of
   the widest panels; work: (2 * gates + 2 + b) * h + b + 1. */
EDGEC_FN void edgec_qrecurrent(const float *gx, const int8_t *r, ptrdiff_t r_column, const int8_t *inner_r,
                               ptrdiff_t inner_column, const float *by, const int32_t *of, const float *bias,
                               const float *p, const void *lens, const float *h0, const float *c0, float *y, float *hn,
                               float *cn, float *work, edgec_q8 *bytes, int32_t *numbers, ptrdiff_t columns,
                               ptrdiff_t runs, ptrdiff_t together, const edgec_recurrent_shape *d,
                               const edgec_qgemm_tiles *fused, const edgec_qgemm_tiles *inner) {
  const ptrdiff_t n = d->h, all = d->gates * n, seeing = d->gates == 3 ? 2 * n : all;
  float *biases = work + all + 2 * n;
  int32_t *sums = numbers + d->b + 1, *nothing = sums + all;
  const edgec_byte_state part = {
      .of = {{r, by, of, bias ? biases : 0, seeing, r_column, fused},
             {inner_r, by + seeing, of + seeing, bias ? biases + seeing : 0, all - seeing, inner_column, inner}},
      .h = n,
      .runs = runs,
      .together = together,
      .bytes = bytes,
      .scales = biases + all,
      .copy = biases + all + d->b + 1,
      .zeros = numbers,
      .sums = sums,
      .nothing = nothing,
      .spare = d->b};
  for (ptrdiff_t j = 0; j < columns; j++) nothing[j] = 0;
  edgec_recurrent_bias(bias, biases, seeing, all - seeing, d);
  edgec_recurrent_steps(gx, bias, p, lens, h0, c0, y, hn, cn, work, d, edgec_byte_state_start, edgec_byte_state_add,
                        &part);
}

#endif
