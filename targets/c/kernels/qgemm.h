/* One microkernel for convolution, pointwise convolution and matmul of bytes, as gemm.h is of floats.

   C[m][n] = requantised(sum over segments s and k of A_s[m * a_stride + k] * B[s][k][n] + bias[n] + R[m][n] * steps[n])

   K goes in groups: of four, one lane of a dot product, or of eight where there is none (EDGEC_QGEMM_PAIRS). A run of A
   whose length is no multiple of that is rounded up: its weights there are zeros. Up to 15 bytes behind it are read.
   Panel p of B holds NV vectors for every group of every segment, in that order; a vector has EDGEC_LANES columns of a
   group each. Zero points of A are in the bias. Integer sums do not depend on their order, so that tiles may be any. */
#ifndef EDGEC_QGEMM_H
#define EDGEC_QGEMM_H

#include "q8.h"
#include "rows.h"

typedef struct {
  const edgec_q8 *const *a; /* segments pointers */
  ptrdiff_t segments, groups, a_stride; /* groups of a segment */
  const int8_t *b;
  const int32_t *bias; /* packed like B's panels; never null */
  const int32_t *by;   /* multipliers, packed as well; null where sums are stored as they are */
  char *c;             /* row m is at c + c_at[m] */
  const ptrdiff_t *c_at;
  const edgec_q8 *r;    /* row m at r + r_at[m]; looked at by tiles that add it */
  const ptrdiff_t *r_at;
  const int32_t *r_steps; /* of a sum that one of r is, packed like the bias; below 2^15 */
  int32_t lo, hi;
  ptrdiff_t n;                      /* columns stored; at most NV * EDGEC_LANES */
  ptrdiff_t tiles;                  /* tiles below one another */
  ptrdiff_t a_step, c_step, r_step; /* bytes from one to the next */
} edgec_qgemm_args;

/* acc += rows of A times rows of B, over `groups` of one segment: `row` are pointers to A's rows. */
#if !defined(EDGEC_SCALAR) && defined(__ARM_NEON)
EDGEC_INLINE void edgec_load_run_w(edgec_vw *v, const int8_t *p, int n) {
  if (n == 4) {
    const int8x16x4_t four = vld1q_s8_x4(p);
    EDGEC_UNROLL for (int i = 0; i < 4; i++) v[i] = (edgec_vw)four.val[i];
  } else if (n == 3) {
    const int8x16x3_t three = vld1q_s8_x3(p);
    EDGEC_UNROLL for (int i = 0; i < 3; i++) v[i] = (edgec_vw)three.val[i];
  } else if (n == 2) {
    const int8x16x2_t two = vld1q_s8_x2(p);
    EDGEC_UNROLL for (int i = 0; i < 2; i++) v[i] = (edgec_vw)two.val[i];
  } else {
    EDGEC_UNROLL for (int i = 0; i < n; i++) v[i] = edgec_load_w(p + 16 * i);
  }
}
/* 16 bytes of each row of A, of which so many are done; the tie keeps compilers from loading less than a register. */
#define EDGEC_QGEMM_LOAD_A(MR, BYTES)           \
  edgec_vq av[MR];                              \
  EDGEC_UNROLL for (int m = 0; m < (MR); m++) { \
    av[m] = edgec_load_q(row[m]);               \
    EDGEC_TIE(av[m]);                           \
    EDGEC_ADVANCE(row[m], BYTES);               \
  }
/* G groups, at most four: one register of A a row, whose lanes are taken one by one. B comes four vectors at once. The
   tie keeps compilers from loading less than a register, which costs more. */
