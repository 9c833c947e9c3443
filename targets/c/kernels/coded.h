/* gemm.h with a right operand of bytes or of half bytes, decoded in registers: I8, I4 and the
   floats E2M1 (two a byte), and the 8-bit floats E4M3 and E5M2. A multiplies the very floats that the codes stand for, so that sums are those of gemm.h, bit by bit.

   A form is a row of the table below: how codes are decoded, the products of a GROUP, which share a scale, codes in a
   byte (HALVES), bytes of a SCALE (2: the upper half of a float, 4: a whole one), and whether there are zero points
   (ZERO). The form's last letter says what it is of floats that somebody else made, with whole scales: S for a segment,
   F and Z (with zero points) for 32 products, H and Y for 16.

   A column's part of a segment is groups: a scale, then the codes. A panel has the scales of its columns side by side,
   behind them zero points of 16 bits, times what decoding multiplies by, then codes, row by row:
   - I8, E4M3, E5M2: a byte each.
   - I4 and E2M1 on A64: eight vectors of codes at a time, the first four in the lower halves of 16 bytes; else two rows at a time,
     the first in the lower halves.
   On A64 a group's rows are rounded up to eight with zeros, else those of half bytes to two. What decoding leaves out is
   in the scale (codes.h). */
#ifndef EDGEC_CODED_H
#define EDGEC_CODED_H

#include "codes.h"
#include "conv.h"
#include "matmul.h"

/* Scales of a group, and its zero points. */
#define EDGEC_CODED_SCALES(SCALE, ZERO, NV)                                \
  EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                            \
    scale[v] = edgec_coded_scale(code + (SCALE) * EDGEC_LANES * v, SCALE); \
    const uint8_t *behind = code + ((SCALE) * (NV) + 2 * v) * EDGEC_LANES; \
    zero[v] = (ZERO) ? edgec_short_scale(behind) : scale[v];               \
  }                                                                        \
  code += ((SCALE) + 2 * (ZERO)) * EDGEC_LANES * (NV);

#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
/* Products of K rows, 4 or 8, of one group; EDGEC_TIE as in gemm.h. */
#define EDGEC_CODED_STEP(CODES, HALVES, ZERO, MR, NV, K)                                                     \
  {                                                                                                          \
    edgec_vf av[MR][(K) / 4];                                                                                \
    EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                            \
      edgec_load_run(av[m], (const float *)row[m], (K) / 4);                                                 \
      EDGEC_ADVANCE(row[m], 4 * (K));                                                                        \
    }                                                                                                        \
    EDGEC_UNROLL for (int at = 0; at < (NV) * (K); at += 4 * (HALVES)) {                                     \
      const uint8x16_t codes = vld1q_u8(code);                                                               \
      EDGEC_ADVANCE(code, 16);                                                                               \
      EDGEC_UNROLL for (int half = 0; half < (HALVES); half++) {                                             \
        edgec_vf bv[4];                                                                                      \
        edgec_decode_##CODES(bv, codes, half);                                                               \
        EDGEC_UNROLL for (int i = 0; i < 4; i++) {                                                           \
          const int k = (at + 4 * half + i) / (NV), v = (at + 4 * half + i) % (NV);                          \
          bv[i] = edgec_coded_times(bv[i], ZERO, zero[v], scale[v]);                                         \
          EDGEC_UNROLL for (int m = 0; m < (MR); m++) acc[m][v] += edgec_splat(av[m][k / 4][k % 4]) * bv[i]; \
        }                                                                                                    \
        EDGEC_UNROLL for (int i = 0; i < 4 && i < (NV); i++) {                                               \
          EDGEC_UNROLL for (int m = 0; m < (MR); m++) EDGEC_TIE(acc[m][(at + 4 * half + i) % (NV)]);         \
        }                                                                                                    \
      }                                                                                                      \
    }                                                                                                        \
  }
#define EDGEC_CODED_EIGHT(CODES, HALVES, ZERO, MR, NV) \
  if ((NV) % 2) {                                      \
    EDGEC_CODED_STEP(CODES, HALVES, ZERO, MR, NV, 8)   \
  } else {                                             \
    EDGEC_CODED_STEP(CODES, HALVES, ZERO, MR, NV, 4)   \
    EDGEC_CODED_STEP(CODES, HALVES, ZERO, MR, NV, 4)   \
  }
#define EDGEC_CODED_SEGMENT(CODES, GROUP, HALVES, SCALE, ZERO, MR, NV)                                      \
  const uint8_t *code = (const uint8_t *)b;                                                                 \
  for (ptrdiff_t left = length, run; left > 0; left -= run) {                                               \
    edgec_vf scale[NV], zero[NV];                                                                           \
    run = left < (GROUP) ? left : (GROUP);                                                                  \
    EDGEC_CODED_SCALES(SCALE, ZERO, NV)                                                                     \
    for (ptrdiff_t eights = run >> 3; eights != 0; eights--) EDGEC_CODED_EIGHT(CODES, HALVES, ZERO, MR, NV) \
    if (run & 7) { /* the last of a segment: nothing behind A is read */                                    \
      float last[MR][8];                                                                                    \
      EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                         \
        const float *from = (const float *)row[m];                                                          \
        for (ptrdiff_t i = 0; i < 8; i++) last[m][i] = i < (run & 7) ? from[i] : 0.0f;                      \
        row[m] = (const char *)last[m];                                                                     \
        EDGEC_OPAQUE(row[m]);                                                                               \
      }                                                                                                     \
      EDGEC_CODED_EIGHT(CODES, HALVES, ZERO, MR, NV)                                                        \
    }                                                                                                       \
  }                                                                                                         \
  b = (const float *)(const void *)code;
