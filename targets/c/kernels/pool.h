/* Max and average pooling over channels-last float32 images, vectors along channels (rows.h). */
#ifndef EDGEC_POOL_H
#define EDGEC_POOL_H

#include "isa.h"

#define edgec_pool_shape EDGEC_NAMED(pool_shape)
#define edgec_pool EDGEC_NAMED(pool)

typedef struct {
  ptrdiff_t h, w, c, ow, kh, kw, sh, sw, dh, dw, top, left;
  ptrdiff_t x_image, x_row, x_depth, y_image, y_row, y_depth;
  ptrdiff_t count_h, count_w; /* average over padding too: the padded image's far edge; 0: only over the image */
} edgec_pool_shape;

EDGEC_FN void edgec_pool(const edgec_real *x, edgec_real *y, const edgec_pool_shape *d, ptrdiff_t average,
                         ptrdiff_t image, ptrdiff_t y0, ptrdiff_t y1) {
  for (ptrdiff_t oy = y0; oy < y1; oy++) {
    const edgec_real *xi = x + image * d->x_image;
    edgec_real *yr = y + image * d->y_image + oy % d->y_depth * d->y_row;
    for (ptrdiff_t ox = 0; ox < d->ow; ox++) {
      const ptrdiff_t iy = oy * d->sh - d->top, ix = ox * d->sw - d->left;
      ptrdiff_t ky0 = 0, ky1 = d->kh, kx0 = 0, kx1 = d->kw;
      while (ky0 < ky1 && iy + ky0 * d->dh < 0) ky0++;
      while (ky1 > ky0 && iy + (ky1 - 1) * d->dh >= d->h) ky1--;
      while (kx0 < kx1 && ix + kx0 * d->dw < 0) kx0++;
      while (kx1 > kx0 && ix + (kx1 - 1) * d->dw >= d->w) kx1--;
      ptrdiff_t count = (ky1 - ky0) * (kx1 - kx0);
      if (d->count_h) {
        ptrdiff_t ch = 0, cw = 0;
        for (ptrdiff_t k = 0; k < d->kh; k++) ch += iy + k * d->dh < d->count_h;
        for (ptrdiff_t k = 0; k < d->kw; k++) cw += ix + k * d->dw < d->count_w;
        count = ch * cw;
      }
      const edgec_vf divisor = edgec_splat((float)count);
      for (ptrdiff_t c = 0; c < d->c; c += EDGEC_LANES) {
        const ptrdiff_t n = d->c - c < EDGEC_LANES ? d->c - c : EDGEC_LANES;
        edgec_vf acc = edgec_splat(average ? 0.0f : -__builtin_inff());
        for (ptrdiff_t ky = ky0; ky < ky1; ky++) {
          const edgec_real *row = xi + (iy + ky * d->dh) % d->x_depth * d->x_row + ix * d->c + c;
          for (ptrdiff_t kx = kx0; kx < kx1; kx++) {
            const edgec_vf v = edgec_load_n(row + kx * d->dw * d->c, n);
            if (average)
              acc += v;
            else
              acc = edgec_select(v > acc, v, edgec_select(v != v, v, acc));
          }
        }
        if (average) acc /= divisor;
        edgec_store_n(yr + ox * d->c + c, acc, n);
      }
    }
  }
}

#endif