#define EDGEC_QGEMM_STEP(MR, NV, G)                                                                     \
  {                                                                                                     \
    EDGEC_QGEMM_LOAD_A(MR, 4 * (G))                                                                     \
    EDGEC_UNROLL for (int at = 0; at < (NV) * (G); at += 4) {                                           \
      const int n = (NV) * (G) - at < 4 ? (NV) * (G) - at : 4;                                          \
      edgec_vw bv[4];                                                                                   \
      edgec_load_run_w(bv, b, n);                                                                       \
      EDGEC_ADVANCE(b, n * 4 * EDGEC_LANES);                                                            \
      EDGEC_UNROLL for (int i = 0; i < n; i++) {                                                        \
        const int k = (at + i) / (NV), v = (at + i) % (NV);                                             \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) acc[m][v] = edgec_dot4_lane(acc[m][v], bv[i], av[m], k); \
      }                                                                                                 \
      EDGEC_UNROLL for (int i = 0; i < n && i < (NV); i++) {                                            \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) EDGEC_TIE(acc[m][(at + i) % (NV)]);                 \
      }                                                                                                 \
    }                                                                                                   \
  }
#define EDGEC_GEMM_ROWS_OF_A(MR)                                                                       \
  const edgec_q8 *row[MR];                                                                              \
  row[0] = starts[s] + skip;                                                                            \
  EDGEC_UNROLL for (int m = 1; m < (MR); m++) row[m] = row[m - 1] + stride;                             \
  EDGEC_UNROLL for (int m = 0; m < (MR); m++) EDGEC_OPAQUE(row[m]);
#define EDGEC_QGEMM_DOTS(MR, NV)                                                                        \
  EDGEC_GEMM_ROWS_OF_A(MR)                                                                             \
  for (ptrdiff_t left = groups >> 2; left != 0; left--) EDGEC_QGEMM_STEP(MR, NV, 4)                     \
  if (groups & 2) EDGEC_QGEMM_STEP(MR, NV, 2)                                                           \
  if (groups & 1) EDGEC_QGEMM_STEP(MR, NV, 1)

/* Without dot products: 16-bit sums of two products, added in pairs. Half a register of A is four pairs of bytes, and
   lane j of B's vector for step s has the weights of pair j ^ s: a reversal of A leads from step to step, and four
   steps are all pairs. Two halves, of one group each, share the pairwise addition. Steps run 0, 1, 3, 2. */
#define EDGEC_QGEMM_PAIR_STEP(MR, NV, HALVES)                                                           \
  {                                                                                                     \
    EDGEC_QGEMM_LOAD_A(MR, 8 * (HALVES))                                                                \
    EDGEC_UNROLL for (int step = 0; step < 4; step++) {                                                 \
      EDGEC_UNROLL for (int m = 0; m < (MR) && step; m++)                                               \
        av[m] = step == 2 ? (edgec_vq)vrev64q_s32((int32x4_t)av[m]) : (edgec_vq)vrev32q_s16((int16x8_t)av[m]); \
      EDGEC_UNROLL for (int at = 0; at < (NV); at += 4) {                                               \
        const int n = (NV)-at < 4 ? (NV)-at : 4;                                                        \
        edgec_vw bv[4];                                                                                 \
        if ((HALVES) == 2)                                                                              \
          edgec_load_run_w(bv, b, n);                                                                   \
        else                                                                                            \
          edgec_load_halves(bv, b, n);                                                                  \
        EDGEC_ADVANCE(b, n * 8 * (HALVES));                                                             \
        EDGEC_UNROLL for (int from = 0; from < n * (MR); from += 4) { /* four products at a time */     \
          const int to = from + 4 < n * (MR) ? from + 4 : n * (MR);                                     \
          EDGEC_UNROLL for (int i = from / (MR); i <= (to - 1) / (MR); i++) EDGEC_TIE(bv[i]);           \
          EDGEC_UNROLL for (int p = from; p < to; p++)                                                  \
            acc[p % (MR)][at + p / (MR)] =                                                              \
                edgec_pairs(acc[p % (MR)][at + p / (MR)], bv[p / (MR)], av[p % (MR)], HALVES);          \
          EDGEC_UNROLL for (int p = from; p < to; p++) EDGEC_TIE(acc[p % (MR)][at + p / (MR)]);         \
        }                                                                                               \
      }                                                                                                 \
    }                                                                                                   \
  }
