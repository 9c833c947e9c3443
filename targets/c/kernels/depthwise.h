/* Depthwise convolution over channels-last float32 images: one weight per tap and channel, vectors along channels.
   Weights are packed [tap][channel], channels padded to whole vectors. A task is an output row. Columns whose window
   lies inside the image run a tight loop; the few at the edges check their taps. Additions go tap by tap in order,
   in both, so that the place of the edge changes no bit. */
#ifndef EDGEC_DEPTHWISE_H
#define EDGEC_DEPTHWISE_H

#include "isa.h"

typedef void (*edgec_dw_act_fn)(float *y, ptrdiff_t n);

typedef struct {
  ptrdiff_t h, w, c, cp; /* cp: channels in packed weights */
  ptrdiff_t oh, ow, kh, kw, sh, sw, dh, dw, top, left;
  float lo, hi;   /* clamp before the residual */
  float rlo, rhi; /* clamp after it */
} edgec_dw_shape;

/* Output pixels [x0, x1) of one row, kernel rows [ky0, ky1), kernel columns checked against the image. */
EDGEC_FN void edgec_dw_edge(const float *x, const float *b, const float *bias, float *y, const edgec_dw_shape *d,
                            ptrdiff_t iy, ptrdiff_t ky0, ptrdiff_t ky1, ptrdiff_t x0, ptrdiff_t x1) {
  for (ptrdiff_t ox = x0; ox < x1; ox++) {
    for (ptrdiff_t c = 0; c < d->c; c += EDGEC_LANES) {
      const ptrdiff_t n = d->c - c < EDGEC_LANES ? d->c - c : EDGEC_LANES;
      edgec_vf acc = edgec_load(bias + c);
      for (ptrdiff_t ky = ky0; ky < ky1; ky++) {
        for (ptrdiff_t kx = 0; kx < d->kw; kx++) {
          const ptrdiff_t ix = ox * d->sw - d->left + kx * d->dw;
          if (ix < 0 || ix >= d->w) continue;
          acc += edgec_load_n(x + ((iy + ky * d->dh) * d->w + ix) * d->c + c, n) *
                 edgec_load(b + (ky * d->kw + kx) * d->cp + c);
        }
      }
      edgec_store_n(y + ox * d->c + c, edgec_clamp(acc, edgec_splat(d->lo), edgec_splat(d->hi)), n);
    }
  }
}

/* Inner columns, `px` pixels at a time and one vector of channels: K taps, all inside. Weights stay in registers. */
#define EDGEC_DW_INNER(KH, KW, SW, PX)                                                                   \
  EDGEC_FN void edgec_dw_##KH##x##KW##s##SW(const float *x, const float *b, const float *bias, float *y, \
                                            const edgec_dw_shape *d, ptrdiff_t x0, ptrdiff_t x1) {       \
    const ptrdiff_t row = d->dh * d->w * d->c, px = d->c;                                                \
    const edgec_vf lo = edgec_splat(d->lo), hi = edgec_splat(d->hi);                                     \
    for (ptrdiff_t c = 0; c < d->c; c += EDGEC_LANES) {                                                  \
      const ptrdiff_t n = d->c - c < EDGEC_LANES ? d->c - c : EDGEC_LANES;                               \
      edgec_vf wv[(KH) * (KW)];                                                                          \
      EDGEC_UNROLL for (int i = 0; i < (KH) * (KW); i++) wv[i] = edgec_load(b + i * d->cp + c);          \
      const edgec_vf bv = edgec_load(bias + c);                                                          \
      ptrdiff_t ox = x0;                                                                                 \
      const float *xp = x + (x0 * (SW) - d->left) * px + c;                                              \
      float *yp = y + x0 * px + c;                                                                       \
      if (n == EDGEC_LANES) {                                                                            \
        for (; ox + (PX) <= x1; ox += (PX), xp += (PX) * (SW) * px, yp += (PX) * px) {                   \
          edgec_vf acc[PX];                                                                              \
          EDGEC_UNROLL for (int p = 0; p < (PX); p++) acc[p] = bv;                                       \
          const float *xr = xp;                                                                          \
          EDGEC_UNROLL for (int ky = 0; ky < (KH); ky++, xr += row) {                                    \
            const float *xq = xr;                                                                        \
            edgec_vf in[((PX) - 1) * (SW) + (KW)];                                                       \
            EDGEC_UNROLL for (int i = 0; i < ((PX) - 1) * (SW) + (KW); i++, xq += px) in[i] = edgec_load(xq); \
            EDGEC_UNROLL for (int kx = 0; kx < (KW); kx++) {                                             \
              EDGEC_UNROLL for (int p = 0; p < (PX); p++) acc[p] += in[p * (SW) + kx] * wv[ky * (KW) + kx]; \
            }                                                                                            \
          }                                                                                              \
          EDGEC_UNROLL for (int p = 0; p < (PX); p++) edgec_store(yp + p * px, edgec_clamp(acc[p], lo, hi)); \
        }                                                                                                \
      }                                                                                                  \
      for (; ox < x1; ox++, xp += (SW) * px, yp += px) {                                                 \
        edgec_vf acc = bv;                                                                               \
        EDGEC_UNROLL for (int i = 0; i < (KH) * (KW); i++)                                               \
          acc += edgec_load_n(xp + (i / (KW)) * row + (i % (KW)) * px, n) * wv[i];                       \
        edgec_store_n(yp, edgec_clamp(acc, lo, hi), n);                                                  \
      }                                                                                                  \
    }                                                                                                    \
  }

