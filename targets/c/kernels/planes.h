/* From images with channels first to rows of channels last (rows.h). */
#ifndef EDGEC_PLANES_H
#define EDGEC_PLANES_H

#include "rows.h"

#define edgec_rows_from_planes EDGEC_NAMED(rows_from_planes)

/* Rows of a channels-first image [c][h][w] as channels last. x_image is c*h*w. */
EDGEC_FN void edgec_rows_from_planes(const edgec_real *x, edgec_real *y, const edgec_rows_shape *d, ptrdiff_t image,
                                     ptrdiff_t y0, ptrdiff_t y1) {
  const ptrdiff_t plane = d->h * d->w;
  for (ptrdiff_t oy = y0; oy < y1; oy++) {
    const edgec_real *from = x + image * d->x_image + oy * d->w;
    edgec_real *to = y + image * d->y_image + oy % d->y_depth * d->y_row;
    ptrdiff_t ox = 0;
    if (d->c == 1) {
      edgec_copy(to, from, d->w * (ptrdiff_t)sizeof(edgec_real));
    } else if (d->c == 3) {
      for (; ox + EDGEC_LANES <= d->w; ox += EDGEC_LANES)
        edgec_store_3(to + 3 * ox, edgec_load(from + ox), edgec_load(from + plane + ox),
                      edgec_load(from + 2 * plane + ox));
      if (d->w % EDGEC_LANES) /* or gcc warns of an overflow in a loop that never runs */
        for (; ox < d->w; ox++)
          for (ptrdiff_t c = 0; c < 3; c++) to[3 * ox + c] = from[c * plane + ox];
    } else {
      for (ptrdiff_t c = 0; c < d->c; c++) /* reads run along rows, which lie far apart */
        for (ptrdiff_t x1 = 0; x1 < d->w; x1++) to[x1 * d->c + c] = from[c * plane + x1];
    }
  }
}

#endif