EDGEC_INLINE void edgec_load_halves(edgec_vw *v, const int8_t *p, int n) {
  if (n == 4) {
    const int8x8x4_t four = vld1_s8_x4(p);
    EDGEC_UNROLL for (int i = 0; i < 4; i++) v[i] = (edgec_vw)vcombine_s8(four.val[i], four.val[i]);
  } else {
    EDGEC_UNROLL for (int i = 0; i < n; i++) v[i] = (edgec_vw)vcombine_s8(vld1_s8(p + 8 * i), vld1_s8(p + 8 * i));
  }
}
EDGEC_INLINE edgec_vi edgec_pairs(edgec_vi acc, edgec_vw b, edgec_vq a, int halves) {
  int16x8_t sums = vmull_s8(vget_low_s8((int8x16_t)b), vget_low_s8((int8x16_t)a));
  if (halves == 2) sums = vmlal_high_s8(sums, (int8x16_t)b, (int8x16_t)a);
  return (edgec_vi)vpadalq_s16((int32x4_t)acc, sums);
}
#define EDGEC_QGEMM_PAIRED(MR, NV)                                                                      \
  EDGEC_GEMM_ROWS_OF_A(MR)                                                                             \
  for (ptrdiff_t left = groups >> 1; left != 0; left--) EDGEC_QGEMM_PAIR_STEP(MR, NV, 2)                \
  if (groups & 1) EDGEC_QGEMM_PAIR_STEP(MR, NV, 1)
#else
/* Three rows share a pointer, since x86 addresses have room for a register and its double. */
#define EDGEC_QGEMM_STEP(MR, NV, G)                                                                     \
  {                                                                                                     \
    EDGEC_UNROLL for (int g = 0; g < (G); g++) {                                                        \
      edgec_vw bv[NV];                                                                                  \
      EDGEC_UNROLL for (int v = 0; v < (NV); v++) bv[v] = edgec_load_w(b + (g * (NV) + v) * 4 * EDGEC_LANES); \
      EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                     \
        const edgec_vq am = edgec_splat_4(row[m / 3] + m % 3 * stride + 4 * g);                         \
        EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[m][v] = edgec_dot4(acc[m][v], bv[v], am);       \
      }                                                                                                 \
    }                                                                                                   \
    EDGEC_UNROLL for (int m = 0; m < ((MR) + 2) / 3; m++) {                                             \
      row[m] += 4 * (G);                                                                                \
      EDGEC_OPAQUE(row[m]); /* or compilers keep a pointer for each row, in memory */                   \
    }                                                                                                   \
    b += (G) * (NV) * 4 * EDGEC_LANES;                                                                  \
  }
/* A pointer for three rows each: the others are a stride and two away. */
#define EDGEC_GEMM_ROWS_OF_A(MR)                                                                        \
  const edgec_q8 *row[((MR) + 2) / 3];                                                                  \
  row[0] = starts[s] + skip;                                                                            \
  EDGEC_UNROLL for (int m = 1; m < ((MR) + 2) / 3; m++) row[m] = row[m - 1] + 3 * stride;               \
  EDGEC_UNROLL for (int m = 0; m < ((MR) + 2) / 3; m++) EDGEC_OPAQUE(row[m]);
#define EDGEC_QGEMM_DOTS(MR, NV)                                                                        \
  EDGEC_GEMM_ROWS_OF_A(MR)                                                                              \
  for (ptrdiff_t left = groups >> 2; left != 0; left--) EDGEC_QGEMM_STEP(MR, NV, 4)                     \
  for (ptrdiff_t left = groups & 3; left != 0; left--) EDGEC_QGEMM_STEP(MR, NV, 1)
#endif

/* Rows of a result of fewer columns than the tile has, from a copy; `width` and `columns` are bytes. */
EDGEC_NOINLINE void edgec_qgemm_store_part(const void *rows, ptrdiff_t count, ptrdiff_t width, ptrdiff_t columns,
                                           char *c, const ptrdiff_t *c_at) {
  const char *from = (const char *)rows;
  for (ptrdiff_t m = 0; m < count; m++, from += width)
    for (ptrdiff_t i = 0; i < columns; i++) c[c_at[m] + i] = from[i];
}

