/* gemm.h with a right operand of bytes or of half bytes, decoded in registers: I8, I4 (two a byte), and the 8-bit floats
   E4M3 and E5M2. A multiplies the very floats that the codes stand for, so that sums are those of gemm.h, bit by bit.

   A column's part of a segment is groups of EDGEC_CODED_GROUP_… products: a scale of 16 bits, the upper half of a
   float, or a whole one (I8F and I4F, which are I8 and I4 in groups otherwise), then the codes. A panel has the scales
   of its columns side by side, with I4Z zero points of 16 bits, times 16, behind them, then codes, row by row:
   - I8, E4M3, E5M2: a byte each.
   - I4 on A64: eight vectors of codes at a time, the first four in the lower halves of 16 bytes; else two rows at a time,
     the first in the lower halves.
   On A64 a group's rows are rounded up to eight with zeros, else those of I4 to two. What decoding leaves out is in the
   scale: 1/16 for I4, 2^8 for E4M3. */
#ifndef EDGEC_CODED_H
#define EDGEC_CODED_H

#include "codes.h"
#include "conv.h"
#include "matmul.h"

#define EDGEC_CODED_GROUP_I8 PTRDIFF_MAX
#define EDGEC_CODED_GROUP_E4M3 PTRDIFF_MAX
#define EDGEC_CODED_GROUP_E5M2 PTRDIFF_MAX
#define EDGEC_CODED_GROUP_I8F 32
#define EDGEC_CODED_GROUP_I4 32
#define EDGEC_CODED_GROUP_I4F 32
#define EDGEC_CODED_GROUP_I4Z 32
#define EDGEC_CODED_HALVES_I8 1 /* of a register of codes that are decoded one after the other */
#define EDGEC_CODED_HALVES_I8F 1
#define EDGEC_CODED_HALVES_E4M3 1
#define EDGEC_CODED_HALVES_E5M2 1
#define EDGEC_CODED_HALVES_I4 2
#define EDGEC_CODED_HALVES_I4F 2
#define EDGEC_CODED_HALVES_I4Z 2
#define EDGEC_CODED_SCALE_I8 2 /* bytes */
#define EDGEC_CODED_SCALE_I8F 4
#define EDGEC_CODED_SCALE_E4M3 2
#define EDGEC_CODED_SCALE_E5M2 2
#define EDGEC_CODED_SCALE_I4 2
#define EDGEC_CODED_SCALE_I4F 4
#define EDGEC_CODED_SCALE_I4Z 4
#define EDGEC_CODED_ZERO_I8 0
#define EDGEC_CODED_ZERO_I8F 0
#define EDGEC_CODED_ZERO_E4M3 0
#define EDGEC_CODED_ZERO_E5M2 0
#define EDGEC_CODED_ZERO_I4 0
#define EDGEC_CODED_ZERO_I4F 0
#define EDGEC_CODED_ZERO_I4Z 1

