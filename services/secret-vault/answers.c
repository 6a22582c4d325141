#include "services/secret-vault/answers.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/error.h"

#define IDLE_MAX 128
#define IDLE_BYTES_MAX ((size_t)16 << 20) /* 70 answers to starting containers */

/* Idle ones: wiped, so all zeros. */
struct idle {
	SLIST_ENTRY(idle) link;
	const struct proto_message *message;
	void *answer;
};
struct answers {
	pthread_mutex_t mutex;
	SLIST_HEAD(idles, idle) idle;
	size_t len, bytes;
};

struct answers *answers_new(void)
{
	struct answers *answers = calloc(1, sizeof(*answers));

	bug_if(!answers || pthread_mutex_init(&answers->mutex, NULL) != 0);
	return answers;
}

static bool has_secret(const struct proto_message *message)
{
	for (size_t i = 0; i < message->nfields; i++)
		if (message->fields[i].flags & PROTO_SECRET)
			return true;
	return false;
}

static void *make(const struct proto_message *message)
{
	if (!has_secret(message))
		return calloc(1, message->size + 1);
	void *answer = sodium_malloc(message->size);
	if (answer)
		memset(answer, 0, message->size);
	return answer;
}

static void discard(const struct proto_message *message, void *answer)
{
	if (has_secret(message))
		sodium_free(answer);
	else
		free(answer);
}

void answers_destroy(struct answers **answers)
{
	struct idle *idle;

	if (!*answers)
		return;
	while ((idle = SLIST_FIRST(&(*answers)->idle))) {
		SLIST_REMOVE_HEAD(&(*answers)->idle, link);
		discard(idle->message, idle->answer);
		free(idle);
	}
	pthread_mutex_destroy(&(*answers)->mutex);
	free(*answers);
	*answers = NULL;
}

/* NULL if there is none of that message. */
static struct idle *take_idle(struct answers *answers, const struct proto_message *message)
{
	bug_if(pthread_mutex_lock(&answers->mutex) != 0);
	struct idle *idle = SLIST_FIRST(&answers->idle);
	while (idle && idle->message != message)
		idle = SLIST_NEXT(idle, link);
	if (idle) {
		SLIST_REMOVE(&answers->idle, idle, idle, link);
		answers->len--;
		answers->bytes -= message->size;
	}
	bug_if(pthread_mutex_unlock(&answers->mutex) != 0);
	return idle;
}

void *answers_take(struct answers *answers, const struct proto_message *message)
{
	struct idle *idle = answers ? take_idle(answers, message) : NULL;

	if (!idle)
		return make(message);
	void *answer = idle->answer;
	free(idle);
	return answer;
}

/* The length of a BIN or LIST, and right behind it its data (schema.h). */
static size_t used(const struct proto_field *field, const void *member)
{
	size_t len;

	memcpy(&len, member, sizeof(len));
	bug_if(len > field->max);
	return sizeof(len) + len * (field->type == PROTO_LIST ? field->item->size : 1);
}

static void wipe_used(const struct proto_message *message, void *answer)
{
	for (size_t i = 0; i < message->nfields; i++) {
		const struct proto_field *field = &message->fields[i];
		uint8_t *member = (uint8_t *)answer + field->offset;
		size_t next =
		    i + 1 < message->nfields ? message->fields[i + 1].offset : message->size;
		bool is_counted = field->type == PROTO_BIN || field->type == PROTO_LIST;

		sodium_memzero(member, is_counted ? used(field, member) : next - field->offset);
	}
}

static bool keep(struct answers *answers, const struct proto_message *message, void *answer)
{
	struct idle *idle = malloc(sizeof(*idle));

	bug_if(!idle);
	*idle = (struct idle){.message = message, .answer = answer};
	bug_if(pthread_mutex_lock(&answers->mutex) != 0);
	bool has_room = answers->len < IDLE_MAX && answers->bytes + message->size <= IDLE_BYTES_MAX;
	if (has_room) {
		SLIST_INSERT_HEAD(&answers->idle, idle, link);
		answers->len++;
		answers->bytes += message->size;
	}
	bug_if(pthread_mutex_unlock(&answers->mutex) != 0);
	if (!has_room)
		free(idle);
	return has_room;
}

void answers_give(
    struct answers *answers, const struct proto_message *message, void *answer, bool is_whole)
{
	if (is_whole)
		sodium_memzero(answer, message->size);
	else
		wipe_used(message, answer);
	if (!answers || !keep(answers, message, answer))
		discard(message, answer);
}
