/* gemm.h over 8-bit floats in memory with sums in float32 (float8dot.h): C = act(scale * sums + bias + R).

   K goes in fours, a column a lane; what is no multiple of four ends with zeros, and nothing behind a row of A is read.
   A panel's bias is followed by its scales, one a column: of the weights times that of A. */
#ifndef EDGEC_FLOAT8GEMM_H
#define EDGEC_FLOAT8GEMM_H

#include "float8dot.h"
#include "gemm.h"

/* The same four codes for every lane; `left` of them are there. */
EDGEC_INLINE edgec_vc edgec_splat_codes(const char *p, ptrdiff_t left) {
  uint32_t four = 0;
  if (left >= 4)
    __builtin_memcpy(&four, p, 4);
  else
    for (ptrdiff_t i = 0; i < left; i++) four |= (uint32_t)(uint8_t)p[i] << 8 * i;
  return (edgec_vc)((int32_t)four - (edgec_vi){0});
}
#define EDGEC_FLOAT8_FOURS(MR, NV, COUNT)                                                                          \
  ptrdiff_t at = 0;                                                                                                \
  for (ptrdiff_t left = (COUNT); left > 0; left -= 4, at += 4) {                                                   \
    edgec_vf bv[NV];                                                                                               \
    edgec_load_run(bv, b, NV);                                                                                     \
    EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                                                  \
      const edgec_vc am = edgec_splat_codes(row[m] + at, left);                                                    \
      EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[m][v] = edgec_fdot(acc[m][v], (edgec_vc)bv[v], am, formats); \
    }                                                                                                              \
    b += (NV) * EDGEC_LANES;                                                                                       \
  }

#if !defined(EDGEC_SCALAR) && EDGEC_LANES == 4
#define EDGEC_FLOAT8_LANE(ACC, B, A, K) edgec_fdot_lane(ACC, B, A, K, formats)
#define EDGEC_GEMM_SEGMENT_OF_CODES(MR, NV)                                                                        \
  for (ptrdiff_t left = length >> 4; left != 0; left--) EDGEC_GEMM_LANES_STEP(MR, NV, edgec_vc, EDGEC_FLOAT8_LANE) \
  EDGEC_FLOAT8_FOURS(MR, NV, length & 15)
#else
#define EDGEC_GEMM_SEGMENT_OF_CODES(MR, NV) EDGEC_FLOAT8_FOURS(MR, NV, length)
#endif

#define EDGEC_GEMM_FROM_E4M3(MR, NV) EDGEC_FLOAT8_FROM_ZERO(MR, NV, EDGEC_FPMR_E4M3)
#define EDGEC_GEMM_FROM_E5M2(MR, NV) EDGEC_FLOAT8_FROM_ZERO(MR, NV, EDGEC_FPMR_E5M2)
#define EDGEC_FLOAT8_FROM_ZERO(MR, NV, FORMATS)                                \
  const uint64_t formats = edgec_float8_formats(FORMATS);                      \
  EDGEC_UNROLL for (int m = 0; m < (MR); m++) {                                \
    EDGEC_UNROLL for (int v = 0; v < (NV); v++) acc[m][v] = edgec_splat(0.0f); \
  }
#define EDGEC_GEMM_END_SCALED(MR, NV)                                                 \
  EDGEC_UNROLL for (int v = 0; v < (NV); v++) {                                       \
    const edgec_vf bias = edgec_load(t->bias + v * EDGEC_LANES);                      \
    const edgec_vf scale = edgec_load(t->bias + ((NV) + v) * EDGEC_LANES);            \
    EDGEC_UNROLL for (int m = 0; m < (MR); m++) acc[m][v] = bias + acc[m][v] * scale; \
  }

/* FORM: E4M3 or E5M2. */
#define EDGEC_FLOAT8_TILE(FORM, MR, NV) \
  EDGEC_GEMM_TILE_OF(FORM, CODES, SCALED, EDGEC_NAMED(gemm_##FORM##_##MR##x##NV), MR, NV)

#endif
