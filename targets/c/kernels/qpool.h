/* Sums and maxima of bytes: over windows of channels-last images (rows.h), and over axes. */
#ifndef EDGEC_QPOOL_H
#define EDGEC_QPOOL_H

#include "any.h"
#include "qlanes.h"

typedef struct {
  ptrdiff_t h, w, c, ow, kh, kw, sh, sw, dh, dw, top, left;
  ptrdiff_t x_image, x_row, x_depth, y_image, y_row, y_depth;
  int32_t x_zero;
  edgec_qscale scale;
} edgec_qpool_shape;

/* Taps [*from, *to) of a kernel that begins at `at`, for places inside [0, size). */
EDGEC_INLINE void edgec_taps_inside(ptrdiff_t at, ptrdiff_t k, ptrdiff_t dilation, ptrdiff_t size, ptrdiff_t *from,
                                    ptrdiff_t *to) {
  ptrdiff_t first = 0, stop = k;
  while (first < stop && at + first * dilation < 0) first++;
  while (stop > first && at + (stop - 1) * dilation >= size) stop--;
  *from = first;
  *to = stop;
}

/* For each result pixel and block of channels: STEP with a tap's bytes v, then DONE. */
#define EDGEC_QPOOL_ROWS(START, STEP, DONE)                                                                   \
  for (ptrdiff_t oy = y0; oy < y1; oy++) {                                                                    \
    edgec_q8 *yr = y + image * d->y_image + oy % d->y_depth * d->y_row;                                       \
    const ptrdiff_t iy = oy * d->sh - d->top;                                                                 \
    ptrdiff_t ky0, ky1, kx0, kx1;                                                                             \
    edgec_taps_inside(iy, d->kh, d->dh, d->h, &ky0, &ky1);                                                    \
    for (ptrdiff_t ox = 0; ox < d->ow; ox++) {                                                                \
      const ptrdiff_t ix = ox * d->sw - d->left;                                                              \
      edgec_taps_inside(ix, d->kw, d->dw, d->w, &kx0, &kx1);                                                  \
      for (ptrdiff_t c = 0; c < d->c; c += EDGEC_Q8_BLOCK) {                                                  \
        const ptrdiff_t n = d->c - c;                                                                         \
        START;                                                                                                \
        for (ptrdiff_t ky = ky0; ky < ky1; ky++) {                                                            \
          const edgec_q8 *row =                                                                               \
              x + image * d->x_image + (iy + ky * d->dh) % d->x_depth * d->x_row + ix * d->c + c;             \
          for (ptrdiff_t kx = kx0; kx < kx1; kx++) {                                                          \
            const edgec_vq v = edgec_load_few(row + kx * d->dw * d->c, n);                                    \
            STEP;                                                                                             \
          }                                                                                                   \
        }                                                                                                     \
        edgec_store_few(yr + ox * d->c + c, DONE, n);                                                         \
      }                                                                                                       \
    }                                                                                                         \
  }

/* Taps beside the image count as its zero point. */
#define EDGEC_TAPS_OUTSIDE ((int32_t)(d->kh * d->kw - (ky1 - ky0) * (kx1 - kx0)))
EDGEC_FN void edgec_qsum_pool(const edgec_q8 *x, edgec_q8 *y, const edgec_qpool_shape *d, ptrdiff_t image,
                              ptrdiff_t y0, ptrdiff_t y1) {
  EDGEC_QPOOL_ROWS(edgec_byte_sums s = edgec_sums_start(d->scale.bias + EDGEC_TAPS_OUTSIDE * d->x_zero),
                   edgec_sums_add(&s, v), edgec_sums_finish(&s, &d->scale))
}

/* `flip` is 0x80 where the bytes are not edgec_q8. */
EDGEC_FN void edgec_qmax_pool(const void *from, void *to, const edgec_qpool_shape *d, ptrdiff_t flip, ptrdiff_t image,
                              ptrdiff_t y0, ptrdiff_t y1) {
  const edgec_q8 *x = (const edgec_q8 *)from;
  edgec_q8 *y = (edgec_q8 *)to;
  const edgec_vq turned = edgec_splat_q((int32_t)flip), top = edgec_splat_q(EDGEC_Q8_MAX);
  EDGEC_QPOOL_ROWS(edgec_vq best = edgec_splat_q(EDGEC_Q8_MIN), best = edgec_clamp_q(v ^ turned, best, top),
                   best ^ turned)
}