/* Scales of a group, and its zero points. */
#define EDGEC_CODED_SCALES(FORM, NV)                                                                           \
  EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                                                \
    scale[v] = edgec_coded_scale(code + EDGEC_CODED_SCALE_##FORM * EDGEC_LANES * v, EDGEC_CODED_SCALE_##FORM); \
    const uint8_t *behind = code + (EDGEC_CODED_SCALE_##FORM * (NV) + 2 * v) * EDGEC_LANES;                    \
    zero[v] = EDGEC_CODED_ZERO_##FORM ? edgec_short_scale(behind) : scale[v];                                  \
  }                                                                                                            \
  code += (EDGEC_CODED_SCALE_##FORM + 2 * EDGEC_CODED_ZERO_##FORM) * EDGEC_LANES * (NV);

#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
/* Products of K rows, 4 or 8, of one group; EDGEC_TIE as in gemm.h. */
#define EDGEC_CODED_STEP(FORM, MR, NV, K)                                                                    \
  {                                                                                                          \
    edgec_vf av[MR][(K) / 4];                                                                                \
    EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                            \
      edgec_load_run(av[m], (const float *)row[m], (K) / 4);                                                 \
      EDGEC_ADVANCE(row[m], 4 * (K));                                                                        \
    }                                                                                                        \
    EDGEC_UNROLL for (int at = 0; at < (NV) * (K); at += 4 * EDGEC_CODED_HALVES_##FORM) {                    \
      const uint8x16_t codes = vld1q_u8(code);                                                               \
      EDGEC_ADVANCE(code, 16);                                                                               \
      EDGEC_UNROLL for (int half = 0; half < EDGEC_CODED_HALVES_##FORM; half++) {                            \
        edgec_vf bv[4];                                                                                      \
        edgec_decode_##FORM(bv, codes, half);                                                                \
        EDGEC_UNROLL for (int i = 0; i < 4; i++) {                                                           \
          const int k = (at + 4 * half + i) / (NV), v = (at + 4 * half + i) % (NV);                          \
          bv[i] = edgec_coded_times(bv[i], EDGEC_CODED_ZERO_##FORM, zero[v], scale[v]);                      \
          EDGEC_UNROLL for (int m = 0; m < (MR); m++) acc[m][v] += edgec_splat(av[m][k / 4][k % 4]) * bv[i]; \
        }                                                                                                    \
        EDGEC_UNROLL for (int i = 0; i < 4 && i < (NV); i++) {                                               \
          EDGEC_UNROLL for (int m = 0; m < (MR); m++) EDGEC_TIE(acc[m][(at + 4 * half + i) % (NV)]);         \
        }                                                                                                    \
      }                                                                                                      \
    }                                                                                                        \
  }
#define EDGEC_CODED_EIGHT(FORM, MR, NV) \
  if ((NV) % 2) {                       \
    EDGEC_CODED_STEP(FORM, MR, NV, 8)   \
  } else {                              \
    EDGEC_CODED_STEP(FORM, MR, NV, 4)   \
    EDGEC_CODED_STEP(FORM, MR, NV, 4)   \
  }
#define EDGEC_CODED_SEGMENT(FORM, MR, NV)                                                    \
  const uint8_t *code = (const uint8_t *)b;                                                  \
  for (ptrdiff_t left = length, run; left > 0; left -= run) {                                \
    edgec_vf scale[NV], zero[NV];                                                            \
    run = left < EDGEC_CODED_GROUP_##FORM ? left : EDGEC_CODED_GROUP_##FORM;                 \
    EDGEC_CODED_SCALES(FORM, NV)                                                             \
    for (ptrdiff_t eights = run >> 3; eights != 0; eights--) EDGEC_CODED_EIGHT(FORM, MR, NV) \
    if (run & 7) { /* the last of a segment: nothing behind A is read */                     \
      float last[MR][8];                                                                     \
      EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                          \
        const float *from = (const float *)row[m];                                           \
        for (ptrdiff_t i = 0; i < 8; i++) last[m][i] = i < (run & 7) ? from[i] : 0.0f;       \
        row[m] = (const char *)last[m];                                                      \
        EDGEC_OPAQUE(row[m]);                                                                \
      }                                                                                      \
      EDGEC_CODED_EIGHT(FORM, MR, NV)                                                        \
    }                                                                                        \
  }                                                                                          \
  b = (const float *)(const void *)code;
#else
#define EDGEC_CODED_SEGMENT(FORM, MR, NV)                                                              \
  ptrdiff_t at = 0;                                                                                    \
  const uint8_t *code = (const uint8_t *)b;                                                            \
  for (ptrdiff_t left = length, run; left > 0; left -= run) {                                          \
    edgec_vf scale[NV], zero[NV];                                                                      \
    run = left < EDGEC_CODED_GROUP_##FORM ? left : EDGEC_CODED_GROUP_##FORM;                           \
    EDGEC_CODED_SCALES(FORM, NV)                                                                       \
    for (ptrdiff_t rows = run; rows > 0; rows -= EDGEC_CODED_HALVES_##FORM) {                          \
      edgec_codes codes[NV];                                                                           \
      EDGEC_UNROLL for (int v = 0; v < (NV); v++) codes[v] = edgec_load_codes(code + v * EDGEC_LANES); \
      code += (NV) * EDGEC_LANES;                                                                      \
      EDGEC_UNROLL for (int half = 0; half < EDGEC_CODED_HALVES_##FORM; half++) {                      \
        edgec_vf bv[NV];                                                                               \
        if (half && rows == 1) break;                                                                  \
        EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                                  \
          bv[v] = edgec_decode_##FORM(codes[v], half);                                                 \
          bv[v] = edgec_coded_times(bv[v], EDGEC_CODED_ZERO_##FORM, zero[v], scale[v]);                \
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

#define EDGEC_GEMM_SEGMENT_OF_I8(MR, NV) EDGEC_CODED_SEGMENT(I8, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I8F(MR, NV) EDGEC_CODED_SEGMENT(I8F, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I4(MR, NV) EDGEC_CODED_SEGMENT(I4, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I4F(MR, NV) EDGEC_CODED_SEGMENT(I4F, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_I4Z(MR, NV) EDGEC_CODED_SEGMENT(I4Z, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_E4M3(MR, NV) EDGEC_CODED_SEGMENT(E4M3, MR, NV)
#define EDGEC_GEMM_SEGMENT_OF_E5M2(MR, NV) EDGEC_CODED_SEGMENT(E5M2, MR, NV)
#define EDGEC_CODED_TILE(FORM, MR, NV) EDGEC_GEMM_TILE_FROM(BIAS, FORM, edgec_gemm_##FORM##_##MR##x##NV, MR, NV)

#endif
