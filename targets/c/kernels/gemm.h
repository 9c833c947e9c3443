/* One microkernel for convolution, pointwise convolution and matmul in float32, or in halves.

   C[m][n] = act(sum over segments s and k of A_s[m * a_stride + k] * B[s][k][n] + bias[n] + R[m][n])

   The left operand is read where it lies: its K axis is `segments` runs of `length` contiguous floats, run s of row 0
   starting at a[s]. A pointwise convolution or a matmul has one run; a k x k convolution over a channels-last image
   with padded rows has one run a kernel row, of k*C floats, and its rows m are output pixels, stride*C floats apart.
   B is packed panel by panel: panel p holds NV vectors for every k of every segment, in that order, zero-padded.
   The order of additions over k is fixed, whatever the tile: k ascending, one accumulator an output. */
#ifndef EDGEC_GEMM_H
#define EDGEC_GEMM_H

#include "rows.h"

#define edgec_gemm_args EDGEC_NAMED(gemm_args)
#define edgec_gemm_store_part EDGEC_NAMED(gemm_store_part)
#define edgec_gemm_load_part EDGEC_NAMED(gemm_load_part)
#define edgec_gemm_fn EDGEC_NAMED(gemm_fn)
#define edgec_gemm_tiles EDGEC_NAMED(gemm_tiles)
#define edgec_gemm_lines EDGEC_NAMED(gemm_lines)
#define edgec_gemm EDGEC_NAMED(gemm)

typedef struct {
  const edgec_left *const *a; /* segments pointers */
  ptrdiff_t segments, length, a_stride;
  const edgec_real *b;
  const edgec_real *bias; /* packed like B's panels; never null */
  edgec_result *c; /* row m is at c + c_at[m] */
  const ptrdiff_t *c_at;
  const edgec_real *r; /* row m at r + r_at[m]; null: nothing is added */
  const ptrdiff_t *r_at;
  float lo, hi;
  ptrdiff_t n;                      /* columns stored; at most NV * EDGEC_LANES */
  ptrdiff_t tiles;                  /* tiles below one another */
  ptrdiff_t a_step, c_step, r_step; /* floats from one to the next */
} edgec_gemm_args;

/* Sums of halves lose a bit of each product that is smaller than they are. A sum over K goes in chunks of so many times
   16 products; those before the last are added up in `kept`. */
#define EDGEC_GEMM_CHUNK 4
#define EDGEC_GEMM_CHUNKED (sizeof(edgec_lane) == 2)
#define EDGEC_GEMM_KEEP(MR, NV)                                \
  EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                \
    EDGEC_UNROLL for (int v = 0; v < (NV); v++) {              \
      kept[m][v] = keeps ? kept[m][v] + acc[m][v] : acc[m][v]; \
      acc[m][v] = (edgec_vf){0};                               \
    }                                                          \
  }                                                            \
  keeps = 1;

/* Sixteen bytes of each row of narrow numbers, four lanes of a T: DOT(acc, b, a, k) adds the products of each lane of b
   and lane k of a. B comes four vectors at once; EDGEC_TIE as in EDGEC_GEMM_STEP. */
#define EDGEC_GEMM_LANES_STEP(MR, NV, T, DOT)                                           \
  {                                                                                     \
    T av[MR];                                                                           \
    EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                       \
      av[m] = *(const T *)(const void *)row[m];                                         \
      EDGEC_ADVANCE(row[m], 16);                                                        \
    }                                                                                   \
    EDGEC_UNROLL for (int at = 0; at < 4 * (NV); at += 4) {                             \
      edgec_vf bv[4];                                                                   \
      edgec_load_run(bv, b, 4);                                                         \
      EDGEC_ADVANCE(b, 4 * EDGEC_LANES);                                                \
      EDGEC_UNROLL for (int i = 0; i < 4; i++) {                                        \
        const int k = (at + i) / (NV), v = (at + i) % (NV);                             \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++)                                     \
          acc[m][v] = DOT(acc[m][v], (T)bv[i], av[m], k);                               \
      }                                                                                 \
      EDGEC_UNROLL for (int i = 0; i < 4 && i < (NV); i++) {                            \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) EDGEC_TIE(acc[m][(at + i) % (NV)]); \
      }                                                                                 \
    }                                                                                   \
  }

