// SPDX-License-Identifier: MIT
#define MTP_LANES 4
#define MTP_ROWS 4
#define MTP_NAME "AVX2"
#define MTP_KERNEL kernel_avx2
#include "training_impl.hpp"
