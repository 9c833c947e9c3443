/* Depthwise convolution over channels-last float32 images: one weight per tap and channel, vectors along channels.
   Weights are packed [tap][channel], channels padded to whole vectors. Columns beside the image are zeros in memory
   (rows.h); rows above and below are left out of the sum. Additions go tap by tap in order, whatever the body. */
#ifndef EDGEC_DEPTHWISE_H
#define EDGEC_DEPTHWISE_H

#include "conv.h"

#define edgec_dw_shape EDGEC_NAMED(dw_shape)
#define edgec_dw_pixels EDGEC_NAMED(dw_pixels)
#define edgec_dw_any EDGEC_NAMED(dw_any)
#define edgec_dw_fn EDGEC_NAMED(dw_fn)
#define edgec_dw_add EDGEC_NAMED(dw_add)
#define edgec_depthwise EDGEC_NAMED(depthwise)

typedef struct {
  ptrdiff_t h, c, cp; /* image rows; channels, and channels in packed weights */
  ptrdiff_t ow, kh, kw, sh, sw, dh, dw, top, left;
  ptrdiff_t x_image, x_row, x_depth; /* rows.h */
  ptrdiff_t y_image, y_row, y_depth;
  ptrdiff_t r_image, r_row, r_depth;
  float lo, hi;   /* clamp before the residual */
  float rlo, rhi; /* clamp after it */
} edgec_dw_shape;

/* `count` neighbouring pixels of one vector of channels from c on, any kernel. */
EDGEC_INLINE void edgec_dw_pixels(const edgec_real *const *rows, ptrdiff_t ky0, ptrdiff_t ky1, const edgec_real *b,
                                  const edgec_real *bias, edgec_real *y, const edgec_dw_shape *d, ptrdiff_t c, ptrdiff_t ox,
                                  int count) {
  const ptrdiff_t step = d->dw * d->c;
  edgec_vf acc[8];
  ptrdiff_t at[8];
  EDGEC_UNROLL for (int p = 0; p < count; p++) {
    acc[p] = edgec_load(bias + c);
    at[p] = p * d->sw * d->c;
    EDGEC_OPAQUE(at[p]);
  }
  for (ptrdiff_t ky = ky0; ky < ky1; ky++) {
    const edgec_real *from = rows[ky] + ox * d->sw * d->c + c, *weights = b + ky * d->kw * d->cp + c;
    for (ptrdiff_t kx = d->kw; kx > 0; kx--, from += step, weights += d->cp) {
      const edgec_vf w = edgec_load(weights);
      EDGEC_UNROLL for (int p = 0; p < count; p++) acc[p] += edgec_load(from + at[p]) * w;
    }
  }
  const edgec_vf lo = edgec_splat(d->lo), hi = edgec_splat(d->hi);
  EDGEC_UNROLL for (int p = 0; p < count; p++) edgec_store(y + (ox + p) * d->c + c, edgec_clamp(acc[p], lo, hi));
}

/* One result row from kernel rows [ky0, ky1), any kernel, channels from c on. rows[ky] is the first tap of the first
   pixel. The last pixels are computed again where eight or four do not divide them. */
EDGEC_NOINLINE void edgec_dw_any(const edgec_real *const *rows, ptrdiff_t ky0, ptrdiff_t ky1, const edgec_real *b,
                                 const edgec_real *bias, edgec_real *y, const edgec_dw_shape *d, ptrdiff_t c) {
  const ptrdiff_t step = d->dw * d->c, ow = d->ow;
  for (; c + EDGEC_LANES <= d->c; c += EDGEC_LANES) {
    if (ow >= 8)
      for (ptrdiff_t ox = 0; ox < ow; ox += 8)
        edgec_dw_pixels(rows, ky0, ky1, b, bias, y, d, c, ox < ow - 8 ? ox : ow - 8, 8);
    else if (ow >= 4)
      for (ptrdiff_t ox = 0; ox < ow; ox += 4)
        edgec_dw_pixels(rows, ky0, ky1, b, bias, y, d, c, ox < ow - 4 ? ox : ow - 4, 4);
    else
      for (ptrdiff_t ox = 0; ox < ow; ox++) edgec_dw_pixels(rows, ky0, ky1, b, bias, y, d, c, ox, 1);
  }
  if (c == d->c) return;
  const ptrdiff_t n = d->c - c;
  for (ptrdiff_t ox = 0; ox < ow; ox++) {
    edgec_vf acc = edgec_load(bias + c);
    for (ptrdiff_t ky = ky0; ky < ky1; ky++) {
      const edgec_real *from = rows[ky] + ox * d->sw * d->c + c, *weights = b + ky * d->kw * d->cp + c;
      for (ptrdiff_t kx = 0; kx < d->kw; kx++, from += step, weights += d->cp)
        acc += edgec_load_n(from, n) * edgec_load(weights);
    }
    edgec_store_n(y + ox * d->c + c, edgec_clamp(acc, edgec_splat(d->lo), edgec_splat(d->hi)), n);
  }
}

