/* Depthwise convolution over channels-last images of bytes: one weight a tap and channel.

   A block of channels is as many as a register has bytes. For a column of the image, a group of EDGEC_QDW_ROWS kernel
   rows is loaded and woven: registers with the rows of each channel side by side, whose products an instruction adds.
   They serve every pixel that has the column under its kernel. On x86 a register of sums so has
   four channels of each 128-bit lane: weights, biases and multipliers are packed in that order (lower/qdepthwise.py).

   Columns beside the image are bytes equal to its zero point. A kernel row above or below the image is a line of such
   bytes with a step of nothing, so that no body knows of edges. The bias makes up for the zero point. */
#ifndef EDGEC_QDEPTHWISE_H
#define EDGEC_QDEPTHWISE_H

#include "qlanes.h"

enum { EDGEC_QDW_LINES = 64, EDGEC_QDW_MOST = 5 /* kernel rows of a fast body */ };

typedef struct {
  ptrdiff_t h, c;
  ptrdiff_t ow, kh, kw, sh, sw, dh, dw, top, left;
  ptrdiff_t x_image, x_row, x_depth; /* rows.h */
  ptrdiff_t y_image, y_row, y_depth;
  ptrdiff_t together; /* pixels that a body takes for one, of so many times the channels */
  int32_t exact, lo, hi; /* exact: multipliers are those of edgec_requant, else of edgec_requant_short */
} edgec_qdw_shape;

/* The bytes under one kernel row, and how far they are from column to column. */
typedef struct {
  const edgec_q8 *at;
  ptrdiff_t step;
} edgec_qdw_line;

/* One register of a line, which goes on to the next column. */
#if !defined(EDGEC_SCALAR) && defined(__ARM_NEON)
EDGEC_INLINE edgec_vq edgec_qdw_next(edgec_qdw_line *line) {
  int8x16_t v;
  __asm__ volatile("ld1 {%0.16b}, [%1], %2" : "=w"(v), "+r"(line->at) : "r"(line->step) : "memory");
  return (edgec_vq)v;
}
#else
EDGEC_INLINE edgec_vq edgec_qdw_next(edgec_qdw_line *line) {
  const edgec_vq v = edgec_load_q(line->at);
  line->at += line->step;
  EDGEC_OPAQUE(line->at); /* or compilers count the columns of each line for themselves */
  return v;
}
#endif

/* A group of EDGEC_QDW_ROWS kernel rows, `count` of which are there: `in` are registers of the lines, and are woven so
   that a lane has the bytes of one sum; `w` are EDGEC_QDW_WEIGHTS registers. The weights of a kernel of at most
   EDGEC_QDW_HELD groups stay in registers. */
