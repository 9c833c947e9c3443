/* Products of 8-bit floats by the core's own instruction (FEAT_FP8DOT4): sums of four in float32, over rows of A where
   they lie and a panel of B laid out as qgemm.h lays out bytes for sdot. No device in the tables has it yet, so that no
   build takes it: it is compiled and looked at in tests, and waits for a core that can run it. */
#ifndef EDGEC_FP8DOT_H
#define EDGEC_FP8DOT_H

#include "isa.h"

#if defined(__ARM_FEATURE_FP8DOT4) && !defined(EDGEC_SCALAR)

#define EDGEC_FPMR_E5M2 0 /* formats of both operands, in the floating-point mode register */
#define EDGEC_FPMR_E4M3 9

/* c[m][n] = bias[n] + sum over k of a[m * a_stride + k] * b[k][n]: 4 rows, 16 columns; `steps` of 16 products. */
EDGEC_FN void edgec_fp8_dot_4x4(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, const float *bias, float *c,
                                ptrdiff_t c_stride, ptrdiff_t steps, uint64_t formats) {
  float32x4_t acc[4][4];
  EDGEC_UNROLL for (int m = 0; m < 4; m++) {
    EDGEC_UNROLL for (int v = 0; v < 4; v++) acc[m][v] = vld1q_f32(bias + 4 * v);
  }
  for (; steps > 0; steps--, a += 16) {
    mfloat8x16_t av[4];
    EDGEC_UNROLL for (int m = 0; m < 4; m++) av[m] = vreinterpretq_mf8_u8(vld1q_u8(a + m * a_stride));
    EDGEC_UNROLL for (int k = 0; k < 4; k++) {
      EDGEC_UNROLL for (int v = 0; v < 4; v++, b += 16) {
        const mfloat8x16_t bv = vreinterpretq_mf8_u8(vld1q_u8(b));
        EDGEC_UNROLL for (int m = 0; m < 4; m++)
          acc[m][v] = k == 0   ? vdotq_laneq_f32_mf8_fpm(acc[m][v], bv, av[m], 0, formats)
                      : k == 1 ? vdotq_laneq_f32_mf8_fpm(acc[m][v], bv, av[m], 1, formats)
                      : k == 2 ? vdotq_laneq_f32_mf8_fpm(acc[m][v], bv, av[m], 2, formats)
                               : vdotq_laneq_f32_mf8_fpm(acc[m][v], bv, av[m], 3, formats);
      }
    }
  }
  EDGEC_UNROLL for (int m = 0; m < 4; m++) {
    EDGEC_UNROLL for (int v = 0; v < 4; v++) vst1q_f32(c + m * c_stride + 4 * v, acc[m][v]);
  }
}

#endif
#endif
