#include "backend/auth/password.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct job {
	struct job *next;
	void (*done)(void *arg, bool right);
	void *arg;
	bool known;
	char hash[crypto_pwhash_STRBYTES];
	char password[PASSWORD_MAX + 1];
};

struct password_pool {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t threads[PASSWORD_THREADS];
	unsigned started;
	struct job *first, **last;
	unsigned waiting;
	bool ending;
	char nobody[crypto_pwhash_STRBYTES]; /* hash of a random password: what unknown users are checked against */
};

static struct job *take(struct password_pool *p)
{
	pthread_mutex_lock(&p->lock);
	while (!p->first && !p->ending)
		pthread_cond_wait(&p->wake, &p->lock);
	struct job *job = p->first;
	if (job) {
		p->first = job->next;
		if (!p->first)
			p->last = &p->first;
		p->waiting--;
	}
	pthread_mutex_unlock(&p->lock);
	return job;
}

static void *work(void *arg)
{
	struct password_pool *p = arg;
	for (struct job *job; (job = take(p));) {
		const char *hash = job->known ? job->hash : p->nobody;
		bool match = crypto_pwhash_str_verify(hash, job->password, strlen(job->password)) == 0;
		job->done(job->arg, match && job->known);
		sodium_memzero(job, sizeof(*job));
		free(job);
	}
	return NULL;
}

static int hash_text(const char *password, char ret[crypto_pwhash_STRBYTES])
{
	return crypto_pwhash_str(ret, password, strlen(password), crypto_pwhash_OPSLIMIT_INTERACTIVE,
				 crypto_pwhash_MEMLIMIT_INTERACTIVE) == 0
		       ? 0
		       : -ENOMEM;
}

int password_hash(const char *password, char ret[crypto_pwhash_STRBYTES])
{
	size_t len = strnlen(password, PASSWORD_MAX + 1);
	return len < PASSWORD_MIN || len > PASSWORD_MAX ? -EINVAL : hash_text(password, ret);
}

struct password_pool *password_pool_new(void)
{
	struct password_pool *p = calloc(1, sizeof(*p));
	char random[33];
	if (!p)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	p->last = &p->first;
	randombytes_buf(random, 32);
	for (int i = 0; i < 32; i++)
		random[i] = (char)('a' + (unsigned char)random[i] % 26);
	random[32] = '\0';
	bool ready = hash_text(random, p->nobody) == 0;
	while (ready && p->started < PASSWORD_THREADS) {
		ready = pthread_create(&p->threads[p->started], NULL, work, p) == 0;
		p->started += ready;
	}
	if (!ready) {
		password_pool_free(p);
		return NULL;
	}
	return p;
}

void password_pool_free(struct password_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->started; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int password_verify(struct password_pool *p, const char *hash, const char *password,
		    void (*done)(void *arg, bool right), void *arg)
{
	size_t len = strnlen(password, PASSWORD_MAX + 1);
	if (len > PASSWORD_MAX || (hash && strlen(hash) >= crypto_pwhash_STRBYTES))
		return -EMSGSIZE;
	struct job *job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	job->done = done;
	job->arg = arg;
	job->known = hash != NULL;
	if (hash)
		memcpy(job->hash, hash, strlen(hash) + 1);
	memcpy(job->password, password, len + 1);
	pthread_mutex_lock(&p->lock);
	bool full = p->waiting >= PASSWORD_QUEUE;
	if (!full) {
		*p->last = job;
		p->last = &job->next;
		p->waiting++;
		pthread_cond_signal(&p->wake);
	}
	pthread_mutex_unlock(&p->lock);
	if (full) {
		sodium_memzero(job, sizeof(*job));
		free(job);
		return -EAGAIN;
	}
	return 0;
}
