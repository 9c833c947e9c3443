/* 3 x 3 convolution of stride 1 by Winograd's minimal filtering F(m x m, 3 x 3), m = 4 or 2 (Lavin & Gray, 2016).

   y = A^T [ sum over c of (G w G^T) . (B^T d B) ] A: a tile of (m+2) x (m+2) input pixels gives m x m output pixels with
   (m+2)^2 products instead of 9 m^2. Each of the (m+2)^2 = XI positions is a GEMM of [tiles x c] by [c x oc].

   Tiles are counted along the strips of m rows; a segment of them goes through the three steps at a time, so that its
   transformed values stay in cache:
     V[group][c / LANES][XI][ROWS][LANES]   transformed input; a group is the tiles of one GEMM tile function
     U[panel][XI][c, up to a step][nv * LANES]    transformed weights, packed by targets/c/winograd.py
     M[tile][nv][XI][LANES]                 products of one panel
   The strides between positions are constants, which A64 addresses without arithmetic. Additions over c ascend, and a
   tile's arithmetic depends on its place in the image alone: any split into calls gives the same bits. */
#ifndef EDGEC_WINOGRAD_H
#define EDGEC_WINOGRAD_H

#include "isa.h"

#define edgec_winograd_shape EDGEC_NAMED(winograd_shape)
#define edgec_winograd_args EDGEC_NAMED(winograd_args)
#define edgec_winograd_out EDGEC_NAMED(winograd_out)
#define edgec_winograd_tiles EDGEC_NAMED(winograd_tiles)
#define edgec_winograd_constants EDGEC_NAMED(winograd_constants)
#define edgec_winograd_end EDGEC_NAMED(winograd_end)
#define edgec_winograd_pairs EDGEC_NAMED(winograd_pairs)
#define edgec_winograd_store_4 EDGEC_NAMED(winograd_store_4)
#define edgec_winograd_row_4 EDGEC_NAMED(winograd_row_4)
#define edgec_winograd_b_2 EDGEC_NAMED(winograd_b_2)
#define edgec_winograd_strip EDGEC_NAMED(winograd_strip)
#define edgec_winograd_rows EDGEC_NAMED(winograd_rows)
#define edgec_winograd_zero EDGEC_NAMED(winograd_zero)
#define edgec_winograd_load EDGEC_NAMED(winograd_load)
#define edgec_winograd_cut EDGEC_NAMED(winograd_cut)
#define edgec_winograd_products EDGEC_NAMED(winograd_products)
#define edgec_winograd EDGEC_NAMED(winograd)

typedef struct {
  ptrdiff_t h, w, c;                  /* image */
  ptrdiff_t oh, ow, oc;               /* result */
  ptrdiff_t top, left;                /* padding in front: output (y, x) reads rows y - top .. y - top + 2 */
  ptrdiff_t x_image, x_row, x_depth;  /* image n, row y starts at x + n * x_image + (y % x_depth) * x_row */
  ptrdiff_t y_image, y_row, y_depth;
  ptrdiff_t r_image, r_row, r_depth;
  float lo, hi;
} edgec_winograd_shape;

typedef struct {
  const edgec_real *a, *b; /* V and U at one position */
  edgec_real *c;           /* M at that position */
  ptrdiff_t k;        /* channels, up to a multiple of EDGEC_WINOGRAD_K */
  ptrdiff_t groups, a_group;
} edgec_winograd_args;

typedef struct {
  const edgec_real *m, *bias;
  edgec_real *y[4];       /* the rows of the first tile at its first pixel and the panel's first channel */
  const edgec_real *r[4]; /* null, or like y */
  ptrdiff_t count, pixel, n; /* tiles, floats between pixels, channels in whole vectors */
  float lo, hi;
} edgec_winograd_out;

/* One size of tile: rows go mr at a time by `tile`, a rest of `rest` rows by `tail`; panels of nv vectors, the last of
   last_nv by functions of its own. A segment has `groups` groups of mr tiles. */
typedef struct {
  void (*tile)(const edgec_winograd_args *), (*tail)(const edgec_winograd_args *);
  void (*last_tile)(const edgec_winograd_args *), (*last_tail)(const edgec_winograd_args *);
  void (*input)(const edgec_real *const *rows, ptrdiff_t pixel, ptrdiff_t blocks, int left, int right, edgec_real *v);
  void (*output)(const edgec_winograd_out *);
  ptrdiff_t m, mr, rest, nv, last_nv, groups;
} edgec_winograd_tiles;

