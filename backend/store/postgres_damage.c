/* A server says which file, index or relation it was, each in a message of its own kind:
 *     invalid page in block 42 of relation base/16384/16568
 *     could not read block 7 in file "base/16384/16568": read only 0 of 8192 bytes
 *     index "hot_489123_pkey" contains unexpected zero page at block 3
 * Numbers of blocks are left out, so that a table is one, however much of it is damaged. */
#include "backend/store/postgres_damage.h"

#include "common/log.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void postgres_damage_init(struct postgres_damage *damage)
{
	*damage = (struct postgres_damage){.n = 0};
	(void)pthread_mutex_init(&damage->lock, NULL); /* cannot fail on Linux */
}

void postgres_damage_destroy(struct postgres_damage *damage)
{
	pthread_mutex_destroy(&damage->lock);
}

static void name_of(const char *message, char name[POSTGRES_DAMAGE_NAME])
{
	const char *relation = strstr(message, "relation "), *quote = strchr(message, '"');
	if (relation)
		snprintf(name, POSTGRES_DAMAGE_NAME, "%s", relation + strlen("relation "));
	else if (quote)
		snprintf(name, POSTGRES_DAMAGE_NAME, "%.*s", (int)strcspn(quote + 1, "\""), quote + 1);
	else
		snprintf(name, POSTGRES_DAMAGE_NAME, "%s", message);
}

void postgres_damage_met(struct postgres_damage *damage, const char *message)
{
	char name[POSTGRES_DAMAGE_NAME];
	bool known = false;
	name_of(message, name);
	pthread_mutex_lock(&damage->lock);
	for (size_t i = 0; i < damage->n && !known; i++)
		known = strcmp(damage->names[i], name) == 0;
	known |= damage->n == POSTGRES_DAMAGE_MAX;
	if (!known)
		memcpy(damage->names[damage->n++], name, sizeof(name));
	pthread_mutex_unlock(&damage->lock);
	if (!known)
		log_error("a table or an index of the database is damaged", LOG_STR("error", message),
			  LOG_STR("then",
				  "what lies on other pages is served; look at the server's disk and log, make a"
				  " backup elsewhere, REINDEX if it is an index, else restore a backup"));
}

size_t postgres_damage_list(struct postgres_damage *damage, char *names, size_t size)
{
	size_t len = 0;
	names[0] = '\0';
	pthread_mutex_lock(&damage->lock);
	size_t n = damage->n;
	for (size_t i = 0; i < n; i++) {
		if (len + strlen(damage->names[i]) + sizeof(", ") > size)
			break;
		len += (size_t)snprintf(names + len, size - len, "%s%s", len > 0 ? ", " : "", damage->names[i]);
	}
	pthread_mutex_unlock(&damage->lock);
	return n;
}
