/*
 * Template port: the four functions that compilers call on their own. Leave this file out where a libc is linked.
 * The empty assembly keeps the compiler from turning each loop into a call of the function that it is in.
 */
#include "base/base.h"

#define NOT_AN_IDIOM() __asm__ volatile("" : : : "memory")

void *memcpy(void *restrict dst, const void *restrict src, size_t nr_bytes)
{
	for (size_t i = 0; i < nr_bytes; i++) {
		((uint8_t *)dst)[i] = ((const uint8_t *)src)[i];
		NOT_AN_IDIOM();
	}
	return dst;
}

void *memmove(void *dst, const void *src, size_t nr_bytes)
{
	if ((uintptr_t)dst <= (uintptr_t)src) {
		for (size_t i = 0; i < nr_bytes; i++) {
			((uint8_t *)dst)[i] = ((const uint8_t *)src)[i];
			NOT_AN_IDIOM();
		}
		return dst;
	}
	while (nr_bytes-- > 0) {
		((uint8_t *)dst)[nr_bytes] = ((const uint8_t *)src)[nr_bytes];
		NOT_AN_IDIOM();
	}
	return dst;
}

void *memset(void *dst, int byte, size_t nr_bytes)
{
	for (size_t i = 0; i < nr_bytes; i++) {
		((uint8_t *)dst)[i] = (uint8_t)byte;
		NOT_AN_IDIOM();
	}
	return dst;
}

int memcmp(const void *left, const void *right, size_t nr_bytes)
{
	for (size_t i = 0; i < nr_bytes; i++) {
		int difference = ((const uint8_t *)left)[i] - ((const uint8_t *)right)[i];

		if (difference)
			return difference;
	}
	return 0;
}
