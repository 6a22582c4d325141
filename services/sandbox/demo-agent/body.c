#include "services/sandbox/demo-agent/body.h"

#define LINE_MAX_LEN 256
#define TRAILER_MAX_LEN 4096
#define SIZE_DIGITS_MAX 15

void body_open(struct body *body_r, const struct request *request)
{
	*body_r = (struct body){.is_chunked = request->is_chunked};
	if (request->is_chunked) {
		body_r->state = BODY_SIZE;
		return;
	}
	body_r->left = request->content_length;
	body_r->state = body_r->left ? BODY_DATA : BODY_DONE;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum body_state end_size_line(struct body *body)
{
	if (body->digits == 0)
		return BODY_BAD;
	body->line_len = 0;
	body->line_is_empty = true;
	return body->left ? BODY_DATA : BODY_TRAILER;
}

static enum body_state size_char(struct body *body, char c)
{
	int digit = digit_of(c);

	if (++body->line_len > LINE_MAX_LEN || (body->after_cr && c != '\n'))
		return BODY_BAD;
	if (body->after_cr) {
		body->after_cr = false;
		return end_size_line(body);
	}
	if (c == '\r') {
		body->after_cr = true;
		return BODY_SIZE;
	}
	if (c == '\n')
		return BODY_BAD;
	if (c == ';' && body->digits)
		body->in_extension = true;
	if (body->in_extension)
		return BODY_SIZE;
	if (digit < 0 || ++body->digits > SIZE_DIGITS_MAX)
		return BODY_BAD;
	body->left = body->left * 16 + (uint64_t)digit;
	return BODY_SIZE;
}

static enum body_state ending_char(struct body *body, char c)
{
	if (c != (body->after_cr ? '\n' : '\r'))
		return BODY_BAD;
	body->after_cr = !body->after_cr;
	if (body->after_cr)
		return BODY_ENDING;
	body->line_len = body->digits = 0;
	body->in_extension = false;
	return BODY_SIZE;
}

static enum body_state trailer_char(struct body *body, char c)
{
	if (++body->line_len > TRAILER_MAX_LEN || (body->after_cr != (c == '\n')))
		return BODY_BAD;
	if (c == '\n') {
		body->after_cr = false;
		if (body->line_is_empty)
			return BODY_DONE;
		body->line_is_empty = true;
		return BODY_TRAILER;
	}
	body->after_cr = c == '\r';
	if (!body->after_cr)
		body->line_is_empty = false;
	return BODY_TRAILER;
}

static const char *take_data(struct body *body, const char **at, const char *end, size_t *len_r)
{
	const char *from = *at;
	size_t there = (size_t)(end - from);

	*len_r = body->left < there ? (size_t)body->left : there;
	*at += *len_r;
	body->left -= *len_r;
	if (body->left == 0)
		body->state = body->is_chunked ? BODY_ENDING : BODY_DONE;
	return from;
}

const char *body_take(struct body *body, const char **at, const char *end, size_t *len_r)
{
	*len_r = 0;
	while (*at < end) {
		switch (body->state) {
		case BODY_DATA:
			return take_data(body, at, end, len_r);
		case BODY_SIZE:
			body->state = size_char(body, *(*at)++);
			break;
		case BODY_ENDING:
			body->state = ending_char(body, *(*at)++);
			break;
		case BODY_TRAILER:
			body->state = trailer_char(body, *(*at)++);
			break;
		case BODY_DONE:
		case BODY_BAD:
			return *at;
		}
	}
	return *at;
}
