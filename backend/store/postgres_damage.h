/* Which tables and indexes of a PostgreSQL could not be read since the start, and that each is told once in the log.
 * Thread-safe. */
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define POSTGRES_DAMAGE_MAX 64 /* told and counted; then it is the disk */
#define POSTGRES_DAMAGE_NAME 96

struct postgres_damage {
	pthread_mutex_t lock;
	size_t n;
	char names[POSTGRES_DAMAGE_MAX][POSTGRES_DAMAGE_NAME];
};

void postgres_damage_init(struct postgres_damage *damage) __attribute__((nonnull));
void postgres_damage_destroy(struct postgres_damage *damage) __attribute__((nonnull));
/* The server's message of a failure that is damage. */
void postgres_damage_met(struct postgres_damage *damage, const char *message) __attribute__((nonnull));
/* How many, and as many of their names, with commas, as fit. */
size_t postgres_damage_list(struct postgres_damage *damage, char *names, size_t size) __attribute__((nonnull));
