// SPDX-License-Identifier: MIT
#define MTP_LANES 8
#define MTP_ROWS 8
#define MTP_NAME "AVX-512"
#define MTP_KERNEL kernel_avx512
#include "training_impl.hpp"