/* Most rows of a tile function: as winograd.py's ROWS. */
#if defined(EDGEC_BY_LANE) || EDGEC_LANES == 8
#define EDGEC_WINOGRAD_ROWS 6
#elif EDGEC_LANES == 16
#define EDGEC_WINOGRAD_ROWS 14
#else
#define EDGEC_WINOGRAD_ROWS 4
#endif

/* Channels that one step of products takes: a vector where lanes of it are broadcast. */
#ifdef EDGEC_BY_LANE
#define EDGEC_WINOGRAD_K EDGEC_LANES
#else
#define EDGEC_WINOGRAD_K 4
#endif

/* acc[m][v] (+)= a[m][k ..] * b[k ..][v], of a step's channels */
#ifdef EDGEC_BY_LANE
#define EDGEC_WINOGRAD_STEP(MR, NV, FIRST)                                                                     \
  {                                                                                                            \
    edgec_vf av[MR];                                                                                           \
    EDGEC_UNROLL for (int m = 0; m < (MR); m++) av[m] = edgec_load(a + m * EDGEC_LANES);                       \
    EDGEC_UNROLL for (int j = 0; j < EDGEC_WINOGRAD_K; j++) {                                                  \
      EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                                            \
        const edgec_vf bv = edgec_load(b + (j * (NV) + v) * EDGEC_LANES);                                      \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++)                                                            \
          acc[m][v] = (FIRST) && j == 0 ? edgec_splat(av[m][j]) * bv : acc[m][v] + edgec_splat(av[m][j]) * bv; \
      }                                                                                                        \
    }                                                                                                          \
  }
#else
#define EDGEC_WINOGRAD_STEP(MR, NV, FIRST)                                                            \
  EDGEC_UNROLL for (int j = 0; j < 4; j++) {                                                          \
    edgec_vf bv[NV];                                                                                  \
    EDGEC_UNROLL for (int v = 0; v < (NV); v++) bv[v] = edgec_load(b + (j * (NV) + v) * EDGEC_LANES); \
    EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                     \
      const edgec_vf am = edgec_splat(a[m * EDGEC_LANES + k % EDGEC_LANES + j]);                      \
      EDGEC_UNROLL for (int v = 0; v < (NV); v++)                                                     \
        acc[m][v] = (FIRST) && j == 0 ? am * bv[v] : acc[m][v] + am * bv[v];                          \
    }                                                                                                 \
  }
#endif

/* `groups` times MR tiles by NV vectors at one of XI positions. */
#define EDGEC_WINOGRAD_TILE(XI, MR, NV)                                                                      \
  EDGEC_NOINLINE void EDGEC_NAMED(winograd_##XI##_##MR##x##NV)(const edgec_winograd_args *t) {               \
    const ptrdiff_t block = (XI) * EDGEC_WINOGRAD_ROWS * EDGEC_LANES, channels = t->k, a_group = t->a_group; \
    const edgec_real *from = t->a, *const weights = t->b;                                                    \
    edgec_real *c = t->c;                                                                                    \
    for (ptrdiff_t g = t->groups; g > 0; g--, from += a_group) {                                             \
      const edgec_real *a = from, *b = weights;                                                              \
      edgec_vf acc[MR][NV];                                                                                  \
      ptrdiff_t k = 0;                                                                                       \
      EDGEC_WINOGRAD_STEP(MR, NV, 1)                                                                         \
      for (k = EDGEC_WINOGRAD_K; k < channels; k += EDGEC_WINOGRAD_K) {                                      \
        b += EDGEC_WINOGRAD_K * (NV) * EDGEC_LANES;                                                          \
        if (k % EDGEC_LANES == 0) a += block;                                                                \
        EDGEC_WINOGRAD_STEP(MR, NV, 0)                                                                       \
      }                                                                                                      \
      EDGEC_UNROLL for (int m = 0; m < (MR); m++)                                                            \
        EDGEC_UNROLL for (int v = 0; v < (NV); v++, c += (XI) * EDGEC_LANES) edgec_store(c, acc[m][v]);      \
    }                                                                                                        \
  }

/* EDGEC_WINOGRAD_TIE: v is computed here, and loads that follow stay behind; else compilers load so far ahead that they
   run out of registers. The other instruction sets read operands from memory anyway. */
#if !defined(EDGEC_SCALAR) && defined(__ARM_NEON)
#define EDGEC_WINOGRAD_TIE(v) __asm__ volatile("" : "+w"(v) : : "memory")
#else
#define EDGEC_WINOGRAD_TIE(v) (void)(v)
#endif