/* acc += rows of A times rows of B, over one segment: `row` are pointers to A's rows. */
#ifdef EDGEC_BY_LANE
/* Whether A comes in two vectors a row: half of the registers can be broadcast from where lanes are halves. */
#define EDGEC_GEMM_PAIRS(MR, NV) ((MR) * (NV) + 2 * (MR) + 4 <= 32 && (MR) * EDGEC_LANES <= 32)
/* K products of each sum. A comes in as vectors over k and is broadcast by lane inside the multiply-add, B four vectors
   at once. The accumulators, A and those four fill the registers: EDGEC_TIE keeps compilers from loading further
   ahead. */
#define EDGEC_GEMM_STEP(MR, NV, K)                                                                        \
  {                                                                                                       \
    edgec_vf av[MR][((K) + EDGEC_LANES - 1) / EDGEC_LANES];                                               \
    EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                         \
      if ((K) == 1)                                                                                       \
        av[m][0] = edgec_splat(*(const edgec_real *)row[m]);                                              \
      else                                                                                                \
        edgec_load_run(av[m], (const edgec_real *)row[m], (K) / EDGEC_LANES);                             \
      EDGEC_ADVANCE(row[m], (ptrdiff_t)sizeof(edgec_real) * (K));                                         \
    }                                                                                                     \
    EDGEC_UNROLL for (int at = 0; at < (NV) * (K); at += 4) {                                             \
      const int n = (NV) * (K) - at < 4 ? (NV) * (K) - at : 4;                                            \
      edgec_vf bv[4];                                                                                     \
      edgec_load_run(bv, b, n);                                                                           \
      EDGEC_ADVANCE(b, n * EDGEC_LANES);                                                                  \
      EDGEC_UNROLL for (int i = 0; i < n; i++) {                                                          \
        const int k = (at + i) / (NV), v = (at + i) % (NV), of = k / EDGEC_LANES, lane = k % EDGEC_LANES; \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) acc[m][v] += edgec_splat(av[m][of][lane]) * bv[i];    \
      }                                                                                                   \
      EDGEC_UNROLL for (int i = 0; i < n && i < (NV); i++) {                                              \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) EDGEC_TIE(acc[m][(at + i) % (NV)]);                   \
      }                                                                                                   \
    }                                                                                                     \
  }
#define EDGEC_GEMM_STEPS(MR, NV, COUNT)               \
  for (ptrdiff_t left = (COUNT); left != 0; left--) { \
    if (EDGEC_GEMM_PAIRS(MR, NV)) {                   \
      EDGEC_GEMM_STEP(MR, NV, 2 * EDGEC_LANES)        \
    } else {                                          \
      EDGEC_GEMM_STEP(MR, NV, EDGEC_LANES)            \
      EDGEC_GEMM_STEP(MR, NV, EDGEC_LANES)            \
    }                                                 \
  }
#define EDGEC_GEMM_SEGMENT_OF_REAL(MR, NV)                       \
  ptrdiff_t steps = length / (2 * EDGEC_LANES);                  \
  if (EDGEC_GEMM_CHUNKED) {                                      \
    while (steps != 0) {                                         \
      const ptrdiff_t now = steps < room ? steps : room;         \
      EDGEC_GEMM_STEPS(MR, NV, now)                              \
      steps -= now;                                              \
      room -= now;                                               \
      if (room == 0) {                                           \
        EDGEC_GEMM_KEEP(MR, NV)                                  \
        room = EDGEC_GEMM_CHUNK;                                 \
      }                                                          \
    }                                                            \
  } else {                                                       \
    EDGEC_GEMM_STEPS(MR, NV, steps)                              \
  }                                                              \
  if (length & EDGEC_LANES) EDGEC_GEMM_STEP(MR, NV, EDGEC_LANES) \
  for (ptrdiff_t left = length & (EDGEC_LANES - 1); left != 0; left--) EDGEC_GEMM_STEP(MR, NV, 1)
