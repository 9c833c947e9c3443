/* Image rows: where a row of a channels-last image or of a ring of its rows lies, and what prepares rows.

   Row y of image n starts at base + n*image + (y % depth)*row, all in elements; pixels are c of them apart. A ring holds
   `depth` rows at a time, anything else has depth >= its height. Rows may be stored with columns of zeros beside them,
   which a convolution reads as its padding. All row kernels end with (image, y0, y1): result rows [y0, y1). */
#ifndef EDGEC_ROWS_H
#define EDGEC_ROWS_H

#include "isa.h"

/* Lengths and strides of a copy between images of w columns and c channels. */
typedef struct {
  ptrdiff_t h, w, c;
  ptrdiff_t x_image, x_row, x_depth;
  ptrdiff_t y_image, y_row, y_depth;
} edgec_rows_shape;

/* Kernel rows [*ky0, *ky1) whose input row, iy + ky*dh, is inside the image. */
EDGEC_INLINE void edgec_kernel_rows(ptrdiff_t iy, ptrdiff_t kh, ptrdiff_t dh, ptrdiff_t h, ptrdiff_t *ky0,
                                    ptrdiff_t *ky1) {
  ptrdiff_t from = 0, to = kh;
  while (from < to && iy + from * dh < 0) from++;
  while (to > from && iy + (to - 1) * dh >= h) to--;
  *ky0 = from;
  *ky1 = to;
}

/* Result rows from oy on, at most `most`, that have every kernel row and no ring's end between their rows; one at least.
   Their operand begins at rows iy, iy + sh …, of h, and ends `reach` further; r_depth is 0 where nothing is added. */
EDGEC_INLINE ptrdiff_t edgec_even_lines(ptrdiff_t oy, ptrdiff_t most, ptrdiff_t iy, ptrdiff_t sh, ptrdiff_t reach,
                                        ptrdiff_t h, ptrdiff_t x_depth, ptrdiff_t y_depth, ptrdiff_t r_depth) {
  if (iy < 0) return 1;
  const ptrdiff_t turn = iy - iy % x_depth + x_depth, end = turn < h ? turn : h;
  const ptrdiff_t spare = end - 1 - reach - iy, y_left = y_depth - oy % y_depth;
  ptrdiff_t n = spare < 0 ? 1 : spare / sh + 1;
  if (n > most) n = most;
  if (n > y_left) n = y_left;
  if (r_depth && n > r_depth - oy % r_depth) n = r_depth - oy % r_depth;
  return n;
}

#define EDGEC_SEGMENTS 64  /* most runs of a GEMM's left operand */
#define EDGEC_GEMM_ROWS 16 /* most rows of a GEMM's tile */

/* How tiles of mr rows go over `lines` lines of `pixels` pixels: over the ends of lines, as if they were one line of
   more pixels, or line by line. `uneven`: results do not lie evenly, so that each tile needs the places of its own.
   `down`: one call takes the tiles of all lines at a pixel. */
typedef struct {
  ptrdiff_t pixels, lines;
  int uneven, down;
} edgec_gemm_way;
EDGEC_INLINE edgec_gemm_way edgec_way(ptrdiff_t lines, ptrdiff_t pixels, ptrdiff_t mr, int a_even, int c_even) {
  const int even = a_even && c_even, merged = even || (a_even && pixels % mr);
  const ptrdiff_t each = merged ? lines * pixels : pixels, left = merged ? 1 : lines;
  const edgec_gemm_way way = {each, left, merged && !even, !merged && (each + mr - 1) / mr < left};
  return way;
}

/* Offsets of `rows` pixels from pixel p on, of lines of so many pixels. */
EDGEC_INLINE void edgec_pixels_at(ptrdiff_t *at, ptrdiff_t p, ptrdiff_t rows, ptrdiff_t pixels, ptrdiff_t line,
                                  ptrdiff_t pixel) {
  ptrdiff_t x = p % pixels, row = p / pixels * line;
  for (ptrdiff_t m = 0; m < rows; m++) {
    at[m] = row + x * pixel;
    if (++x == pixels) {
      x = 0;
      row += line;
    }
  }
}

/* n bytes of one kind, by few stores and no call. */
typedef uint8_t edgec_16_bytes __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t edgec_8_bytes __attribute__((aligned(1), may_alias));
EDGEC_INLINE void edgec_fill_bytes(uint8_t *y, ptrdiff_t n, uint8_t byte) {
  if (n < 16) {
    if (n >= 8) {
      const uint64_t eight = byte * (uint64_t)0x0101010101010101;
      *(edgec_8_bytes *)y = *(edgec_8_bytes *)(y + n - 8) = eight;
      return;
    }
    for (uint8_t *const end = y + n; y < end; y++) {
      *y = byte;
      EDGEC_OPAQUE(y); /* or compilers see a memset */
    }
    return;
  }
  const edgec_16_bytes all = byte - (edgec_16_bytes){0};
  *(edgec_16_bytes *)(y + n - 16) = all;
  for (n -= 16; n > 16; n -= 32, y += 32) {
    ((edgec_16_bytes *)y)[0] = ((edgec_16_bytes *)y)[1] = all;
    EDGEC_OPAQUE(y);
  }
  if (n > 0) *(edgec_16_bytes *)y = all;
}

/* Bytes that stand for zero, `left` in front of and `right` behind the w*c of each row; lengths are in bytes. */
EDGEC_NOINLINE void edgec_fill_columns(void *y, const edgec_rows_shape *d, ptrdiff_t left, ptrdiff_t right,
                                       ptrdiff_t zero, ptrdiff_t image, ptrdiff_t y0, ptrdiff_t y1) {
  const ptrdiff_t width = d->w * d->c, depth = d->y_depth, step = d->y_row;
  uint8_t *const first = (uint8_t *)y + image * d->y_image;
  ptrdiff_t slot = y0 % depth;
  for (ptrdiff_t oy = y0; oy < y1; oy++) {
    uint8_t *row = first + slot * step;
    edgec_fill_bytes(row - left, left, (uint8_t)zero);
    edgec_fill_bytes(row + width, right, (uint8_t)zero);
    if (++slot == depth) slot = 0;
  }
}

/* Elements are `size` bytes. */
EDGEC_NOINLINE void edgec_copy_rows(const void *x, void *y, const edgec_rows_shape *d, ptrdiff_t size,
                                    ptrdiff_t image, ptrdiff_t y0, ptrdiff_t y1) {
  for (ptrdiff_t oy = y0; oy < y1; oy++)
    edgec_copy((char *)y + (image * d->y_image + oy % d->y_depth * d->y_row) * size,
               (const char *)x + (image * d->x_image + oy % d->x_depth * d->x_row) * size, d->w * d->c * size);
}

#endif