/* F(4): points 0, +-p, +-q and infinity with p = sqrt(1/2), q = sqrt(2), whose error is a third of that of 0, +-1, +-2
   or 0, +-1, +-1/2. The products at a point x != 0 come times |x| (winograd.py scales the weights), which saves two
   multiplications in A^T. B^T, one dimension:
     v0 = d0 - 2.5 d2 + d4,  v1, v2 = (d4 - 2 d2) +- p (d3 - 2 d1),
     v5 = d1 - 2.5 d3 + d5,  v3, v4 = (d4 - d2 / 2) +- q (d3 - d1 / 2) */
/* p, q, 1/2, 2: on A64 in one register whose lanes multiply-adds read; known constants would take six. */
EDGEC_INLINE edgec_vf edgec_winograd_constants(void) {
  edgec_vf k = {0.70710678118654752440f, 1.41421356237309504880f, 0.5f, 2.0f};
#if !defined(EDGEC_SCALAR) && defined(__ARM_NEON)
  __asm__("" : "+w"(k));
#endif
  return k;
}

EDGEC_INLINE edgec_vf edgec_winograd_end(edgec_vf d0, edgec_vf d2, edgec_vf d4) {
  return (d0 + d4) - edgec_splat(2.5f) * d2;
}

EDGEC_INLINE void edgec_winograd_pairs(edgec_vf d1, edgec_vf d2, edgec_vf d3, edgec_vf d4, edgec_vf k,
                                       edgec_vf *v) {
  const edgec_vf p = edgec_splat(k[0]), q = edgec_splat(k[1]), half = edgec_splat(k[2]), two = edgec_splat(k[3]);
  const edgec_vf odd_p = EDGEC_MINUS_LANE(p * d3, d1, k, 1);
  const edgec_vf odd_q = EDGEC_MINUS_LANE(q * d3, d1, k, 0);
  const edgec_vf even_p = d4 - two * d2, even_q = d4 - half * d2;
  v[0] = even_p + odd_p;
  v[1] = even_p - odd_p;
  v[2] = even_q + odd_q;
  v[3] = even_q - odd_q;
}

EDGEC_INLINE void edgec_winograd_store_4(const edgec_vf *d, edgec_vf k, edgec_real *v) {
  const ptrdiff_t position = EDGEC_WINOGRAD_ROWS * EDGEC_LANES;
  edgec_vf to[4];
  edgec_store(v, edgec_winograd_end(d[0], d[2], d[4]));
  edgec_winograd_pairs(d[1], d[2], d[3], d[4], k, to);
  EDGEC_UNROLL for (int i = 0; i < 4; i++) edgec_store(v + (i + 1) * position, to[i]);
  edgec_store(v + 5 * position, edgec_winograd_end(d[1], d[3], d[5]));
}

/* left, right: that outermost column is outside the image and not read.
   Rows 1 to 4 of B^T d first, then rows 0 and 5 from pixels loaded again: 36 values at once would not fit registers. */
EDGEC_INLINE void EDGEC_NAMED(winograd_in_4)(const edgec_real *const *rows, ptrdiff_t pixel, int left, int right,
                                             edgec_vf k, edgec_real *v) {
  const ptrdiff_t line = 6 * EDGEC_WINOGRAD_ROWS * EDGEC_LANES;
  edgec_vf t[4][6], d[6];
  EDGEC_UNROLL for (int j = 0; j < 6; j++) {
    edgec_vf column[4] = {{0}, {0}, {0}, {0}};
    if (!(j == 0 && left) && !(j == 5 && right))
      edgec_winograd_pairs(edgec_load(rows[1] + j * pixel), edgec_load(rows[2] + j * pixel),
                           edgec_load(rows[3] + j * pixel), edgec_load(rows[4] + j * pixel), k, column);
    EDGEC_UNROLL for (int i = 0; i < 4; i++) {
      t[i][j] = column[i];
      EDGEC_WINOGRAD_TIE(t[i][j]);
    }
  }
  EDGEC_UNROLL for (int i = 0; i < 4; i++) edgec_winograd_store_4(t[i], k, v + (i + 1) * line);
  EDGEC_UNROLL for (int j = 0; j < 6; j++) {
    d[j] = (edgec_vf){0};
    if (!(j == 0 && left) && !(j == 5 && right))
      d[j] = edgec_winograd_end(edgec_load(rows[0] + j * pixel), edgec_load(rows[2] + j * pixel),
                                edgec_load(rows[4] + j * pixel));
  }
  edgec_winograd_store_4(d, k, v);
  EDGEC_UNROLL for (int j = 0; j < 6; j++) {
    d[j] = (edgec_vf){0};
    if (!(j == 0 && left) && !(j == 5 && right))
      d[j] = edgec_winograd_end(edgec_load(rows[1] + j * pixel), edgec_load(rows[3] + j * pixel),
                                edgec_load(rows[5] + j * pixel));
  }
  edgec_winograd_store_4(d, k, v + 5 * line);
}