#else
#define EDGEC_GEMM_SEGMENT_OF_REAL(MR, NV)                                 \
  ptrdiff_t at = 0;                                                        \
  for (ptrdiff_t left = length; left > 0; left--) {                        \
    edgec_vf bv[NV];                                                       \
    edgec_load_run(bv, b, NV);                                             \
    EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                          \
      const edgec_vf am = edgec_splat(*(const edgec_real *)(row[m] + at)); \
      EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[m][v] += am * bv[v]; \
    }                                                                      \
    b += (NV) * EDGEC_LANES;                                               \
    at += (ptrdiff_t)sizeof(edgec_real);                                   \
  }
#endif

/* A result of fewer columns than the tile has: row by row through a copy. */
EDGEC_NOINLINE void edgec_gemm_store_part(const edgec_vf *acc, ptrdiff_t rows, ptrdiff_t vectors, ptrdiff_t tile,
                                          const edgec_gemm_args *t) {
  for (ptrdiff_t m = 0; m < rows; m++, acc += vectors) {
    const edgec_real *r = t->r ? t->r + tile * t->r_step + t->r_at[m] : 0;
    edgec_result *c = t->c + tile * t->c_step + t->c_at[m];
    for (ptrdiff_t j = 0; j < t->n; j += EDGEC_LANES) {
      const ptrdiff_t left = t->n - j < EDGEC_LANES ? t->n - j : EDGEC_LANES;
      edgec_vf y = acc[j / EDGEC_LANES];
      if (r) y += edgec_load_n(r + j, left);
      edgec_store_n(c + j, edgec_clamp(y, edgec_splat(t->lo), edgec_splat(t->hi)), left);
    }
  }
}

/* Sums begin with the bias, or go on from what stands in C. */
#define EDGEC_GEMM_FROM_BIAS(MR, NV)                                                            \
  const edgec_real *bias = t->bias;                                                             \
  EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                 \
    EDGEC_OPAQUE(bias); /* loads in pairs are fewer than copies one by one */                   \
    EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[m][v] = edgec_load(bias + v * EDGEC_LANES); \
  }
#define EDGEC_GEMM_FROM_C(MR, NV)                                          \
  edgec_vf begun[MR][NV];                                                  \
  if (part) edgec_gemm_load_part(&begun[0][0], MR, NV, i, t);              \
  EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                            \
    const edgec_result *from = to + t->c_at[m];                            \
    EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                          \
      acc[m][v] = part ? begun[m][v] : edgec_load(from + v * EDGEC_LANES); \
    }                                                                      \
  }

/* What stands in C where that has fewer columns than the tile: zeros beside it. Only sums that are stored as they are
   can be gone on from. */
EDGEC_NOINLINE void edgec_gemm_load_part(edgec_vf *acc, ptrdiff_t rows, ptrdiff_t vectors, ptrdiff_t tile,
                                         const edgec_gemm_args *t) {
  for (ptrdiff_t m = 0; m < rows; m++)
    for (ptrdiff_t v = 0; v < vectors; v++) {
      const edgec_real *from = (const edgec_real *)(const void *)t->c + tile * t->c_step + t->c_at[m] + v * EDGEC_LANES;
      const ptrdiff_t left = t->n - v * EDGEC_LANES;
      *acc++ = left > 0 ? edgec_load_n(from, left < EDGEC_LANES ? left : EDGEC_LANES) : edgec_splat(0.0f);
    }
}

