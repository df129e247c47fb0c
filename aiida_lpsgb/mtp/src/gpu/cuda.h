// What the kernels' source needs of CUDA besides what NVRTC knows by itself.
//
// SPDX-License-Identifier: MIT
#define DEVICE static __device__ __forceinline__
#define SHARED_MEMORY(name) extern __shared__ __align__(16) unsigned char name[]
#define PRAGMA(text) _Pragma(#text)
#define UNROLL(n) PRAGMA(unroll n)
#define UNROLL_ALL PRAGMA(unroll)
// Keeps the compiler from loading everything at once.
#define FENCE asm volatile("" ::: "memory");