/* One result row of a KH x KW kernel without dilation: PX pixels at a time, weights in registers. The last pixels are
   computed again when PX does not divide them (there must be PX of them). A part of a vector of channels goes pixel by
   pixel. Where kernel rows are missing, above and below the image, those that are there come one by one. */
#define EDGEC_DW_INNER(KH, KW, SW, PX)                                                                                 \
  EDGEC_FN void EDGEC_NAMED(dw_##KH##x##KW##s##SW##_##PX)(const edgec_real *const *rows, ptrdiff_t ky0, ptrdiff_t ky1, \
                                                   const edgec_real *b, const edgec_real *bias, edgec_real *y,         \
                                                   const edgec_dw_shape *d) {                                          \
    enum { IN = ((PX) - 1) * (SW) + (KW) };                                                                            \
    const ptrdiff_t px = d->c, ow = d->ow, cp = d->cp;                                                                 \
    const edgec_vf lo = edgec_splat(d->lo), hi = edgec_splat(d->hi);                                                   \
    ptrdiff_t at[IN], c = 0;                                                                                           \
    EDGEC_UNROLL for (int i = 0; i < IN; i++) {                                                                        \
      at[i] = i * px;                                                                                                  \
      EDGEC_OPAQUE(at[i]);                                                                                             \
    }                                                                                                                  \
    for (; c + EDGEC_LANES <= d->c; c += EDGEC_LANES) {                                                                \
      const edgec_vf bv = edgec_load(bias + c);                                                                        \
      if (ky1 - ky0 == (KH)) {                                                                                         \
        edgec_vf wv[(KH) * (KW)];                                                                                      \
        EDGEC_UNROLL for (int i = 0; i < (KH) * (KW); i++) wv[i] = edgec_load(b + i * cp + c);                         \
        const edgec_real *from[KH];                                                                                    \
        EDGEC_UNROLL for (int ky = 0; ky < (KH); ky++) from[ky] = rows[ky] + c;                                        \
        for (ptrdiff_t ox = 0, in_at = 0; ox < ow; ox += (PX), in_at += (PX) * (SW) * px) {                            \
          if (ox > ow - (PX)) {                                                                                        \
            ox = ow - (PX);                                                                                            \
            in_at = ox * (SW) * px;                                                                                    \
          }                                                                                                            \
          edgec_vf acc[PX];                                                                                            \
          EDGEC_UNROLL for (int p = 0; p < (PX); p++) acc[p] = bv;                                                     \
          EDGEC_UNROLL for (int ky = 0; ky < (KH); ky++) {                                                             \
            const edgec_real *x = from[ky] + in_at;                                                                    \
            edgec_vf in[IN];                                                                                           \
            EDGEC_UNROLL for (int i = 0; i < IN; i++) in[i] = edgec_load(x + at[i]);                                   \
            EDGEC_UNROLL for (int kx = 0; kx < (KW); kx++) {                                                           \
              EDGEC_UNROLL for (int p = 0; p < (PX); p++) acc[p] += in[p * (SW) + kx] * wv[ky * (KW) + kx];            \
            }                                                                                                          \
          }                                                                                                            \
          edgec_real *to = y + ox * px + c;                                                                            \
          EDGEC_UNROLL for (int p = 0; p < (PX); p++) edgec_store(to + at[p], edgec_clamp(acc[p], lo, hi));            \
        }                                                                                                              \
      } else {                                                                                                         \
        for (ptrdiff_t ox = 0; ox < ow; ox += (PX)) {                                                                  \
          if (ox > ow - (PX)) ox = ow - (PX);                                                                          \
          edgec_vf acc[PX];                                                                                            \
          EDGEC_UNROLL for (int p = 0; p < (PX); p++) acc[p] = bv;                                                     \
          for (ptrdiff_t ky = ky0; ky < ky1; ky++) {                                                                   \
            const edgec_real *x = rows[ky] + ox * (SW) * px + c, *weights = b + ky * (KW) * cp + c;                    \
            edgec_vf in[IN];                                                                                           \
            EDGEC_UNROLL for (int i = 0; i < IN; i++) in[i] = edgec_load(x + at[i]);                                   \
            EDGEC_UNROLL for (int kx = 0; kx < (KW); kx++, weights += cp) {                                            \
              const edgec_vf w = edgec_load(weights);                                                                  \
              EDGEC_UNROLL for (int p = 0; p < (PX); p++) acc[p] += in[p * (SW) + kx] * w;                             \
            }                                                                                                          \
          }                                                                                                            \
          edgec_real *to = y + ox * px + c;                                                                            \
          EDGEC_UNROLL for (int p = 0; p < (PX); p++) edgec_store(to + at[p], edgec_clamp(acc[p], lo, hi));            \
        }                                                                                                              \
      }                                                                                                                \
    }                                                                                                                  \
    if (c < d->c) edgec_dw_any(rows, ky0, ky1, b, bias, y, d, c);                                                      \
  }

