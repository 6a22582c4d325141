#include "services/packer/order.h"

#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_ended(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static int check_said(const struct packer_order *said, struct error *err)
{
	const struct warden_archive *archive = &said->archive;

	if (said->version != PACKER_VERSION)
		return error_set(err, ERR_INVALID,
		    "order of version %u, not %d: one of warden and multiclaw-packer is older",
		    said->version, PACKER_VERSION);
	if (said->uid == 0 || said->gid == 0)
		return error_set(err, ERR_INVALID, "order to work as root");
	if (!is_ended(said->agent, sizeof(said->agent)) || !*said->agent ||
	    !is_ended(archive->boot, sizeof(archive->boot)) ||
	    !is_ended(archive->wallet, sizeof(archive->wallet)))
		return error_set(err, ERR_INVALID, "order for no agent");
	if (sodium_is_zero(archive->key, sizeof(archive->key)))
		return error_set(err, ERR_INVALID, "order without a key");
	if (!said->is_unpacking && (said->level < 1 || said->level > 19))
		return error_set(
		    err, ERR_INVALID, "order of compression level %u: 1-19", said->level);
	return 0;
}

static bool is_kind(int fd, mode_t kind)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == kind;
}

static bool is_packet_socket(int fd)
{
	int type;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

static int check_fds(bool is_unpacking, struct error *err)
{
	int flags = fcntl(PACKER_ARCHIVE, F_GETFL);

	if (!is_kind(PACKER_ROOT, S_IFDIR))
		return error_set(err, ERR_INVALID, "descriptor %d is no folder", PACKER_ROOT);
	if (!is_kind(PACKER_ARCHIVE, S_IFIFO) || flags < 0 ||
	    (flags & O_ACCMODE) != (is_unpacking ? O_RDONLY : O_WRONLY) || (flags & O_NONBLOCK))
		return error_set(err, ERR_INVALID,
		    "descriptor %d is not the right end of a blocking pipe", PACKER_ARCHIVE);
	if (!is_packet_socket(PACKER_REPORT))
		return error_set(
		    err, ERR_INVALID, "descriptor %d is no socket of packets", PACKER_REPORT);
	if (is_unpacking ? fcntl(PACKER_SECRETS, F_GETFD) >= 0 : !is_kind(PACKER_SECRETS, S_IFREG))
		return error_set(err, ERR_INVALID,
		    "descriptor %d: secrets come with packing only, as a memfd", PACKER_SECRETS);
	return 0;
}

int order_read(struct order *order_r, struct error *err)
{
	static const uint8_t zeros[sizeof(order_r->said.archive.key)];
	struct packer_order *said = &order_r->said;
	struct stat st;

	if (!is_kind(PACKER_ORDER, S_IFREG) || fstat(PACKER_ORDER, &st) != 0 ||
	    st.st_size != (off_t)sizeof(*said) ||
	    pread(PACKER_ORDER, said, sizeof(*said), 0) != (ssize_t)sizeof(*said))
		return error_set(err, ERR_INVALID,
		    "descriptor %d holds no order; warden starts this program", PACKER_ORDER);
	/* one that is sealed is wiped by who made it */
	(void)!pwrite(
	    PACKER_ORDER, zeros, sizeof(zeros), offsetof(struct packer_order, archive.key));
	close(PACKER_ORDER);
	if (check_said(said, err) != 0 || check_fds(said->is_unpacking, err) != 0)
		return -1;
	if (paths_read(said->roots, &order_r->roots, err) != 0 ||
	    paths_read(said->excluded, &order_r->excluded, err) != 0)
		return -1;
	return 0;
}