#else
#define EDGEC_CODED_SEGMENT(CODES, GROUP, HALVES, SCALE, ZERO, MR, NV)                                 \
  ptrdiff_t at = 0;                                                                                    \
  const uint8_t *code = (const uint8_t *)b;                                                            \
  for (ptrdiff_t left = length, run; left > 0; left -= run) {                                          \
    edgec_vf scale[NV], zero[NV];                                                                      \
    run = left < (GROUP) ? left : (GROUP);                                                             \
    EDGEC_CODED_SCALES(SCALE, ZERO, NV)                                                                \
    for (ptrdiff_t rows = run; rows > 0; rows -= (HALVES)) {                                           \
      edgec_codes codes[NV];                                                                           \
      EDGEC_UNROLL for (int v = 0; v < (NV); v++) codes[v] = edgec_load_codes(code + v * EDGEC_LANES); \
      code += (NV) * EDGEC_LANES;                                                                      \
      EDGEC_UNROLL for (int half = 0; half < (HALVES); half++) {                                       \
        edgec_vf bv[NV];                                                                               \
        if (half && rows == 1) break;                                                                  \
        EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                                  \
          bv[v] = edgec_decode_##CODES(codes[v], half);                                                \
          bv[v] = edgec_coded_times(bv[v], ZERO, zero[v], scale[v]);                                   \
        }                                                                                              \
        EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                  \
          const edgec_vf am = edgec_splat(*(const float *)(row[m] + at));                              \
          EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[m][v] += am * bv[v];                         \
        }                                                                                              \
        at += 4;                                                                                       \
      }                                                                                                \
    }                                                                                                  \
  }                                                                                                    \
  b = (const float *)(const void *)code;
#endif

#define EDGEC_CODED_WHOLE PTRDIFF_MAX
/*                                                           decoded, GROUP, HALVES, SCALE, ZERO */
#define EDGEC_GEMM_SEGMENT_OF_I8(MR, NV) EDGEC_CODED_SEGMENT(I8, EDGEC_CODED_WHOLE, 1, 2, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I8S(MR, NV) EDGEC_CODED_SEGMENT(I8, EDGEC_CODED_WHOLE, 1, 4, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I8F(MR, NV) EDGEC_CODED_SEGMENT(I8, 32, 1, 4, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I8Z(MR, NV) EDGEC_CODED_SEGMENT(I8, 32, 1, 4, 1, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I8H(MR, NV) EDGEC_CODED_SEGMENT(I8, 16, 1, 4, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I8Y(MR, NV) EDGEC_CODED_SEGMENT(I8, 16, 1, 4, 1, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I4(MR, NV) EDGEC_CODED_SEGMENT(I4, 32, 2, 2, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I4S(MR, NV) EDGEC_CODED_SEGMENT(I4, EDGEC_CODED_WHOLE, 2, 4, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I4F(MR, NV) EDGEC_CODED_SEGMENT(I4, 32, 2, 4, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I4Z(MR, NV) EDGEC_CODED_SEGMENT(I4, 32, 2, 4, 1, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I4H(MR, NV) EDGEC_CODED_SEGMENT(I4, 16, 2, 4, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I4Y(MR, NV) EDGEC_CODED_SEGMENT(I4, 16, 2, 4, 1, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_E2M1(MR, NV) EDGEC_CODED_SEGMENT(E2M1, EDGEC_CODED_WHOLE, 2, 2, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_E2M1S(MR, NV) EDGEC_CODED_SEGMENT(E2M1, EDGEC_CODED_WHOLE, 2, 4, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_E2M1F(MR, NV) EDGEC_CODED_SEGMENT(E2M1, 32, 2, 4, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_E2M1H(MR, NV) EDGEC_CODED_SEGMENT(E2M1, 16, 2, 4, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_E4M3(MR, NV) EDGEC_CODED_SEGMENT(E4M3, EDGEC_CODED_WHOLE, 1, 2, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_E4M3S(MR, NV) EDGEC_CODED_SEGMENT(E4M3, EDGEC_CODED_WHOLE, 1, 4, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_E4M3F(MR, NV) EDGEC_CODED_SEGMENT(E4M3, 32, 1, 4, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_E4M3H(MR, NV) EDGEC_CODED_SEGMENT(E4M3, 16, 1, 4, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_E5M2(MR, NV) EDGEC_CODED_SEGMENT(E5M2, EDGEC_CODED_WHOLE, 1, 2, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_E5M2S(MR, NV) EDGEC_CODED_SEGMENT(E5M2, EDGEC_CODED_WHOLE, 1, 4, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_E5M2F(MR, NV) EDGEC_CODED_SEGMENT(E5M2, 32, 1, 4, 0, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_E5M2H(MR, NV) EDGEC_CODED_SEGMENT(E5M2, 16, 1, 4, 0, MR, NV)
#define EDGEC_CODED_TILE(FORM, MR, NV) EDGEC_GEMM_TILE_FROM(BIAS, FORM, edgec_gemm_##FORM##_##MR##x##NV, MR, NV)

#endif