/* One row of products times A. */
EDGEC_INLINE void edgec_winograd_row_4(const edgec_real *from, edgec_vf k, edgec_vf *t) {
  const edgec_vf p = edgec_splat(k[0]), q = edgec_splat(k[1]), half = edgec_splat(k[2]), two = edgec_splat(k[3]);
  edgec_vf m[6];
  EDGEC_UNROLL for (int i = 0; i < 6; i++) m[i] = edgec_load(from + i * EDGEC_LANES);
  const edgec_vf sum_p = m[1] + m[2], minus_p = m[1] - m[2], sum_q = m[3] + m[4], minus_q = m[3] - m[4];
  t[0] = m[0] + q * sum_p + p * sum_q;
  t[1] = minus_p + minus_q;
  t[2] = p * sum_p + q * sum_q;
  t[3] = m[5] + half * minus_p + two * minus_q;
  EDGEC_UNROLL for (int i = 0; i < 4; i++) EDGEC_WINOGRAD_TIE(t[i]);
}

/* y = A^T M A + bias, as sums that grow row by row of M: 16 of them and two rows fit registers. */
EDGEC_INLINE void EDGEC_NAMED(winograd_out_4)(const edgec_real *from, edgec_vf bias, edgec_vf k, edgec_vf y[4][4]) {
  const edgec_vf p = edgec_splat(k[0]), q = edgec_splat(k[1]), half = edgec_splat(k[2]), two = edgec_splat(k[3]);
  const ptrdiff_t line = 6 * EDGEC_LANES;
  edgec_vf t[4], s[4];
  edgec_winograd_row_4(from, k, t);
  EDGEC_UNROLL for (int j = 0; j < 4; j++) y[0][j] = t[j] + bias;
  edgec_winograd_row_4(from + 5 * line, k, t);
  EDGEC_UNROLL for (int j = 0; j < 4; j++) y[3][j] = t[j] + bias;
  edgec_winograd_row_4(from + line, k, t);
  edgec_winograd_row_4(from + 2 * line, k, s);
  EDGEC_UNROLL for (int j = 0; j < 4; j++) {
    const edgec_vf sum = t[j] + s[j], minus = t[j] - s[j];
    y[0][j] += q * sum;
    y[1][j] = minus + bias;
    y[2][j] = p * sum + bias;
    y[3][j] += half * minus;
  }
  edgec_winograd_row_4(from + 3 * line, k, t);
  edgec_winograd_row_4(from + 4 * line, k, s);
  EDGEC_UNROLL for (int j = 0; j < 4; j++) {
    const edgec_vf sum = t[j] + s[j], minus = t[j] - s[j];
    y[0][j] += p * sum;
    y[1][j] += minus;
    y[2][j] += q * sum;
    y[3][j] += two * minus;
  }
}

/* F(2): points 0, +-1, infinity. */
EDGEC_INLINE void edgec_winograd_b_2(const edgec_vf *d, edgec_vf *v) {
  v[0] = d[0] - d[2];
  v[1] = d[1] + d[2];
  v[2] = d[2] - d[1];
  v[3] = d[3] - d[1];
}

EDGEC_INLINE void EDGEC_NAMED(winograd_in_2)(const edgec_real *const *rows, ptrdiff_t pixel, int left, int right,
                                             edgec_vf k, edgec_real *v) {
  edgec_vf t[4][4]; /* by column */
  (void)k;
  EDGEC_UNROLL for (int j = 0; j < 4; j++) {
    EDGEC_UNROLL for (int i = 0; i < 4; i++) t[j][i] = (edgec_vf){0};
    if (!(j == 0 && left) && !(j == 3 && right)) {
      const edgec_vf d[4] = {edgec_load(rows[0] + j * pixel), edgec_load(rows[1] + j * pixel),
                             edgec_load(rows[2] + j * pixel), edgec_load(rows[3] + j * pixel)};
      edgec_winograd_b_2(d, t[j]);
    }
  }
  EDGEC_UNROLL for (int i = 0; i < 4; i++) {
    const edgec_vf d[4] = {t[0][i], t[1][i], t[2][i], t[3][i]};
    edgec_vf to[4];
    edgec_winograd_b_2(d, to);
    EDGEC_UNROLL for (int j = 0; j < 4; j++)
      edgec_store(v + (i * 4 + j) * EDGEC_WINOGRAD_ROWS * EDGEC_LANES, to[j]);
  }
}