/* Adds rows of bytes times steps, NV vectors of a row at most four at a time. Nothing behind the columns is read. */
#define EDGEC_QGEMM_ADD(MR, NV)                                                                         \
  EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                         \
    const edgec_q8 *r = t->r + i * t->r_step + t->r_at[m];                                              \
    edgec_q8 copy[(NV) * EDGEC_LANES];                                                                  \
    if (part && EDGEC_LANES < 16) { /* wider ones have masks */                                         \
      for (ptrdiff_t n = 0; n < columns; n++) copy[n] = r[n];                                           \
      for (ptrdiff_t n = columns; n < (NV) * EDGEC_LANES; n++) copy[n] = 0;                             \
      r = copy;                                                                                         \
    }                                                                                                   \
    EDGEC_UNROLL for (int v = 0; v < (NV); v += 4)                                                      \
      edgec_add_steps(acc[m] + v, r + v * EDGEC_LANES, t->r_steps + v * EDGEC_LANES, (NV)-v < 4 ? (NV)-v : 4, \
                      columns - v * EDGEC_LANES);                                                       \
  }
#define EDGEC_QGEMM_FINISH_ONTO_BYTES(MR, NV) EDGEC_QGEMM_ADD(MR, NV) EDGEC_QGEMM_FINISH_BYTES(MR, NV)
#define EDGEC_QGEMM_FINISH_ONTO_SHORT(MR, NV) EDGEC_QGEMM_ADD(MR, NV) EDGEC_QGEMM_FINISH_SHORT(MR, NV)

/* Sums become bytes in registers, NV vectors of a row at most four at a time. SHORT: by way of edgec_requant_short, as
   in nearly all layers; that saves instructions. */
#define EDGEC_QGEMM_FINISH_BYTES(MR, NV) EDGEC_QGEMM_FINISH(MR, NV, edgec_requant, edgec_narrow_middle)
#define EDGEC_QGEMM_FINISH_SHORT(MR, NV) EDGEC_QGEMM_FINISH(MR, NV, edgec_requant_short, edgec_narrow_short)
#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 16
/* Where columns are few, rows become bytes together, as many as fill a register. */
#define EDGEC_QGEMM_FINISH(MR, NV, REQUANT, NARROW)                                                     \
  if ((NV) <= 2) {                                                                                      \
    EDGEC_QGEMM_FINISH_FEW(MR, NV, REQUANT, NARROW)                                                     \
    continue;                                                                                           \
  }                                                                                                     \
  EDGEC_QGEMM_FINISH_ROWS(MR, NV, REQUANT, NARROW)
#define EDGEC_QGEMM_FINISH_FEW(MR, NV, REQUANT, NARROW)                                                 \
  enum { TOGETHER = (NV) == 1 ? 4 : 2 };                                                                \
  edgec_vi by[NV];                                                                                      \
  edgec_vq q[((MR) + TOGETHER - 1) / TOGETHER];                                                         \
  EDGEC_UNROLL for (int v = 0; v < (NV); v++) by[v] = edgec_load_i(t->by + v * EDGEC_LANES);            \
  EDGEC_UNROLL for (int m = 0; m < (MR); m += TOGETHER) {                                               \
    edgec_vi sums[4];                                                                                   \
    const int rows = (MR)-m < TOGETHER ? (MR)-m : TOGETHER;                                             \
    EDGEC_UNROLL for (int i = 0; i < rows * (NV); i++)                                                  \
      sums[i] = REQUANT(acc[m + i / (NV)][i % (NV)], by[i % (NV)]);                                     \
    q[m / TOGETHER] = NARROW(sums, rows * (NV));                                                        \
  }                                                                                                     \
  if (clamp) {                                                                                          \
    const edgec_vq lo = edgec_splat_q(t->lo), hi = edgec_splat_q(t->hi);                                \
    EDGEC_UNROLL for (int i = 0; i < ((MR) + TOGETHER - 1) / TOGETHER; i++) q[i] = edgec_clamp_q(q[i], lo, hi); \
  }                                                                                                     \
  EDGEC_UNROLL for (int m = 0; m < (MR); m++)                                                           \
    edgec_store_q_part((edgec_q8 *)to + t->c_at[m], q[m / TOGETHER], m % TOGETHER, (NV), part ? columns : 16 * (NV));
