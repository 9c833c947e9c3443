/* Convolution over channels-last float32 images as a GEMM whose left operand is the image itself (gemm.h, rows.h).

   Columns beside the image are zeros in memory; rows above and below are left out of the sum. Neighbouring result rows
   whose operands lie evenly in memory make one GEMM, so that the weights are read once for all of them. Output pixels
   may be strided, so that a transposed convolution is one such convolution per phase. */
#ifndef EDGEC_CONV_H
#define EDGEC_CONV_H

#include "gemm.h"

#define edgec_conv_shape EDGEC_NAMED(conv_shape)
#define edgec_conv_act_fn EDGEC_NAMED(conv_act_fn)
#define edgec_conv EDGEC_NAMED(conv)

typedef struct {
  ptrdiff_t h, c;                    /* image rows; channels of all groups */
  ptrdiff_t ow, oc;                  /* result columns; channels of one group */
  ptrdiff_t kh, kw, sh, sw, dh, dw;  /* kernel, strides, dilations */
  ptrdiff_t top, left;               /* padding in front; negative: cropped */
  ptrdiff_t groups, gc;              /* gc: input channels of a group */
  ptrdiff_t b_row, taps;             /* bytes of a column of B for a kernel row; whether each tap is a run */
  ptrdiff_t x_image, x_row, x_depth; /* rows.h */
  ptrdiff_t y_image, y_row, y_depth, y_pixel;
  ptrdiff_t r_image, r_row, r_depth;
  float lo, hi;
} edgec_conv_shape;

typedef void (*edgec_conv_act_fn)(edgec_result *y, ptrdiff_t n);

/* b and bias are packed per group (b_group, bias_group floats apart), r is added before the clamp or null. act runs on
   finished rows, or is null. */
EDGEC_NOINLINE void edgec_conv(const edgec_left *x, const edgec_real *b, const edgec_real *bias,
                               const edgec_real *r, edgec_result *y, const edgec_conv_shape *d,
                               const edgec_gemm_tiles *tiles, ptrdiff_t b_group, ptrdiff_t bias_group,
                               edgec_conv_act_fn act, ptrdiff_t image, ptrdiff_t y0, ptrdiff_t y1) {
  const int runs = !d->taps; /* a kernel row is one run of floats */
  for (ptrdiff_t oy = y0; oy < y1;) {
    const ptrdiff_t iy = oy * d->sh - d->top, reach = (d->kh - 1) * d->dh;
    const ptrdiff_t lines =
        edgec_even_lines(oy, y1 - oy, iy, d->sh, reach, d->h, d->x_depth, d->y_depth, r ? d->r_depth : 0);
    ptrdiff_t ky0, ky1;
    edgec_kernel_rows(iy, d->kh, d->dh, d->h, &ky0, &ky1);
    edgec_result *yr = y + image * d->y_image + oy % d->y_depth * d->y_row;
    const edgec_real *rr = r ? r + image * d->r_image + oy % d->r_depth * d->r_row : 0;
    for (ptrdiff_t g = 0; g < d->groups; g++) {
      const edgec_left *a[EDGEC_SEGMENTS];
      ptrdiff_t s = 0;
      for (ptrdiff_t ky = ky0; ky < ky1; ky++) {
        const edgec_left *row = x + image * d->x_image + (iy + ky * d->dh) % d->x_depth * d->x_row - d->left * d->c;
        if (runs)
          a[s++] = row;
        else
          for (ptrdiff_t kx = 0; kx < d->kw; kx++) a[s++] = row + kx * d->dw * d->c + g * d->gc;
      }
      const edgec_gemm_args t = {.a = a,
                                 .segments = s,
                                 .length = runs ? d->kw * d->gc : d->gc,
                                 .a_stride = d->sw * d->c,
                                 .b = b + g * b_group,
                                 .bias = bias + g * bias_group,
                                 .c = yr + g * d->oc,
                                 .r = rr ? rr + g * d->oc : 0,
                                 .lo = d->lo,
                                 .hi = d->hi,
                                 .n = 0};
      const edgec_gemm_lines l = {.lines = lines,
                                  .pixels = d->ow,
                                  .a_line = d->sh * d->x_row,
                                  .c_line = d->y_row,
                                  .c_pixel = d->y_pixel,
                                  .r_line = d->r_row,
                                  .r_pixel = d->groups * d->oc,
                                  .k = d->kh * d->b_row,
                                  .skip = ky0 * d->b_row};
      edgec_gemm(&t, d->oc, &l, tiles);
    }
    if (act)
      for (ptrdiff_t line = 0; line < lines; line++)
        for (ptrdiff_t ox = 0; ox < d->ow; ox++) act(yr + line * d->y_row + ox * d->y_pixel, d->groups * d->oc);
    oy += lines;
  }
}

#endif
