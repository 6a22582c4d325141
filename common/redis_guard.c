#include "common/redis_guard.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* hiredis lets errors through by itself: so Redis says that it has too many clients. */
static bool is_unasked(const redisReadTask *task)
{
	const redisAsyncContext *ac = task->privdata;

	return !task->parent && !ac->replies.head && task->type != REDIS_REPLY_ERROR;
}

static redisReply *reply_new(const redisReadTask *task)
{
	redisReply *reply = is_unasked(task) ? NULL : calloc(1, sizeof(*reply));

	if (reply)
		reply->type = task->type;
	return reply;
}

/* The parent owns it from now on. */
static redisReply *adopted(const redisReadTask *task, redisReply *reply)
{
	if (reply && task->parent) {
		redisReply *parent = task->parent->obj;
		parent->element[task->idx] = reply;
	}
	return reply;
}

static void *create_string(const redisReadTask *task, char *text, size_t len)
{
	redisReply *reply = reply_new(task);

	if (!reply)
		return NULL;
	reply->str = malloc(len + 1);
	if (!reply->str) {
		freeReplyObject(reply);
		return NULL;
	}
	memcpy(reply->str, text, len);
	reply->str[len] = '\0';
	reply->len = len;
	return adopted(task, reply);
}

static void *array_new(const redisReadTask *task, int elements, int max)
{
	redisReply *reply = elements > max ? NULL : reply_new(task);

	if (!reply)
		return NULL;
	if (elements > 0) {
		reply->element = calloc((size_t)elements, sizeof(void *));
		if (!reply->element) {
			freeReplyObject(reply);
			return NULL;
		}
		reply->elements = (size_t)elements;
	}
	return adopted(task, reply);
}

static void *create_array(const redisReadTask *task, int elements)
{
	return array_new(task, elements, REDIS_ARRAY_MAX);
}

static void *create_small_array(const redisReadTask *task, int elements)
{
	return array_new(task, task->parent ? INT_MAX : elements, REDIS_SMALL_ARRAY_MAX);
}

static void *create_integer(const redisReadTask *task, long long integer)
{
	redisReply *reply = reply_new(task);

	if (reply)
		reply->integer = integer;
	return adopted(task, reply);
}

static void *create_nil(const redisReadTask *task)
{
	redisReply *reply = reply_new(task);

	/* the task's type is what it would have been */
	if (reply)
		reply->type = REDIS_REPLY_NIL;
	return adopted(task, reply);
}

#define FUNCTIONS(array) \
	{ \
		.createString = create_string, .createArray = (array), \
		.createInteger = create_integer, .createNil = create_nil, \
		.freeObject = freeReplyObject, \
	}

void redis_guard(redisAsyncContext *ac, bool is_small)
{
	static const redisReplyObjectFunctions any = FUNCTIONS(create_array);
	static const redisReplyObjectFunctions small = FUNCTIONS(create_small_array);
	const redisReplyObjectFunctions *functions = is_small ? &small : &any;

	ac->c.reader->fn = (redisReplyObjectFunctions *)(uintptr_t)functions;
	ac->c.reader->privdata = ac;
}