#else
#define EDGEC_QGEMM_FINISH(MR, NV, REQUANT, NARROW) EDGEC_QGEMM_FINISH_ROWS(MR, NV, REQUANT, NARROW)
#endif
#define EDGEC_QGEMM_FINISH_ROWS(MR, NV, REQUANT, NARROW)                                                \
  enum { PARTS = ((NV) + 3) / 4 };                                                                      \
  edgec_vi by[NV];                                                                                      \
  edgec_vq q[MR][PARTS];                                                                                \
  EDGEC_UNROLL for (int v = 0; v < (NV); v++) by[v] = edgec_load_i(t->by + v * EDGEC_LANES);            \
  EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                         \
    EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[m][v] = REQUANT(acc[m][v], by[v]);                  \
    EDGEC_UNROLL for (int j = 0; j < PARTS; j++)                                                        \
      q[m][j] = NARROW(acc[m] + 4 * j, (NV)-4 * j < 4 ? (NV)-4 * j : 4);                                \
  }                                                                                                     \
  if (clamp) {                                                                                          \
    const edgec_vq lo = edgec_splat_q(t->lo), hi = edgec_splat_q(t->hi);                                \
    EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                       \
      EDGEC_UNROLL for (int j = 0; j < PARTS; j++) q[m][j] = edgec_clamp_q(q[m][j], lo, hi);            \
    }                                                                                                   \
  }                                                                                                     \
  if (part && !(EDGEC_LANES == 16 && PARTS == 1)) {                                                     \
    edgec_vq copy[MR][PARTS];                                                                           \
    EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                       \
      EDGEC_UNROLL for (int j = 0; j < PARTS; j++) copy[m][j] = q[m][j];                                \
    }                                                                                                   \
    edgec_qgemm_store_part(copy, MR, sizeof copy[0], t->n, to, t->c_at);                                \
    continue;                                                                                           \
  }                                                                                                     \
  ptrdiff_t at[MR];                                                                                     \
  EDGEC_UNROLL for (int m = 0; m < (MR); m++) at[m] = t->c_at[m];                                       \
  EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                         \
    if (EDGEC_LANES == 16 && PARTS == 1)                                                                \
      edgec_store_q_n((edgec_q8 *)to + at[m], q[m][0], columns); /* a mask */                           \
    else                                                                                                \
      EDGEC_UNROLL for (int j = 0; j < PARTS; j++)                                                      \
        edgec_store_q((edgec_q8 *)to + at[m] + 4 * j * EDGEC_LANES, q[m][j], (NV)-4 * j < 4 ? (NV)-4 * j : 4); \
  }

/* Sums as they are. */
#define EDGEC_QGEMM_FINISH_SUMS(MR, NV)                                                                 \
  (void)clamp;                                                                                          \
  if (part) {                                                                                           \
    edgec_vi copy[MR][NV];                                                                              \
    EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                       \
      EDGEC_UNROLL for (int v = 0; v < (NV); v++) copy[m][v] = acc[m][v];                               \
    }                                                                                                   \
    edgec_qgemm_store_part(copy, MR, sizeof copy[0], 4 * t->n, to, t->c_at);                            \
    continue;                                                                                           \
  }                                                                                                     \
  EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                         \
    int32_t *c = (int32_t *)(void *)(to + t->c_at[m]);                                                  \
    EDGEC_UNROLL for (int v = 0; v < (NV); v++) edgec_store_i(c + v * EDGEC_LANES, acc[m][v]);          \
  }

