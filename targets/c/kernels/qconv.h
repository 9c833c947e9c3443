/* Convolution over channels-last images of bytes as a GEMM whose left operand is the image itself (conv.h, qgemm.h).

   Columns beside the image are bytes equal to its zero point; rows above and below are left out of the sum. The bias
   makes up for the zero point of those that are in it: there is one for each number of rows left out above, below. */
#ifndef EDGEC_QCONV_H
#define EDGEC_QCONV_H

#include "qgemm.h"

typedef struct {
  ptrdiff_t h, c;                    /* image rows; channels of all groups */
  ptrdiff_t ow, oc;                  /* result columns; channels of one group */
  ptrdiff_t kh, kw, sh, sw, dh, dw;  /* kernel, strides, dilations */
  ptrdiff_t top, left;               /* padding in front; negative: cropped */
  ptrdiff_t groups, gc;              /* gc: input channels of a group */
  ptrdiff_t x_image, x_row, x_depth; /* rows.h, in elements */
  ptrdiff_t y_image, y_row, y_depth, y_pixel;
  ptrdiff_t r_image, r_row, r_depth;
  ptrdiff_t b_row, taps;      /* bytes of a column of B for a kernel row; whether each tap is a run */
  ptrdiff_t b_group, columns; /* packed bytes and columns of a group */
  ptrdiff_t below;            /* most kernel rows that are left out below the image */
  int32_t lo, hi;
} edgec_qconv_shape;

/* b and by are packed per group, bias per variant and group. y are bytes, or int32_t where by is null. r is added times
   r_steps, which are packed as by is; or both are null. */
EDGEC_NOINLINE void edgec_qconv(const edgec_q8 *x, const int8_t *b, const int32_t *bias, const int32_t *by,
                                const edgec_q8 *r, const int32_t *r_steps, void *y,
                                const edgec_qconv_shape *d, const edgec_qgemm_tiles *tiles, ptrdiff_t image,
                                ptrdiff_t y0, ptrdiff_t y1) {
  const int runs = !d->taps; /* a kernel row is one run of bytes */
  const ptrdiff_t length = runs ? d->kw * d->gc : d->gc;
  const ptrdiff_t of_run = (length + tiles->group - 1) / tiles->group;
  for (ptrdiff_t oy = y0; oy < y1;) {
    const ptrdiff_t iy = oy * d->sh - d->top, reach = (d->kh - 1) * d->dh;
    const ptrdiff_t lines = edgec_even_lines(oy, y1 - oy, iy, d->sh, reach, d->h, d->x_depth, d->y_depth,
                                             r ? d->r_depth : 0);
    ptrdiff_t ky0, ky1;
    edgec_kernel_rows(iy, d->kh, d->dh, d->h, &ky0, &ky1);
    const int32_t *variant = bias + (ky0 * (d->below + 1) + d->kh - ky1) * d->groups * d->columns;
    char *yr = (char *)y + (image * d->y_image + oy % d->y_depth * d->y_row) * tiles->size;
    const edgec_q8 *rr = r ? r + image * d->r_image + oy % d->r_depth * d->r_row : 0;
    for (ptrdiff_t g = 0; g < d->groups; g++) {
      const edgec_q8 *a[EDGEC_SEGMENTS];
      ptrdiff_t s = 0;
      for (ptrdiff_t ky = ky0; ky < ky1; ky++) {
        const edgec_q8 *row = x + image * d->x_image + (iy + ky * d->dh) % d->x_depth * d->x_row - d->left * d->c;
        if (runs)
          a[s++] = row;
        else
          for (ptrdiff_t kx = 0; kx < d->kw; kx++) a[s++] = row + kx * d->dw * d->c + g * d->gc;
      }
      const edgec_qgemm_args t = {.a = a,
                                  .segments = s,
                                  .groups = of_run,
                                  .a_stride = d->sw * d->c,
                                  .b = b + g * d->b_group,
                                  .bias = variant + g * d->columns,
                                  .by = by ? by + g * d->columns : 0,
                                  .c = yr + g * d->oc * tiles->size,
                                  .r = rr ? rr + g * d->oc : 0,
                                  .r_steps = r_steps ? r_steps + g * d->columns : 0,
                                  .lo = d->lo,
                                  .hi = d->hi,
                                  .n = 0};
      const edgec_qgemm_lines l = {.lines = lines,
                                   .pixels = d->ow,
                                   .a_line = d->sh * d->x_row,
                                   .c_line = d->y_row,
                                   .c_pixel = d->y_pixel,
                                   .r_line = d->r_row,
                                   .r_pixel = d->groups * d->oc,
                                   .k = d->kh * d->b_row,
                                   .skip = ky0 * d->b_row};
      edgec_qgemm(&t, d->oc, &l, tiles);
    }
    oy += lines;
  }
}

#endif