/* The same, NV vectors of channels at once, which A64 loads and stores by one instruction; the weights of a kernel row
   at a time. Vectors of channels are a multiple of NV. */
#define EDGEC_DW_WIDE_ROW(KW, SW, PX, NV, ROW)                                                          \
  {                                                                                                     \
    const edgec_real *x = (ROW) + in_at;                                                                \
    edgec_vf wv[KW][NV];                                                                                \
    EDGEC_UNROLL for (int kx = 0; kx < (KW); kx++) {                                                    \
      edgec_load_run(wv[kx], weights, NV);                                                              \
      EDGEC_ADVANCE(weights, cp);                                                                       \
    }                                                                                                   \
    EDGEC_UNROLL for (int i = 0; i < ((PX) - 1) * (SW) + (KW); i++) { /* acc[p] takes tap i - p * SW */ \
      edgec_vf in[NV];                                                                                  \
      edgec_load_run(in, x, NV);                                                                        \
      EDGEC_ADVANCE(x, px);                                                                             \
      EDGEC_UNROLL for (int p = 0; p < (PX); p++) {                                                     \
        if (i < p * (SW) || i >= p * (SW) + (KW)) continue;                                             \
        EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[p][v] += in[v] * wv[i - p * (SW)][v];           \
      }                                                                                                 \
      EDGEC_UNROLL for (int p = 0; p < (PX); p++) {                                                     \
        if (i < p * (SW) || i >= p * (SW) + (KW)) continue;                                             \
        EDGEC_UNROLL for (int v = 0; v < (NV); v++) EDGEC_TIE(acc[p][v]);                               \
      }                                                                                                 \
    }                                                                                                   \
  }