#define EDGEC_QGEMM_TILE(MR, NV) EDGEC_QGEMM_TILE_OF(DOTS, BYTES, edgec_qgemm_##MR##x##NV, MR, NV)
#define EDGEC_QGEMM_SHORT(MR, NV) EDGEC_QGEMM_TILE_OF(DOTS, SHORT, edgec_qgemm_short_##MR##x##NV, MR, NV)
#define EDGEC_QGEMM_SUMS(MR, NV) EDGEC_QGEMM_TILE_OF(DOTS, SUMS, edgec_qgemm_sums_##MR##x##NV, MR, NV)
#define EDGEC_QGEMM_ONTO(MR, NV) EDGEC_QGEMM_TILE_OF(DOTS, ONTO_BYTES, edgec_qgemm_onto_##MR##x##NV, MR, NV)
#define EDGEC_QGEMM_ONTO_SHORT(MR, NV) \
  EDGEC_QGEMM_TILE_OF(DOTS, ONTO_SHORT, edgec_qgemm_onto_short_##MR##x##NV, MR, NV)
#define EDGEC_QGEMM_PAIRS_ONTO(MR, NV) \
  EDGEC_QGEMM_TILE_OF(PAIRED, ONTO_BYTES, edgec_qgemm_pairs_onto_##MR##x##NV, MR, NV)
#define EDGEC_QGEMM_PAIRS_ONTO_SHORT(MR, NV) \
  EDGEC_QGEMM_TILE_OF(PAIRED, ONTO_SHORT, edgec_qgemm_pairs_onto_short_##MR##x##NV, MR, NV)
#define EDGEC_QGEMM_PAIRS(MR, NV) EDGEC_QGEMM_TILE_OF(PAIRED, BYTES, edgec_qgemm_pairs_##MR##x##NV, MR, NV)
#define EDGEC_QGEMM_PAIRS_SHORT(MR, NV) EDGEC_QGEMM_TILE_OF(PAIRED, SHORT, edgec_qgemm_pairs_short_##MR##x##NV, MR, NV)
#define EDGEC_QGEMM_PAIRS_SUMS(MR, NV) EDGEC_QGEMM_TILE_OF(PAIRED, SUMS, edgec_qgemm_pairs_sums_##MR##x##NV, MR, NV)
#define EDGEC_QGEMM_TILE_OF(SEGMENT, FINISH, NAME, MR, NV) EDGEC_QGEMM_TILE_FROM(ROWS, SEGMENT, FINISH, NAME, MR, NV)
#define EDGEC_QGEMM_TILE_FROM(START, SEGMENT, FINISH, NAME, MR, NV)                                     \
  EDGEC_NOINLINE void NAME(const edgec_qgemm_args *t) {                                                 \
    const ptrdiff_t groups = t->groups, stride = t->a_stride;                                           \
    const ptrdiff_t tiles = t->tiles, segments = t->segments, a_step = t->a_step, columns = t->n;       \
    const int part = columns < (NV) * EDGEC_LANES, clamp = t->lo > EDGEC_Q8_MIN || t->hi < EDGEC_Q8_MAX;   \
    const edgec_q8 *const *const starts = t->a;                                                         \
    ptrdiff_t skip = 0;                                                                                 \
    char *to = t->c;                                                                                    \
    for (ptrdiff_t i = 0; i < tiles; i++, skip += a_step, to += t->c_step) {                            \
      const int8_t *b = t->b;                                                                           \
      EDGEC_QGEMM_START_##START(MR, NV)                                                                 \
      for (ptrdiff_t s = 0; s < segments; s++) {                                                        \
        EDGEC_QGEMM_##SEGMENT(MR, NV)                                                                   \
      }                                                                                                 \
      EDGEC_QGEMM_FINISH_##FINISH(MR, NV)                                                               \
    }                                                                                                   \
  }

/* Sums begin with the bias. */
#define EDGEC_QGEMM_START_ROWS(MR, NV)                                                                  \
  edgec_vi acc[MR][NV];                                                                                 \
  const int32_t *bias = t->bias;                                                                        \
  EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                         \
    EDGEC_OPAQUE(bias); /* loads in pairs are fewer than copies one by one */                           \
    EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[m][v] = edgec_load_i(bias + v * EDGEC_LANES);       \
  }

typedef void (*edgec_qgemm_fn)(const edgec_qgemm_args *);

/* The tile functions of one GEMM: rows are done mr at a time, columns in `wide` panels of nv vectors by `tile`, then in
   panels of last_nv by `last_tile`. `size`: bytes of a result; `group`: products in a group. */
typedef struct {
  edgec_qgemm_fn tile, last_tile;
  ptrdiff_t mr, nv, last_nv, wide, size, group;
} edgec_qgemm_tiles;

/* The rows of C are the pixels of `lines` image rows, so that a panel of B is read once for all of them. */
typedef struct {
  ptrdiff_t lines, pixels;
  ptrdiff_t a_line;          /* bytes between image rows of A */
  ptrdiff_t c_line, c_pixel; /* results between image rows, pixels of C */
  ptrdiff_t r_line, r_pixel; /* and of what is added */
  ptrdiff_t k, skip;         /* bytes of a column of B in all, and at its top that are left out */
} edgec_qgemm_lines;

/* `n` columns; the pointers of `whole` stand at the first pixel of the first line, column 0. There must be at least mr
   pixels: where mr does not divide them, the last tile goes over rows that are done, to the same bits. */
EDGEC_FN void edgec_qgemm(const edgec_qgemm_args *whole, ptrdiff_t n, const edgec_qgemm_lines *l,
                          const edgec_qgemm_tiles *f) {
  const edgec_q8 *a[EDGEC_SEGMENTS];
  ptrdiff_t c_at[EDGEC_GEMM_ROWS], r_at[EDGEC_GEMM_ROWS];
  edgec_qgemm_args t = *whole;
  const ptrdiff_t mr = f->mr, c_line = l->c_line * f->size, c_pixel = l->c_pixel * f->size;
  const int a_even = l->lines == 1 || l->a_line == l->pixels * t.a_stride; /* A's pixels are evenly spaced */
  const int c_even = l->lines == 1 || (c_line == l->pixels * c_pixel && (!t.r || l->r_line == l->pixels * l->r_pixel));
  const edgec_gemm_way way = edgec_way(l->lines, l->pixels, mr, a_even, c_even);
  const ptrdiff_t pixels = way.pixels, lines = way.lines;
  const int uneven = way.uneven, down = way.down;
  const int8_t *panel = whole->b;
  t.a = a;
  t.c_at = c_at;
  t.r_at = r_at;
  t.a_step = down ? l->a_line : mr * t.a_stride;
  t.c_step = down ? c_line : mr * c_pixel;
  t.r_step = down ? l->r_line : mr * l->r_pixel;
  edgec_pixels_at(c_at, 0, mr, mr, 0, c_pixel);
  if (t.r) edgec_pixels_at(r_at, 0, mr, mr, 0, l->r_pixel);
  for (ptrdiff_t j = 0, width, wide = f->wide; j < n; j += width, wide--) {
    const edgec_qgemm_fn tile = wide > 0 ? f->tile : f->last_tile;
    width = (wide > 0 ? f->nv : f->last_nv) * EDGEC_LANES;
    t.n = n - j < width ? n - j : width;
    t.b = panel + l->skip * width;
    for (ptrdiff_t line = 0; line < (down ? 1 : lines); line++) {
      char *c = whole->c + line * c_line + j * f->size;
      const edgec_q8 *r = whole->r ? whole->r + line * l->r_line + j : 0;
      for (ptrdiff_t p = 0; p < pixels; p += down ? mr : t.tiles * mr) {
        if (p > pixels - mr) p = pixels - mr;
        t.tiles = uneven ? 1 : down ? lines : (pixels - p) / mr;
        for (ptrdiff_t s = 0; s < t.segments; s++) a[s] = whole->a[s] + line * l->a_line + p * t.a_stride;
        if (uneven) {
          edgec_pixels_at(c_at, p, mr, l->pixels, c_line, c_pixel);
          if (r) edgec_pixels_at(r_at, p, mr, l->pixels, l->r_line, l->r_pixel);
        }
        t.c = uneven ? c : c + p * c_pixel;
        t.r = r && !uneven ? r + p * l->r_pixel : r;
        tile(&t);
      }
    }
    panel += l->k * width;
    t.bias += width;
    if (t.by) t.by += width;
    if (t.r) t.r_steps += width;
  }
}

#endif