#if !defined(EDGEC_SCALAR) && defined(__ARM_NEON) && !defined(__ARM_FEATURE_DOTPROD)
/* Two products of bytes are added in 16 bits. */
enum { EDGEC_QDW_ROWS = 2, EDGEC_QDW_WEIGHTS = 2, EDGEC_QDW_HELD = 6 };
EDGEC_INLINE void edgec_qdw_weave(edgec_vq *in, int count) { (void)in, (void)count; }
EDGEC_INLINE void edgec_qdw_add(edgec_vi *acc, const edgec_vw *w, const edgec_vq *in, int count) {
  const int8x16_t a = (int8x16_t)in[0], v = (int8x16_t)w[0];
  int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(v)), high = vmull_high_s8(a, v);
  if (count > 1) {
    const int8x16_t b = (int8x16_t)in[1], u = (int8x16_t)w[1];
    low = vmlal_s8(low, vget_low_s8(b), vget_low_s8(u));
    high = vmlal_high_s8(high, b, u);
  }
  edgec_add_lanes(acc, (edgec_vh)low, 0);
  edgec_add_lanes(acc, (edgec_vh)high, 1);
}
#elif !defined(EDGEC_SCALAR) && EDGEC_LANES > 4 && !defined(__AVX512VNNI__)
/* Products of 16 bits are added in pairs; weights are of 16 bits. */
enum { EDGEC_QDW_ROWS = 2, EDGEC_QDW_WEIGHTS = 4, EDGEC_QDW_HELD = 0 };
#if EDGEC_LANES == 16
#define EDGEC_QDW_UNPACK(SIDE, A, B) (edgec_vq) _mm512_unpack##SIDE##_epi8((__m512i)(A), (__m512i)(B))
#define EDGEC_QDW_PAIRS(A, B) (edgec_vi) _mm512_madd_epi16((__m512i)(A), (__m512i)(B))
#else
#define EDGEC_QDW_UNPACK(SIDE, A, B) (edgec_vq) _mm256_unpack##SIDE##_epi8((__m256i)(A), (__m256i)(B))
#define EDGEC_QDW_PAIRS(A, B) (edgec_vi) _mm256_madd_epi16((__m256i)(A), (__m256i)(B))
#endif
EDGEC_INLINE void edgec_qdw_weave(edgec_vq *in, int count) {
  const edgec_vq zero = {0}, a = in[0], b = in[count - 1];
  const edgec_vq low = EDGEC_QDW_UNPACK(lo, a, b), high = EDGEC_QDW_UNPACK(hi, a, b);
  in[0] = EDGEC_QDW_UNPACK(lo, low, zero);
  in[1] = EDGEC_QDW_UNPACK(hi, low, zero);
  in[2] = EDGEC_QDW_UNPACK(lo, high, zero);
  in[3] = EDGEC_QDW_UNPACK(hi, high, zero);
}
EDGEC_INLINE void edgec_qdw_add(edgec_vi *acc, const edgec_vw *w, const edgec_vq *in, int count) {
  EDGEC_UNROLL for (int j = 0; j < 4; j++) acc[j] += EDGEC_QDW_PAIRS(in[j], w[j]);
  (void)count;
}
#else
/* Four products of bytes are added at once. */
enum { EDGEC_QDW_ROWS = 4, EDGEC_QDW_WEIGHTS = 4, EDGEC_QDW_HELD = 3 };
EDGEC_INLINE void edgec_qdw_weave(edgec_vq *in, int count) {
  const edgec_vq a = in[0], b = in[count > 1 ? 1 : 0], c = in[count > 2 ? 2 : 0], d = in[count > 3 ? 3 : count - 1];
#if defined(EDGEC_SCALAR)
  for (int i = 0; i < EDGEC_Q8_BLOCK; i++) {
    edgec_vq *to = in + i / 4;
    (*to)[i % 4 * 4] = a[i];
    (*to)[i % 4 * 4 + 1] = b[i];
    (*to)[i % 4 * 4 + 2] = c[i];
    (*to)[i % 4 * 4 + 3] = d[i];
  }
#elif EDGEC_LANES == 16
  const __m512i p = _mm512_unpacklo_epi8((__m512i)a, (__m512i)b), q = _mm512_unpackhi_epi8((__m512i)a, (__m512i)b);
  const __m512i r = _mm512_unpacklo_epi8((__m512i)c, (__m512i)d), s = _mm512_unpackhi_epi8((__m512i)c, (__m512i)d);
  in[0] = (edgec_vq)_mm512_unpacklo_epi16(p, r);
  in[1] = (edgec_vq)_mm512_unpackhi_epi16(p, r);
  in[2] = (edgec_vq)_mm512_unpacklo_epi16(q, s);
  in[3] = (edgec_vq)_mm512_unpackhi_epi16(q, s);
#else
  const int8x16_t av = (int8x16_t)a, bv = (int8x16_t)b, cv = (int8x16_t)c, dv = (int8x16_t)d;
  const int16x8_t p = (int16x8_t)vzip1q_s8(av, bv), q = (int16x8_t)vzip2q_s8(av, bv);
  const int16x8_t r = (int16x8_t)vzip1q_s8(cv, dv), s = (int16x8_t)vzip2q_s8(cv, dv);
  in[0] = (edgec_vq)vzip1q_s16(p, r);
  in[1] = (edgec_vq)vzip2q_s16(p, r);
  in[2] = (edgec_vq)vzip1q_s16(q, s);
  in[3] = (edgec_vq)vzip2q_s16(q, s);
#endif
}
EDGEC_INLINE void edgec_qdw_add(edgec_vi *acc, const edgec_vw *w, const edgec_vq *in, int count) {
  EDGEC_UNROLL for (int j = 0; j < 4; j++) acc[j] = edgec_dot4(acc[j], w[j], in[j]);
  (void)count;
}
#endif
enum { EDGEC_QDW_GROUP = EDGEC_QDW_WEIGHTS * EDGEC_Q8_BLOCK }; /* bytes of the weights of a group and column */
#define EDGEC_QDW_LOAD(WV, W)                                                                                \
  EDGEC_UNROLL for (int i_ = 0; i_ < EDGEC_QDW_WEIGHTS; i_++) (WV)[i_] = edgec_load_w((W) + i_ * EDGEC_Q8_BLOCK)

