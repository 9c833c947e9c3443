/* Convolution over channels-last float32 images as a GEMM whose left operand is the image itself (gemm.h).

   A task is a band of output rows. Where the image is padded, a band keeps a ring of kh padded input rows in its own
   stretch of `ring`, filled as the rows are needed; otherwise rows are read in place. Output pixels may be strided, so
   that a transposed convolution is one such convolution per phase. */
#ifndef EDGEC_CONV_H
#define EDGEC_CONV_H

#include "gemm.h"
#include "map.h"

typedef void (*edgec_act_fn)(float *y, ptrdiff_t n);

typedef struct {
  ptrdiff_t h, w, c;                   /* image; c counts all groups */
  ptrdiff_t oh, ow, oc;                /* result of this call; oc counts one group */
  ptrdiff_t kh, kw, sh, sw, dh, dw;    /* kernel, strides, dilations */
  ptrdiff_t top, left;                 /* padding in front; negative: cropped */
  ptrdiff_t groups, gc;                /* gc: input channels of a group */
  ptrdiff_t y_image, y_row, y_pixel;   /* floats between images, rows, pixels of the result */
  ptrdiff_t bands;                     /* output rows are split into this many bands per image */
  float lo, hi;
} edgec_conv_shape;

/* Padded row iy of the image into `to`: ring_w pixels from column -left. */
EDGEC_FN void edgec_conv_fill(float *to, const float *x, const edgec_conv_shape *d, ptrdiff_t iy, ptrdiff_t ring_w) {
  ptrdiff_t from = -d->left, before = from < 0 ? -from : 0;
  if (before > ring_w || iy < 0 || iy >= d->h) before = ring_w;
  ptrdiff_t count = d->w - (from > 0 ? from : 0);
  if (count > ring_w - before) count = ring_w - before;
  if (count < 0) count = 0;
  for (ptrdiff_t i = 0; i < before * d->c; i++) to[i] = 0.0f;
  if (count) edgec_copy(to + before * d->c, x + (iy * d->w + (from > 0 ? from : 0)) * d->c, count * d->c * 4);
  for (ptrdiff_t i = (before + count) * d->c; i < ring_w * d->c; i++) to[i] = 0.0f;
}

/* x [n][h][w][c], b and bias packed per group (b_group, bias_group floats apart), r like y or null. `ring` holds
   n*bands stretches of ring_floats floats, or is null: nothing is padded. act runs on finished rows, or is null. */
EDGEC_FN void edgec_conv(const float *x, const float *b, const float *bias, const float *r, float *y, float *ring,
                         const edgec_conv_shape *d, const edgec_gemm_tiles *tiles, ptrdiff_t b_group,
                         ptrdiff_t bias_group, ptrdiff_t ring_floats, edgec_act_fn act, ptrdiff_t begin,
                         ptrdiff_t end) {
  const ptrdiff_t ring_w = (d->ow - 1) * d->sw + (d->kw - 1) * d->dw + 1;
  const int runs = d->dw == 1 && d->groups == 1; /* a kernel row is one run */
  for (ptrdiff_t task = begin; task < end; task++) {
    const ptrdiff_t image = task / d->bands, band = task % d->bands;
    const ptrdiff_t first = d->oh * band / d->bands, stop = d->oh * (band + 1) / d->bands;
    const float *xi = x + image * d->h * d->w * d->c;
    float *my = ring ? ring + task * ring_floats : 0;
    ptrdiff_t have = first * d->sh - d->top; /* input rows below this are in the ring */
    for (ptrdiff_t oy = first; oy < stop; oy++) {
      const float *rows[EDGEC_SEGMENTS], *a[EDGEC_SEGMENTS];
      const ptrdiff_t need = oy * d->sh - d->top, last = need + (d->kh - 1) * d->dh;
      if (my) {
        const ptrdiff_t depth = (d->kh - 1) * d->dh + 1;
        if (have < need) have = need;
        for (; have <= last; have++)
          edgec_conv_fill(my + ((have + d->top) % depth) * ring_w * d->c, xi, d, have, ring_w);
        for (ptrdiff_t ky = 0; ky < d->kh; ky++)
          rows[ky] = my + ((need + ky * d->dh + d->top) % depth) * ring_w * d->c;
      } else {
        for (ptrdiff_t ky = 0; ky < d->kh; ky++) rows[ky] = xi + ((need + ky * d->dh) * d->w - d->left) * d->c;
      }
      float *yr = y + image * d->y_image + oy * d->y_row;
      const float *rr = r ? r + image * d->y_image + oy * d->y_row : 0;
      for (ptrdiff_t g = 0; g < d->groups; g++) {
        ptrdiff_t s = 0;
        for (ptrdiff_t ky = 0; ky < d->kh; ky++) {
          if (runs)
            a[s++] = rows[ky];
          else
            for (ptrdiff_t kx = 0; kx < d->kw; kx++) a[s++] = rows[ky] + kx * d->dw * d->c + g * d->gc;
        }
        const edgec_gemm_args t = {.a = a,
                                   .segments = s,
                                   .length = runs ? d->kw * d->c : d->gc,
                                   .a_stride = d->sw * d->c,
                                   .b = b + g * b_group,
                                   .bias = bias + g * bias_group,
                                   .c = yr + g * d->oc,
                                   .c_stride = d->y_pixel,
                                   .r = rr ? rr + g * d->oc : 0,
                                   .r_stride = d->y_pixel,
                                   .lo = d->lo,
                                   .hi = d->hi,
                                   .n = 0};
        edgec_gemm(&t, d->ow, d->oc, tiles);
      }
      if (act)
        for (ptrdiff_t ox = 0; ox < d->ow; ox++) act(yr + ox * d->y_pixel, d->groups * d->oc);
    }
  }
}