#define EDGEC_GEMM_TILE(MR, NV) EDGEC_GEMM_TILE_FROM(BIAS, REAL, EDGEC_NAMED(gemm_##MR##x##NV), MR, NV)
#define EDGEC_GEMM_TILE_ONTO(MR, NV) EDGEC_GEMM_TILE_FROM(C, REAL, EDGEC_NAMED(gemm_onto_##MR##x##NV), MR, NV)
/* B's elements are of the FORM; EDGEC_GEMM_SEGMENT_OF_… adds the products of one segment. */
#define EDGEC_GEMM_TILE_FROM(START, FORM, NAME, MR, NV) EDGEC_GEMM_TILE_OF(START, FORM, ROWS, NAME, MR, NV)
#define EDGEC_GEMM_END_ROWS(MR, NV)
/* Where sums do not lie in acc row by row, START lays them out, and EDGEC_GEMM_END_… makes rows of them. */
#define EDGEC_GEMM_TILE_OF(START, FORM, END, NAME, MR, NV)                                          \
  EDGEC_NOINLINE void NAME(const edgec_gemm_args *t) {                                              \
    const ptrdiff_t length = t->length, stride = t->a_stride * (ptrdiff_t)sizeof(edgec_left);       \
    const edgec_vf lo = edgec_splat(t->lo), hi = edgec_splat(t->hi);                                \
    const int clamp = t->lo > -__builtin_inff() || t->hi < __builtin_inff();                        \
    const int part = t->n < (NV) * EDGEC_LANES, residual = t->r != 0;                               \
    const ptrdiff_t tiles = t->tiles, segments = t->segments, a_step = t->a_step;                   \
    const edgec_left *const *const starts = t->a;                                                   \
    ptrdiff_t skip = 0;                                                                             \
    edgec_result *to = t->c;                                                                        \
    for (ptrdiff_t i = 0; i < tiles; i++, skip += a_step, to += t->c_step) {                        \
      edgec_vf acc[MR][NV], kept[MR][NV];                                                           \
      ptrdiff_t room = EDGEC_GEMM_CHUNK;                                                            \
      int keeps = 0;                                                                                \
      const edgec_real *b = t->b;                                                                   \
      EDGEC_GEMM_FROM_##START(MR, NV)                                                               \
      for (ptrdiff_t s = 0; s < segments; s++) {                                                    \
        const char *row[MR];                                                                        \
        row[0] = (const char *)(starts[s] + skip);                                                  \
        EDGEC_UNROLL for (int m = 1; m < (MR); m++) row[m] = row[m - 1] + stride;                   \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) EDGEC_OPAQUE(row[m]);                           \
        EDGEC_GEMM_SEGMENT_OF_##FORM(MR, NV)                                                        \
      }                                                                                             \
      if (keeps) {                                                                                  \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                               \
          EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[m][v] += kept[m][v];                      \
        }                                                                                           \
      }                                                                                             \
      (void)room;                                                                                   \
      EDGEC_GEMM_END_##END(MR, NV)                                                                  \
      if (part) {                                                                                   \
        edgec_vf sums[MR][NV]; /* a copy: accumulators whose address is taken leave registers */    \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                               \
          EDGEC_UNROLL for (int v = 0; v < (NV); v++) sums[m][v] = acc[m][v];                       \
        }                                                                                           \
        edgec_gemm_store_part(&sums[0][0], MR, NV, i, t);                                           \
        continue;                                                                                   \
      }                                                                                             \
      if (residual) {                                                                               \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                               \
          const edgec_real *r = t->r + i * t->r_step + t->r_at[m];                                  \
          EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[m][v] += edgec_load(r + v * EDGEC_LANES); \
        }                                                                                           \
      }                                                                                             \
      if (clamp) {                                                                                  \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                               \
          EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[m][v] = edgec_clamp(acc[m][v], lo, hi);   \
        }                                                                                           \
      }                                                                                             \
      EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                 \
        edgec_result *c = to + t->c_at[m];                                                          \
        EDGEC_UNROLL for (int v = 0; v < (NV); v++) edgec_store(c + v * EDGEC_LANES, acc[m][v]);    \
      }                                                                                             \
    }                                                                                               \
  }

typedef void (*edgec_gemm_fn)(const edgec_gemm_args *);

/* The tile functions of one GEMM: rows are done mr at a time, columns in `wide` panels of nv vectors by `tile`, then in
   panels of last_nv by `last_tile`. */