/* Sums as bytes, channel by channel. */
EDGEC_INLINE edgec_vq edgec_qdw_finish(const edgec_vi *acc, const int32_t *by, int clamp, int exact,
                                       const edgec_qdw_shape *d) {
  const edgec_vq q = edgec_requant_four(acc, by, exact);
  return clamp ? edgec_clamp_q(q, edgec_splat_q(d->lo), edgec_splat_q(d->hi)) : q;
}

/* Whole groups of a kernel's rows. Of a last row that is left over alone, neighbouring columns make a group: it is
   added where the last of them goes by, and at the last tap with zero weights in front. */
EDGEC_INLINE int edgec_qdw_groups(ptrdiff_t kh) {
  return (int)(kh % EDGEC_QDW_ROWS == 1 ? kh / EDGEC_QDW_ROWS : (kh + EDGEC_QDW_ROWS - 1) / EDGEC_QDW_ROWS);
}
EDGEC_INLINE int edgec_qdw_last(ptrdiff_t kh, ptrdiff_t kw) { /* groups of the last row */
  return (int)(kh % EDGEC_QDW_ROWS == 1 ? (kw + EDGEC_QDW_ROWS - 1) / EDGEC_QDW_ROWS : 0);
}
EDGEC_INLINE int edgec_qdw_ends(int kx, int kw) { return kx % EDGEC_QDW_ROWS == EDGEC_QDW_ROWS - 1 || kx == kw - 1; }

/* Any kernel: `pixels` result pixels of a row from ox on. y are bytes, or int32_t where by is null. */
EDGEC_NOINLINE void edgec_qdw_any(const edgec_qdw_line *lines, const int8_t *w, const int32_t *bias, const int32_t *by,
                                  void *y, const edgec_qdw_shape *d, ptrdiff_t ox, ptrdiff_t pixels) {
  const ptrdiff_t groups = edgec_qdw_groups(d->kh), last = edgec_qdw_last(d->kh, d->kw), all = d->kw * groups + last;
  for (ptrdiff_t c = 0; c < d->c; c += EDGEC_Q8_BLOCK) {
    const ptrdiff_t n = d->c < EDGEC_Q8_BLOCK ? d->c : EDGEC_Q8_BLOCK, at = c + n <= d->c ? c : d->c - n;
    for (ptrdiff_t p = ox; p < ox + pixels; p++) {
      edgec_vi acc[4];
      for (int j = 0; j < 4; j++) acc[j] = edgec_load_i(bias + j * EDGEC_LANES);
      for (ptrdiff_t g = 0; g < all; g++) {
        edgec_vq in[4];
        edgec_vw wv[EDGEC_QDW_WEIGHTS];
        EDGEC_QDW_LOAD(wv, w + g * EDGEC_QDW_GROUP);
        for (ptrdiff_t i = 0; i < EDGEC_QDW_ROWS; i++) {
          ptrdiff_t ky, kx;
          if (g < d->kw * groups) {
            ky = g % groups * EDGEC_QDW_ROWS + i;
            kx = g / groups;
          } else { /* columns that end at the last one's, or at the last tap */
            const ptrdiff_t end = (g - d->kw * groups + 1) * EDGEC_QDW_ROWS;
            ky = d->kh - 1;
            kx = (end < d->kw ? end : d->kw) - EDGEC_QDW_ROWS + i;
          }
          const edgec_qdw_line *line = lines + (ky < d->kh ? ky : d->kh - 1);
          in[i] = edgec_load_q(line->at + (line->step ? at : 0) + (p * d->sw + (kx < 0 ? 0 : kx) * d->dw) * line->step);
        }
        edgec_qdw_weave(in, EDGEC_QDW_ROWS);
        edgec_qdw_add(acc, wv, in, EDGEC_QDW_ROWS);
      }
      if (by) {
        const edgec_vq q = d->exact ? edgec_qdw_finish(acc, by, 1, 1, d) : edgec_qdw_finish(acc, by, 1, 0, d);
        edgec_store_q_n((edgec_q8 *)y + p * d->c + at, q, n);
      } else { /* lane by lane: 16 bytes of a register are 16 channels */
        for (ptrdiff_t i = 0; i < n; i++)
          ((int32_t *)y)[p * d->c + at + i] = acc[i % 16 / 4][i / 16 * 4 + i % 4];
      }
    }
    w += all * EDGEC_QDW_GROUP;
    bias += EDGEC_Q8_BLOCK;
    by += by ? EDGEC_Q8_BLOCK : 0;
  }
}