#define EDGEC_DW_WIDE(KH, KW, SW, PX, NV)                                                                       \
  EDGEC_FN void EDGEC_NAMED(dw_##KH##x##KW##s##SW##_##PX##x##NV)(                                               \
      const edgec_real *const *rows, ptrdiff_t ky0, ptrdiff_t ky1, const edgec_real *b, const edgec_real *bias, \
      edgec_real *y, const edgec_dw_shape *d) {                                                                 \
    const ptrdiff_t px = d->c, ow = d->ow, cp = d->cp;                                                          \
    const edgec_vf lo = edgec_splat(d->lo), hi = edgec_splat(d->hi);                                            \
    ptrdiff_t c = 0;                                                                                            \
    for (; c + (NV) * EDGEC_LANES <= d->c; c += (NV) * EDGEC_LANES) {                                           \
      for (ptrdiff_t ox = 0; ox < ow; ox += (PX)) {                                                             \
        if (ox > ow - (PX)) ox = ow - (PX);                                                                     \
        const ptrdiff_t in_at = ox * (SW) * px + c;                                                             \
        const edgec_real *from = bias + c, *weights = b + ky0 * (KW) * cp + c;                                  \
        edgec_vf acc[PX][NV];                                                                                   \
        EDGEC_UNROLL for (int p = 0; p < (PX); p++) {                                                           \
          EDGEC_OPAQUE(from); /* loads in pairs are fewer than copies one by one */                             \
          EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[p][v] = edgec_load(from + v * EDGEC_LANES);           \
        }                                                                                                       \
        if (ky1 - ky0 == (KH))                                                                                  \
          EDGEC_UNROLL for (int ky = 0; ky < (KH); ky++) EDGEC_DW_WIDE_ROW(KW, SW, PX, NV, rows[ky])            \
        else                                                                                                    \
          for (ptrdiff_t ky = ky0; ky < ky1; ky++) EDGEC_DW_WIDE_ROW(KW, SW, PX, NV, rows[ky])                  \
        edgec_real *to = y + ox * px + c;                                                                       \
        EDGEC_UNROLL for (int p = 0; p < (PX); p++) {                                                           \
          EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[p][v] = edgec_clamp(acc[p][v], lo, hi);               \
          edgec_store_run(to, acc[p], NV);                                                                      \
          EDGEC_ADVANCE(to, px);                                                                                \
        }                                                                                                       \
      }                                                                                                         \
    }                                                                                                           \
    if (c < d->c) edgec_dw_any(rows, ky0, ky1, b, bias, y, d, c);                                               \
  }

typedef void (*edgec_dw_fn)(const edgec_real *const *, ptrdiff_t, ptrdiff_t, const edgec_real *, const edgec_real *,
                            edgec_real *, const edgec_dw_shape *);

#define EDGEC_DW_ROWS 64 /* most kernel rows */

/* y = clamp(y + r) */
EDGEC_INLINE void edgec_dw_add(edgec_real *y, const edgec_real *r, ptrdiff_t n, float from, float to) {
  const edgec_vf lo = edgec_splat(from), hi = edgec_splat(to);
  for (; n >= 4 * EDGEC_LANES; n -= 4 * EDGEC_LANES, y += 4 * EDGEC_LANES, r += 4 * EDGEC_LANES) {
    edgec_vf a[4], b[4];
    edgec_load_run(a, y, 4);
    edgec_load_run(b, r, 4);
    EDGEC_UNROLL for (int i = 0; i < 4; i++) a[i] = edgec_clamp(a[i] + b[i], lo, hi);
    edgec_store_run(y, a, 4);
  }
  for (; n > 0; n -= EDGEC_LANES, y += EDGEC_LANES, r += EDGEC_LANES) {
    const ptrdiff_t lanes = n < EDGEC_LANES ? n : EDGEC_LANES;
    edgec_store_n(y, edgec_clamp(edgec_load_n(y, lanes) + edgec_load_n(r, lanes), lo, hi), lanes);
  }
}

/* `inner` is null where no specialised body exists; r is added after the first clamp, or null. */
EDGEC_NOINLINE void edgec_depthwise(const edgec_real *x, const edgec_real *b, const edgec_real *bias,
                                    const edgec_real *r, edgec_real *y, const edgec_dw_shape *d, edgec_dw_fn inner, edgec_conv_act_fn act, ptrdiff_t image,
                                    ptrdiff_t y0, ptrdiff_t y1) {
  for (ptrdiff_t oy = y0; oy < y1; oy++) {
    const ptrdiff_t iy = oy * d->sh - d->top;
    const edgec_real *rows[EDGEC_DW_ROWS];
    ptrdiff_t ky0, ky1;
    edgec_kernel_rows(iy, d->kh, d->dh, d->h, &ky0, &ky1);
    for (ptrdiff_t ky = ky0; ky < ky1; ky++)
      rows[ky] = x + image * d->x_image + (iy + ky * d->dh) % d->x_depth * d->x_row - d->left * d->c;
    edgec_real *yr = y + image * d->y_image + oy % d->y_depth * d->y_row;
    if (inner)
      inner(rows, ky0, ky1, b, bias, yr, d);
    else
      edgec_dw_any(rows, ky0, ky1, b, bias, yr, d, 0);
    if (r) edgec_dw_add(yr, r + image * d->r_image + oy % d->r_depth * d->r_row, d->ow * d->c, d->rlo, d->rhi);
    if (act) act(yr, d->ow * d->c);
  }
}

#endif