typedef struct {
  edgec_gemm_fn tile, last_tile;
  ptrdiff_t mr, nv, last_nv, wide;
} edgec_gemm_tiles;

/* The rows of C are the pixels of `lines` image rows, so that a panel of B is read once for all of them. */
typedef struct {
  ptrdiff_t lines, pixels;
  ptrdiff_t a_line;           /* floats between image rows of A */
  ptrdiff_t c_line, c_pixel;  /* floats between image rows, pixels of C */
  ptrdiff_t r_line, r_pixel;
  ptrdiff_t k, skip;          /* bytes of a column of B in all, and at its top that are left out */
} edgec_gemm_lines;

/* `n` columns; the pointers of `whole` stand at the first pixel of the first line, column 0. There must be at least mr
   pixels: where mr does not divide them, the last tile goes over rows that are done, to the same bits. Tiles that go on
   from C need an mr that divides them. */
EDGEC_FN void edgec_gemm(const edgec_gemm_args *whole, ptrdiff_t n, const edgec_gemm_lines *l,
                         const edgec_gemm_tiles *f) {
  const edgec_left *a[EDGEC_SEGMENTS];
  ptrdiff_t c_at[EDGEC_GEMM_ROWS], r_at[EDGEC_GEMM_ROWS];
  edgec_gemm_args t = *whole;
  const ptrdiff_t mr = f->mr;
  const int a_even = l->lines == 1 || l->a_line == l->pixels * t.a_stride; /* A's pixels are evenly spaced */
  const int c_even = l->lines == 1 || (l->c_line == l->pixels * l->c_pixel &&
                                       (!t.r || l->r_line == l->pixels * l->r_pixel));
  const edgec_gemm_way way = edgec_way(l->lines, l->pixels, mr, a_even, c_even);
  const ptrdiff_t pixels = way.pixels, lines = way.lines;
  const int uneven = way.uneven, down = way.down;
  const char *panel = (const char *)whole->b;
  t.a = a;
  t.c_at = c_at;
  t.r_at = r_at;
  t.a_step = down ? l->a_line : mr * t.a_stride;
  t.c_step = down ? l->c_line : mr * l->c_pixel;
  t.r_step = down ? l->r_line : mr * l->r_pixel;
  edgec_pixels_at(c_at, 0, mr, mr, 0, l->c_pixel);
  edgec_pixels_at(r_at, 0, mr, mr, 0, l->r_pixel);
  for (ptrdiff_t j = 0, width, wide = f->wide; j < n; j += width, wide--) {
    const edgec_gemm_fn tile = wide > 0 ? f->tile : f->last_tile;
    width = (wide > 0 ? f->nv : f->last_nv) * EDGEC_LANES;
    t.n = n - j < width ? n - j : width;
    t.b = (const edgec_real *)(const void *)(panel + l->skip * width);
    for (ptrdiff_t line = 0; line < (down ? 1 : lines); line++) {
      edgec_result *c = whole->c + line * l->c_line + j;
      const edgec_real *r = whole->r ? whole->r + line * l->r_line + j : 0;
      for (ptrdiff_t p = 0; p < pixels; p += down ? mr : t.tiles * mr) {
        if (p > pixels - mr) p = pixels - mr;
        t.tiles = uneven ? 1 : down ? lines : (pixels - p) / mr;
        for (ptrdiff_t s = 0; s < t.segments; s++) a[s] = whole->a[s] + line * l->a_line + p * t.a_stride;
        if (uneven) {
          edgec_pixels_at(c_at, p, mr, l->pixels, l->c_line, l->c_pixel);
          if (r) edgec_pixels_at(r_at, p, mr, l->pixels, l->r_line, l->r_pixel);
        }
        t.c = uneven ? c : c + p * l->c_pixel;
        t.r = r && !uneven ? r + p * l->r_pixel : r;
        tile(&t);
      }
    }
    panel += l->k * width;
    t.bias += EDGEC_BIASES * width;
  }
}

#endif
