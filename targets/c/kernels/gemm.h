/* One microkernel for convolution, pointwise convolution and matmul in float32.

   C[m][n] = act(sum over segments s and k of A_s[m * a_stride + k] * B[s][k][n] + bias[n] + R[m][n])

   The left operand is read where it lies: its K axis is `segments` runs of `length` contiguous floats, run s of row 0
   starting at a[s]. A pointwise convolution or a matmul has one run; a k x k convolution over a channels-last image
   with padded rows has one run a kernel row, of k*C floats, and its rows m are output pixels, stride*C floats apart.
   B is packed panel by panel: panel p holds NV vectors for every k of every segment, in that order, zero-padded.
   The order of additions over k is fixed, whatever the tile: k ascending, one accumulator an output. */
#ifndef EDGEC_GEMM_H
#define EDGEC_GEMM_H

#include "isa.h"

typedef struct {
  const float *const *a; /* segments pointers */
  ptrdiff_t segments, length, a_stride;
  const float *b;
  const float *bias; /* packed like B's panels; never null */
  float *c;
  ptrdiff_t c_stride;
  const float *r; /* null: nothing is added */
  ptrdiff_t r_stride;
  float lo, hi;
  ptrdiff_t n; /* columns stored; at most NV * EDGEC_LANES */
} edgec_gemm_args;

#if !defined(EDGEC_SCALAR) && defined(__ARM_NEON)
/* K in steps of four: A comes in as vectors over k and is broadcast by lane inside the multiply-add. */
#define EDGEC_GEMM_STEP4(MR, NV)                                                                \
  for (; k + 4 <= length; k += 4, b += 4 * (NV) * EDGEC_LANES) {                                \
    edgec_vf av[MR];                                                                            \
    EDGEC_UNROLL for (int m = 0; m < (MR); m++) av[m] = edgec_load(a + m * stride + k);         \
    EDGEC_UNROLL for (int j = 0; j < 4; j++) {                                                  \
      EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                             \
        const edgec_vf bv = edgec_load(b + (j * (NV) + v) * EDGEC_LANES);                       \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) acc[m][v] += edgec_splat(av[m][j]) * bv;    \
      }                                                                                         \
    }                                                                                           \
  }
#else
#define EDGEC_GEMM_STEP4(MR, NV)
#endif

#define EDGEC_GEMM_TILE(MR, NV)                                                                 \
  EDGEC_NOINLINE void edgec_gemm_##MR##x##NV(const edgec_gemm_args *t) {                        \
    edgec_vf acc[MR][NV];                                                                       \
    const ptrdiff_t length = t->length, stride = t->a_stride;                                   \
    const float *b = t->b;                                                                      \
    EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                               \
      const edgec_vf bias = edgec_load(t->bias + v * EDGEC_LANES);                              \
      EDGEC_UNROLL for (int m = 0; m < (MR); m++) acc[m][v] = bias;                             \
    }                                                                                           \
    for (ptrdiff_t s = 0; s < t->segments; s++) {                                               \
      const float *a = t->a[s];                                                                 \
      ptrdiff_t k = 0;                                                                          \
      EDGEC_GEMM_STEP4(MR, NV)                                                                  \
      for (; k < length; k++, b += (NV) * EDGEC_LANES) {                                        \
        edgec_vf bv[NV];                                                                        \
        EDGEC_UNROLL for (int v = 0; v < (NV); v++) bv[v] = edgec_load(b + v * EDGEC_LANES);    \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                           \
          const edgec_vf am = edgec_splat(a[m * stride + k]);                                   \
          EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[m][v] += am * bv[v];                  \
        }                                                                                       \
      }                                                                                         \
    }                                                                                           \
    const edgec_vf lo = edgec_splat(t->lo), hi = edgec_splat(t->hi);                            \
    if (t->n == (NV) * EDGEC_LANES) {                                                           \
      EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                             \
        EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                           \
          edgec_vf y = acc[m][v];                                                               \
          if (t->r) y += edgec_load(t->r + m * t->r_stride + v * EDGEC_LANES);                  \
          edgec_store(t->c + m * t->c_stride + v * EDGEC_LANES, edgec_clamp(y, lo, hi));        \
        }                                                                                       \
      }                                                                                         \
    } else {                                                                                    \
      EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                             \
        EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                           \
          const ptrdiff_t left = t->n - v * EDGEC_LANES;                                        \
          edgec_vf y = acc[m][v];                                                               \
          if (left > 0) {                                                                       \
            if (t->r) y += edgec_load_n(t->r + m * t->r_stride + v * EDGEC_LANES,               \
                                        left < EDGEC_LANES ? left : EDGEC_LANES);               \
            edgec_store_n(t->c + m * t->c_stride + v * EDGEC_LANES, edgec_clamp(y, lo, hi),     \
                          left < EDGEC_LANES ? left : EDGEC_LANES);                             \
          }                                                                                     \
        }                                                                                       \
      }                                                                                         \
    }                                                                                           \
  }

typedef void (*edgec_gemm_fn)(const edgec_gemm_args *);

/* The tile functions of one GEMM and its sizes: `rows` are done mr at a time by tile, the rest by tail; columns go in
   panels of nv vectors, the last of which may be narrower and then has functions of its own. */
typedef struct {
  edgec_gemm_fn tile, tail, last_tile, last_tail;
  ptrdiff_t mr, nv, last_nv;
} edgec_gemm_tiles;

#define EDGEC_SEGMENTS 64

/* `rows` rows by `n` columns; t's pointers stand at row 0, column 0. */
EDGEC_FN void edgec_gemm(const edgec_gemm_args *whole, ptrdiff_t rows, ptrdiff_t n, const edgec_gemm_tiles *f) {
  const float *a[EDGEC_SEGMENTS];
  edgec_gemm_args t = *whole;
  const ptrdiff_t k = t.segments * t.length, width = f->nv * EDGEC_LANES;
  t.a = a;
  for (ptrdiff_t j = 0; j < n; j += width) {
    const int last = n - j <= width;
    const edgec_gemm_fn tile = last ? f->last_tile : f->tile, tail = last ? f->last_tail : f->tail;
    t.n = last ? n - j : width;
    for (ptrdiff_t s = 0; s < t.segments; s++) a[s] = whole->a[s];
    t.c = whole->c + j;
    t.r = whole->r ? whole->r + j : 0;
    for (ptrdiff_t m = 0; m < rows; m += f->mr) {
      (rows - m >= f->mr ? tile : tail)(&t);
      for (ptrdiff_t s = 0; s < t.segments; s++) a[s] += f->mr * t.a_stride;
      t.c += f->mr * t.c_stride;
      if (t.r) t.r += f->mr * t.r_stride;
    }
    t.b += k * width;
    t.bias += width;
  }
}

#endif
