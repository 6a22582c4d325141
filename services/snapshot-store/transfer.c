#include "services/snapshot-store/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/error.h"

#define PIPE_ROOM (512 * 1024)

struct transfer *transfer_new(const struct store_packet *request, int pipe)
{
	struct transfer *transfer = calloc(1, sizeof(*transfer));

	bug_if(!transfer);
	transfer->ticket = request->ticket;
	transfer->what = request->what;
	memcpy(transfer->key, request->key, sizeof(transfer->key));
	transfer->bytes_max =
	    request->what == STORE_PUT ? request->u.put.bytes_max : request->u.get.bytes_max;
	transfer->pipe = pipe;
	transfer->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pipe >= 0) {
		(void)fcntl(pipe, F_SETFL, O_NONBLOCK);
		/* fewer turns of the scheduler; a user may have only so much of it */
		(void)fcntl(pipe, F_SETPIPE_SZ, PIPE_ROOM);
	}
	crypto_generichash_init(&transfer->hash, NULL, 0, sizeof(transfer->digest));
	return transfer;
}

void transfer_destroy(struct transfer **transfer)
{
	if (!*transfer)
		return;
	if ((*transfer)->pipe >= 0)
		close((*transfer)->pipe);
	if ((*transfer)->cancel_fd >= 0)
		close((*transfer)->cancel_fd);
	free(*transfer);
	*transfer = NULL;
}

void transfer_cancel(struct transfer *transfer)
{
	atomic_store(&transfer->is_cancelled, true);
	(void)eventfd_write(transfer->cancel_fd, 1);
}

void transfer_finish(struct transfer *transfer)
{
	crypto_generichash_final(&transfer->hash, transfer->digest, sizeof(transfer->digest));
}

int transfer_fail(struct transfer *transfer, enum store_failure failure, const char *fmt, ...)
{
	va_list ap;

	transfer->failure = failure;
	va_start(ap, fmt);
	vsnprintf(transfer->text, sizeof(transfer->text), fmt, ap);
	va_end(ap);
	return -1;
}

int transfer_check(struct transfer *transfer)
{
	if (!atomic_load(&transfer->is_cancelled))
		return 0;
	return transfer_fail(transfer, STORE_CANCELLED, "cancelled");
}

static int wait_for(struct transfer *transfer, short events)
{
	struct pollfd fds[] = {{.fd = transfer->pipe, .events = events},
	    {.fd = transfer->cancel_fd, .events = POLLIN}};

	while (poll(fds, ARRAY_LEN(fds), -1) < 0 && errno == EINTR)
		;
	return transfer_check(transfer);
}

static void count(struct transfer *transfer, const void *bytes, size_t len)
{
	crypto_generichash_update(&transfer->hash, bytes, len);
	atomic_fetch_add(&transfer->bytes, len);
}

static int check_count(struct transfer *transfer)
{
	if (atomic_load(&transfer->bytes) <= transfer->bytes_max)
		return 0;
	return transfer_fail(
	    transfer, STORE_TOO_LARGE, "it is larger than %" PRIu64 " bytes", transfer->bytes_max);
}

ssize_t transfer_read(struct transfer *transfer, void *bytes, size_t len)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = read(transfer->pipe, (char *)bytes + have, len - have);
		if (n == 0)
			break;
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (wait_for(transfer, POLLIN) != 0)
				return -1;
			continue;
		}
		if (n < 0)
			return transfer_fail(transfer, STORE_UNAVAILABLE,
			    "the pipe cannot be read: %s", strerror(errno));
		count(transfer, (char *)bytes + have, (size_t)n);
		have += (size_t)n;
		if (check_count(transfer) != 0 || transfer_check(transfer) != 0)
			return -1;
	}
	return transfer_check(transfer) == 0 ? (ssize_t)have : -1;
}

int transfer_write(struct transfer *transfer, const void *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(transfer->pipe, (const char *)bytes + done, len - done);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (wait_for(transfer, POLLOUT) != 0)
				return -1;
			continue;
		}
		if (n < 0)
			return transfer_fail(transfer, STORE_CANCELLED,
			    errno == EPIPE ? "who was to read it has closed the pipe"
					   : "the pipe cannot be written");
		count(transfer, (const char *)bytes + done, (size_t)n);
		done += (size_t)n;
		if (check_count(transfer) != 0)
			return -1;
	}
	return transfer_check(transfer);
}

int transfer_pause(struct transfer *transfer, unsigned ms)
{
	struct pollfd fd = {.fd = transfer->cancel_fd, .events = POLLIN};

	(void)poll(&fd, 1, (int)ms);
	return transfer_check(transfer);
}