typedef void (*edgec_dw_fn)(const float *, const float *, const float *, float *, const edgec_dw_shape *, ptrdiff_t,
                            ptrdiff_t);

/* x [n][h][w][c] -> y [n][oh][ow][c]; tasks are n*oh rows. `inner` is null where no specialised body exists. */
EDGEC_FN void edgec_depthwise(const float *x, const float *b, const float *bias, const float *r, float *y,
                              const edgec_dw_shape *d, edgec_dw_fn inner, edgec_dw_act_fn act, ptrdiff_t begin,
                              ptrdiff_t end) {
  ptrdiff_t x0 = (d->left + d->sw - 1) / d->sw; /* first and past-last column whose window is inside */
  ptrdiff_t x1 = d->w + d->left - (d->kw - 1) * d->dw - 1;
  x1 = x1 < 0 ? 0 : x1 / d->sw + 1;
  if (x1 > d->ow) x1 = d->ow;
  if (x0 > x1) x0 = x1;
  for (ptrdiff_t task = begin; task < end; task++) {
    const ptrdiff_t image = task / d->oh, oy = task % d->oh, iy = oy * d->sh - d->top;
    ptrdiff_t ky0 = 0, ky1 = d->kh;
    while (ky0 < ky1 && iy + ky0 * d->dh < 0) ky0++;
    while (ky1 > ky0 && iy + (ky1 - 1) * d->dh >= d->h) ky1--;
    const float *xi = x + image * d->h * d->w * d->c;
    float *yr = y + task * d->ow * d->c;
    if (inner && ky0 == 0 && ky1 == d->kh) {
      edgec_dw_edge(xi, b, bias, yr, d, iy, ky0, ky1, 0, x0);
      inner(xi + iy * d->w * d->c, b, bias, yr, d, x0, x1);
      edgec_dw_edge(xi, b, bias, yr, d, iy, ky0, ky1, x1, d->ow);
    } else {
      edgec_dw_edge(xi, b, bias, yr, d, iy, ky0, ky1, 0, d->ow);
    }
    if (r) {
      const float *rr = r + task * d->ow * d->c;
      for (ptrdiff_t i = 0; i < d->ow * d->c; i++) {
        const float v = yr[i] + rr[i];
        yr[i] = v < d->rlo ? d->rlo : v > d->rhi ? d->rhi : v;
      }
    }
    if (act) act(yr, d->ow * d->c);
  }
}

#endif