/* A column goes into the pixels from `first` on that have it under their kernels; `tap` is its place in the first
   one's. Sums of pixel q are in slot q % slots. */
EDGEC_INLINE void edgec_qdw_column(edgec_vi (*acc)[4], edgec_qdw_line *lines, edgec_vw (*held)[EDGEC_QDW_WEIGHTS],
                                   const int8_t *w, const int32_t *bias, int kh, int kw, int sw, int first, int tap) {
  EDGEC_OPAQUE(w); /* registers are for sums, and for what is held: all else is loaded again */
  EDGEC_OPAQUE(bias);
  const int groups = edgec_qdw_groups(kh), slots = (kw + sw - 1) / sw;
  if (tap % sw == 0)
    EDGEC_UNROLL for (int j = 0; j < 4; j++) acc[(first + tap / sw) % slots][j] = edgec_load_i(bias + j * EDGEC_LANES);
#define EDGEC_QDW_INTO(KX, GROUP, SKIP, IN, COUNT)                                                              \
  {                                                                                                          \
    edgec_vi *to = acc[(first + (tap - (KX)) / sw) % slots];                                                 \
    if (held) {                                                                                              \
      edgec_qdw_add(to, held[GROUP] + (SKIP), (IN) + (SKIP), (COUNT) - (SKIP));                              \
    } else {                                                                                                 \
      edgec_vw wv[EDGEC_QDW_WEIGHTS];                                                                        \
      EDGEC_QDW_LOAD(wv, w + (GROUP) * EDGEC_QDW_GROUP);                                                     \
      edgec_qdw_add(to, wv + (SKIP), (IN) + (SKIP), (COUNT) - (SKIP));                                       \
    }                                                                                                        \
    EDGEC_UNROLL for (int j = 0; j < 4; j++) EDGEC_TIE(to[j]);                                               \
  }
  EDGEC_UNROLL for (int g = 0; g < groups; g++) {
    const int count = kh - g * EDGEC_QDW_ROWS < EDGEC_QDW_ROWS ? kh - g * EDGEC_QDW_ROWS : EDGEC_QDW_ROWS;
    edgec_vq in[4];
    EDGEC_UNROLL for (int i = 0; i < count; i++) in[i] = edgec_qdw_next(lines + g * EDGEC_QDW_ROWS + i);
    edgec_qdw_weave(in, count);
    EDGEC_UNROLL for (int kx = tap; kx >= 0; kx -= sw) EDGEC_QDW_INTO(kx, kx * groups + g, 0, in, count)
  }
  if (edgec_qdw_last(kh, kw)) {
    edgec_qdw_line *line = lines + kh - 1;
    int used = 0;
    EDGEC_UNROLL for (int kx = tap; kx >= 0; kx -= sw) used |= edgec_qdw_ends(kx, kw);
    if (used) {
      edgec_vq in[4];
      EDGEC_UNROLL for (int i = 0; i < EDGEC_QDW_ROWS; i++)
        in[i] = edgec_load_q(line->at - (EDGEC_QDW_ROWS - 1 - i) * line->step);
      edgec_qdw_weave(in, EDGEC_QDW_ROWS);
      EDGEC_UNROLL for (int kx = tap; kx >= 0; kx -= sw) {
        const int skip = EDGEC_QDW_WEIGHTS == 2 && kx % 2 == 0; /* a tap alone */
        if (edgec_qdw_ends(kx, kw))
          EDGEC_QDW_INTO(kx, kw * groups + kx / EDGEC_QDW_ROWS, skip, in, EDGEC_QDW_ROWS)
      }
    }
    line->at += line->step;
    EDGEC_OPAQUE(line->at);
  }
#undef EDGEC_QDW_INTO
}