/* Matmul with a packed right operand: a [m][k] -> y [m][n]; a task is `chunk` rows. */
EDGEC_FN void edgec_matmul(const float *a, const float *b, const float *bias, const float *r, float *y, ptrdiff_t m,
                           ptrdiff_t n, ptrdiff_t k, ptrdiff_t chunk, float lo, float hi,
                           const edgec_gemm_tiles *tiles, edgec_act_fn act, ptrdiff_t begin, ptrdiff_t end) {
  for (ptrdiff_t task = begin; task < end; task++) {
    const ptrdiff_t first = task * chunk, rows = m - first < chunk ? m - first : chunk;
    const float *from[1] = {a + first * k};
    const edgec_gemm_args t = {.a = from,
                               .segments = 1,
                               .length = k,
                               .a_stride = k,
                               .b = b,
                               .bias = bias,
                               .c = y + first * n,
                               .c_stride = n,
                               .r = r ? r + first * n : 0,
                               .r_stride = n,
                               .lo = lo,
                               .hi = hi,
                               .n = 0};
    edgec_gemm(&t, rows, n, tiles);
    if (act) act(y + first * n, rows * n);
  }
}

/* The right operand of a matmul at run time, b [k][n] or (transposed) [n][k], into panels of nv vectors. */
EDGEC_FN void edgec_gemm_pack(const float *b, float *to, ptrdiff_t k, ptrdiff_t n, ptrdiff_t nv, ptrdiff_t last_nv,
                              ptrdiff_t transposed) {
  const ptrdiff_t full = nv * EDGEC_LANES;
  for (ptrdiff_t j = 0; j < n; j += full) {
    const ptrdiff_t width = n - j <= full ? last_nv * EDGEC_LANES : full, real = n - j < width ? n - j : width;
    for (ptrdiff_t i = 0; i < k; i++) {
      for (ptrdiff_t l = 0; l < real; l++) to[l] = transposed ? b[(j + l) * k + i] : b[i * n + j + l];
      for (ptrdiff_t l = real; l < width; l++) to[l] = 0.0f;
      to += width;
    }
  }
}

/* Batches of a [m][k] by b [k][n] (transposed: [n][k]) -> y [m][n]; `panel` holds one packed b. Batches that share b
   pack it once. dims, sa, sb: lengths of the batch axes and the operands' strides over them, in floats. */
EDGEC_FN void edgec_matmul_batched(const float *a, const float *b, const float *bias, float *y, float *panel,
                                   const int64_t *dims, const int64_t *sa, const int64_t *sb, ptrdiff_t rank,
                                   ptrdiff_t batches, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, ptrdiff_t transposed,
                                   float lo, float hi, const edgec_gemm_tiles *tiles, edgec_act_fn act) {
  const float *packed = 0;
  for (ptrdiff_t i = 0; i < batches; i++) {
    const float *pb = b + edgec_row_offset(i, dims, sb, rank);
    if (pb != packed) edgec_gemm_pack(pb, panel, k, n, tiles->nv, tiles->last_nv, transposed);
    packed = pb;
    edgec_matmul(a + edgec_row_offset(i, dims, sa, rank), panel, bias, 0, y + i * m * n, m, n, k, m, lo, hi, tiles, act,
                 0, 1);
  }
}

#endif