EDGEC_INLINE void EDGEC_NAMED(winograd_out_2)(const edgec_real *from, edgec_vf bias, edgec_vf k, edgec_vf y[2][2]) {
  (void)k;
  edgec_vf t[4][2];
  EDGEC_UNROLL for (int i = 0; i < 4; i++) {
    edgec_vf m[4];
    EDGEC_UNROLL for (int j = 0; j < 4; j++) m[j] = edgec_load(from + (i * 4 + j) * EDGEC_LANES);
    t[i][0] = m[0] + m[1] + m[2];
    t[i][1] = m[1] - m[2] + m[3];
  }
  EDGEC_UNROLL for (int j = 0; j < 2; j++) {
    y[0][j] = t[0][j] + t[1][j] + t[2][j] + bias;
    y[1][j] = t[1][j] - t[2][j] + t[3][j] + bias;
  }
}

/* Hidden from the compiler, which would else keep a pointer for each pixel of a tile. */
#define EDGEC_WINOGRAD_STEP_TO(pointer, floats) \
  do {                                          \
    (pointer) += (floats);                      \
    __asm__("" : "+r"(pointer));                \
  } while (0)

/* input: `blocks` vectors of channels of one tile, whose rows start at rows[] and whose pixels are `pixel` apart.
   output: o->count whole tiles side by side, the panel's vectors of each one after another. */
