/* Pooling of bytes over channels-last images, by rows (rows.h): the largest, or the requantised sum. What lies beside
   the image is nothing to the largest and x_zero to the sum. */
#ifndef EDGEC_QPOOL_H
#define EDGEC_QPOOL_H

#include "rows.h"
#include "qmap.h"

typedef struct {
  ptrdiff_t h, w, c, ow, kh, kw, sh, sw, dh, dw, top, left;
  ptrdiff_t x_image, x_row, x_depth;
  ptrdiff_t y_image, y_row, y_depth;
  int32_t x_zero, bias, multiplier, shift, lo, hi;
} edgec_qpool_shape;

#define EDGEC_QPOOL_LANES 64

#define EDGEC_QPOOL(NAME, T, LOWEST, ACC, TAKE, START, FINISH)                                                     \
  EDGEC_NOINLINE void edgec_qpool_##NAME(const T *x, T *y, const edgec_qpool_shape *d, ptrdiff_t image,            \
                                         ptrdiff_t y0, ptrdiff_t y1) {                                             \
    for (ptrdiff_t oy = y0; oy < y1; oy++) {                                                                       \
      const ptrdiff_t iy = oy * d->sh - d->top;                                                                    \
      ptrdiff_t ky0, ky1;                                                                                          \
      edgec_kernel_rows(iy, d->kh, d->dh, d->h, &ky0, &ky1);                                                       \
      T *to = y + image * d->y_image + oy % d->y_depth * d->y_row;                                                 \
      for (ptrdiff_t ox = 0; ox < d->ow; ox++) {                                                                   \
        const ptrdiff_t ix = ox * d->sw - d->left;                                                                 \
        ptrdiff_t kx0, kx1;                                                                                        \
        edgec_kernel_rows(ix, d->kw, d->dw, d->w, &kx0, &kx1);                                                     \
        const int32_t outside = (int32_t)(d->kh * d->kw - (ky1 - ky0) * (kx1 - kx0)) * d->x_zero;                  \
        for (ptrdiff_t c = 0; c < d->c; c += EDGEC_QPOOL_LANES) {                                                  \
          const ptrdiff_t lanes = d->c - c < EDGEC_QPOOL_LANES ? d->c - c : EDGEC_QPOOL_LANES;                     \
          ACC acc[EDGEC_QPOOL_LANES];                                                                              \
          for (ptrdiff_t j = 0; j < lanes; j++) acc[j] = (ACC)(START);                                             \
          for (ptrdiff_t ky = ky0; ky < ky1; ky++)                                                                 \
            for (ptrdiff_t kx = kx0; kx < kx1; kx++) {                                                             \
              const T *from = x + image * d->x_image + (iy + ky * d->dh) % d->x_depth * d->x_row +                 \
                              (ix + kx * d->dw) * d->c + c;                                                        \
              for (ptrdiff_t j = 0; j < lanes; j++) acc[j] = (ACC)(TAKE);                                          \
            }                                                                                                      \
          for (ptrdiff_t j = 0; j < lanes; j++) to[ox * d->c + c + j] = (T)(FINISH);                               \
        }                                                                                                          \
        (void)outside;                                                                                             \
      }                                                                                                            \
    }                                                                                                              \
  }
#define EDGEC_QMAX_POOL(NAME, T, LOWEST) \
  EDGEC_QPOOL(max_##NAME, T, LOWEST, T, from[j] > acc[j] ? from[j] : acc[j], LOWEST, acc[j])
#define EDGEC_QSUM_POOL(NAME, T)                                              \
  EDGEC_QPOOL(sum_##NAME, T, 0, int32_t, acc[j] + from[j], outside + d->bias, \
              edgec_requant_one(acc[j], d->multiplier, d->shift, d->lo, d->hi))

#endif