/* The same for any layout and up to three axes. A task is an image and a channel. */
EDGEC_FN void edgec_qsum_pool_any(const edgec_q8 *x, edgec_q8 *y, const edgec_window *d, ptrdiff_t x_zero,
                                  const edgec_qscale *scale, ptrdiff_t begin, ptrdiff_t end) {
  const ptrdiff_t taps = d->k[0] * d->k[1] * d->k[2];
  for (ptrdiff_t task = begin; task < end; task++) {
    const ptrdiff_t n = task / d->channels, c = task % d->channels;
    for (ptrdiff_t p = 0; p < d->out[0] * d->out[1] * d->out[2]; p++) {
      const ptrdiff_t at[3] = {p / (d->out[1] * d->out[2]), p / d->out[2] % d->out[1], p % d->out[2]};
      int32_t sum = 0;
      for (ptrdiff_t t = 0; t < taps; t++) {
        const ptrdiff_t i0 = edgec_window_at(d, 0, at[0], t / (d->k[1] * d->k[2]));
        const ptrdiff_t i1 = edgec_window_at(d, 1, at[1], t / d->k[2] % d->k[1]);
        const ptrdiff_t i2 = edgec_window_at(d, 2, at[2], t % d->k[2]);
        const int inside = i0 >= 0 && i1 >= 0 && i2 >= 0;
        sum += inside ? x[n * d->xn + c * d->xc + i0 * d->xs[0] + i1 * d->xs[1] + i2 * d->xs[2]] : (int32_t)x_zero;
      }
      y[n * d->yn + c * d->yc + at[0] * d->ys[0] + at[1] * d->ys[1] + at[2] * d->ys[2]] = edgec_requant_one(sum, scale);
    }
  }
}

/* For each outer index of x [outer][size][inner] and block of the inner ones, a task: DONE with the sums s, without what
   is left in 16 bits, of n bytes, whose results are from number `at` on. */
#define EDGEC_QSUM_BLOCKS(BIAS, DONE)                                                              \
  const ptrdiff_t blocks = (inner + EDGEC_Q8_BLOCK - 1) / EDGEC_Q8_BLOCK;                          \
  for (ptrdiff_t task = begin; task < end; task++) {                                               \
    const ptrdiff_t outer = task / blocks, first = task % blocks * EDGEC_Q8_BLOCK;                 \
    const ptrdiff_t n = inner - first, at = outer * inner + first;                                 \
    const edgec_q8 *from = x + outer * size * inner + first;                                       \
    edgec_byte_sums s = edgec_sums_start(BIAS);                                                    \
    for (ptrdiff_t i = 0; i < size; i++, from += inner) edgec_sums_add(&s, edgec_load_few(from, n)); \
    DONE;                                                                                          \
  }

/* Sums over the middle axis. */
EDGEC_FN void edgec_qsum(const edgec_q8 *x, edgec_q8 *y, ptrdiff_t size, ptrdiff_t inner, const edgec_qscale *scale,
                         ptrdiff_t begin, ptrdiff_t end) {
  EDGEC_QSUM_BLOCKS(scale->bias, edgec_store_few(y + at, edgec_sums_finish(&s, scale), n))
}

/* The sums themselves. */
EDGEC_FN void edgec_qsum_wide(const edgec_q8 *x, int32_t *y, ptrdiff_t size, ptrdiff_t inner, int32_t bias,
                              ptrdiff_t begin, ptrdiff_t end) {
  EDGEC_QSUM_BLOCKS(bias, edgec_store_sums(y + at, &s, n))
}

/* Place number `index` of axes with these lengths and strides. */
EDGEC_INLINE ptrdiff_t edgec_place(ptrdiff_t index, const int64_t *dims, const int64_t *strides, ptrdiff_t rank) {
  ptrdiff_t offset = 0;
  for (ptrdiff_t d = rank - 1; d >= 0; d--) {
    offset += index % dims[d] * strides[d];
    index /= dims[d];
  }
  return offset;
}

/* Sums over any axes: `count` places along those that go. A task is an element of the result. */
#define EDGEC_QSUM_PLACES(DONE)                                                                        \
  for (ptrdiff_t task = begin; task < end; task++) {                                                   \
    const edgec_q8 *from = x + edgec_place(task, kept, kept_strides, kept_rank);                       \
    int32_t sum = 0;                                                                                   \
    for (ptrdiff_t i = 0; i < count; i++) sum += from[edgec_place(i, gone, gone_strides, gone_rank)]; \
    y[task] = DONE;                                                                                    \
  }
EDGEC_FN void edgec_qsum_any(const edgec_q8 *x, edgec_q8 *y, const int64_t *kept, const int64_t *kept_strides,
                             ptrdiff_t kept_rank, const int64_t *gone, const int64_t *gone_strides, ptrdiff_t gone_rank,
                             ptrdiff_t count, const edgec_qscale *scale, ptrdiff_t begin, ptrdiff_t end) {
  EDGEC_QSUM_PLACES(edgec_requant_one(sum, scale))
}
EDGEC_FN void edgec_qsum_any_wide(const edgec_q8 *x, int32_t *y, const int64_t *kept, const int64_t *kept_strides,
                                  ptrdiff_t kept_rank, const int64_t *gone, const int64_t *gone_strides,
                                  ptrdiff_t gone_rank, ptrdiff_t count, int32_t bias, ptrdiff_t begin, ptrdiff_t end) {
  EDGEC_QSUM_PLACES(sum + bias)
}

#endif