/* One row of one block of channels: columns go by, each into the sums of all pixels that it is part of. Whole registers
   are stored, or `width` bytes where that costs no more. */
EDGEC_INLINE void edgec_qdw_slide(const edgec_qdw_line *from, ptrdiff_t at, const int8_t *w, const int32_t *bias,
                                  const int32_t *by, edgec_q8 *y, ptrdiff_t pixels, ptrdiff_t y_step,
                                  ptrdiff_t width, const edgec_qdw_shape *d, int kh, int kw, int sw, int clamp, int exact) {
  const int slots = (kw + sw - 1) / sw, overlap = kw > sw ? kw - sw : 0;
  const int all = kw * edgec_qdw_groups(kh) + edgec_qdw_last(kh, kw), skips = sw > kw ? kh : 0;
  const int holds = all <= EDGEC_QDW_HELD ? all : 0;
  edgec_qdw_line lines[EDGEC_QDW_MOST];
  edgec_vi acc[EDGEC_QDW_MOST][4];
  edgec_vw held[EDGEC_QDW_HELD + 1][EDGEC_QDW_WEIGHTS];
  EDGEC_UNROLL for (int ky = 0; ky < kh; ky++) {
    lines[ky] = from[ky];
    if (lines[ky].step) lines[ky].at += at;
  }
  EDGEC_UNROLL for (int i = 0; i < holds; i++) EDGEC_QDW_LOAD(held[i], w + i * EDGEC_QDW_GROUP);
  EDGEC_UNROLL for (int t = 0; t < overlap; t++)
    edgec_qdw_column(acc, lines, holds ? held : 0, w, bias, kh, kw, sw, 0, t);
#define EDGEC_QDW_PIXEL(U)                                                                                   \
  {                                                                                                          \
    EDGEC_UNROLL for (int t = overlap; t < kw; t++)                                                          \
      edgec_qdw_column(acc, lines, holds ? held : 0, w, bias, kh, kw, sw, U, t);                             \
    EDGEC_UNROLL for (int ky = 0; ky < skips; ky++) lines[ky].at += (sw - kw) * lines[ky].step;      \
    const int32_t *scales = by;                                                                              \
    EDGEC_OPAQUE(scales); /* registers are for weights and sums */                                           \
    edgec_store_q_n(y, edgec_qdw_finish(acc[U], scales, clamp, exact, d), width);                            \
    y += y_step;                                                                                             \
  }
  for (; pixels >= slots; pixels -= slots) EDGEC_UNROLL for (int u = 0; u < slots; u++) EDGEC_QDW_PIXEL(u)
  EDGEC_UNROLL for (int u = 0; u < slots - 1; u++) {
    if (u >= pixels) return;
    EDGEC_QDW_PIXEL(u)
  }
#undef EDGEC_QDW_PIXEL
}

/* One result row, of as many pixels as may be stored so: their number is returned. Pixels that are left over by those
   taken for one are the last such ones, which goes over some that are done. */
