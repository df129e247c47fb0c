// SPDX-License-Identifier: MIT
#define MTP_LANES 2
#define MTP_NAME "baseline"
#define MTP_KERNEL kernel_baseline
#include "kernel_impl.hpp"