#define EDGEC_WINOGRAD_TRANSFORMS(M)                                                                                    \
  EDGEC_NOINLINE void EDGEC_NAMED(winograd_input_##M)(const edgec_real *const *rows, ptrdiff_t pixel, ptrdiff_t blocks, \
                                               int left, int right, edgec_real *v) {                                    \
    const edgec_vf k = edgec_winograd_constants();                                                                      \
    const edgec_real *at[(M) + 2];                                                                                      \
    EDGEC_UNROLL for (int i = 0; i < (M) + 2; i++) at[i] = rows[i];                                                     \
    for (; blocks > 0; blocks--) {                                                                                      \
      EDGEC_NAMED(winograd_in_##M)(at, pixel, left, right, k, v);                                                       \
      EDGEC_UNROLL for (int i = 0; i < (M) + 2; i++) EDGEC_WINOGRAD_STEP_TO(at[i], EDGEC_LANES);                        \
      v += ((M) + 2) * ((M) + 2) * EDGEC_WINOGRAD_ROWS * EDGEC_LANES;                                                   \
    }                                                                                                                   \
  }                                                                                                                     \
  EDGEC_NOINLINE void EDGEC_NAMED(winograd_output_##M)(const edgec_winograd_out *o) {                                   \
    const edgec_real *from = o->m, *r[M];                                                                               \
    edgec_real *to[M];                                                                                                  \
    const edgec_vf k = edgec_winograd_constants();                                                                      \
    const edgec_vf lo = edgec_splat(o->lo), hi = edgec_splat(o->hi);                                                    \
    const ptrdiff_t pixel = o->pixel, n = o->n;                                                                         \
    ptrdiff_t clamp_lo = o->lo > -__builtin_inff(), clamp_hi = o->hi < __builtin_inff();                                \
    __asm__("" : "+r"(clamp_lo), "+r"(clamp_hi)); /* else they are compared again for each vector */                    \
    EDGEC_UNROLL for (int i = 0; i < (M); i++) to[i] = o->y[i];                                                         \
    EDGEC_UNROLL for (int i = 0; i < (M); i++) r[i] = o->r[i];                                                          \
    for (ptrdiff_t tile = o->count; tile > 0; tile--) {                                                                 \
      const edgec_real *bias = o->bias;                                                                                 \
      for (ptrdiff_t j = n; j > 0; j -= EDGEC_LANES) {                                                                  \
        edgec_vf y[M][M];                                                                                               \
        EDGEC_NAMED(winograd_out_##M)(from, edgec_load(bias), k, y);                                                    \
        from += ((M) + 2) * ((M) + 2) * EDGEC_LANES, bias += EDGEC_LANES;                                               \
        if (r[0])                                                                                                       \
          EDGEC_UNROLL for (int i = 0; i < (M); i++) {                                                                  \
            EDGEC_UNROLL for (int c = 0; c < (M); c++) y[i][c] += edgec_load(r[i] + c * pixel);                         \
            EDGEC_WINOGRAD_STEP_TO(r[i], EDGEC_LANES);                                                                  \
          }                                                                                                             \
        if (clamp_lo)                                                                                                   \
          EDGEC_UNROLL for (int i = 0; i < (M); i++)                                                                    \
            EDGEC_UNROLL for (int c = 0; c < (M); c++) y[i][c] = edgec_vmax(lo, y[i][c]);                               \
        if (clamp_hi)                                                                                                   \
          EDGEC_UNROLL for (int i = 0; i < (M); i++)                                                                    \
            EDGEC_UNROLL for (int c = 0; c < (M); c++) y[i][c] = edgec_vmin(hi, y[i][c]);                               \
        EDGEC_UNROLL for (int i = 0; i < (M); i++) {                                                                    \
          EDGEC_UNROLL for (int c = 0; c < (M); c++) edgec_store(to[i] + c * pixel, y[i][c]);                           \
          EDGEC_WINOGRAD_STEP_TO(to[i], EDGEC_LANES);                                                                   \
        }                                                                                                               \
      }                                                                                                                 \
      EDGEC_UNROLL for (int i = 0; i < (M); i++) EDGEC_WINOGRAD_STEP_TO(to[i], (M) * pixel - n);                        \
      if (r[0])                                                                                                         \
        EDGEC_UNROLL for (int i = 0; i < (M); i++) EDGEC_WINOGRAD_STEP_TO(r[i], (M) * pixel - n);                       \
    }                                                                                                                   \
  }

EDGEC_WINOGRAD_TRANSFORMS(4)
EDGEC_WINOGRAD_TRANSFORMS(2)

/* Where the rows of a strip start, and the floats between their pixels: 0 for a row of zeros. */
typedef struct {
  const edgec_real *at[6];
  ptrdiff_t step[6];
} edgec_winograd_strip;

/* Rows beyond the image, and those that no valid output reads (`end` and up; a ring may not have them), are zeros. */
EDGEC_FN void edgec_winograd_rows(edgec_winograd_strip *s, const edgec_real *x, const edgec_real *zeros,
                                  const edgec_winograd_shape *d, ptrdiff_t first, ptrdiff_t n, ptrdiff_t end) {
  for (ptrdiff_t i = 0; i < n; i++) {
    const ptrdiff_t y = first + i;
    const int there = y >= 0 && y < end;
    s->at[i] = there ? x + y % d->x_depth * d->x_row : zeros;
    s->step[i] = there ? d->c : 0;
  }
}

EDGEC_FN void edgec_winograd_zero(edgec_real *to, ptrdiff_t n) {
  for (; n > 0; n -= EDGEC_LANES, to += EDGEC_LANES) edgec_store(to, (edgec_vf){0});
}

/* The transformed tile at column ix. One that sticks out by two columns or more, and channels that fill no vector, go by
   a copy. */
EDGEC_FN void edgec_winograd_load(const edgec_winograd_strip *s, const edgec_real *zeros, edgec_real *patch,
                                  const edgec_winograd_shape *d, const edgec_winograd_tiles *f, ptrdiff_t ix,
                                  edgec_real *v) {
  const ptrdiff_t n = f->m + 2;
  const int left = ix == -1, right = ix + n == d->w + 1, near = ix >= -1 && ix + n <= d->w + 1;
  const ptrdiff_t blocks = near ? d->c / EDGEC_LANES : 0, done = blocks * EDGEC_LANES, width = d->c - done;
  const edgec_real *at[6];
  if (blocks) {
    for (ptrdiff_t i = 0; i < n; i++) at[i] = s->at[i] + ix * s->step[i];
    f->input(at, d->c, blocks, left, right, v);
  }
  if (width == 0) return;
  const ptrdiff_t pitch = (width + EDGEC_LANES - 1) / EDGEC_LANES * EDGEC_LANES;
  const ptrdiff_t first = ix < 0 ? -ix : 0, stop = ix + n <= d->w ? n : d->w - ix;
  const ptrdiff_t run = pitch == d->c ? (stop - first) * width : width; /* whole rows where pixels stay neighbours */
  for (ptrdiff_t i = 0; i < n; i++) {
    at[i] = zeros;
    if (s->step[i] == 0) continue;
    edgec_real *to = patch + i * n * pitch, *const end = to + n * pitch;
    const edgec_real *from = s->at[i] + (ix + first) * d->c + done;
    at[i] = to;
    edgec_winograd_zero(to, first * pitch);
    to += first * pitch;
    for (ptrdiff_t j = first; j < stop; j += pitch == d->c ? stop - first : 1, from += d->c) {
      ptrdiff_t c = 0;
      for (; c + 4 * EDGEC_LANES <= run; c += 4 * EDGEC_LANES, to += 4 * EDGEC_LANES)
        EDGEC_UNROLL for (int i = 0; i < 4; i++)
          edgec_store(to + i * EDGEC_LANES, edgec_load(from + c + i * EDGEC_LANES));
      for (; c + EDGEC_LANES <= run; c += EDGEC_LANES, to += EDGEC_LANES) edgec_store(to, edgec_load(from + c));
      if (c < run) edgec_store(to, edgec_load_n(from + c, run - c)), to += EDGEC_LANES;
    }
    edgec_winograd_zero(to, end - to);
  }
  f->input(at, pitch, pitch / EDGEC_LANES, 0, 0,
           v + blocks * n * n * EDGEC_WINOGRAD_ROWS * EDGEC_LANES);
}

/* A tile that is cut short, or whose channels fill no vector: made whole in `tile`, without residual and clamp, then
   copied. o is as for f->output, but for n, which counts channels. */
EDGEC_FN void edgec_winograd_cut(const edgec_winograd_out *o, edgec_real *tile, const edgec_winograd_tiles *f,
                                 ptrdiff_t rows, ptrdiff_t cols) {
  const ptrdiff_t width = (o->n + EDGEC_LANES - 1) / EDGEC_LANES * EDGEC_LANES;
  const edgec_vf lo = edgec_splat(o->lo), hi = edgec_splat(o->hi);
  edgec_winograd_out whole = {.m = o->m, .bias = o->bias, .count = 1, .pixel = width, .n = width,
                              .lo = -__builtin_inff(), .hi = __builtin_inff()};
  for (ptrdiff_t i = 0; i < f->m; i++) whole.y[i] = tile + i * f->m * width;
  f->output(&whole);
  for (ptrdiff_t i = 0; i < rows; i++)
    for (ptrdiff_t j = 0; j < cols; j++)
      for (ptrdiff_t c = 0; c < o->n; c += EDGEC_LANES) {
        const ptrdiff_t lanes = o->n - c < EDGEC_LANES ? o->n - c : EDGEC_LANES;
        edgec_vf y = edgec_load(whole.y[i] + j * width + c);
        if (o->r[0]) y += edgec_load_n(o->r[i] + j * o->pixel + c, lanes);
        edgec_store_n(o->y[i] + j * o->pixel + c, edgec_clamp(y, lo, hi), lanes);
      }
}

/* Products of one panel: U at b, V at v, for `full` groups and a rest of tiles. */
EDGEC_FN void edgec_winograd_products(const edgec_real *b, const edgec_real *v, edgec_real *products, ptrdiff_t k,
                                      ptrdiff_t full, ptrdiff_t rest, ptrdiff_t group, int last,
                                      const edgec_winograd_tiles *f) {
  const ptrdiff_t xi = (f->m + 2) * (f->m + 2), width = (last ? f->last_nv : f->nv) * EDGEC_LANES;
  void (*const tile)(const edgec_winograd_args *) = last ? f->last_tile : f->tile;
  /* in a shorter call than was planned, the idle rows of the last group are computed and left */
  void (*const tail)(const edgec_winograd_args *) = rest != f->rest ? tile : last ? f->last_tail : f->tail;
  edgec_winograd_args t = {v, b, products, k, full, group}, r = t;
  r.a += full * group;
  r.c += full * f->mr * xi * width;
  r.groups = 1;
  for (ptrdiff_t p = 0; p < xi; p++) {
    if (full) tile(&t);
    if (rest) tail(&r);
    t.b = r.b += k * width;
    t.a += EDGEC_WINOGRAD_ROWS * EDGEC_LANES;
    r.a += EDGEC_WINOGRAD_ROWS * EDGEC_LANES;
    t.c += EDGEC_LANES;
    r.c += EDGEC_LANES;
  }
}

/* Output rows y0 .. y1 of an image; y0 is a multiple of m, and y1 too unless it is oh. */
EDGEC_FN void edgec_winograd(const edgec_real *x, const edgec_real *u, const edgec_real *bias, const edgec_real *r,
                             edgec_real *y, edgec_real *scratch, const edgec_winograd_shape *d,
                             const edgec_winograd_tiles *f,
                             void (*act)(edgec_real *, ptrdiff_t), ptrdiff_t image, ptrdiff_t y0, ptrdiff_t y1) {
  const ptrdiff_t m = f->m, n = m + 2, end = y1 < d->oh ? y1 : d->oh;
  const ptrdiff_t k = (d->c + EDGEC_WINOGRAD_K - 1) / EDGEC_WINOGRAD_K * EDGEC_WINOGRAD_K;
  const ptrdiff_t total = (end - y0 + m - 1) / m * ((d->ow + m - 1) / m);
  const ptrdiff_t needed = d->oh + 2 - d->top, x_end = needed < d->h ? needed : d->h;
  const ptrdiff_t pitch = (d->c + EDGEC_LANES - 1) / EDGEC_LANES * EDGEC_LANES;
  const ptrdiff_t group = pitch * n * n * EDGEC_WINOGRAD_ROWS;
  edgec_real *const zeros = scratch, *const patch = zeros + n * pitch, *const tile = patch + n * n * pitch;
  edgec_real *const v = tile + m * m * f->nv * EDGEC_LANES;
  edgec_real *const products = v + f->groups * group;
  const edgec_real *const xs = x + image * d->x_image, *const rs = r ? r + image * d->r_image : 0;
  edgec_real *const ys = y + image * d->y_image;
  edgec_winograd_strip strip = {0};
  edgec_winograd_zero(zeros, n * pitch);
  ptrdiff_t in_x = 0, in_y = y0, out_x = 0, out_y = y0; /* of the next tile to load, and of the segment's first */
  for (ptrdiff_t left = total; left > 0; left -= f->groups * f->mr) {
    const ptrdiff_t count = left < f->groups * f->mr ? left : f->groups * f->mr;
    edgec_real *to = v;
    for (ptrdiff_t i = 0, row = 0; i < count; i++) {
      if (in_x == 0) edgec_winograd_rows(&strip, xs, zeros, d, in_y - d->top, n, x_end);
      edgec_winograd_load(&strip, zeros, patch, d, f, in_x - d->left, to);
      to += EDGEC_LANES;
      if (++row == f->mr) row = 0, to += group - f->mr * EDGEC_LANES;
      if ((in_x += m) >= d->ow) in_x = 0, in_y += m;
    }
    const edgec_real *b = u;
    ptrdiff_t ox = out_x, oy = out_y;
    for (ptrdiff_t j = 0; j < d->oc; j += f->nv * EDGEC_LANES) {
      const int last = d->oc - j <= f->nv * EDGEC_LANES;
      const ptrdiff_t width = (last ? f->last_nv : f->nv) * EDGEC_LANES;
      edgec_winograd_products(b, v, products, k, count / f->mr, count % f->mr, group, last, f);
      b += n * n * k * width;
      edgec_winograd_out o = {.m = products, .bias = bias + j, .pixel = d->oc, .lo = d->lo, .hi = d->hi,
                              .n = d->oc - j < width ? d->oc - j : width};
      ox = out_x, oy = out_y;
      for (ptrdiff_t i = 0; i < count; i += o.count) { /* runs of whole tiles, or a tile that is cut short */
        const ptrdiff_t rows = d->oh - oy < m ? d->oh - oy : m, cols = d->ow - ox < m ? d->ow - ox : m;
        const int cut = rows < m || cols < m || o.n % EDGEC_LANES;
        o.count = cut ? 1 : (d->ow - ox) / m < count - i ? (d->ow - ox) / m : count - i;
        for (ptrdiff_t q = 0; q < rows; q++) {
          o.y[q] = ys + (oy + q) % d->y_depth * d->y_row + ox * d->oc + j;
          o.r[q] = rs ? rs + (oy + q) % d->r_depth * d->r_row + ox * d->oc + j : 0;
        }
        if (cut)
          edgec_winograd_cut(&o, tile, f, rows, cols);
        else
          f->output(&o);
        if (act && last)
          for (ptrdiff_t q = 0; q < rows; q++)
            for (ptrdiff_t at = 0; at < o.count; at++) act(o.y[q] - j + at * m * d->oc, cols * d->oc);
        o.m += o.count * n * n * width;
        if ((ox += o.count * m) >= d->ow) ox = 0, oy += m;
      }
    }
    out_x = ox, out_y = oy;
  }
}

#endif