typedef ptrdiff_t (*edgec_qdw_fn)(const edgec_qdw_line *lines, const int8_t *w, const int32_t *bias, const int32_t *by,
                                  edgec_q8 *y, const edgec_qdw_shape *d);
#define EDGEC_QDW_INNER(KH, KW, SW, CLAMP, EXACT)                                                                   \
  EDGEC_FN ptrdiff_t edgec_qdw_##KH##x##KW##s##SW##_##CLAMP##EXACT(const edgec_qdw_line *lines, const int8_t *w,    \
                                                                   const int32_t *bias, const int32_t *by,          \
                                                                   edgec_q8 *y, const edgec_qdw_shape *d) {         \
    const ptrdiff_t groups = (KW) * edgec_qdw_groups(KH) + edgec_qdw_last(KH, KW);                                  \
    const ptrdiff_t width = d->together * d->c, part = width < EDGEC_Q8_BLOCK && EDGEC_STORES_PARTS;                \
    const ptrdiff_t stored = part ? width : EDGEC_Q8_BLOCK;                                                         \
    const ptrdiff_t over = width < stored ? (EDGEC_Q8_BLOCK - 1) / width : 0;                                       \
    const ptrdiff_t whole = d->ow / d->together - over, last = (d->ow - d->together) * d->c;                        \
    const ptrdiff_t blocks = (width + EDGEC_Q8_BLOCK - 1) / EDGEC_Q8_BLOCK;                                         \
    const ptrdiff_t runs = d->ow % d->together ? 2 : blocks; /* several are together in one block */                \
    if (whole <= 0) return 0;                                                                                       \
    for (ptrdiff_t i = 0; i < runs; i++) {                                                                          \
      const ptrdiff_t rest = i == blocks, block = rest ? 0 : i, c = block * EDGEC_Q8_BLOCK;                         \
      const ptrdiff_t end = width < EDGEC_Q8_BLOCK ? 0 : width - EDGEC_Q8_BLOCK;                                    \
      const ptrdiff_t at = rest ? last : c < end ? c : end, pixels = rest ? 1 : whole;                              \
      edgec_qdw_slide(lines, at, w + block * groups * EDGEC_QDW_GROUP, bias + c, by + c, y + at, pixels, width,     \
                      stored, d, KH, KW, SW, CLAMP, EXACT);                                                         \
    }                                                                                                               \
    return d->together > 1 ? d->ow : whole;                                                                         \
  }

/* `zeros` are EDGEC_Q8_BLOCK bytes equal to x's zero point. inner is null for kernels without a body of their own. */
EDGEC_NOINLINE void edgec_qdepthwise(const edgec_q8 *x, const int8_t *w, const int32_t *bias, const int32_t *by,
                                     const edgec_q8 *zeros, void *y, const edgec_qdw_shape *d, edgec_qdw_fn inner,
                                     ptrdiff_t image, ptrdiff_t y0, ptrdiff_t y1) {
  for (ptrdiff_t oy = y0; oy < y1; oy++) {
    edgec_qdw_line lines[EDGEC_QDW_LINES];
    for (ptrdiff_t ky = 0; ky < d->kh; ky++) {
      const ptrdiff_t iy = oy * d->sh - d->top + ky * d->dh;
      if (iy < 0 || iy >= d->h)
        lines[ky] = (edgec_qdw_line){zeros, 0};
      else
        lines[ky] = (edgec_qdw_line){x + image * d->x_image + iy % d->x_depth * d->x_row - d->left * d->c, d->c};
    }
    const ptrdiff_t to = image * d->y_image + oy % d->y_depth * d->y_row;
    const ptrdiff_t done = inner ? inner(lines, w, bias, by, (edgec_q8 *)y + to, d) : 0;
    if (done < d->ow)
      edgec_qdw_any(lines, w, bias, by, by ? (void *)((edgec_q8 *)y + to) : (void *)((int32_t *)y + to), d, done,
                    d->ow - done);
  }
}

#endif
