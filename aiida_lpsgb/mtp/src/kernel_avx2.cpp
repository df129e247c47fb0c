// SPDX-License-Identifier: MIT
#define MTP_LANES 4
#define MTP_NAME "AVX2"
#define MTP_KERNEL kernel_avx2
#include "kernel_impl.hpp"
